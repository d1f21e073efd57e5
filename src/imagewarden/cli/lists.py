"""The image lists for a command: from this machine's read model, whether or not a server keeps it up to date."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagewarden.cli.session import Session
    from imagewarden.inventory.lists import ImageLists

__all__ = ["opened_lists"]


@asynccontextmanager
async def opened_lists(session: "Session") -> "AsyncIterator[ImageLists]":
    """Give the lists; without a server, this process builds the models that are asked for."""
    from imagewarden.api.v5.image_rows import ENCODING
    from imagewarden.inventory.builder import building
    from imagewarden.inventory.freshness import Freshness
    from imagewarden.inventory.lists import ImageLists

    models, conninfo = session.settings.read_model_dir, session.database.conninfo
    freshness = Freshness(conninfo)
    lists = ImageLists(models, freshness, ENCODING.name)
    async with building(models, conninfo, ENCODING, session.settings.read_model_bytes):
        try:
            yield lists
        finally:
            await lists.close()
            await freshness.close()
