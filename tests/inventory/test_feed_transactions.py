"""Transactions that overlap: nothing is missed whatever the order in which they begin, write and end."""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imagewarden.storage.database import Database
from tests.support.feed import Reader, furnish, snapshot

TOUCH = "UPDATE image SET size = size + 1 WHERE id = %s"


@pytest.fixture
def ids(database: Database) -> list[int]:
    """Fill the database; gives the images' ids."""
    return furnish(database)


@pytest.fixture
def reader(database: Database, ids: list[int]) -> Iterator[Reader]:
    """Give a reader of the first project."""
    with Reader(database) as found:
        yield found


@pytest.fixture
def connections(database: Database, ids: list[int]) -> Iterator[list[psycopg.Connection]]:
    """Give three connections; each is in a transaction from its first statement on."""
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(psycopg.connect(database.conninfo)) for _ in range(3)]


def xid(connection: psycopg.Connection) -> int:
    """Return the number of a connection's transaction, which has one from then on."""
    row = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def test_commits_in_the_opposite_order_of_the_numbers(
    connections: list[psycopg.Connection], reader: Reader, ids: list[int]
) -> None:
    numbers = []
    for connection, number in zip(connections, ids, strict=False):
        connection.execute(TOUCH, (number,))
        numbers.append(xid(connection))
    assert numbers == sorted(numbers)
    assert reader.ids() == []
    for left in (2, 1, 0):
        connections[left].commit()
        assert reader.ids() == [ids[left]]
        assert set(numbers[:left]) <= set(reader.position.in_progress)
        assert not set(numbers[left:]) & set(reader.position.in_progress)
    assert reader.ids() == []


def test_a_transaction_that_wrote_before_the_reader_came(
    database: Database, connections: list[psycopg.Connection], ids: list[int]
) -> None:
    early, late, _ = connections
    early.execute(TOUCH, (ids[0],))
    late.execute(TOUCH, (ids[1],))
    late.commit()
    with Reader(database) as reader:
        early.commit()
        assert reader.ids() == [ids[0]]


def test_a_transaction_that_is_rolled_back(
    connections: list[psycopg.Connection], reader: Reader, ids: list[int]
) -> None:
    connections[0].execute(TOUCH, (ids[0],))
    connections[0].rollback()
    assert reader.ids() == []
    connections[1].execute(TOUCH, (ids[1],))
    assert reader.ids() == []
    connections[1].rollback()
    assert reader.ids() == []


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this database", "in another database"])
def test_a_long_transaction_is_no_reason_to_read_anything_twice(
    database: Database, connections: list[psycopg.Connection], reader: Reader, ids: list[int], elsewhere: bool
) -> None:
    where = make_conninfo(database.conninfo, dbname="template1") if elsewhere else database.conninfo
    with psycopg.connect(where) as long:
        number = xid(long)
        for each in ids[:3]:
            connections[0].execute(TOUCH, (each,))
            connections[0].commit()
            assert reader.ids() == [each]
            assert number in reader.position.in_progress
            assert reader.ids() == []
    assert reader.ids() == []
    assert number not in reader.position.in_progress


def test_savepoints(connections: list[psycopg.Connection], reader: Reader, ids: list[int]) -> None:
    """What is undone is not told of, and the number told is the whole transaction's."""
    nested, other, _ = connections
    nested.execute("SAVEPOINT released")
    nested.execute("SAVEPOINT inner_one")
    nested.execute(TOUCH, (ids[0],))
    nested.execute("RELEASE inner_one")
    nested.execute("RELEASE released")
    nested.execute("SAVEPOINT undone")
    nested.execute(TOUCH, (ids[1],))
    nested.execute("ROLLBACK TO undone")
    nested.execute(TOUCH, (ids[2],))
    other.execute(TOUCH, (ids[3],))
    other.commit()
    assert reader.ids() == [ids[3]]
    running = reader.position.in_progress
    assert xid(nested) in running
    assert not [each for each in running if xid(nested) < each < xid(other)], "top-level transactions alone"
    nested.commit()
    assert reader.ids() == [ids[0], ids[2]]


def test_more_savepoints_than_a_snapshot_holds(
    connections: list[psycopg.Connection], reader: Reader, ids: list[int]
) -> None:
    nested, other, _ = connections
    for _ in range(100):
        nested.execute("SAVEPOINT one_more")
        nested.execute(TOUCH, (ids[0],))
    other.execute(TOUCH, (ids[1],))
    other.commit()
    assert reader.ids() == [ids[1]]
    assert xid(nested) in reader.position.in_progress
    nested.commit()
    assert reader.ids() == [ids[0]]


def test_a_block_with_an_exception(connections: list[psycopg.Connection], reader: Reader, ids: list[int]) -> None:
    connections[0].execute(
        f"DO $$ BEGIN BEGIN UPDATE image SET size = 5 WHERE id = {ids[0]}; RAISE 'undone';"
        f" EXCEPTION WHEN raise_exception THEN UPDATE image SET size = 6 WHERE id = {ids[1]}; END; END $$".encode()
    )
    connections[0].commit()
    assert reader.ids() == [ids[1]]


def test_a_snapshot_taken_before_and_read_after_a_commit(
    database: Database, connections: list[psycopg.Connection], reader: Reader, ids: list[int]
) -> None:
    """The position belongs to the transaction that reads, not to the moment of the call."""
    from imagewarden.inventory.feed import read_changes

    writer = connections[0]
    writer.execute(TOUCH, (ids[0],))
    with snapshot(reader.connection):
        reader.connection.execute("SELECT")
        writer.commit()
        changes = read_changes(reader.connection, reader.position, reader.project)
        assert changes.image_ids == []
    reader.position = changes.position
    assert reader.ids() == [ids[0]]


def test_plans_are_bounded_by_an_index_among_many_changes(
    database: Database, connections: list[psycopg.Connection], reader: Reader
) -> None:
    from imagewarden.inventory import feed, news

    writer = connections[0]
    writer.execute(
        "INSERT INTO image_change (xid, project_id, image_ids)"
        " SELECT n, md5((n % 50)::text), '{1,2,3}' FROM generate_series(1, 100000) AS n"
    )
    # They count as seen: a lower number than the reader's, whatever the server's count.
    writer.execute("UPDATE image_change SET xid = xid - 100001")
    writer.execute(TOUCH, (0,))
    writer.commit()
    writer.autocommit = True
    writer.execute(f"PREPARE news ({news._TYPES}) AS {news._NEWS}".encode())
    for statement in ("SELECT", "VACUUM ANALYZE image_change"):
        writer.execute(statement.encode())
        parameters = feed.parameters_of(reader.project, reader.position)
        numbers = parameters["xmax"], parameters["oldest"], parameters["in_progress"]
        literal = sql.SQL("EXECUTE news ({})").format(sql.SQL(", ").join(map(sql.Literal, numbers))).as_string(writer)
        for question, given in ((literal, None), (feed.READ, parameters)):
            rows = writer.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {question}".encode(), given).fetchall()
            plan = "\n".join(row[0] for row in rows)
            assert "Seq Scan on image_change" not in plan
            assert "on image_change" in plan
            buffers = next(line for line in plan.splitlines() if "Buffers: shared hit=" in line)
            assert int(buffers.partition("hit=")[2].split()[0]) < 60, plan
