"""A database with its queue."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.jobs import schema
from imagewarden.storage.database import Database


@pytest.fixture
def queued(embedded_database: Database) -> Database:
    """Give a fresh database with the queue's tables."""
    schema.upgrade(embedded_database)
    return embedded_database


@pytest.fixture
async def engine(queued: Database) -> AsyncIterator[AsyncEngine]:
    """Give connections to it."""
    made = queued.engine(pool_size=5)
    yield made
    await made.dispose()
