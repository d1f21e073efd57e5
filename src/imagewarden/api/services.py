"""What the operations work with: the database, the vault and the settings of this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.vault import Vault, open_vault
from imagewarden.settings import Settings, load_settings
from imagewarden.storage import schema
from imagewarden.storage.database import open_database

__all__ = ["Services", "services_from_settings"]


@dataclass(frozen=True)
class Services:
    """Shared by all requests of a process."""

    engine: AsyncEngine
    """For transactions that write."""
    reader: AsyncEngine
    """The same pool, each statement on its own: no round trips for a transaction around one read."""
    vault: Vault
    """Opens sealed secrets."""
    settings: Settings
    """The settings this process was started with."""


@asynccontextmanager
async def services_from_settings(settings: Settings | None = None) -> AsyncIterator[Services]:
    """Open the database that the settings name (of the environment when None), checked for its schema."""
    found = settings or load_settings()
    opened = open_database(found.data_dir, found.database_url)
    database = await asyncio.to_thread(opened.__enter__)
    try:
        await asyncio.to_thread(schema.check, database)
        engine = database.engine(pool_size=found.database_pool)
        try:
            vault = open_vault(found.data_dir, found.secret_key)
            yield Services(engine, engine.execution_options(isolation_level="AUTOCOMMIT"), vault, found)
        finally:
            await engine.dispose()
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)
