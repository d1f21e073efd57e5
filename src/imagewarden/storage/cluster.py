"""The cluster on disk: made once, its configuration written before every start."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from imagewarden.storage.errors import DiskFull, ServerStartFailed, is_disk_full
from imagewarden.storage.place import Place
from imagewarden.storage.processes import start_program

__all__ = ["DATABASE", "ROLE", "failure", "make_cluster", "write_configuration"]

DATABASE = "imagewarden"
"""Name of the database in the embedded server."""
ROLE = "imagewarden"
"""Its only role."""

_SECONDS = 120.0
_LEAST_BYTES = 256 * 1024
_NO_SPACE = ("No space left on device", "Disk quota exceeded")

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
# The statement of a command that was killed ends within seconds.
client_connection_check_interval = 2s
# Statements and values may hold what belongs in no log.
log_min_messages = warning
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length_on_error = 0
"""


def failure(place: Place, what: str, said: str) -> DiskFull | ServerStartFailed:
    """Return the error for what a program said last; on a full disk its log could not be written either."""
    disk = os.statvfs(place.home)
    if any(sign in said for sign in _NO_SPACE) or disk.f_bavail * disk.f_frsize < _LEAST_BYTES:
        return DiskFull(f"no space left on the disk of {place.home}; free some and try again")
    return ServerStartFailed(f"{what}: {said or 'it said nothing'}; its log is {place.log}")


def _run(place: Place, program: str, *arguments: str, feed: str = "") -> None:
    """Run a program to its end; raises DiskFull or ServerStartFailed unless it succeeds."""
    process = start_program(
        place.binaries / program, *arguments, folder=place.home, death=signal.SIGKILL,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        _, answer = process.communicate(feed.encode(), timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise ServerStartFailed(f"{program} did not end within {_SECONDS:.0f} s; look at the disk") from None
    said = answer.decode(errors="replace")
    # A single-user server goes on after an error, and ends well.
    if process.returncode or (feed and "ERROR:" in said):
        raise failure(place, f"{program} failed", " / ".join(said.splitlines())[-600:])


def make_cluster(place: Place) -> None:
    """Make the cluster if there is none, its database included: beside its place, so that it is whole or not there.

    Nothing listens meanwhile, and it reaches the disk before it gets its name. Raises DiskFull or ServerStartFailed.
    """
    if (place.cluster / "PG_VERSION").exists():
        return
    for left in place.home.glob("cluster.partial-*"):
        shutil.rmtree(left, ignore_errors=True)
    partial = place.home / f"cluster.partial-{os.getpid()}"
    try:
        _run(
            place, "initdb", "--pgdata", str(partial), "--username", ROLE, "--auth", "peer", "--encoding", "UTF8",
            "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C", "--data-checksums",
            "--no-instructions", "--no-sync",
        )  # fmt: skip
        rename = f"ALTER DATABASE postgres RENAME TO {DATABASE}\n"
        _run(place, "postgres", "--single", "-D", str(partial), "template1", feed=rename)
        _run(place, "initdb", "--pgdata", str(partial), "--sync-only")
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # a full disk is not made fuller
        raise
    partial.rename(place.cluster)
    _sync_folder(place.home)


def _sync_folder(folder: Path) -> None:
    """Make what a folder lists durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _quoted(text: str) -> str:
    """Return a folder as the one element of a list, within a quoted value of PostgreSQL's configuration."""
    element = '"' + text.replace('"', '""') + '"'
    return element.replace("\\", "\\\\").replace("'", "''")


def write_configuration(place: Place) -> None:
    """Write settings and who may connect: the commands' user and the server's account, by what the kernel says.

    Raises DiskFull or ServerStartFailed.
    """
    names = sorted({place.account.name, place.user})
    _write(place, "postgresql.conf", _CONFIGURATION.format(sockets=_quoted(str(place.sockets))))
    _write(place, "pg_hba.conf", "local all all peer map=imagewarden\n")
    _write(place, "pg_ident.conf", "".join(f'imagewarden "{name}" {ROLE}\n' for name in names))


def _write(place: Place, name: str, content: str) -> None:
    """Write a configuration file unless it is there already, as it is on a disk that has since become full."""
    path = place.cluster / name
    try:
        if path.exists() and path.read_text() == content:
            return
        path.write_text(content)
        path.chmod(0o600)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"no space left on the disk of {place.home}; free some and try again") from None
        raise ServerStartFailed(
            f"{path} cannot be written: {error.strerror}; check the folder's owner and mode"
        ) from None
