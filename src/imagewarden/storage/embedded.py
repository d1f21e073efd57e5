"""The embedded server as a command sees it: a lease that keeps it running."""

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from imagewarden.storage import errors
from imagewarden.storage.errors import StorageError
from imagewarden.storage.place import ensure_data_dir, folder_identity
from imagewarden.storage.supervisor import STATE_FILE

__all__ = ["EmbeddedServer"]

_LOG = structlog.get_logger(__name__)
_PATIENCE = 150.0
_started: set[int] = set()
"""Supervisors this process has started and not yet seen the end of."""


def _connect(data_dir: Path) -> tuple[socket.socket, dict[str, str]] | None:
    """Return a lease of the running supervisor and what it says, None when there is none.

    Waits while the server starts. A copied data folder names the supervisor of the original, which is not its own.
    """
    try:
        control = str(json.loads((data_dir / STATE_FILE).read_text())["control"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nobody has started one yet, or the file is damaged
    lease = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lease.settimeout(_PATIENCE)
        lease.connect(control)
        said = b""
        while not said.endswith(b"\n"):
            more = lease.recv(4096)
            if not more:
                raise ConnectionResetError  # the supervisor was just ending
            said += more
        answer = json.loads(said)
        if answer["folder"] != folder_identity(data_dir):
            raise ConnectionRefusedError
    except OSError:
        lease.close()
        return None
    lease.settimeout(None)
    return lease, answer


def _spawn(data_dir: Path) -> dict[str, str]:
    """Start a supervisor in a session of its own and return what it says first; raises StorageError, DiskFull."""
    reader, writer = os.pipe()
    log = data_dir / "supervisor.log"
    _reap()
    try:
        # The supervisor outlives this command where others need it: nobody here waits for its end.
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "imagewarden.storage.supervisor", str(data_dir)],
            {name: value for name, value in os.environ.items() if not name.startswith("IMAGEWARDEN_")},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writer, 1),
                (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            ],
            setsid=True,
            setsigmask=[],
        )
    except OSError as error:
        os.close(reader)
        kind = errors.DiskFull if errors.is_disk_full(error) else StorageError
        raise kind(f"the supervisor of {data_dir} cannot be started: {error.strerror}; mend that, try again") from None
    finally:
        os.close(writer)
    _started.add(child)
    with os.fdopen(reader, "rb") as answer:
        line = answer.readline()
    try:
        said: dict[str, str] = json.loads(line)
    except ValueError:
        raise StorageError(f"the embedded database's supervisor ended at once; {log} says why") from None
    if said["state"] != "ready":
        os.waitpid(child, 0)
        _started.discard(child)
    return said


def _reap() -> None:
    """Let go of supervisors that have ended, so that they do not stay as zombies."""
    for child in list(_started):
        try:
            ended = os.waitpid(child, os.WNOHANG)[0] == child
        except ChildProcessError:
            ended = True
        if ended:
            _started.discard(child)


class EmbeddedServer:
    """A running PostgreSQL of a data folder, shared by all commands on it, for as long as this object is open."""

    def __init__(self, data_dir: Path, lease: socket.socket, said: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.conninfo = f"host='{_escaped(said['host'])}' user={said['user']} dbname={said['dbname']}"
        self._lease = lease
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="embedded-database", daemon=True)
        self._watcher.start()

    @classmethod
    def start(cls, data_dir: Path) -> Self:
        """Join the data folder's server, started first if need be; raises StorageError kinds."""
        found = ensure_data_dir(data_dir)
        return cls(found, *_obtain(found, _PATIENCE))

    def close(self) -> None:
        """Let go of the server; it stops a little after the last one has."""
        self._closed.set()
        try:
            self._lease.shutdown(socket.SHUT_RDWR)
        except OSError:
            _LOG.debug("the supervisor had already ended", data_dir=str(self.data_dir))
        self._watcher.join(5.0)
        self._lease.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _watch(self) -> None:
        """Wait for the supervisor's end; if it comes while we need it, bring up another."""
        while not self._closed.is_set():
            try:
                ended = not self._lease.recv(1)
            except OSError:
                ended = True
            if not ended or self._closed.is_set():
                continue
            _LOG.warning("the embedded database's supervisor ended; starting another", data_dir=str(self.data_dir))
            try:
                lease, _ = _obtain(self.data_dir, _PATIENCE)
            except StorageError as error:
                _LOG.error("the embedded database is away", reason=str(error))  # the reason says it
                self._closed.wait(5.0)
                continue
            self._lease.close()
            self._lease = lease
            if self._closed.is_set():
                lease.close()


def _escaped(text: str) -> str:
    """Return a value for a quoted place in a libpq connection string."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _obtain(data_dir: Path, patience: float) -> tuple[socket.socket, dict[str, str]]:
    """Return a lease, of the running supervisor or of a new one; raises StorageError kinds."""
    deadline = time.monotonic() + patience
    while True:
        found = _connect(data_dir)
        if found:
            return found
        said = _spawn(data_dir)
        if said["state"] == "error":
            kind = getattr(errors, said["kind"], StorageError)
            raise kind(said["message"])
        if said["state"] == "busy":
            if time.monotonic() > deadline:
                raise errors.LockHeld(
                    f"another process holds {data_dir / 'supervisor.lock'} and gives no answer; "
                    "end that process (fuser names it) and try again"
                )
            time.sleep(0.05)
