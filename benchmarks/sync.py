"""Rows a second of a first synchronisation and of one that finds nothing changed, as the registry grows.

The registry answers from memory, so that what is measured is ours: listing, reading, comparing, writing. `ratio` is
the unchanged run's rate divided by the first one's.
"""

import argparse
import asyncio
import hashlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from imagewarden import logs
from imagewarden.identity.bootstrap import bootstrap
from imagewarden.identity.vault import Vault
from imagewarden.inventory.registries import NewRegistry, add_registry
from imagewarden.inventory.tables import image
from imagewarden.model.digest import Digest, digest_of
from imagewarden.model.registry_kind import RegistryType
from imagewarden.registry.adapter import Descriptor, RawManifest, TagRecord, TagState, Unchanged
from imagewarden.storage import schema
from imagewarden.storage.database import Database, open_database
from imagewarden.sync.run import sync_registry
from imagewarden.sync.runs import SyncReport

TAGS = 100
"""Tags of a repository."""
CONFIG = json.dumps({"os": "linux", "architecture": "amd64", "created": "2024-05-06T07:08:09Z"}).encode()
OCI = "application/vnd.oci.image"


def manifest_of(repository: str, tag: str) -> bytes:
    """Return the manifest of a tag: each its own image over the same config."""
    layer = hashlib.sha256(f"{repository}:{tag}".encode()).hexdigest()
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {"mediaType": f"{OCI}.config.v1+json", "digest": digest_of(CONFIG), "size": len(CONFIG)},
            "layers": [{"mediaType": f"{OCI}.layer.v1.tar+gzip", "digest": f"sha256:{layer}", "size": 1000}],
        }
    ).encode()


class Generated:
    """A registry whose contents are computed when asked for: it costs no memory, however large."""

    name = "Other"
    version = 1

    def __init__(self, repositories: int) -> None:
        self._repositories = repositories
        self._tags: dict[Digest, tuple[str, str]] = {}

    async def check(self) -> str:
        """Say that it answers."""
        return "generated"

    async def close(self) -> None:
        """Forget what was given out."""
        self._tags.clear()

    async def repositories(self) -> AsyncIterator[str]:
        """Yield the names."""
        for number in range(self._repositories):
            yield f"team{number % 10}/service-{number}"

    async def tags(self, repository: str) -> AsyncIterator[TagRecord]:  # noqa: ARG002 # all have the same
        """Yield the tags."""
        for number in range(TAGS):
            yield TagRecord(f"1.{number}.0")

    async def tag_state(self, repository: str, tag: str, known: Digest | None = None) -> TagState | Unchanged:
        """Say what a tag points to."""
        digest = digest_of(manifest_of(repository, tag))
        if digest == known:
            return Unchanged()
        self._tags[digest] = (repository, tag)
        return TagState(digest, "")

    async def manifest(self, repository: str, reference: str) -> RawManifest:  # noqa: ARG002
        """Give a manifest whose digest was given out."""
        digest = Digest(reference)
        return RawManifest(manifest_of(*self._tags.pop(digest)), digest, f"{OCI}.manifest.v1+json")

    async def blob(self, repository: str, descriptor: Descriptor) -> AsyncIterator[bytes]:  # noqa: ARG002
        """Give the config."""
        yield CONFIG


async def measure(database: Database, repositories: int) -> dict[str, Any]:
    """Return the figures for one size."""
    vault, engine = Vault(bytes(32)), database.engine(pool_size=8)
    async with engine.begin() as connection:
        keys = await bootstrap(connection, vault, "local")
        assert keys is not None
        new = NewRegistry(name="bench", type=RegistryType.OTHER, url="http://bench.example.test")
        record = await add_registry(connection, vault, keys.project_id, new)
    rows, seconds, reports = repositories * TAGS, [], []
    for _ in range(2):
        start = time.monotonic()
        reports.append(await sync_registry(engine, vault, record.id, adapter=Generated(repositories)))
        seconds.append(time.monotonic() - start)
    async with engine.connect() as connection:
        stored = (await connection.execute(select(func.count(), func.count().filter(image.c.is_latest)))).one()
    await engine.dispose()
    check(reports, rows, (stored[0], stored[1]), repositories)
    return {
        "rows": rows,
        "first_rows_per_second": round(rows / seconds[0]),
        "unchanged_rows_per_second": round(rows / seconds[1]),
        "ratio": round(seconds[0] / seconds[1], 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def check(reports: list[SyncReport], rows: int, stored: tuple[int, int], repositories: int) -> None:
    """Assert that both runs did what they should have."""
    first, second = reports
    assert (first.state, first.added, first.problems) == ("succeeded", rows, []), first
    assert (second.state, second.unchanged, second.added, second.changed) == ("succeeded", rows, 0, 0), second
    assert stored == (rows, repositories)


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other form)")
    parser.add_argument("--repositories", type=int, nargs="+", default=[10, 100, 400], help="of 100 tags each")
    asked = parser.parse_args(arguments)
    logs.configure("warning")
    sizes = []
    for repositories in asked.repositories:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o711)
            with open_database(Path(folder, "data"), None) as database:
                schema.upgrade(database)
                sizes.append(asyncio.run(measure(database, repositories)))
    print(json.dumps({"bench": "sync", "cpus": os.cpu_count(), "sizes": sizes}))


if __name__ == "__main__":
    main(sys.argv[1:])
