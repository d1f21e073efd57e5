"""Fixtures of the whole suite: two kinds of PostgreSQL, a fresh database a test, a vault."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagewarden.identity.vault import Vault
from imagewarden.storage.database import Database
from tests.support import postgres


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio: the product's only event loop."""
    return "asyncio"


@pytest.fixture(scope="session")
def embedded_conninfo() -> Iterator[str]:
    """Give the embedded server, with the template made."""
    with postgres.embedded_server() as conninfo:
        postgres.make_template(conninfo)
        yield conninfo


@pytest.fixture(scope="session")
def debian_conninfo() -> Iterator[str]:
    """Give Debian's server, with the template made."""
    with postgres.debian_server() as conninfo:
        postgres.make_template(conninfo)
        yield conninfo


@pytest.fixture(params=["embedded", "debian"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give a fresh database, on each kind of server in turn."""
    with postgres.fresh_database(request.getfixturevalue(f"{request.param}_conninfo")) as found:
        yield found


@pytest.fixture
def embedded_database(embedded_conninfo: str) -> Iterator[Database]:
    """Give a fresh database on the embedded server alone."""
    with postgres.fresh_database(embedded_conninfo) as found:
        yield found


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Give a data folder of its own to the test, which the database's account reaches; not made yet."""
    with postgres.temporary_data_dir() as found:
        yield found


@pytest.fixture(scope="session")
def vault() -> Vault:
    """Give a vault with a key of this run."""
    return Vault(secrets.token_bytes(32))
