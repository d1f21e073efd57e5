"""The process that owns the embedded server: `python -m imagewarden.storage.supervisor DATA_DIR`.

Started by the first command that needs the database, in a session of its own. Each command holds one connection to
its control socket, a lease, which the kernel closes however the command ends. When the last lease is gone for
a while, the server is stopped cleanly and this process ends. Nothing heavy is imported here: it lives all the time.
"""

import contextlib
import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

from imagewarden.storage.errors import DiskFull, StorageError
from imagewarden.storage.place import find_place
from imagewarden.storage.postgres import DATABASE, ROLE, Server

__all__ = ["CONTROL_SOCKET", "STATE_FILE", "main"]

STATE_FILE = "supervisor.json"
"""In the data folder: where the control socket is."""
CONTROL_SOCKET = "control"
"""Name of the control socket in the folder of sockets."""

_LINGER_SECONDS = 2.0
_RESTARTS = 5
_RESTART_WINDOW = 60.0


class Supervisor:
    """One server, and those who need it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.place = find_place(data_dir)
        self.server = Server(self.place)
        self.leases: set[socket.socket] = set()
        self.selector = selectors.DefaultSelector()
        self.stopping = False
        self.idle_since = time.monotonic()
        self.restarts: list[float] = []

    def open(self) -> None:
        """Start the server, then answer at the control socket."""
        self.server.start()
        path = self.place.sockets / CONTROL_SOCKET
        path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        path.chmod(0o600)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        partial = self.data_dir / f"{STATE_FILE}.partial"
        partial.write_text(json.dumps({"pid": os.getpid(), "control": str(path)}))
        partial.replace(self.data_dir / STATE_FILE)

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
        """Serve leases until none is left for a while, or until told to stop."""
        while not self.stopping and not self._is_idle():
            for key, _ in self.selector.select(timeout=0.25):
                self._handle(key.fileobj)
            if self.server.has_died() and not self.stopping:
                self._restart()
            self.server.bound_log()
        with contextlib.suppress(FileNotFoundError):
            (self.data_dir / STATE_FILE).unlink()
        self.listener.close()
        self.server.stop()

    def _is_idle(self) -> bool:
        """Return whether nobody has needed the server for a while."""
        if self.leases:
            self.idle_since = time.monotonic()
        return time.monotonic() - self.idle_since > _LINGER_SECONDS

    def _handle(self, source: object) -> None:
        """Take a new lease, or notice the end of one."""
        if source is self.listener:
            with contextlib.suppress(BlockingIOError):
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
        answer = {"host": str(self.place.sockets), "user": ROLE, "dbname": DATABASE, "pid": os.getpid()}
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
    """Return the descriptor of the data folder's lock, None when another supervisor holds it."""
    descriptor = os.open(data_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _say(**answer: str) -> None:
    """Tell the command that started us, in one line, how it went; it may be gone by now."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(answer).encode() + b"\n")


def _describe(error: Exception, data_dir: Path) -> StorageError:
    """Return an error as one that a user can read."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskFull(f"no space left on the disk of {data_dir}; free some and try again")
    return StorageError(f"the embedded database in {data_dir} cannot be started: {error}")


def main(arguments: list[str]) -> int:
    """Run one supervisor; the first line on standard output is JSON: `ready`, `busy` or `error`."""
    data_dir = Path(arguments[0])
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    supervisor = None
    try:
        lock = _lock(data_dir)
        if lock is None:
            _say(state="busy")
            return 0
        supervisor = Supervisor(data_dir)
        supervisor.watch_signals()
        supervisor.open()
        _say(state="ready")
        supervisor.idle_since = time.monotonic()
        supervisor.run()
    except (StorageError, OSError) as error:
        told = _describe(error, data_dir)
        _say(state="error", kind=type(told).__name__, message=str(told))
        sys.stderr.write(f"{told}\n")
        if supervisor is not None:
            supervisor.server.stop()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
