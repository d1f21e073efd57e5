"""The PostgreSQL server of the benchmark: the embedded one, or a database of its own on a server that a URL names.

Both are set as for a machine of 2 cores and 8 GiB that does nothing else.
"""

import contextlib
import fcntl
import json
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imagewarden.storage import schema
from imagewarden.storage.database import Database, open_database
from imagewarden.storage.supervisor import STATE_FILE

__all__ = ["SESSION", "connect", "migrated_database", "server_facts"]

_SERVER = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
}
"""Settings that need a restart, or are the whole server's."""
SESSION = {
    "work_mem": "64MB",
    "maintenance_work_mem": "1GB",
    "effective_cache_size": "6GB",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "200",
    "jit": "off",
}
"""Settings of every connection of a peer."""


def connect(database: Database) -> psycopg.Connection:
    """Return a connection with a peer's settings, each statement on its own; every statement stays prepared."""
    options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
    connection = psycopg.connect(make_conninfo(database.conninfo, options=options), autocommit=True)
    connection.prepared_max = None
    return connection


@contextlib.contextmanager
def migrated_database(folder: Path, database_url: str | None) -> Iterator[Database]:
    """Give an empty database with the product's schema."""
    opening = _of_url(database_url) if database_url else _embedded(folder)
    with opening as database:
        schema.upgrade(database)
        yield database


@contextlib.contextmanager
def _embedded(folder: Path) -> Iterator[Database]:
    """Give the embedded server of a data folder, started anew with our settings, and stopped before it is left."""
    folder.chmod(0o711)  # for the server's own account, where this runs as root
    data_dir = folder / "data"
    with open_database(data_dir, None) as database, psycopg.connect(database.conninfo, autocommit=True) as connection:
        for name, value in _SERVER.items():
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
    _stop(data_dir)
    try:
        with open_database(data_dir, None) as database:
            yield database
    finally:
        _stop(data_dir)


def _stop(data_dir: Path) -> None:
    """Stop a server that nobody needs any more, and return when it has ended: its supervisor holds a lock meanwhile."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(int(json.loads((data_dir / STATE_FILE).read_text())["pid"]), signal.SIGTERM)
    with (data_dir / "supervisor.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)


@contextlib.contextmanager
def _of_url(database_url: str) -> Iterator[Database]:
    """Give a database of our own on a server, dropped in the end."""
    name = f"imagewarden_bench_{secrets.token_hex(4)}"
    create = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL(create).format(sql.Identifier(name)))
        try:
            yield Database(make_conninfo(database_url, dbname=name))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def server_facts(connection: psycopg.Connection) -> dict[str, str]:
    """Return the server's version and the settings that matter."""
    names = ("server_version", "shared_buffers", "max_parallel_workers_per_gather", *SESSION)
    return {name: str(connection.execute(f"SHOW {name}").fetchone()[0]) for name in names}  # type: ignore[index]
