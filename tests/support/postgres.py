"""The two kinds of server that tests run against, and a fresh database for each test."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from imagewarden.storage import schema
from imagewarden.storage.database import Database
from imagewarden.storage.embedded import EmbeddedServer

__all__ = ["TEMPLATE", "debian_server", "embedded_server", "fresh_database", "make_template"]

TEMPLATE = "imagewarden_template"


def _debian_binaries() -> Path:
    """Return the newest of Debian's PostgreSQL; skips without one, fails in continuous integration."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        if os.environ.get("CI"):
            pytest.fail("Debian's PostgreSQL is missing")
        pytest.skip("Debian's PostgreSQL is not installed")
    return found[-1].parent


@contextmanager
def debian_server() -> Iterator[str]:
    """Run Debian's PostgreSQL on a socket in a temporary folder; gives its connection string."""
    binaries = _debian_binaries()
    home = Path(tempfile.mkdtemp(prefix="iw-pg-"))
    runner: list[str] = []
    if os.geteuid() == 0:
        runner = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(home, "nobody")
    subprocess.run(
        [*runner, binaries / "initdb", "-D", home / "data", "-U", "tester", "-A", "trust", "-E", "UTF8",
         "--locale=C.UTF-8", "--no-sync"],
        check=True, stdout=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    log = (home / "log").open("wb")
    server = subprocess.Popen(
        [*runner, binaries / "postgres", "-D", home / "data", "-k", home, "-c", "listen_addresses=", "-c", "fsync=off"],
        stdout=log, stderr=log, cwd="/",
    )  # fmt: skip
    conninfo = make_conninfo(host=str(home), user="tester", dbname="postgres")
    try:
        for _ in range(200):
            ready = subprocess.run([binaries / "pg_isready", "-q", "-h", home], check=False)
            if ready.returncode == 0:
                break
            subprocess.run(["sleep", "0.05"], check=True)
        yield conninfo
    finally:
        server.terminate()
        subprocess.run(["kill", "-INT", str(server.pid)], check=False)
        server.wait(20)
        log.close()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def embedded_server() -> Iterator[str]:
    """Run the embedded server on a temporary data folder; gives its connection string."""
    home = Path(tempfile.mkdtemp(prefix="iw-data-"))
    home.chmod(0o711)
    try:
        with EmbeddedServer.start(home / "data") as server:
            yield server.conninfo
    finally:
        shutil.rmtree(home, ignore_errors=True)


def make_template(conninfo: str) -> None:
    """Make the migrated database that each test's own is copied from."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{TEMPLATE}" TEMPLATE template0 ENCODING UTF8')  # type: ignore[arg-type]
    schema.upgrade(Database(make_conninfo(conninfo, dbname=TEMPLATE)))


@contextmanager
def fresh_database(conninfo: str) -> Iterator[Database]:
    """Give a copy of the template, dropped afterwards."""
    name = f"t_{uuid.uuid4().hex}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')  # type: ignore[arg-type]
    try:
        yield Database(make_conninfo(conninfo, dbname=name))
    finally:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]
