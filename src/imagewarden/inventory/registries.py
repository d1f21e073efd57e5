"""The registries of a project, as configured."""

import re
import time
import uuid
from typing import Any

import msgspec
from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity.tables import enterprise_project, project
from imagewarden.identity.vault import Vault
from imagewarden.inventory.errors import InvalidRegistry, RegistryExists, UnknownRegistry
from imagewarden.inventory.tables import image, registry
from imagewarden.model.registry_kind import RegistryType

__all__ = [
    "NewRegistry",
    "RegistryRecord",
    "add_registry",
    "find_registry",
    "list_registries",
    "read_registry",
    "registry_password",
    "remove_registry",
]

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


class NewRegistry(msgspec.Struct, frozen=True, kw_only=True):
    """A registry to be added."""

    name: str
    """1 to 128 characters, unique in its project."""
    type: RegistryType
    """Kind of registry."""
    url: str
    """Scheme, host and port."""
    username: str | None = None
    """User; None for anonymous access."""
    password: str | None = None
    """Its password; sealed before it is stored."""
    enterprise_project_id: str = "0"
    """Enterprise project its images fall into."""
    options: dict[str, Any] = {}  # msgspec copies defaults
    """How to read it: sync.source.SourceOptions as JSON."""
    sync_interval: int = 3600
    """Seconds between two synchronisations; 0 for by command only."""


class RegistryRecord(msgspec.Struct, frozen=True):
    """A registry as stored; fields in the order of the SELECT below."""

    id: str
    """32 hex digits."""
    project_id: str
    """Its project."""
    enterprise_project_id: str
    """Its enterprise project."""
    name: str
    """Unique in its project."""
    type: RegistryType
    """Kind of registry."""
    url: str
    """Scheme, host and port."""
    username: str | None
    """User; None for anonymous access."""
    password_sealed: bytes | None
    """Password, sealed by the vault."""
    options: dict[str, Any]
    """How to read it."""
    sync_interval: int
    """Seconds; 0 for by command only."""
    created_at: int
    """ms."""
    catalog_completed_at: int | None
    """First complete listing of its repositories, ms."""
    synced_at: int | None
    """End of the last sync that read something, ms."""


_SELECT = select(
    registry.c.id,
    registry.c.project_id,
    registry.c.enterprise_project_id,
    registry.c.name,
    registry.c.type,
    registry.c.url,
    registry.c.username,
    registry.c.password_encrypted,
    registry.c.options,
    registry.c.sync_interval,
    registry.c.created_at,
    registry.c.catalog_completed_at,
    registry.c.synced_at,
)


def _record(row: Row[*tuple[Any, ...]]) -> RegistryRecord:
    """Return a row as a record."""
    values = list(row)
    values[4] = RegistryType(values[4])
    return RegistryRecord(*values)


def _place(registry_id: str) -> str:
    """Return what a sealed password is bound to."""
    return f"registry:{registry_id}"


async def add_registry(connection: AsyncConnection, vault: Vault, project_id: str, new: NewRegistry) -> RegistryRecord:
    """Store a registry of a project; raises InvalidRegistry or RegistryExists."""
    if not _NAME.fullmatch(new.name) or new.name != new.name.strip():
        raise InvalidRegistry(
            f"the registry name {new.name[:80]!r} is not usable; it takes 1 to 128 printable characters"
        )
    number = uuid.uuid4().hex
    domain_id = (await connection.execute(select(project.c.domain_id).where(project.c.id == project_id))).scalar_one()
    known = select(enterprise_project.c.id).where(
        enterprise_project.c.domain_id == domain_id, enterprise_project.c.id == new.enterprise_project_id
    )
    if (await connection.execute(known)).first() is None:
        raise InvalidRegistry(f"there is no enterprise project {new.enterprise_project_id}")
    row = {
        "id": number,
        "project_id": project_id,
        "domain_id": domain_id,
        "enterprise_project_id": new.enterprise_project_id,
        "name": new.name,
        "type": new.type.value,
        "url": new.url,
        "username": new.username,
        "password_encrypted": None if new.password is None else vault.seal(new.password, _place(number)),
        "options": new.options,
        "sync_interval": new.sync_interval,
        "created_at": time.time_ns() // 1_000_000,
    }
    try:
        await connection.execute(insert(registry).values(row))
    except IntegrityError:
        raise RegistryExists(f"a registry {new.name} exists already; remove it first or take another name") from None
    return await read_registry(connection, number)


async def read_registry(connection: AsyncConnection, registry_id: str) -> RegistryRecord:
    """Return a registry by id; raises UnknownRegistry."""
    row = (await connection.execute(_SELECT.where(registry.c.id == registry_id))).one_or_none()
    if row is None:
        raise UnknownRegistry(f"there is no registry of id {registry_id}; it was removed")
    return _record(row)


async def list_registries(connection: AsyncConnection, project_id: str) -> list[RegistryRecord]:
    """Return the registries of a project, by name."""
    rows = await connection.execute(_SELECT.where(registry.c.project_id == project_id).order_by(registry.c.name))
    return [_record(row) for row in rows]


async def find_registry(connection: AsyncConnection, project_id: str, name: str) -> RegistryRecord:
    """Return a registry by name; raises UnknownRegistry."""
    row = (
        await connection.execute(_SELECT.where(registry.c.project_id == project_id, registry.c.name == name))
    ).one_or_none()
    if row is None:
        raise UnknownRegistry(f"there is no registry {name}; `imagewarden registry list` shows them")
    return _record(row)


async def remove_registry(connection: AsyncConnection, record: RegistryRecord) -> int:
    """Remove a registry with its images; returns how many images were listed."""
    listed = select(func.count()).where(image.c.registry_id == record.id, image.c.removed_at.is_(None))
    count = int((await connection.execute(listed)).scalar_one())
    await connection.execute(delete(registry).where(registry.c.id == record.id))
    return count


def registry_password(record: RegistryRecord, vault: Vault) -> str | None:
    """Return a registry's password; raises VaultError."""
    return None if record.password_sealed is None else vault.open(record.password_sealed, _place(record.id))
