"""One synchronisation at a time per registry, over all machines: a lock that ends with the process that holds it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagewarden.inventory.registries import RegistryRecord
from imagewarden.sync.errors import LockLost, SyncAlreadyRunning
from imagewarden.sync.runs import running_run

__all__ = ["RegistryLock", "hold_registry"]

_KEY = "hashtextextended('imagewarden sync ' || :registry, 0)"
_TAKE = text(f"SELECT pg_try_advisory_lock({_KEY}), pg_backend_pid()")  # a constant
_GIVE = text(f"SELECT pg_advisory_unlock({_KEY})")  # a constant
_SESSION = text("SELECT pg_backend_pid()")


class RegistryLock:
    """A lock that is held for as long as its connection lives."""

    def __init__(self, connection: AsyncConnection, record: RegistryRecord, session: int) -> None:
        self._connection = connection
        self._record = record
        self._session = session
        self._turn = asyncio.Lock()

    async def check(self) -> None:
        """Raise LockLost when the connection is gone, and with it the lock."""
        try:
            async with self._turn:
                session = (await self._connection.execute(_SESSION)).scalar_one()
        except SQLAlchemyError:
            session = None
        if session != self._session:
            raise LockLost(
                f"the connection that kept registry {self._record.name} from being synchronised twice at once was "
                "closed by the database; synchronise it again"
            )

    async def release(self) -> None:
        """Give the lock back; a connection that cannot do so is closed."""
        if self._connection.invalidated:
            return
        try:
            await self._connection.execute(_GIVE, {"registry": self._record.id})
        except SQLAlchemyError:
            await self._connection.invalidate()


@asynccontextmanager
async def hold_registry(engine: AsyncEngine, record: RegistryRecord) -> AsyncIterator[RegistryLock]:
    """Hold a registry's lock on a connection of its own; raises SyncAlreadyRunning when somebody else does."""
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        taken, session = (await connection.execute(_TAKE, {"registry": record.id})).one()
        if not taken:
            raise SyncAlreadyRunning(record.name, await running_run(connection, record.id))
        lock = RegistryLock(connection, record, session)
        try:
            yield lock
        finally:
            await lock.release()
