"""A database with a domain, a project and a user in it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagewarden.identity.directory import create_domain, create_project, create_user, grant_role
from imagewarden.identity.roles import Role
from imagewarden.storage.database import Database

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class World:
    """Ids of what the database holds."""

    domain_id: str
    """The domain `acme`."""
    project_id: str
    """Its project `local`."""
    user_id: str
    """Its user `ann`, an operator in the project, whose password is PASSWORD."""


@pytest.fixture
async def engine(embedded_database: Database) -> AsyncIterator[AsyncEngine]:
    """Give an engine over a fresh database."""
    found = embedded_database.engine(pool_size=4)
    yield found
    await found.dispose()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give one connection in a transaction that is never committed."""
    async with engine.connect() as found:
        yield found


async def populate(connection: AsyncConnection) -> World:
    """Create the domain, the project and the user."""
    domain_id = await create_domain(connection, "acme")
    project = await create_project(connection, domain_id, "local")
    user_id = await create_user(connection, domain_id, "ann", PASSWORD)
    await grant_role(connection, user_id, project.id, Role.OPERATOR)
    return World(domain_id, project.id, user_id)


@pytest.fixture
async def world(connection: AsyncConnection) -> World:
    """Populate the database within the connection's transaction."""
    return await populate(connection)


@pytest.fixture
async def stored_world(engine: AsyncEngine) -> World:
    """Populate the database for every connection to see."""
    async with engine.begin() as connection:
        return await populate(connection)
