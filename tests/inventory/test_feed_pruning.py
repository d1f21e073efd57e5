"""Old changes are deleted without any reader's missing one."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import text

from imagewarden.inventory.feed import KEPT, prune_changes, read_changes
from imagewarden.storage.database import Database
from tests.support.embedded import wait_until
from tests.support.feed import OTHER, Reader, furnish, insert_images, prune, snapshot

TOUCH = "UPDATE image SET size = size + 1 WHERE id = %s"
NOW = timedelta(0)


@pytest.fixture
def ids(database: Database) -> list[int]:
    """Fill the database, and forget what was told of it; gives the images' ids."""
    ids = furnish(database)
    pruned(database, 1)
    return ids


@pytest.fixture
def writer(database: Database, ids: list[int]) -> Iterator[psycopg.Connection]:
    """Give a connection that commits each statement."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        yield connection


def pruned(database: Database, expected: int, kept: timedelta = NOW) -> None:
    """Prune until as many changes are deleted as there should be: the server's own work may be in the way."""
    total = 0

    def enough() -> bool:
        nonlocal total
        total += asyncio.run(prune(database, kept=kept))
        return total >= expected

    wait_until(enough, 5.0)
    assert total == expected


def rows(writer: psycopg.Connection) -> int:
    """Return how many changes are kept."""
    found = writer.execute("SELECT count(*) FROM image_change").fetchone()
    assert found is not None
    return int(found[0])


def test_young_changes_are_kept(database: Database, writer: psycopg.Connection, ids: list[int]) -> None:
    writer.execute(TOUCH, (ids[0],))
    writer.execute("UPDATE image_change SET changed_at = changed_at - interval '2 hours'")
    writer.execute(TOUCH, (ids[1],))
    pruned(database, 1, KEPT)
    pruned(database, 0, KEPT)
    assert rows(writer) == 1


def test_a_reader_that_fell_behind_starts_anew(database: Database, writer: psycopg.Connection, ids: list[int]) -> None:
    with Reader(database) as behind, Reader(database) as ahead, Reader(database, OTHER) as other:
        writer.execute(TOUCH, (ids[0],))
        assert ahead.ids() == [ids[0]]
        pruned(database, 1)
        assert ahead.ids() == []
        assert other.ids() == [], "nothing of its project was deleted"
        writer.execute(TOUCH, (ids[1],))
        assert ahead.ids() == [ids[1]]
        assert behind.look().everything
        assert behind.ids() == []


def test_a_reader_that_saw_what_was_deleted_goes_on(
    database: Database, writer: psycopg.Connection, ids: list[int]
) -> None:
    writer.execute(TOUCH, (ids[0],))
    with Reader(database) as reader:
        insert_images(writer, 3, OTHER)
        pruned(database, 2)
        assert reader.ids() == []


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this database", "in another database"])
def test_nothing_is_deleted_that_an_open_transaction_is_older_than(
    database: Database, writer: psycopg.Connection, ids: list[int], elsewhere: bool
) -> None:
    """Else every position would have that transaction before what was deleted, and every reader would start anew."""
    where = make_conninfo(database.conninfo, dbname="template1") if elsewhere else database.conninfo
    with Reader(database) as reader, psycopg.connect(where) as long:
        long.execute("SELECT pg_current_xact_id()")
        writer.execute(TOUCH, (ids[0],))
        pruned(database, 0)
        assert reader.ids() == [ids[0]]
        writer.execute(TOUCH, (ids[1],))
        assert reader.ids() == [ids[1]]
        long.commit()
        assert reader.ids() == []
        pruned(database, 2)
        assert reader.ids() == []


def test_a_change_that_is_committed_late(database: Database, writer: psycopg.Connection, ids: list[int]) -> None:
    """It is old at once; readers that saw its transaction open start anew rather than miss it."""
    with psycopg.connect(database.conninfo) as long:
        long.execute(TOUCH, (ids[0],))
        writer.execute(TOUCH, (ids[1],))
        with Reader(database) as reader:
            long.commit()
            pruned(database, 2)
            assert reader.look().everything
            assert reader.ids() == []


@pytest.mark.parametrize("isolation", [
    psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE,
])  # fmt: skip
def test_readers_in_the_midst_of_it(
    database: Database, writer: psycopg.Connection, ids: list[int], isolation: psycopg.IsolationLevel
) -> None:
    with Reader(database) as reader:
        writer.execute(TOUCH, (ids[0],))
        with psycopg.connect(database.conninfo) as midst:
            midst.isolation_level = isolation
            assert read_changes(midst, reader.position, reader.project).image_ids == [ids[0]]
            pruned(database, 1)
            again = read_changes(midst, reader.position, reader.project)
            assert again.everything == (isolation is psycopg.IsolationLevel.READ_COMMITTED)
            assert again.everything or again.image_ids == [ids[0]]
        assert reader.look().everything


def test_a_reader_whose_transaction_began_before(
    database: Database, writer: psycopg.Connection, ids: list[int]
) -> None:
    with Reader(database) as reader:
        writer.execute(TOUCH, (ids[0],))
        with snapshot(reader.connection):
            reader.connection.execute("SELECT")
            pruned(database, 1)
            changes = read_changes(reader.connection, reader.position, reader.project)
        assert changes.image_ids == [ids[0]]
        reader.position = changes.position
        assert reader.ids() == []


def test_one_prunes_at_a_time(database: Database, writer: psycopg.Connection, ids: list[int]) -> None:
    async def beside() -> int:
        engine = database.engine(pool_size=1)
        async with engine.begin() as connection:
            await prune_changes(connection, NOW)
            writer.execute(TOUCH, (ids[0],))
            done = await prune(database, kept=NOW)
        await engine.dispose()
        return done

    assert asyncio.run(beside()) == 0
    pruned(database, 1)


def test_a_transaction_that_writes_and_prunes(database: Database, writer: psycopg.Connection, ids: list[int]) -> None:
    """Its own changes have a number that its snapshot does not reach; they are not another cluster's."""

    async def both() -> None:
        engine = database.engine(pool_size=1)
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE image SET size = 7"))
            await prune_changes(connection, NOW)
        await engine.dispose()

    with Reader(database) as reader:
        asyncio.run(both())
        assert reader.ids() == ids


def test_changes_of_another_cluster_that_came_with_a_dump(
    database: Database, writer: psycopg.Connection, ids: list[int]
) -> None:
    """Their numbers are still to come here: they are no news, and pruning removes them."""
    with Reader(database) as reader:
        writer.execute("INSERT INTO image_change (xid, project_id) SELECT 1000000000, id FROM project")
        writer.execute("DELETE FROM image_feed")
        writer.execute("INSERT INTO image_feed SELECT id, 2000000000 FROM project")
        assert reader.ids() == []
        writer.execute(TOUCH, (ids[0],))
        assert reader.ids() == [ids[0]]
        pruned(database, 2, KEPT)
        assert rows(writer) == 1
        assert writer.execute("SELECT count(*) FROM image_feed").fetchone() == (0,)
        assert reader.ids() == []


def test_more_than_one_statement_deletes(database: Database, writer: psycopg.Connection, ids: list[int]) -> None:
    writer.execute("INSERT INTO image_change (project_id, image_ids) SELECT 'p', '{1}' FROM generate_series(1, 45000)")
    pruned(database, 45_000)
    assert rows(writer) == 0
