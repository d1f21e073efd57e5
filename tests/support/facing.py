"""An adapter that faces a scripted registry, with limits small enough to meet in a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imagewarden.model.digest import digest_of
from imagewarden.registry.adapter import Descriptor
from imagewarden.registry.oci import OciAdapter
from imagewarden.registry.options import KIB, Limits, TransportOptions
from imagewarden.registry.transport import RegistryTransport
from tests.support.hostile import Hostile, Reply, Script, hostile

__all__ = ["BLOB", "SMALL", "WHOLE", "always", "facing", "tags"]

BLOB = b"0123456789" * 1000
"""Content of a blob."""
WHOLE = Descriptor("", digest_of(BLOB), len(BLOB))
"""Its descriptor."""
SMALL = Limits(
    attempts=3,
    backoff_seconds=0.01,
    longest_wait_seconds=1,
    read_seconds=0.5,
    answer_seconds=1.5,
    pages=50,
    manifest_bytes=64 * KIB,
    page_bytes=64 * KIB,
    entries=5000,
)
"""Limits of the adapter, unless a test gives others."""


@asynccontextmanager
async def facing(script: Script, **options: object) -> AsyncIterator[tuple[Hostile, OciAdapter]]:
    """Give a scripted registry and an adapter that faces it."""
    async with hostile(script) as server:
        given = {"url": server.url, "limits": SMALL, **options}
        adapter = OciAdapter(RegistryTransport(TransportOptions(**given)))  # type: ignore[arg-type] # a test's mix
        try:
            yield server, adapter
        finally:
            await adapter.close()


async def tags(adapter: OciAdapter) -> list[str]:
    """Return all tags of a repository."""
    return [record.tag async for record in adapter.tags("some/repository")]


def always(answer: Reply) -> Script:
    """Return a script with one answer for everything."""
    return lambda _: answer
