"""Positions of another database, or of the same one in another life: the reader starts anew."""

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from imagewarden.inventory.feed import FeedPosition, read_changes
from imagewarden.storage.database import Database
from tests.support.embedded import wait_until
from tests.support.feed import PROJECT, Reader, furnish, listed, snapshot

TOUCH = "UPDATE image SET size = size + 1 WHERE id = %s"


@pytest.fixture
def ids(database: Database) -> list[int]:
    """Fill the database; gives the images' ids."""
    return furnish(database)


@contextlib.contextmanager
def another_database(database: Database, template: str = "template0") -> Iterator[Database]:
    """Give another database of the same server."""
    name = f"t_{uuid.uuid4().hex}"
    outside = make_conninfo(database.conninfo, dbname="template1")
    with psycopg.connect(outside, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    try:
        yield Database(make_conninfo(database.conninfo, dbname=name))
    finally:
        with psycopg.connect(outside, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def is_foreign(database: Database, position: FeedPosition) -> bool:
    """Return whether a reader at a position has to start anew."""
    with Reader(database) as reader:
        reader.position = position
        found = reader.look().everything
        assert reader.ids() == [], "after that it goes on"
        return found


def position_of(database: Database) -> FeedPosition:
    """Return the position of one that reads all images now."""
    with Reader(database) as reader:
        return reader.position


def test_the_same_database(database: Database, ids: list[int]) -> None:
    position = position_of(database)
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("SET timezone = 'Asia/Tokyo'")
        for statement in ("VACUUM FREEZE pg_trigger", "VACUUM FREEZE image_change", "ANALYZE", "CHECKPOINT"):
            connection.execute(statement.encode())
    assert not is_foreign(database, position)


def test_a_copy_of_the_database(database: Database, ids: list[int]) -> None:
    position = position_of(database)
    with another_database(database, str(conninfo_to_dict(database.conninfo)["dbname"])) as copy:
        assert is_foreign(copy, position)
        assert not is_foreign(copy, position_of(copy))


def test_another_cluster(embedded_conninfo: str, debian_conninfo: str, database: Database, ids: list[int]) -> None:
    from tests.support.postgres import fresh_database

    position = position_of(database)
    for conninfo in (embedded_conninfo, debian_conninfo):
        with fresh_database(conninfo) as other:
            furnish(other)
            assert is_foreign(other, position)


def test_a_position_that_is_still_to_come(database: Database, ids: list[int]) -> None:
    """The server's files were put back to an earlier state."""
    position = position_of(database)
    assert is_foreign(database, FeedPosition(position.identity, position.xmax + 1000, ()))


@pytest.mark.parametrize("table", ["image", "image_platform", "registry", "image_change", "image_feed"])
def test_a_table_that_was_made_again(database: Database, ids: list[int], table: str) -> None:
    with Reader(database) as reader:
        position = reader.position
        with psycopg.connect(database.conninfo) as connection:
            for statement in (
                "CREATE TABLE kept AS SELECT * FROM {}", "CREATE TABLE made (LIKE {} INCLUDING ALL)",
                "DROP TABLE {} CASCADE", "ALTER TABLE made RENAME TO {}", "INSERT INTO {} SELECT * FROM kept",
            ):  # fmt: skip
                connection.execute(sql.SQL(statement).format(sql.Identifier(table)))
        assert reader.news().everything
        with snapshot(reader.connection):
            assert read_changes(reader.connection, position, PROJECT).everything


def test_triggers_that_were_switched_off_for_a_while(database: Database, ids: list[int]) -> None:
    """As tools do that load data: the image list changes and nothing tells of it."""
    with Reader(database) as reader, psycopg.connect(database.conninfo, autocommit=True) as connection:
        before = reader.position
        connection.execute("ALTER TABLE image DISABLE TRIGGER ALL")
        for _ in range(2):
            connection.execute(TOUCH, (ids[0],))
            assert reader.look().everything, "for as long as they are off"
        connection.execute("ALTER TABLE image ENABLE TRIGGER ALL")
        assert reader.look().everything
        assert reader.ids() == []
        connection.execute(TOUCH, (ids[1],))
        assert reader.ids() == [ids[1]]
        assert is_foreign(database, before)


def test_a_trigger_that_is_gone(database: Database, ids: list[int]) -> None:
    with Reader(database) as reader, psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("DROP TRIGGER tell_image_delete ON image")
        for _ in range(2):
            assert reader.look().everything


def crash(database: Database) -> None:
    """Have the server restart as after a crash: it does when one of its processes is killed."""
    victim = psycopg.connect(database.conninfo)
    os.kill(victim.info.backend_pid, signal.SIGKILL)
    with contextlib.suppress(psycopg.OperationalError):
        victim.execute("SELECT pg_sleep(5)")
    victim.close()

    def answers() -> bool:
        try:
            psycopg.connect(database.conninfo).close()
        except psycopg.OperationalError:
            return False
        return True

    wait_until(answers, 30.0)


def test_a_crash_of_the_server(database: Database, ids: list[int]) -> None:
    """Numbers of transactions whose end was not on the disk are given out again."""
    for _ in range(2):
        with psycopg.connect(database.conninfo) as connection:
            connection.execute(TOUCH, (ids[0],))
            connection.commit()
            connection.execute("SELECT pg_current_xact_id()")
            connection.rollback()
        position = position_of(database)
        crash(database)
        assert is_foreign(database, position)


def programs(database: Database) -> Path:
    """Return the folder of the server's own programs; skips where pg_dump is not among them."""
    with psycopg.connect(database.conninfo) as connection:
        row = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone()
    assert row is not None
    if not (Path(row[0]) / "pg_dump").exists():
        pytest.skip("the server comes without pg_dump")
    return Path(row[0])


@pytest.mark.parametrize("form", [[], ["--no-unlogged-table-data"]], ids=["whole", "without unlogged data"])
def test_a_dump_that_is_restored(database: Database, ids: list[int], form: list[str], tmp_path: Path) -> None:
    """What came with it of the feed is of another server's numbers."""
    binaries, dump = programs(database), tmp_path / "dump"
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("UPDATE image_change SET xid = xid + 1000000000")
        connection.execute("INSERT INTO image_feed SELECT id, 2000000000 FROM project")
        state = listed(connection)
    position = position_of(database)
    subprocess.run([binaries / "pg_dump", "-Fc", *form, "-f", dump, "-d", database.conninfo], check=True)
    with another_database(database) as other:
        subprocess.run([binaries / "pg_restore", "-e", "-d", other.conninfo, dump], check=True)
        assert is_foreign(other, position)
        with Reader(other) as reader, psycopg.connect(other.conninfo, autocommit=True) as connection:
            assert listed(connection) == state
            assert reader.ids() == []
            connection.execute("SET search_path = ''")
            connection.execute("UPDATE public.image SET size = 5 WHERE id = %s", (ids[0],))
            assert reader.ids() == [ids[0]]
            assert reader.ids() == []


def test_data_that_is_loaded_into_the_same_tables(database: Database, ids: list[int], tmp_path: Path) -> None:
    binaries, dump = programs(database), tmp_path / "dump"
    tables = ["-t", "image", "-t", "image_platform"]
    subprocess.run([binaries / "pg_dump", "-Fc", "-a", *tables, "-f", dump, "-d", database.conninfo], check=True)
    with Reader(database) as reader, psycopg.connect(database.conninfo, autocommit=True) as connection:
        for form in ([], ["--disable-triggers"]):
            connection.execute("DELETE FROM image")
            assert reader.ids() == ids
            subprocess.run([binaries / "pg_restore", "-e", "-a", *form, "-d", database.conninfo, dump], check=True)
            changes = reader.look()
            assert changes.everything if form else changes.image_ids == ids
            assert reader.ids() == []
