"""A statement that is asked over and over on a connection of its own."""

import asyncio

import psycopg
import pytest

from imagewarden.inventory.question import Question
from imagewarden.storage.database import Database

pytestmark = pytest.mark.anyio


async def test_answers_one_after_the_other(embedded_database: Database) -> None:
    """Whatever the parameters, NULL among the answers."""
    question = await Question.prepared(
        embedded_database.conninfo, "bigint, text", "SELECT $1 * 2, upper($2), NULL, repeat('x', 100000)"
    )
    try:
        for number in range(50):
            answer = await question.ask((b"%d" % number, b"caf\xc3\xa9"))
            assert answer == [b"%d" % (2 * number), "CAF\u00c9".encode(), None, b"x" * 100_000]
    finally:
        await question.close()
    assert question.closed


async def test_a_statement_that_fails_is_told_and_can_be_asked_again(embedded_database: Database) -> None:
    question = await Question.prepared(embedded_database.conninfo, "bigint", "SELECT 1 / $1")
    try:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await question.ask((b"0",))
        assert await question.ask((b"1",)) == [b"1"]
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            await question.ask((b"one",))
        assert await question.ask((b"-1",)) == [b"-1"]
    finally:
        await question.close()


async def test_a_statement_that_cannot_be_prepared_leaves_no_connection(embedded_database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        await Question.prepared(embedded_database.conninfo, "bigint", "SELECT FROM nowhere WHERE id = $1")


@pytest.mark.parametrize("asking", [True, False])
async def test_a_connection_that_the_server_ends(embedded_database: Database, *, asking: bool) -> None:
    """While it answers, and while nobody asks."""
    question = await Question.prepared(embedded_database.conninfo, "float8", "SELECT pg_backend_pid(), pg_sleep($1)")
    try:
        number = int((await question.ask((b"0",)))[0] or 0)
        waiting = asyncio.create_task(question.ask((b"60",))) if asking else None
        await asyncio.sleep(0.1)
        async with await psycopg.AsyncConnection.connect(embedded_database.conninfo, autocommit=True) as other:
            await other.execute("SELECT pg_terminate_backend(%s)", (number,))
        if waiting is not None:
            with pytest.raises(psycopg.OperationalError):
                await asyncio.wait_for(waiting, 10)
        async with asyncio.timeout(10):
            while not question.closed:  # noqa: ASYNC110 # nothing tells of it
                await asyncio.sleep(0.01)
        with pytest.raises(psycopg.OperationalError):
            await question.ask((b"0",))
    finally:
        await question.close()


async def test_whoever_gives_up_closes_it(embedded_database: Database) -> None:
    question = await Question.prepared(embedded_database.conninfo, "float8", "SELECT pg_sleep($1)")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await question.ask((b"60",))
    await question.close()
    assert question.closed
