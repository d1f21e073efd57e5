"""A project with one registry, and a way to synchronise it from memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.bootstrap import bootstrap
from imagewarden.identity.vault import Vault
from imagewarden.inventory.registries import NewRegistry, RegistryRecord, add_registry
from imagewarden.inventory.tables import image
from imagewarden.model.registry_kind import RegistryType
from imagewarden.registry.adapter import RegistryAdapter
from imagewarden.storage.database import Database
from imagewarden.sync.run import sync_registry
from imagewarden.sync.runs import SyncReport
from tests.support.adapter import MemoryRegistry, image_of


@dataclass
class Project:
    """A project with one registry."""

    engine: AsyncEngine
    """Its database."""
    vault: Vault
    """Its vault."""
    record: RegistryRecord
    """Its registry."""
    memory: MemoryRegistry
    """What the registry holds."""

    async def sync(self, adapter: RegistryAdapter | None = None, *, run_id: int | None = None) -> SyncReport:
        """Synchronise from memory."""
        found = adapter or self.memory
        return await sync_registry(self.engine, self.vault, self.record.id, run_id=run_id, adapter=found)

    async def rows(self) -> dict[str, Any]:
        """Return the live rows by `repository:tag`."""
        async with self.engine.connect() as connection:
            found = await connection.execute(select(image).where(image.c.removed_at.is_(None)).order_by(image.c.id))
            return {f"{row.namespace}/{row.name}:{row.tag}".lstrip("/"): row for row in found}


def fill(project: Project, repositories: int = 2, tags: int = 3) -> None:
    """Push images to `team/app0:1.0` and so on."""
    for number in range(repositories):
        for tag in range(tags):
            manifest, config = image_of(f"{number}/{tag}")
            project.memory.add(f"team/app{number}", f"1.{tag}", manifest, config)


async def make_project(database: Database, vault: Vault, **fields: Any) -> Project:
    """Bootstrap a database and add a registry."""
    engine = database.engine(pool_size=8)
    async with engine.begin() as connection:
        keys = await bootstrap(connection, vault, "local")
        assert keys is not None
        new = NewRegistry(
            **{"name": "memory", "type": RegistryType.OTHER, "url": "http://memory.example.test", **fields}
        )
        record = await add_registry(connection, vault, keys.project_id, new)
    return Project(engine, vault, record, MemoryRegistry())


@pytest.fixture
async def project(database: Database, vault: Vault) -> AsyncIterator[Project]:
    """Give a project on each kind of database server."""
    found = await make_project(database, vault)
    yield found
    await found.engine.dispose()


@pytest.fixture
async def one_project(embedded_database: Database, vault: Vault) -> AsyncIterator[Project]:
    """Give a project on the embedded server alone."""
    found = await make_project(embedded_database, vault)
    yield found
    await found.engine.dispose()
