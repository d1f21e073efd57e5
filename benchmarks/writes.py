"""What it costs a writer that the database tells of changes: the image table beside the same one without triggers.

Both are written to in turn, in one run, the same random rows with the same values, each statement a transaction.
`ratio` is the median of the pairs' ratios, the image table's time divided by its twin's.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from operator import truediv
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks._server import migrated_database
from imagewarden import logs

SEED = 20260403
BAR = 1.2
"""How many times longer the update of 1,000 scan results may take with the triggers."""
TWIN = "twin"
TABLES = ("image", TWIN)
NEW_IDS = 1_000_000_000

Write = Callable[[psycopg.Connection, str, Sequence[int], int], None]

_PLACES = """
INSERT INTO domain (id, name, created_at) VALUES ('d', 'bench', 0);
INSERT INTO enterprise_project (domain_id, id, name) VALUES ('d', '0', 'default');
INSERT INTO project (id, domain_id, name, created_at) VALUES ('p', 'd', 'bench', 0);
INSERT INTO registry (id, project_id, domain_id, name, type, url, created_at)
VALUES ('r', 'p', 'd', 'bench', 'Other', 'https://bench.example.test', 0);
"""
_INSERT = """
INSERT INTO {table} (id, project_id, registry_id, namespace, name, tag, digest, config_digest, kind, media_type, size,
                     os, architecture, scannable, is_index, updated_at, synced_at, sync_run_id)
SELECT n, 'p', 'r', 'team' || n / 10000, 'service-' || n / 100, '1.' || n % 100 || '.0',
       'sha256:' || encode(sha256(n::text::bytea), 'hex'), encode(sha256(n::text::bytea), 'hex'), 'other',
       'application/vnd.oci.image.manifest.v1+json', n, 'linux', 'amd64', true, false,
       1700000000000 + n, 1700000000000, 1
FROM generate_series({first}, {last}) AS n
"""
_UPDATE = """
UPDATE {table} SET scan_status = 'success', scanned_at = {at}, vulnerability_count = found, unsafe_setting_count = 1,
                   malicious_file_count = 0, risk_level = CASE WHEN found > 0 THEN 'High' ELSE 'Security' END
FROM unnest({ids}::bigint[], {counts}::integer[]) AS scans (image_id, found) WHERE id = image_id
"""
_TWIN = """
CREATE TABLE {twin} (LIKE image INCLUDING ALL) WITH (fillfactor = {fillfactor});
CREATE TABLE twin_platform (parent_id bigint REFERENCES {twin} ON DELETE CASCADE);
"""


def make_twin(connection: psycopg.Connection) -> None:
    """Make the image table once more, with all that writing it costs but the triggers; asserts that it is the same."""
    options = _one(connection, "SELECT reloptions FROM pg_class WHERE oid = 'image'::regclass")
    (fillfactor,) = (option.removeprefix("fillfactor=") for option in options)
    connection.execute(sql.SQL(_TWIN).format(twin=sql.Identifier(TWIN), fillfactor=sql.Literal(int(fillfactor))))
    keys = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'image'::regclass AND contype = 'f'"
    ).fetchall()
    for name, definition in keys:
        add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
            sql.Identifier(TWIN), sql.Identifier(name), sql.SQL(definition)
        )
        connection.execute(add)
    for what in (
        "SELECT count(*) FROM pg_index WHERE indrelid = {}::regclass",
        "SELECT reloptions FROM pg_class WHERE oid = {}::regclass",
        "SELECT count(*) FROM pg_constraint WHERE conrelid = {}::regclass",
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = {}::regclass AND tgisinternal",
    ):
        image, twin = (_one(connection, sql.SQL(what).format(sql.Literal(table))) for table in TABLES)
        assert image == twin, f"{what}: {image}, {twin}"


def _one(connection: psycopg.Connection, query: Any, parameters: Any = None) -> Any:
    """Return the one value of a query."""
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]


def insert(connection: psycopg.Connection, table: str, ids: Sequence[int], _number: int) -> None:
    """Insert new images."""
    statement = sql.SQL(_INSERT).format(
        table=sql.Identifier(table), first=sql.Literal(ids[0]), last=sql.Literal(ids[-1])
    )
    done = connection.execute(statement)
    assert done.rowcount == len(ids)


def update(connection: psycopg.Connection, table: str, ids: Sequence[int], number: int) -> None:
    """Store the outcome of scans, another one for each image."""
    counts = [(number + at) % 7 for at in range(len(ids))]
    statement = sql.SQL(_UPDATE).format(
        table=sql.Identifier(table), at=sql.Literal(1_700_000_000_000 + number), ids=sql.Literal(list(ids)),
        counts=sql.Literal(counts),
    )  # fmt: skip
    done = connection.execute(statement)
    assert done.rowcount == len(ids)


def hot_updates(connection: psycopg.Connection, table: str) -> tuple[int, int]:
    """Return how many rows were updated so far, and how many of them without touching an index."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    row = connection.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s", (table,)
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def compare(connection: psycopg.Connection, write: Write, rounds: Iterator[Sequence[int]]) -> dict[str, float]:
    """Return the medians of both tables, milliseconds; asserts that the feed names the images that were written."""
    chance = random.Random(SEED)
    seconds: dict[str, list[float]] = {table: [] for table in TABLES}
    before = {table: hot_updates(connection, table) for table in TABLES}
    for number, ids in enumerate(rounds):
        connection.execute("DELETE FROM image_change")
        for table in chance.sample(TABLES, 2):
            started = time.perf_counter()
            write(connection, table, ids, number)
            seconds[table].append(time.perf_counter() - started)
        told = _one(connection, "SELECT array_agg(id ORDER BY id) FROM image_change, unnest(image_ids) AS id")
        assert told == sorted(ids)
        assert _one(connection, "SELECT max(cardinality(image_ids)) <= 500 FROM image_change")
    medians = {table: statistics.median(each) * 1000 for table, each in seconds.items()}
    found = {
        "image_ms": round(medians["image"], 3),
        "twin_ms": round(medians[TWIN], 3),
        "ratio": round(statistics.median(map(truediv, seconds["image"], seconds[TWIN])), 3),
    }
    for table in TABLES:
        rows, hot = (now - then for now, then in zip(hot_updates(connection, table), before[table], strict=True))
        if rows:
            found[f"{table}_hot_share"] = round(hot / rows, 4)
    return found


def samples(rows: int, size: int, rounds: int) -> Iterator[Sequence[int]]:
    """Yield random images."""
    chance = random.Random(size)
    for _ in range(rounds):
        yield chance.sample(range(1, rows + 1), size)


def fresh(size: int, rounds: int) -> Iterator[Sequence[int]]:
    """Yield ids that were never used."""
    for number in range(rounds):
        yield range(NEW_IDS + number * size, NEW_IDS + (number + 1) * size)


@contextmanager
def prepared(folder: Path, database_url: str | None, rows: int) -> Iterator[psycopg.Connection]:
    """Give a connection to a database with both tables filled alike."""
    with (
        migrated_database(folder, database_url) as database,
        psycopg.connect(database.conninfo, autocommit=True) as connection,
    ):
        connection.execute(_PLACES)
        make_twin(connection)
        for table in TABLES:
            insert(connection, table, range(1, rows + 1), 0)
        connection.execute("VACUUM ANALYZE")  # as autovacuum leaves it
        connection.execute("CHECKPOINT")
        yield connection


def measure(rows: int, size: int, rounds: int, database_url: str | None) -> dict[str, Any]:
    """Return the figures."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        connection = opened.enter_context(prepared(folder, database_url, rows))
        for table in TABLES:
            update(connection, table, range(1, size + 1), 0)  # plans are made
        figures = {
            f"update_{size}": compare(connection, update, samples(rows, size, rounds)),
            "update_1": compare(connection, update, samples(rows, 1, rounds * 5)),
            f"insert_{size}": compare(connection, insert, fresh(size, rounds)),
        }
        for one, other in (TABLES, TABLES[::-1]):
            query = sql.SQL("SELECT count(*) FROM (TABLE {} EXCEPT TABLE {}) AS different")
            assert _one(connection, query.format(sql.Identifier(one), sql.Identifier(other))) == 0
        version = str(_one(connection, "SHOW server_version"))
    ratio = figures[f"update_{size}"]["ratio"]
    return {"server_version": version, **figures, "bar": {"at_most": BAR, "measured": ratio, "met": ratio <= BAR}}


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other form)")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=1000, help="rows of a statement")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--database-url", help="a server to measure on; without one, the embedded one")
    asked = parser.parse_args(arguments)
    logs.configure("warning")
    figures = measure(asked.rows, asked.size, asked.rounds, asked.database_url)
    print(json.dumps({"bench": "writes", "rows": asked.rows, "cpus": os.cpu_count(), "seed": SEED, **figures}))


if __name__ == "__main__":
    main(sys.argv[1:])
