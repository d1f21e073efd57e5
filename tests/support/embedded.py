"""Commands that hold the embedded server as processes of their own, and the processes they leave behind."""

import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import pytest

import imagewarden
from imagewarden.storage.account import Account, can_reach

__all__ = ["Command", "cluster_of", "is_gone", "kill", "postmaster", "processes", "stop", "supervisor", "wait_until"]

_HOLD = """
import json, sys
from pathlib import Path
from imagewarden.storage.embedded import EmbeddedServer
from imagewarden.storage.errors import StorageError
try:
    server = EmbeddedServer.start(Path(sys.argv[1]))
except StorageError as error:
    print(json.dumps({"kind": type(error).__name__, "message": str(error)}), flush=True)
    sys.exit(3)
print(json.dumps({"conninfo": server.conninfo}), flush=True)
sys.stdin.read()
server.close()
"""


def _as_account(name: str) -> tuple[list[str], dict[str, str]]:
    """Return a command line for Python as another account, and its environment; skips where that has no Python."""
    account = next(entry for entry in pwd.getpwall() if entry.pw_name == name)
    found = Account(account.pw_name, account.pw_uid, account.pw_gid)
    version = f"python3.{sys.version_info.minor}"
    pythons = [Path(sys.executable).resolve(), Path(shutil.which(version, path="/usr/bin:/usr/local/bin") or "/-")]
    usable = [python for python in pythons if python.exists() and can_reach(python, found)]
    packages = (Path(str(module.__file__)).parent for module in (imagewarden, psycopg))
    if not usable or not all(can_reach(package, found) for package in packages):
        pytest.skip(f"the account {name} can reach neither Python nor this installation")
    runner = ["setpriv", f"--reuid={found.uid}", f"--regid={found.gid}", "--clear-groups", str(usable[0])]
    return runner, {"PYTHONPATH": ":".join(path for path in sys.path if path)}


class Command:
    """A process that needs the database of a data folder until `end` or `kill`."""

    def __init__(self, data_dir: Path, *, account: str | None = None, **environment: str) -> None:
        """Start the process, as another account if one is named; `wait` for what it says."""
        runner, more = _as_account(account) if account else ([sys.executable], {})
        self.process = subprocess.Popen(
            [*runner, "-c", _HOLD, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={**os.environ, **more, **environment},
        )

    def wait(self) -> dict[str, str]:
        """Return `conninfo`, or `kind` and `message` of the error; blocks until the process says it."""
        assert self.process.stdout is not None
        said: dict[str, str] = json.loads(self.process.stdout.readline())
        return said

    @property
    def conninfo(self) -> str:
        """How to connect; for once, blocks until the server answers."""
        return self.wait()["conninfo"]

    def kill(self) -> None:
        """End the process as `kill -9` does."""
        self.process.kill()
        self._collect()

    def end(self) -> None:
        """Let the process end as a command does."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._collect()

    def _collect(self) -> None:
        self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.end()
        else:
            self._collect()


def wait_until(holds: Callable[[], object], seconds: float = 10.0) -> float:
    """Return after how many seconds something held; fails the test if it does not in time."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {holds}"
        time.sleep(0.02)
    return time.monotonic() - begun


def cluster_of(data_dir: Path) -> Path:
    """Return PostgreSQL's own folder of a data folder, wherever it is."""
    pointer = data_dir / "database.json"
    home = Path(json.loads(pointer.read_text())["home"]) if pointer.exists() else data_dir
    return home / "postgres/cluster"


def supervisor(data_dir: Path) -> int:
    """Return the process id that the last supervisor wrote down."""
    return int(json.loads((data_dir / "supervisor.json").read_text())["pid"])


def postmaster(data_dir: Path) -> int:
    """Return the process id of the server; 0 without one."""
    try:
        return int((cluster_of(data_dir) / "postmaster.pid").read_text().split("\n")[0])
    except (FileNotFoundError, ValueError):
        return 0


def processes(data_dir: Path) -> dict[int, str]:
    """Return every process of a data folder's server, its supervisor included, with its command line."""
    cluster, found = cluster_of(data_dir).resolve(), {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            inside = (entry / "cwd").resolve() in {cluster, cluster.parent}
        except OSError:
            continue
        if inside or (b"imagewarden.storage.supervisor" in words and os.fsencode(data_dir.resolve()) in words):
            found[int(entry.name)] = b" ".join(words).decode(errors="replace")
    return found


def is_gone(data_dir: Path) -> bool:
    """Return whether nothing of the server is left."""
    return not processes(data_dir)


def kill(*numbers: int) -> None:
    """Do what `kill -9` does."""
    for number in numbers:
        os.kill(number, signal.SIGKILL)


def stop(data_dir: Path) -> None:
    """End the server of a data folder, if one runs, without waiting for it to be unneeded."""
    if not data_dir.exists():
        return
    with _unlocked(data_dir) as free:
        if not free and (data_dir / "supervisor.json").exists():
            os.kill(supervisor(data_dir), signal.SIGTERM)
    try:
        wait_until(lambda: is_gone(data_dir), 40.0)
    finally:
        kill(*processes(data_dir))


@contextmanager
def _unlocked(data_dir: Path) -> Iterator[bool]:
    """Give whether no supervisor holds the folder."""
    with (data_dir / "supervisor.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
