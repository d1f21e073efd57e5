"""A registry of our own for each test, and a client for it."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from demo.distribution.server import Login, RegistryServer

_CONTEXT = ssl.create_default_context()


@contextmanager
def running(root: Path, login: Login | None = None) -> Iterator[RegistryServer]:
    """Serve a folder for as long as the context is open."""
    with RegistryServer(root, login=login) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def connect(server: RegistryServer) -> httpx.Client:
    """Return a client of a server on loopback: no proxy, and no time lost on certificates."""
    return httpx.Client(base_url=server.url, timeout=10, trust_env=False, verify=_CONTEXT)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryServer]:
    """Give an empty registry that asks for no login."""
    with running(tmp_path / "registry") as server:
        yield server


@pytest.fixture
def client(registry: RegistryServer) -> Iterator[httpx.Client]:
    """Give a client of the empty registry."""
    with connect(registry) as client:
        yield client
