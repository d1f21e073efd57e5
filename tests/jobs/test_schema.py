"""The queue's tables: made, upgraded, checked."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic import command
from procrastinate.schema import SchemaManager

from imagewarden.jobs import schema
from imagewarden.jobs.errors import ForeignQueue, QueueMissing, QueueNewer, QueueOlder
from imagewarden.storage import schema as storage_schema
from imagewarden.storage.database import Database

CATALOG = """
SELECT 'function', proname || '(' || pg_get_function_arguments(oid) || ')', md5(prosrc) FROM pg_proc
    WHERE proname LIKE 'procrastinate%'
UNION ALL SELECT 'column', table_name || '.' || column_name, data_type || coalesce(column_default, '') || is_nullable
    FROM information_schema.columns WHERE table_name LIKE 'procrastinate%'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'procrastinate%'
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger
    WHERE NOT tgisinternal AND tgname LIKE 'procrastinate%'
UNION ALL SELECT 'enum', t.typname, e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
    WHERE t.typname LIKE 'procrastinate%'
"""


def catalog(database: Database) -> set[tuple[str, ...]]:
    """Return everything of the queue that the database knows, without what only differs in layout."""
    with psycopg.connect(database.conninfo) as connection:
        return {tuple(row) for row in connection.execute(CATALOG)}


def run_files(database: Database, files: list[Path]) -> None:
    """Apply migrations as an earlier version of the library would have."""
    with psycopg.connect(database.conninfo) as connection:
        for file in files:
            connection.execute(file.read_bytes())
        connection.execute(
            f"COMMENT ON TABLE procrastinate_jobs IS 'imagewarden: up to {files[-1].name}'".encode(),
        )


def test_upgrade_is_idempotent(database: Database) -> None:
    schema.upgrade(database)
    first = catalog(database)
    schema.upgrade(database)
    schema.check(database)
    assert catalog(database) == first
    assert any(row[1] == "procrastinate_jobs.queueing_lock" for row in first)


def test_two_upgrades_at_once(embedded_database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(schema.upgrade, [embedded_database] * 4))
    schema.check(embedded_database)


def test_missing(embedded_database: Database) -> None:
    with pytest.raises(QueueMissing, match="imagewarden init"):
        schema.check(embedded_database)


@pytest.mark.parametrize("name", ["02.14.01_01_add_indexes_for_fetch_job.sql", "03.01.00_50_post_add_heartbeat.sql"])
def test_upgrade_from_an_earlier_version(embedded_database: Database, name: str) -> None:
    """The library's own files bring an old queue to where a new one starts."""
    files = schema.migrations()
    done = [file.name for file in files].index(name) + 1
    run_files(embedded_database, files[:done])
    with pytest.raises(QueueOlder, match=f"lacks {len(files) - done} of"):
        schema.check(embedded_database)
    schema.upgrade(embedded_database)
    schema.check(embedded_database)
    functions = {row[1] for row in catalog(embedded_database) if row[0] == "function"}
    assert any(each.startswith("procrastinate_defer_jobs_v1(") for each in functions)


def test_upgraded_and_new_queues_have_the_same_functions(embedded_database: Database, debian_conninfo: str) -> None:
    """What the library's worker calls is there however the queue came to be."""
    from tests.support.postgres import fresh_database

    run_files(embedded_database, schema.migrations()[:-6])
    schema.upgrade(embedded_database)
    with fresh_database(debian_conninfo) as other:
        schema.upgrade(other)
        new = {row[1] for row in catalog(other) if row[0] in ("function", "trigger", "enum")}
    assert {row[1] for row in catalog(embedded_database)} >= new


def test_a_later_queue_is_refused(embedded_database: Database) -> None:
    schema.upgrade(embedded_database)
    with psycopg.connect(embedded_database.conninfo) as connection:
        connection.execute("COMMENT ON TABLE procrastinate_jobs IS 'imagewarden: up to 99.00.00_01_pre_new.sql'")
    for act in (schema.check, schema.upgrade):
        with pytest.raises(QueueNewer, match="later version"):
            act(embedded_database)


def test_another_programs_queue_is_refused(embedded_database: Database) -> None:
    with psycopg.connect(embedded_database.conninfo) as connection:
        connection.execute(SchemaManager.get_schema())
    for act in (schema.check, schema.upgrade):
        with pytest.raises(ForeignQueue, match="database of its own"):
            act(embedded_database)


def test_the_queues_tables_are_not_taken_for_ours(embedded_database: Database) -> None:
    """Alembic compares the database with our tables: the queue's must not look like some to be dropped."""
    schema.upgrade(embedded_database)
    engine = embedded_database.sync_engine()
    with engine.begin() as connection:
        command.check(storage_schema._config(connection))  # raises for a difference
    engine.dispose()
