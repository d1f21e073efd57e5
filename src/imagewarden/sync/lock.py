"""One synchronisation at a time per registry, over all machines: a lock that ends with the process that holds it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.inventory.registries import RegistryRecord
from imagewarden.sync.errors import SyncAlreadyRunning
from imagewarden.sync.runs import running_run

__all__ = ["hold_registry"]

_TAKE = text("SELECT pg_try_advisory_lock(hashtextextended('imagewarden sync ' || :registry, 0))")
_GIVE = text("SELECT pg_advisory_unlock(hashtextextended('imagewarden sync ' || :registry, 0))")


@asynccontextmanager
async def hold_registry(engine: AsyncEngine, record: RegistryRecord) -> AsyncIterator[None]:
    """Hold a registry's lock on a connection of its own; raises SyncAlreadyRunning when somebody else does."""
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        if not (await connection.execute(_TAKE, {"registry": record.id})).scalar_one():
            raise SyncAlreadyRunning(record.name, await running_run(connection, record.id))
        try:
            yield
        finally:
            await connection.execute(_GIVE, {"registry": record.id})
