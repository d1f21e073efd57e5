"""PostgreSQL as a peer: the image list as an application would ask it, on a copy of the table with its own indexes.

`PLAIN` is the obvious way: one index a column, `COUNT(*)` and `ORDER BY ... OFFSET`. `TUNED` is what a database
administrator makes of it: a table of this project alone, without tombstones; composite, covering and partial indexes;
one over trigrams where the extension is there; and pages whose rows are fetched once their ids are known.
"""
# ruff: noqa: S608 # statements are put together of constants

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg

from benchmarks._project import REGISTRIES
from benchmarks._server import connect
from benchmarks._shapes import Question
from imagewarden.inventory.filters import (
    ANY_FAILED,
    AnyPositive,
    Condition,
    Contains,
    Equals,
    ImageColumn,
    ImageOrder,
    OneOf,
    Within,
    conditions,
)
from imagewarden.storage.database import Database

__all__ = ["COLUMNS", "PLAIN", "REGISTRY_IDS", "TRUTH", "TUNED", "Found", "Peer", "PostgresPeer"]

COLUMNS = (
    "id, namespace, name, config_digest, digest, tag, kind, registry_id, is_latest, scan_status, failure_code, "
    "failure_reason, size, updated_at, scanned_at, synced_at, vulnerability_count, unsafe_setting_count, "
    "malicious_file_count, owner_domain, share_status, scannable, is_index, instance_name, instance_id, instance_url, "
    "risk_level, os, architecture, variant"
)
_IS_INDEX = COLUMNS.split(", ").index("is_index")
_CHILDREN = (
    "SELECT parent_id, id, config_digest, digest, os, architecture, variant, scan_status, vulnerability_count, "
    "unsafe_setting_count, malicious_file_count FROM image_platform WHERE parent_id = ANY(%s) "
    "ORDER BY parent_id, position"
)
REGISTRY_IDS = {each.name: each.id for each in REGISTRIES}
"""An application knows its registries by heart."""
_BY_SCAN = "scanned_at NULLS FIRST, id"
_FAILED = ", ".join(f"'{status}'" for status in sorted(ANY_FAILED))
_SMALL = (
    "scan_status, risk_level, kind, is_index, vulnerability_count, unsafe_setting_count, malicious_file_count, "
    "instance_name"
)
_RISKY = "(vulnerability_count > 0 OR unsafe_setting_count > 0 OR malicious_file_count > 0)"


class Found(NamedTuple):
    """An engine's answer."""

    total: int
    ids: list[int]


class Peer(NamedTuple):
    """A way to keep and ask the table."""

    name: str
    live: str
    """What every statement says first."""
    indexes: tuple[str, ...]
    """What stands behind `CREATE INDEX ON table`."""
    fetched_late: bool
    """Whether a page's rows are fetched once their ids are known."""


PLAIN = Peer(
    "plain",
    "project_id = %s AND removed_at IS NULL",
    tuple(
        f"({column})"
        for column in ("namespace", "name", "tag", "registry_id", "scan_status", "updated_at", "scanned_at")
    ),
    fetched_late=False,
)
TUNED = Peer(
    "tuned",
    "true",
    (
        f"({_BY_SCAN})",
        "(enterprise_project_id, id)",
        f"(enterprise_project_id, {_BY_SCAN})",
        f"(registry_id, {_BY_SCAN}) INCLUDE (enterprise_project_id, vulnerability_count, kind)",
        f"(namespace, {_BY_SCAN}) INCLUDE (risk_level, enterprise_project_id, is_latest, vulnerability_count)",
        "(name, id) INCLUDE (tag, enterprise_project_id)",
        f"(tag, {_BY_SCAN}) INCLUDE (name, enterprise_project_id)",
        f"(kind, {_BY_SCAN}) INCLUDE (risk_level)",
        "(size, id)",
        f"(scan_status, {_BY_SCAN})",
        "(scan_status, id)",
        f"(risk_level, {_BY_SCAN}) INCLUDE (updated_at)",
        "(risk_level, id) INCLUDE (updated_at)",
        "(updated_at) INCLUDE (scanned_at, id)",
        "(synced_at, id)",
        f"({_BY_SCAN}) INCLUDE (vulnerability_count, enterprise_project_id, namespace) WHERE is_latest",
        f"({_BY_SCAN}) WHERE is_index",
        f"({_BY_SCAN}) INCLUDE (enterprise_project_id, registry_id) WHERE vulnerability_count > 0",
        f"({_BY_SCAN}) INCLUDE (scan_status, synced_at) WHERE unsafe_setting_count > 0",
        f"({_BY_SCAN}) WHERE malicious_file_count > 0",
        f"({_BY_SCAN}) INCLUDE (enterprise_project_id) WHERE {_RISKY}",
        f"({_BY_SCAN}) INCLUDE (registry_id, updated_at) WHERE scan_status IN ({_FAILED})",
        f"(instance_id, {_BY_SCAN}) INCLUDE (instance_name)",
        f"(id) INCLUDE ({_SMALL})",
        "(id) INCLUDE (namespace, name, tag, enterprise_project_id, vulnerability_count)",
    ),
    fetched_late=True,
)  # fmt: skip
TRUTH = PLAIN._replace(name="truth", indexes=())
"""The product's own table."""
_TRIGRAMS = "USING gin (namespace gin_trgm_ops, name gin_trgm_ops, tag gin_trgm_ops)"


class PostgresPeer:
    """One peer on a connection of its own."""

    def __init__(self, database: Database, peer: Peer, project_id: str) -> None:
        """Copy the project's rows into the peer's table and build its indexes; the truth is asked where it is."""
        self.name = peer.name
        self.trigrams = False
        self._peer = peer
        self._table = "image" if peer is TRUTH else f"image_{peer.name}"
        self._live: tuple[str, ...] = (project_id,) if "%s" in peer.live else ()
        self._connection = connect(database)
        self._cursor = self._connection.cursor(binary=True)
        if peer is not TRUTH:
            self._fill(project_id)

    def _fill(self, project_id: str) -> None:
        execute = self._connection.execute
        execute(
            f"CREATE UNLOGGED TABLE {self._table} AS SELECT * FROM image WHERE project_id = %s ORDER BY id",
            [project_id],
        )
        execute(f"ALTER TABLE {self._table} ADD PRIMARY KEY (id)")
        for index in self._peer.indexes:
            execute(f"CREATE INDEX ON {self._table} {index}")
        if self._peer.fetched_late:
            self.trigrams = self._make_trigrams()
        execute(f"VACUUM (FREEZE, ANALYZE) {self._table}")

    def _make_trigrams(self) -> bool:
        """Index the searched texts by trigrams; returns whether the extension is there."""
        try:
            self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except psycopg.Error:
            return False
        self._connection.execute(f"CREATE INDEX ON {self._table} {_TRIGRAMS}")
        return True

    def ask(self, question: Question) -> Found:
        """Return the answer; a page's rows are fetched whole, with their children."""
        texts, values = [self._peer.live], list[Any](self._live)
        for condition in conditions(question.asked):
            text, more = _sql(condition, literal=self._peer.fetched_late)
            texts.append(text)
            values += more
        where = " AND ".join(texts)
        total = self._rows(f"SELECT count(*) FROM {self._table} WHERE {where}", values)[0][0]
        rows = self._rows(self._page(where, question.order), [*values, question.offset, question.limit])
        parents = [row[0] for row in rows if row[_IS_INDEX]]
        if parents:
            self._rows(_CHILDREN, [parents])
        return Found(total, [row[0] for row in rows])

    def _page(self, where: str, order: ImageOrder) -> str:
        """Return the statement of a page."""
        keys, limits = _order(order), "OFFSET %s LIMIT %s"
        if not self._peer.fetched_late:
            return f"SELECT {COLUMNS} FROM {self._table} WHERE {where} ORDER BY {keys} {limits}"
        page = f"SELECT id AS page_id FROM {self._table} WHERE {where} ORDER BY {keys} {limits}"
        return f"SELECT {COLUMNS} FROM ({page}) AS page JOIN {self._table} ON id = page_id ORDER BY {keys}"

    def _rows(self, statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
        return self._cursor.execute(statement, values, prepare=True).fetchall()

    @property
    def indexes(self) -> int:
        """How many indexes there are, the primary key among them."""
        return 1 + len(self._peer.indexes) + self.trigrams

    def sizes(self) -> dict[str, int]:
        """Return the bytes of the table and of its indexes."""
        row = self._connection.execute(
            f"SELECT pg_table_size('{self._table}'), pg_indexes_size('{self._table}')"
        ).fetchone()
        assert row is not None
        return {"table_bytes": row[0], "index_bytes": row[1]}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _order(order: ImageOrder) -> str:
    """Return the keys of an order."""
    if not order.by_scan_time:
        return "id DESC" if order.descending else "id"
    return "scanned_at DESC NULLS LAST, id DESC" if order.descending else _BY_SCAN


def _sql(condition: Condition, *, literal: bool) -> tuple[str, list[Any]]:
    """Return a condition as SQL with its values; few known values are `literal` where partial indexes need that."""
    values: list[Any] = []
    match condition:
        case Equals(ImageColumn.REGISTRY_NAME, value):
            text, values = "registry_id = %s", [REGISTRY_IDS[str(value)]]
        case Equals(column, bool(value)):
            text = column.value if value else f"NOT {column}"
        case Equals(column, value) | OneOf(column, (value,)):
            text, values = f"{column} = %s", [value]
        case OneOf(column, several) if literal:
            text = f"{column} IN ({', '.join(_quoted(several))})"
        case OneOf(column, several):
            text, values = f"{column} = ANY(%s)", [list(several)]
        case Within(column, low, high):
            text, values = f"{column} BETWEEN %s AND %s", [low, high]
        case AnyPositive(columns, wanted):
            some = " OR ".join(f"{column} > 0" for column in columns)
            text = f"({some})" if wanted else " AND ".join(f"{column} = 0" for column in columns)
        case Contains(columns, sought):
            text = f"({' OR '.join(f'{column} ILIKE %s' for column in columns)})"
            values = [f"%{_escaped(sought)}%"] * len(columns)
    return text, values


def _escaped(text: str) -> str:
    """Return a text within a pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _quoted(values: tuple[str, ...]) -> Iterator[str]:
    """Return texts as SQL has them."""
    return ("'" + value.replace("'", "''") + "'" for value in values)
