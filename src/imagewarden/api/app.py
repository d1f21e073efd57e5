"""The application: every operation behind one gate."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from litestar import Litestar
from litestar.types import ASGIApp

from imagewarden.api import health, v3
from imagewarden.api.authentication import Authentication
from imagewarden.api.failures import EXCEPTION_HANDLERS
from imagewarden.api.gate import MAX_BODY, Gate
from imagewarden.api.openapi import openapi
from imagewarden.api.opening import services_from_settings
from imagewarden.api.operation import declared
from imagewarden.api.services import Services
from imagewarden.api.v5 import handlers as v5

__all__ = ["create_app", "create_from_environment", "litestar_app"]

OpenServices = Callable[[], AbstractAsyncContextManager[Services]]


def litestar_app(open_services: OpenServices) -> Litestar:
    """Return the routed application; `open_services` is entered when it starts and left when it stops.

    Raises KeyError if an operation declares nothing: it would be served to anybody.
    """

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_services() as services:
            app.state.services = services
            yield

    handlers = [*health.HANDLERS, openapi, *v3.HANDLERS, *v5.HANDLERS]
    for handler in handlers:
        declared(handler.opt)
    return Litestar(
        handlers,
        lifespan=[lifespan],
        middleware=[Authentication()],
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
        request_max_body_size=MAX_BODY,
        include_in_schema=False,
    )


def create_app(open_services: OpenServices) -> ASGIApp:
    """Return the whole application as ASGI."""
    return Gate(litestar_app(open_services))


def create_from_environment() -> ASGIApp:
    """Return the application with the settings of the environment: what a server process of `serve` runs."""
    return create_app(services_from_settings)
