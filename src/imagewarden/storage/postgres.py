"""One PostgreSQL server as a child of this process: started, watched, stopped."""

import os
import shutil
import signal
import subprocess
import time

from imagewarden.storage.cluster import failure, make_cluster, write_configuration
from imagewarden.storage.errors import LockHeld, is_disk_full
from imagewarden.storage.place import Place
from imagewarden.storage.processes import end_orphans, is_server_of, start_program

__all__ = ["Server"]

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_ASK_SECONDS = 1.0
_LOG_BYTES = 8 * 1024 * 1024
_MEMORY_IN_USE = "shared memory block"


class Server:
    """The server of one place; for one thread, the one that stays alive: the kernel ties the child to it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server, None while there is none."""
        return self._process.pid if self._process else None

    def has_died(self) -> bool:
        """Return whether the server ended by itself; it can then be started again."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Start the server, the cluster made before if need be, and return when it answers.

        Waits for the end of a server that a killed supervisor left, and for crash recovery. Raises DiskFull, LockHeld
        or ServerStartFailed.
        """
        begun = time.monotonic()
        make_cluster(self.place)
        write_configuration(self.place)
        self._end_predecessor()
        while True:
            self.bound_log()
            mark = self.place.log.stat().st_size if self.place.log.exists() else 0
            self._spawn()
            if self._wait_ready(begun + _START_SECONDS):
                return
            said = self._log_since(mark)
            if _MEMORY_IN_USE not in said or time.monotonic() - begun > _STOP_SECONDS:
                raise failure(self.place, "the embedded database does not start", said)
            end_orphans(self.place.cluster)
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server cleanly; harder when it takes longer than half a minute."""
        process = self._process
        if process is None:
            return
        for number, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if process.poll() is None:
                process.send_signal(number)
            try:
                process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self._process = None

    def bound_log(self) -> None:
        """Move a log that has grown beyond its bound to `.1`; the server goes on writing at the file's new end."""
        log = self.place.log
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            try:
                shutil.copyfile(log, log.with_suffix(".log.1"))
            except OSError as error:
                if not is_disk_full(error):
                    raise
            os.truncate(log, 0)

    def _log_since(self, mark: int) -> str:
        """Return the last complaints that the server wrote after `mark` bytes of its log."""
        with self.place.log.open("rb") as log:
            log.seek(mark)
            lines = log.read(64 * 1024).decode(errors="replace").splitlines()
        complaints = [line for line in lines if "FATAL" in line or "PANIC" in line or "ERROR" in line]
        return " / ".join(complaints or lines[-3:])[-600:]

    def _spawn(self) -> None:
        """Start the server; on the death of this process the kernel asks it for a fast, clean shutdown."""
        with self.place.log.open("ab") as log:
            self._process = start_program(
                self.place.binaries / "postgres", "-D", str(self.place.cluster),
                folder=self.place.home, death=signal.SIGINT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _wait_ready(self, deadline: float) -> bool:
        """Return whether the server answers before it ends or the time is up.

        Its lock file says so at once; on a full disk it cannot, and the server is asked.
        """
        process = self._process
        ask_at = time.monotonic() + _ASK_SECONDS
        while process is not None and process.poll() is None:
            lines = self._lock_file()
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].startswith("ready"):
                return True
            if time.monotonic() > ask_at:
                if self._accepts():
                    return True
                ask_at = time.monotonic() + _ASK_SECONDS
            if time.monotonic() > deadline:
                self.stop()
                return False
            time.sleep(0.01)
        return False

    def _accepts(self) -> bool:
        """Return whether the server takes connections."""
        asking = start_program(
            self.place.binaries / "pg_isready", "--quiet", "--host", str(self.place.sockets),
            folder=self.place.home, death=signal.SIGKILL,
        )  # fmt: skip
        return asking.wait() == 0

    def _lock_file(self) -> list[str]:
        """Return the lines of postmaster.pid: process id first, state in the eighth."""
        try:
            return (self.place.cluster / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _end_predecessor(self) -> None:
        """Wait for a server whose supervisor was killed, more insistently in time; clear the locks of one that is gone.

        PostgreSQL itself takes any process of that number for the owner of a lock: a zombie, or a newcomer.
        Raises LockHeld for a server that does not end even so.
        """
        begun = time.monotonic()
        insistence = [(0.0, signal.SIGINT), (_STOP_SECONDS, signal.SIGQUIT), (_STOP_SECONDS + 5, signal.SIGKILL)]
        while is_server_of(self.place.cluster, number := self._predecessor()):
            waited = time.monotonic() - begun
            if insistence and waited >= insistence[0][0]:
                os.kill(number, insistence.pop(0)[1])
            elif waited > _STOP_SECONDS + 10:
                raise LockHeld(
                    f"PostgreSQL process {number} still holds {self.place.cluster} and does not end; "
                    f"stop it (kill -QUIT {number}) and try again"
                )
            time.sleep(0.02)
        for lock in (self.place.cluster / "postmaster.pid", self.place.sockets / ".s.PGSQL.5432.lock"):
            lock.unlink(missing_ok=True)

    def _predecessor(self) -> int:
        """Return the process that the lock file names, 0 without one; a full disk leaves the file empty."""
        first = "".join(self._lock_file()[:1])
        return int(first) if first.isdigit() else 0
