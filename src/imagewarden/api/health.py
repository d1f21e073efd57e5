"""Whether the service lives, and whether it can answer."""

from typing import Any

import msgspec
from litestar import Request, get

from imagewarden import __version__
from imagewarden.api.errors import Unavailable
from imagewarden.api.operation import operation
from imagewarden.api.services import Services
from imagewarden.inventory.freshness import DatabaseAway

__all__ = ["HANDLERS", "Health"]


class Health(msgspec.Struct, frozen=True):
    """Answer of both checks."""

    status: str
    """`live` or `ready`."""
    version: str
    """Version of the service."""


@get("/health/live", opt=operation(tag="health", public=True, response=Health))
async def live() -> Health:
    """Say that the process answers."""
    return Health("live", __version__)


@get("/health/ready", opt=operation(tag="health", public=True, response=Health))
async def ready(request: Request[Any, Any, Any]) -> Health:
    """Say that the process can answer requests: its database answers."""
    services: Services = request.app.state.services
    try:
        await services.freshness.check()  # which waits for a bounded time, whatever the database does
    except DatabaseAway:
        raise Unavailable("not ready: the database is away", headers={"retry-after": "2"}) from None
    return Health("ready", __version__)


HANDLERS = (live, ready)
"""Both checks."""
