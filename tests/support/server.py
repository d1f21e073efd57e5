"""The API on a real socket, in this process."""

import asyncio
import socket
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from granian.constants import Interfaces
from granian.server.embed import Server

from imagewarden.api.app import create_app
from imagewarden.api.opening import services_over
from imagewarden.api.services import Services
from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.identity.vault import Vault
from imagewarden.inventory.builder import building
from imagewarden.settings import Settings
from imagewarden.storage.database import Database

__all__ = ["free_port", "serve"]


def free_port() -> int:
    """Return a port on loopback that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str) -> None:
    """Return when the server answers."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"{url}/health/live", timeout=5):
                return
        except urllib.error.URLError:
            threading.Event().wait(0.02)
    raise AssertionError("the server does not answer")


@contextmanager
def serve(database: Database, vault: Vault, **settings: object) -> Iterator[str]:
    """Serve the API over a database for as long as the context is open; gives its address."""
    folder = tempfile.TemporaryDirectory(prefix="iw-api-")
    found = Settings(**{"data_dir": Path(folder.name), **settings})  # type: ignore[arg-type]
    port = free_port()

    @asynccontextmanager
    async def services() -> AsyncIterator[Services]:
        models = building(found.read_model_dir, database.conninfo, ENCODING, found.read_model_bytes)
        async with models, services_over(database, vault, found) as opened:
            yield opened

    loop = asyncio.new_event_loop()
    server = Server(
        create_app(services), address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False,
        websockets=False,
    )  # fmt: skip
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve()), daemon=True)
    thread.start()
    try:
        _wait(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(10)
        loop.close()
        folder.cleanup()
