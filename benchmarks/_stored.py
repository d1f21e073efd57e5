"""The synthetic project in a database: loaded by COPY, its statistics and visibility maps up to date."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import insert

from benchmarks._project import NEWEST, REGISTRIES, RISKS, SPAN, STATUSES, Images, Numbers, Registry
from imagewarden.identity.bootstrap import Credentials, bootstrap
from imagewarden.identity.tables import enterprise_project
from imagewarden.identity.vault import Vault
from imagewarden.inventory.tables import registry
from imagewarden.model.registry_kind import IMAGE_TYPES, RegistryType
from imagewarden.model.scan import ScanStatus
from imagewarden.storage.database import Database

__all__ = ["store"]

_CHUNK = 20_000
_IMAGE = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_FORMS = (
    f"{_IMAGE}\tt\tf\tlinux\tamd64\t",
    f"{_IMAGE}\tt\tf\tlinux\tarm64\tv8",
    f"{_INDEX}\tt\tt\t\t\t",
)
_COLUMNS = (
    "id, namespace, name, tag, digest, config_digest, size, is_latest, updated_at, synced_at, scanned_at, "
    "vulnerability_count, unsafe_setting_count, malicious_file_count, risk_level, scan_status, failure_code, "
    "failure_reason, media_type, scannable, is_index, os, architecture, variant, project_id, enterprise_project_id, "
    "registry_id, kind, instance_id, instance_name, instance_url, owner_domain, share_status, sync_run_id"
)
_CHILD_COLUMNS = "id, parent_id, position, digest, config_digest, os, architecture, variant, size"

_FAILURES = {
    ScanStatus.FAILED: "unknown_error\tThe scan ended without a result.",
    ScanStatus.DOWNLOAD_FAILED: "download_failed\tThe image could not be read.",
    ScanStatus.IMAGE_OVERSIZED: "image_over_sized\tThe image is too large to be scanned.",
}


def _texts(numbers: Numbers) -> Iterator[str]:
    """Return numbers for COPY, NULL for those below 0."""
    return (r"\N" if number < 0 else str(number) for number in numbers.tolist())


def _blocks(images: Images, project_id: str) -> Iterator[bytes]:
    """Yield the rows of the image table as COPY reads them."""
    risks = [*(risk.value for risk in RISKS), r"\N"]
    statuses = [f"{status.value}\t" + _FAILURES.get(status, "\\N\t\\N") for status, _ in STATUSES]
    sources = [_source(each, project_id) for each in REGISTRIES]
    for first in range(0, len(images), _CHUNK):
        last = min(first + _CHUNK, len(images))
        part, rows = slice(first, last), range(first, last)
        digests = np.random.default_rng([images.seed, first]).bytes(64 * len(rows)).hex()
        columns = (
            (str(row + 1) for row in rows),
            map(images.namespace_text, images.namespace[part].tolist()),
            map(images.name_text, images.name[part].tolist()),
            map(images.tag_text, rows),
            (f"sha256:{digests[at : at + 64]}\t{digests[at + 64 : at + 128]}" for at in range(0, len(digests), 128)),
            map(str, images.size[part].tolist()),
            ("t" if newest else "f" for newest in images.is_latest[part].tolist()),
            map(str, images.updated[part].tolist()),
            map(str, images.synced[part].tolist()),
            _texts(images.scanned[part]),
            map(str, images.vulnerabilities[part].tolist()),
            map(str, images.unsafe[part].tolist()),
            map(str, images.malicious[part].tolist()),
            map(risks.__getitem__, images.risk[part].tolist()),
            map(statuses.__getitem__, images.status[part].tolist()),
            map(_FORMS.__getitem__, images.form[part].tolist()),
            map(sources.__getitem__, images.registry[part].tolist()),
        )
        yield "\n".join(map("\t".join, zip(*columns, strict=True))).encode() + b"\n"


def _source(each: Registry, project_id: str) -> str:
    """Return what a row has of its registry, as COPY reads it."""
    shared = "partner\teffective" if each.type is RegistryType.SWR_SHARED else "\\N\t\\N"
    instance = (f"id-{each.instance}", each.instance, f"{each.instance}.example.test") if each.instance else ("",) * 3
    kind = IMAGE_TYPES[each.type].value
    return "\t".join((project_id, each.enterprise_project, each.id, kind, *instance, shared, "1"))


def _child_blocks(images: Images) -> Iterator[bytes]:
    """Yield the children of multi-architecture images as COPY reads them."""
    chance = np.random.default_rng([images.seed, 1])
    parents = np.flatnonzero(images.form == 2)
    counts = chance.integers(2, 5, len(parents))
    number, lines = len(images), []
    for parent, count in zip(parents.tolist(), counts.tolist(), strict=True):
        for position in range(count):
            number += 1
            digest = chance.bytes(32).hex()
            platform = ("linux\tamd64\t", "linux\tarm64\tv8", "linux\ts390x\t", "linux\tppc64le\t")[position]
            lines.append(
                f"{number}\t{parent + 1}\t{position}\tsha256:{digest}\t{digest}\t{platform}\t{1000 + position}\n"
            )
        if len(lines) > _CHUNK:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode()


async def _install(database: Database) -> Credentials:
    """Bootstrap an empty database, and register the registries."""
    engine = database.engine(pool_size=1)
    async with engine.begin() as connection:
        keys = await bootstrap(connection, Vault(bytes(32)), "local")
        assert keys is not None
        projects = sorted({each.enterprise_project for each in REGISTRIES} - {"0"})
        await connection.execute(
            insert(enterprise_project), [{"domain_id": keys.domain_id, "id": each, "name": each} for each in projects]
        )
        await connection.execute(insert(registry), [_registry_row(keys, each) for each in REGISTRIES])
    await engine.dispose()
    return keys


def _registry_row(keys: Credentials, each: Registry) -> dict[str, Any]:
    """Return a row of the registry table."""
    return {
        "id": each.id, "project_id": keys.project_id, "domain_id": keys.domain_id, "name": each.name,
        "enterprise_project_id": each.enterprise_project, "type": each.type.value,
        "url": f"https://{each.name}.example.test", "created_at": NEWEST - SPAN,
    }  # fmt: skip


def store(database: Database, images: Images) -> str:
    """Store the rows in a migrated database that holds nothing else; returns the project's id."""
    project_id = asyncio.run(_install(database)).project_id
    with psycopg.connect(database.conninfo, autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY image ({_COLUMNS}) FROM STDIN") as copy:
            for block in _blocks(images, project_id):
                copy.write(block)
        with cursor.copy(f"COPY image_platform ({_CHILD_COLUMNS}) FROM STDIN") as copy:
            for block in _child_blocks(images):
                copy.write(block)
        cursor.execute(
            "SELECT setval('image_id_seq', (SELECT max(id) + 1 FROM (SELECT id FROM image UNION ALL "
            "SELECT id FROM image_platform) AS used))"
        )
        cursor.execute("VACUUM (FREEZE, ANALYZE)")
    return project_id
