"""The database of an installation: the embedded server, or the one a URL names."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from imagewarden.storage.embedded import EmbeddedServer
from imagewarden.storage.errors import DatabaseUnreachable, UnsupportedServer

__all__ = ["OLDEST_SERVER", "Database", "open_database"]

OLDEST_SERVER = 15
"""Oldest PostgreSQL major version that is supported."""

_DEFAULTS = {
    "application_name": "imagewarden",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "client_encoding": "UTF8",
}


@dataclass(frozen=True)
class Database:
    """A database that answers, and how to connect to it."""

    conninfo: str
    """libpq's connection string; may hold a password: never logged or shown."""

    def engine(self, *, pool_size: int = 10, statement_seconds: float = 60.0) -> AsyncEngine:
        """Return an asynchronous engine of at most `pool_size` connections; dispose of it when done.

        The server ends a statement that takes longer than `statement_seconds`.
        """
        return create_async_engine(
            "postgresql+psycopg://",
            async_creator=lambda: self._connect(statement_seconds),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10.0,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    async def _connect(self, statement_seconds: float) -> psycopg.AsyncConnection:
        """Return a connection whose statements are bounded; not by a start-up option, which poolers refuse."""
        connection = await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True)
        limit = f"{statement_seconds * 1000:.0f}"
        await connection.execute("SELECT set_config('statement_timeout', %s, false)", (limit,))
        await connection.set_autocommit(False)
        return connection

    def sync_engine(self) -> Engine:
        """Return a plain engine, for migrations."""
        return create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(self.conninfo), hide_parameters=True
        )


def _with_defaults(text: str) -> str:
    """Return a URL or connection string with our defaults; raises DatabaseUnreachable for another form.

    What a special character makes of a password must not be taken for a host or a port: errors name those.
    """
    url = text.replace("postgresql+psycopg://", "postgresql://", 1)
    authority, _, rest = url.partition("://")[2].partition("/")
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        given = {}
    port = str(given.get("port", "")).replace(",", "")
    if not given or authority.count("@") > 1 or "@" in rest.partition("?")[0] or not (port.isdigit() or not port):
        raise DatabaseUnreachable(
            "the database URL cannot be read; it looks like postgresql://user:password@host:5432/name, "
            "with special characters in the password percent-encoded"
        )
    return make_conninfo("", **{**_DEFAULTS, **given})


def _reason(error: psycopg.OperationalError) -> str:
    """Return what the server or the network said, in one line; libpq never repeats the password."""
    return " ".join(str(error).split())[:300]


def _check(conninfo: str) -> None:
    """Raise DatabaseUnreachable or UnsupportedServer unless the database can be used."""
    named = conninfo_to_dict(conninfo)
    where = f"database {named.get('dbname', 'postgres')} at {named.get('host', 'the local socket')}"
    try:
        with psycopg.connect(conninfo) as connection:
            version = connection.info.server_version // 10000
            encoding = connection.execute("SHOW server_encoding").fetchone()
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable(
            f"the {where} does not answer: {_reason(error)}; check the address, the user and its password"
        ) from None
    if version < OLDEST_SERVER:
        raise UnsupportedServer(f"the {where} is PostgreSQL {version}; {OLDEST_SERVER} or newer is needed")
    if encoding is None or encoding[0] != "UTF8":
        raise UnsupportedServer(f"the {where} keeps text in {encoding and encoding[0]}; create it with ENCODING 'UTF8'")


@contextmanager
def open_database(data_dir: Path, database_url: str | None) -> Iterator[Database]:
    """Give the database of `database_url`, or without one the embedded server of `data_dir`, started if need be.

    The embedded server stays for as long as the context is open. Raises StorageError kinds.
    """
    if database_url:
        conninfo = _with_defaults(database_url)
        _check(conninfo)
        yield Database(conninfo)
        return
    with EmbeddedServer.start(data_dir) as server:
        yield Database(make_conninfo(server.conninfo, **_DEFAULTS))
