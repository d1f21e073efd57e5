"""What an API process works with, opened and closed in one place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imagewarden.api.callers import KnownCallers
from imagewarden.api.services import Services
from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.identity.vault import Vault, open_vault
from imagewarden.inventory.freshness import Freshness
from imagewarden.inventory.lists import ImageLists
from imagewarden.settings import Settings, load_settings
from imagewarden.storage import schema
from imagewarden.storage.database import Database, open_database

__all__ = ["services_from_settings", "services_over"]


@asynccontextmanager
async def services_over(database: Database, vault: Vault, settings: Settings) -> AsyncIterator[Services]:
    """Give the services of a process over a database; the read models are built by another: see `building`."""
    engine = database.engine(pool_size=settings.database_pool)
    freshness = Freshness(database.conninfo)
    images = ImageLists(settings.read_model_dir, freshness, ENCODING.name)
    reader = engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        yield Services(engine, reader, freshness, images, KnownCallers(), vault, settings)
    finally:
        await images.close()
        await freshness.close()
        await engine.dispose()


@asynccontextmanager
async def services_from_settings(settings: Settings | None = None) -> AsyncIterator[Services]:
    """Open the database that the settings name (of the environment when None), checked for its schema."""
    found = settings or load_settings()
    opened = open_database(found.data_dir, found.database_url)
    database = await asyncio.to_thread(opened.__enter__)
    try:
        await asyncio.to_thread(schema.check, database)
        vault = open_vault(found.data_dir, found.secret_key)
        async with services_over(database, vault, found) as services:
            yield services
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)
