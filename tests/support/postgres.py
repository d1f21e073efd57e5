"""The two kinds of server that tests run against, and a fresh database for each test."""

import os
import shutil
import signal
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
from tests.support import embedded
from tests.support.embedded import wait_until

__all__ = ["TEMPLATE", "debian_server", "embedded_server", "fresh_database", "make_template", "temporary_data_dir"]

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
    """Run Debian's PostgreSQL on a socket in a temporary folder; gives its connection string.

    Its superuser `tester` may connect as it is; every other role needs its password.
    """
    binaries = _debian_binaries()
    home = Path(tempfile.mkdtemp(prefix="iw-pg-"))
    runner: list[str] = []
    if os.geteuid() == 0:
        runner = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=INT"]
        shutil.chown(home, "nobody")
    subprocess.run(
        [*runner, binaries / "initdb", "-D", home / "data", "-U", "tester", "-A", "trust", "-E", "UTF8",
         "--locale=C.UTF-8", "--no-sync"],
        check=True, stdout=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    (home / "data/pg_hba.conf").write_text("local all tester trust\nlocal all all scram-sha-256\n")
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [*runner, binaries / "postgres", "-D", home / "data", "-k", home,
             "-c", "listen_addresses=", "-c", "fsync=off"],
            stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
    try:
        ready = [str(binaries / "pg_isready"), "-q", "-h", str(home)]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, 30.0)
        yield make_conninfo(host=str(home), user="tester", dbname="postgres")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
        shutil.rmtree(home)


@contextmanager
def temporary_data_dir() -> Iterator[Path]:
    """Give a data folder that is not there yet, where every account may pass through; its server ends with it."""
    home = Path(tempfile.mkdtemp(prefix="iw-data-"))
    home.chmod(0o711)
    data_dir = home / "data"
    try:
        yield data_dir
    finally:
        embedded.stop(data_dir)
        shutil.rmtree(home)


@contextmanager
def embedded_server() -> Iterator[str]:
    """Run the embedded server on a temporary data folder; gives its connection string."""
    with temporary_data_dir() as data_dir, EmbeddedServer.start(data_dir) as server:
        yield server.conninfo


def make_template(conninfo: str) -> None:
    """Make the migrated database that each test's own is copied from."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{TEMPLATE}" TEMPLATE template0 ENCODING UTF8')
    schema.upgrade(Database(make_conninfo(conninfo, dbname=TEMPLATE)))


@contextmanager
def fresh_database(conninfo: str) -> Iterator[Database]:
    """Give a copy of the template, dropped afterwards."""
    name = f"t_{uuid.uuid4().hex}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
    try:
        yield Database(make_conninfo(conninfo, dbname=name))
    finally:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
