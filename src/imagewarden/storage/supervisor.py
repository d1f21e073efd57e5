"""The process that owns the embedded server: `python -m imagewarden.storage.supervisor DATA_DIR`.

Started by the first command that needs the database, in a session of its own. Each command holds one connection to
its control socket, a lease, which the kernel closes however the command ends. When the last lease is gone for
a while, the server is stopped cleanly and this process ends. Nothing heavy is imported here: it lives all the time.
"""

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

from imagewarden.storage.account import become
from imagewarden.storage.cluster import DATABASE, ROLE
from imagewarden.storage.errors import DiskFull, LockHeld, StorageError, is_disk_full
from imagewarden.storage.place import Place, find_place, folder_identity
from imagewarden.storage.postgres import Server

__all__ = ["CONTROL_SOCKET", "STATE_FILE", "main"]

STATE_FILE = "supervisor.json"
"""In the data folder: where the control socket is."""
CONTROL_SOCKET = "control"
"""Name of the control socket in the folder of sockets."""

_LINGER_SECONDS = 2.0
_ENDING_SECONDS = 0.5
_RESTARTS = 5
_RESTART_WINDOW = 60.0


class Supervisor:
    """One server, and those who need it."""

    def __init__(self, place: Place, lock: int) -> None:
        self.place = place
        self.lock = lock
        self.identity = folder_identity(place.data_dir)
        self.server = Server(place)
        self.leases: set[socket.socket] = set()
        self.selector = selectors.DefaultSelector()
        self.stopping = False
        self.idle_since = time.monotonic()
        self.restarts: list[float] = []

    def listen(self) -> None:
        """Answer at the control socket from now on; who comes before the server is up waits."""
        path = self.place.sockets / CONTROL_SOCKET
        path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        path.chmod(0o600)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def watch_signals(self) -> None:
        """Let signals wake the loop: SIGCHLD for the server, SIGTERM and SIGINT for us."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._signals = (reader, writer)
        self.selector.register(reader, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, *_: object) -> None:
        self.stopping = True

    def run(self) -> None:
        """Serve leases until none is left for a while, or until told to stop; raises StorageError kinds."""
        while not self.stopping and not self._is_idle():
            for key, _ in self.selector.select(timeout=2.0 if self.leases else 0.25):
                self._handle(key.fileobj)
            if os.fstat(self.lock).st_nlink == 0:  # in its place there may be another, with its own supervisor
                raise StorageError(f"the data folder {self.place.data_dir} was removed while its database ran")
            if self.server.has_died() and not self.stopping:
                self._restart()
            self.server.bound_log()
        self.listener.close()
        (self.place.sockets / CONTROL_SOCKET).unlink(missing_ok=True)

    def _is_idle(self) -> bool:
        """Return whether nobody has needed the server for a while."""
        if self.leases:
            self.idle_since = time.monotonic()
        return time.monotonic() - self.idle_since > _LINGER_SECONDS

    def _handle(self, source: object) -> None:
        """Take a new lease, or notice the end of one."""
        if source is self.listener:
            with contextlib.suppress(BlockingIOError, ConnectionError):  # whoever it was is gone again
                self._grant(self.listener.accept()[0])
        elif source is self._signals[0]:
            self._signals[0].recv(4096)
        elif isinstance(source, socket.socket):
            with contextlib.suppress(ConnectionError):
                if source.recv(4096):
                    return
            self._release(source)

    def _grant(self, lease: socket.socket) -> None:
        """Tell a command how to connect, and count it."""
        answer = {"host": str(self.place.sockets), "user": ROLE, "dbname": DATABASE, "folder": self.identity}
        try:
            lease.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            lease.close()
            return
        self.leases.add(lease)
        self.selector.register(lease, selectors.EVENT_READ)

    def _release(self, lease: socket.socket) -> None:
        """Forget a command that has ended."""
        self.selector.unregister(lease)
        self.leases.discard(lease)
        lease.close()

    def _restart(self) -> None:
        """Start the server again after it died; raises StorageError when it keeps dying."""
        now = time.monotonic()
        self.restarts = [moment for moment in self.restarts if now - moment < _RESTART_WINDOW] + [now]
        if len(self.restarts) > _RESTARTS:
            raise StorageError(
                f"the embedded database died {len(self.restarts)} times within {_RESTART_WINDOW:.0f} s; "
                f"its log is {self.place.log}"
            )
        time.sleep(0.1 * len(self.restarts))
        self.server.start()


def _lock(data_dir: Path) -> int | None:
    """Return the descriptor of the data folder's lock, None when another supervisor holds it and does not end soon."""
    descriptor = os.open(data_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _ENDING_SECONDS
    while not _flock(descriptor):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return None
        time.sleep(0.02)
    return descriptor


def _flock(descriptor: int) -> bool:
    """Return whether the lock is ours now; the kernel frees it however this process ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _claim(place: Place) -> None:
    """Hold the cluster's folder too: a data folder that was restored elsewhere may name the same; raises LockHeld."""
    if not _flock(os.open(place.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)):
        raise LockHeld(
            f"the database in {place.home} is in use through another folder than {place.data_dir}; "
            "end the commands that run on that one"
        )


def _announce(place: Place) -> None:
    """Write down in the data folder where the control socket is; stale when nobody listens there."""
    partial = place.data_dir / f"{STATE_FILE}.partial"
    partial.write_text(json.dumps({"pid": os.getpid(), "control": str(place.sockets / CONTROL_SOCKET)}))
    partial.replace(place.data_dir / STATE_FILE)


def _say(**answer: str) -> None:
    """Tell the command that started us, in one line, how it went; it may be gone by now."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(answer).encode() + b"\n")


def _describe(error: Exception, data_dir: Path) -> StorageError:
    """Return an error as one that a user can read."""
    if isinstance(error, StorageError):
        return error
    if is_disk_full(error):
        return DiskFull(f"no space left on the disk of {data_dir}; free some and try again")
    return StorageError(f"the embedded database in {data_dir} cannot be started: {error}")


def _run(data_dir: Path) -> None:
    """Bring up the server of a data folder and serve leases to the end; raises StorageError kinds and OSError."""
    lock = _lock(data_dir)
    if lock is None:
        _say(state="busy")
        return
    place = find_place(data_dir)
    supervisor = Supervisor(place, lock)
    _announce(place)
    become(place.account)
    _claim(place)
    try:
        supervisor.watch_signals()
        supervisor.listen()
        supervisor.server.start()
        _say(state="ready")
        supervisor.idle_since = time.monotonic()
        supervisor.run()
    finally:
        supervisor.server.stop()


def main(arguments: list[str]) -> int:
    """Run one supervisor; the first line on standard output is JSON: `ready`, `busy` or `error`."""
    data_dir = Path(arguments[0])
    os.umask(0o022)  # the account enters what root makes for it
    os.chdir("/")
    try:
        _run(data_dir)
    except (StorageError, OSError) as error:
        told = _describe(error, data_dir)
        _say(state="error", kind=type(told).__name__, message=str(told))
        sys.stderr.write(f"{told}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
