"""Rows for tests: an installation with one registry, and images made at random from a seed."""

import hashlib
import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from imagewarden.identity.bootstrap import Credentials, bootstrap
from imagewarden.identity.vault import Vault
from imagewarden.inventory.tables import image, image_platform, registry
from imagewarden.model.registry_kind import IMAGE_TYPES, RegistryType
from imagewarden.model.scan import FAILED_STATUSES, FailureCode, RiskLevel, ScanStatus
from imagewarden.storage.database import Database

__all__ = ["Installation", "install", "random_image", "store_images"]

START = 1_700_000_000_000


@dataclass(frozen=True)
class Installation:
    """A bootstrapped database."""

    database: Database
    """The database."""
    credentials: Credentials
    """What `init` would show."""
    registries: tuple[dict[str, Any], ...]
    """Its registries' rows: one of each type."""


async def install(database: Database, vault: Vault) -> Installation:
    """Bootstrap a database and give it one registry of each type."""
    engine = database.engine(pool_size=1)
    async with engine.begin() as connection:
        credentials = await bootstrap(connection, vault, "local")
        assert credentials is not None
        rows = tuple(
            {
                "id": hashlib.md5(kind.encode()).hexdigest(),  # noqa: S324 # an id, 32 hex digits
                "project_id": credentials.project_id,
                "domain_id": credentials.domain_id,
                "name": f"registry-{kind.lower()}",
                "type": kind.value,
                "url": f"https://{kind.lower()}.example.test",
                "created_at": START,
            }
            for kind in RegistryType
        )
        await connection.execute(insert(registry), rows)
    await engine.dispose()
    return Installation(database, credentials, rows)


def random_image(installation: Installation, chance: random.Random, number: int) -> dict[str, Any]:
    """Return a row of the image table; small vocabularies, so that filters match often."""
    source = chance.choice(installation.registries)
    kind = IMAGE_TYPES[RegistryType(source["type"])]
    status = chance.choice(list(ScanStatus))
    scanned = None if status is ScanStatus.UNSCAN else START + chance.randrange(5)
    counts = [chance.choice((0, 0, 3)) if scanned else 0 for _ in range(3)]
    is_swr = source["type"] == RegistryType.SWR_ENTERPRISE
    shared = source["type"] == RegistryType.SWR_SHARED
    failed = status in FAILED_STATUSES
    return {
        "project_id": installation.credentials.project_id,
        "registry_id": source["id"],
        "namespace": chance.choice(("", "library", "Shop", "team")),
        "name": chance.choice(("nginx", "api/web", "base", "tool_%")),
        "tag": f"{chance.choice(('v1', 'V2', 'latest'))}-{number}",
        "digest": "sha256:" + hashlib.sha256(str(number).encode()).hexdigest(),
        "config_digest": hashlib.sha256(b"c%d" % number).hexdigest(),
        "kind": kind.value,
        "media_type": "application/vnd.oci.image.manifest.v1+json",
        "size": chance.choice((0, 1000, 2**31, 2**63 - 1)),
        "is_latest": chance.random() < 0.3,
        "scannable": chance.random() < 0.9,
        "is_index": chance.random() < 0.3,
        "updated_at": START + chance.randrange(5),
        "synced_at": START + chance.randrange(5),
        "scanned_at": scanned,
        "scan_status": status.value,
        "failure_code": chance.choice(list(FailureCode)).value if failed else None,
        "failure_reason": "a reason" if failed else None,
        "vulnerability_count": counts[0],
        "unsafe_setting_count": counts[1],
        "malicious_file_count": counts[2],
        "risk_level": chance.choice(list(RiskLevel)).value if scanned else None,
        "owner_domain": "owner" if shared else None,
        "share_status": chance.choice(("expired", "effective")) if shared else None,
        "instance_id": chance.choice(("i1", "i2")) if is_swr else "",
        "instance_name": chance.choice(("one", "two")) if is_swr else "",
        "instance_url": "https://i.example.test" if is_swr else "",
        "sync_run_id": 1,
    }


def store_images(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Insert rows in order, with two children for each index; returns them with their ids."""
    names = {row.id: row.name for row in connection.execute(select(registry.c.id, registry.c.name))}
    stored = []
    for row in rows:
        number = connection.execute(insert(image).values(row).returning(image.c.id)).scalar_one()
        stored.append({**row, "id": number, "registry_name": names[row["registry_id"]]})
        if row["is_index"]:
            connection.execute(insert(image_platform), [_child(number, at) for at in range(2)])
    return stored


def _child(parent: int, position: int) -> dict[str, Any]:
    return {
        "parent_id": parent,
        "position": position,
        "digest": "sha256:" + f"{position}" * 64,
        "config_digest": f"{position}" * 64,
        "os": "linux",
        "architecture": ("amd64", "arm64")[position],
        "variant": "",
        "size": 1,
    }
