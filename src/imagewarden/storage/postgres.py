"""One PostgreSQL server as a child of this process: made, started, watched, stopped."""

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from imagewarden.storage.errors import DiskFull, LockHeld, ServerStartFailed
from imagewarden.storage.place import Place

__all__ = ["DATABASE", "ROLE", "Server"]

DATABASE = "imagewarden"
"""Name of the database in the embedded server."""
ROLE = "imagewarden"
"""Its only role."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_LOG_BYTES = 8 * 1024 * 1024
_NO_SPACE = "No space left on device"

_CONFIGURATION = """\
# Written by Imagewarden at every start.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 128MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
# Statements and values may hold what belongs in no log.
log_min_messages = warning
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length_on_error = 0
"""


def _quoted(text: str) -> str:
    """Return text as a quoted value of PostgreSQL's configuration files."""
    return text.replace("'", "''")


def _die_with_parent(number: int) -> None:
    """Ask the kernel to send this process a signal when its parent is gone (prctl(2)); after any change of user."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


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
        deadline = time.monotonic() + _START_SECONDS
        self._make_cluster()
        self._write_configuration()
        self._end_predecessor(deadline)
        while True:
            self._bound_log()
            mark = self.place.log.stat().st_size if self.place.log.exists() else 0
            self._spawn()
            if self._wait_ready(deadline):
                break
            said = self._log_since(mark)
            # The processes of a killed server keep its memory for a moment.
            if "shared memory block" in said and time.monotonic() < deadline - _START_SECONDS + 20:
                time.sleep(0.2)
                continue
            raise self._failure("the embedded database does not start", said)
        self._make_database()

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
        """Keep the log from growing without end."""
        self._bound_log()

    # ------------------------------------------------------------------------------------------------ files

    def _make_cluster(self) -> None:
        """Make the cluster if there is none: beside its place first, so that a kill leaves nothing half-made."""
        if (self.place.cluster / "PG_VERSION").exists():
            return
        partial = self.place.home / "cluster.partial"
        shutil.rmtree(partial, ignore_errors=True)
        self._run(
            "initdb", "--pgdata", str(partial), "--username", ROLE, "--auth", "peer", "--encoding", "UTF8",
            "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C", "--data-checksums",
            "--no-instructions",
        )  # fmt: skip
        partial.rename(self.place.cluster)

    def _write_configuration(self) -> None:
        """Write settings and who may connect: this user and the server's account, by what the kernel says of them."""
        import pwd

        names = {self.place.account.name, pwd.getpwuid(os.geteuid()).pw_name}
        identities = "".join(f'imagewarden "{name}" {ROLE}\n' for name in sorted(names))
        self._write("postgresql.conf", _CONFIGURATION.format(sockets=_quoted(str(self.place.sockets))))
        self._write("pg_hba.conf", "local all all peer map=imagewarden\n")
        self._write("pg_ident.conf", identities)

    def _write(self, name: str, content: str) -> None:
        """Write a configuration file as the account's own."""
        path = self.place.cluster / name
        try:
            path.write_text(content)
            path.chmod(0o600)
            os.chown(path, self.place.account.uid, self.place.account.gid)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise self._disk_full() from None
            raise ServerStartFailed(
                f"{path} cannot be written: {error.strerror}; check the folder's owner and mode"
            ) from None

    def _make_database(self) -> None:
        """Make the database inside a new cluster."""
        marker = self.place.home / "database-made"
        if marker.exists():
            return
        self._run("createdb", "--host", str(self.place.sockets), "--username", ROLE, "--maintenance-db", "postgres",
                  DATABASE, accept="already exists")  # fmt: skip
        marker.touch()

    def _bound_log(self) -> None:
        """Move a log that has grown beyond its bound to `.1`; the server goes on writing at the file's new end."""
        log = self.place.log
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)

    def _log_since(self, mark: int) -> str:
        """Return the last lines that the server wrote after `mark` bytes of its log."""
        with self.place.log.open("rb") as log:
            log.seek(mark)
            lines = log.read(64 * 1024).decode(errors="replace").splitlines()
        return " / ".join(line for line in lines if "FATAL" in line or "PANIC" in line or "ERROR" in line)[-600:]

    # ------------------------------------------------------------------------------------------------ processes

    def _popen(self, program: str, *arguments: str, death: int, **streams: object) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs as the account, tied to the life of this process."""
        account = self.place.account
        identity: dict[str, object] = {}
        if not account.is_current:
            identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return] # noqa: S603
            [str(self.place.binaries / program), *arguments],
            stdin=subprocess.DEVNULL,
            cwd=self.place.home,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
            preexec_fn=lambda: _die_with_parent(death),  # noqa: PLW1509 # one thread; runs after the change of user
            **identity,
            **streams,
        )

    def _run(self, program: str, *arguments: str, accept: str = "") -> None:
        """Run a program to its end; raises DiskFull or ServerStartFailed unless it succeeds or says `accept`."""
        process = self._popen(
            program, *arguments, death=signal.SIGKILL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, said = process.communicate(timeout=_START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise ServerStartFailed(f"{program} did not end within {_START_SECONDS:.0f} s; look at the disk") from None
        text = said.decode(errors="replace")
        if process.returncode and not (accept and accept in text):
            raise self._failure(f"{program} failed", " / ".join(text.split("\n"))[-600:])

    def _spawn(self) -> None:
        """Start the server; on the death of this process the kernel asks it for a fast, clean shutdown."""
        with self.place.log.open("ab") as log:
            os.fchown(log.fileno(), self.place.account.uid, self.place.account.gid)
            self._process = self._popen(
                "postgres", "-D", str(self.place.cluster), death=signal.SIGINT, stdout=log, stderr=log
            )

    def _wait_ready(self, deadline: float) -> bool:
        """Return whether the server answers (its lock file says so) before it ends or the time is up."""
        process = self._process
        while process is not None and process.poll() is None:
            lines = self._lock_file()
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].startswith("ready"):
                return True
            if time.monotonic() > deadline:
                self.stop()
                return False
            time.sleep(0.01)
        return False

    def _lock_file(self) -> list[str]:
        """Return the lines of postmaster.pid: process id first, state in the eighth."""
        try:
            return (self.place.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _end_predecessor(self, deadline: float) -> None:
        """Wait for a server whose supervisor was killed; clear the lock of one that is gone."""
        lock = self.place.cluster / "postmaster.pid"
        asked = False
        while lines := self._lock_file():
            number = int(lines[0]) if lines[0].isdigit() else 0
            if not number or not self._is_ours(number):
                lock.unlink(missing_ok=True)
                return
            if not asked:
                os.kill(number, signal.SIGINT)
                asked = True
            if time.monotonic() > deadline - _START_SECONDS + _STOP_SECONDS:
                raise LockHeld(
                    f"PostgreSQL process {number} still holds {self.place.cluster} and does not end; "
                    f"stop it (kill -QUIT {number}) and try again"
                )
            time.sleep(0.05)

    def _is_ours(self, number: int) -> bool:
        """Return whether a process is a server of our cluster; raises LockHeld where the system does not tell."""
        process = Path(f"/proc/{number}")
        try:
            return process.exists() and (process / "cwd").resolve() == self.place.cluster.resolve()
        except PermissionError:
            raise LockHeld(
                f"{self.place.cluster / 'postmaster.pid'} names process {number}, which belongs to another user; "
                "if no PostgreSQL runs on this folder, remove that file"
            ) from None

    # ------------------------------------------------------------------------------------------------ errors

    def _disk_full(self) -> DiskFull:
        return DiskFull(f"no space left on the disk of {self.place.home}; free some and try again")

    def _failure(self, what: str, said: str) -> DiskFull | ServerStartFailed:
        """Return the error for what a program said last."""
        if _NO_SPACE in said:
            return self._disk_full()
        return ServerStartFailed(f"{what}: {said or 'it said nothing'}; its log is {self.place.log}")
