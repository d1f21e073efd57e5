"""One statement asked over and over on a connection of its own, with as little work each time as there can be.

What every request waits for is worth it: psycopg's own cursor takes twice the work of sending a prepared statement with
libpq and reading its one row (docs/performance.md).
"""

import asyncio
from collections.abc import Sequence
from typing import Self

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

__all__ = ["Question"]

_NAME = b"question"


class Question:
    """A prepared statement of one row; for one event loop, and asked by one at a time.

    Whoever gives up waiting closes it: nobody knows what the connection would answer next.
    """

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        """Ask over a connection in autocommit mode on which the statement was prepared; see `prepared`."""
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._results: list[pq.abc.PGresult] = []
        self._answer: asyncio.Future[list[bytes | None]] | None = None
        self._loop.add_reader(self._socket, self._readable)

    @classmethod
    async def prepared(cls, conninfo: str, types: str, statement: str) -> Self:
        """Connect, and prepare a statement with parameters `$1` and so on of these types; raises psycopg.Error."""
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        try:
            await connection.execute(f"PREPARE {_NAME.decode()} ({types}) AS {statement}".encode())
        except BaseException:
            await connection.close()
            raise
        return cls(connection)

    @property
    def closed(self) -> bool:
        """Whether the connection is no longer there."""
        return self._connection.closed

    async def ask(self, parameters: Sequence[bytes]) -> list[bytes | None]:
        """Return the row that the statement gives for parameters, all in PostgreSQL's text; raises psycopg.Error."""
        answer: asyncio.Future[list[bytes | None]] = self._loop.create_future()
        self._answer = answer
        self._results = []
        try:
            self._pgconn.send_query_prepared(_NAME, parameters)
            self._pgconn.flush()  # a few bytes, which the socket takes at once: nothing else was sent since it answered
            return await answer
        finally:
            self._answer = None

    def _readable(self) -> None:
        """Read what has come: all of an answer, some of it, or the end of the connection."""
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    break
                self._results.append(result)
            else:
                return
        except psycopg.OperationalError as error:
            self._loop.remove_reader(self._socket)
            self._pgconn.finish()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(error)
            return
        if self._answer is not None and not self._answer.done() and self._results:
            self._settle(self._answer, self._results[-1])

    def _settle(self, answer: asyncio.Future[list[bytes | None]], result: pq.abc.PGresult) -> None:
        if result.status == pq.ExecStatus.TUPLES_OK and result.ntuples == 1:
            answer.set_result([result.get_value(0, column) for column in range(result.nfields)])
        else:
            answer.set_exception(error_from_result(result))

    async def close(self) -> None:
        """Close the connection, whatever state it is in."""
        if not self.closed:
            self._loop.remove_reader(self._socket)
        await self._connection.close()
