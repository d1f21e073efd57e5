"""A database with two projects and no images, shared by the tests of a module."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support import postgres
from tests.support.loading import furnish


@pytest.fixture(scope="module")
def furnished(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """Give a connection to a database without images, on the embedded server or another one."""
    server = getattr(request, "param", "embedded")
    with (
        postgres.fresh_database(request.getfixturevalue(f"{server}_conninfo")) as database,
        psycopg.connect(database.conninfo, autocommit=True) as connection,
    ):
        furnish(connection)
        yield connection


@pytest.fixture
def connection(furnished: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Give a connection to the database; what a test stores is removed."""
    try:
        yield furnished
    finally:
        furnished.execute("TRUNCATE image CASCADE")
