"""PostgreSQL's processes: started so that they end with us, found again after a kill."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["end_orphans", "end_with_parent", "is_server_of", "start_program"]

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _die_with_parent(number: int, parent: int) -> None:
    """Ask the kernel to send this process a signal when its parent is gone (prctl(2)); end at once if it is already."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def end_with_parent(parent: int) -> None:
    """Have this process killed when the process that started it, `parent`, is gone."""
    _die_with_parent(signal.SIGKILL, parent)


def start_program(
    program: Path, *arguments: str, folder: Path, death: signal.Signals, **streams: Any
) -> subprocess.Popen[bytes]:
    """Start one of PostgreSQL's programs in `folder`; it gets the signal `death` when this process, or thread, ends."""
    parent = os.getpid()
    return subprocess.Popen(  # noqa: S603 # our own program
        [str(program), *arguments],
        cwd=folder,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
        preexec_fn=lambda: _die_with_parent(death, parent),  # noqa: PLW1509 # the supervisor has one thread
        **streams,
    )


def is_server_of(cluster: Path, number: int) -> bool:
    """Return whether a process is the server (the postmaster) of a cluster: by its command line or working folder.

    What the system hides from us belongs to another user, so it is not: ours runs as we do.
    """
    process = Path(f"/proc/{number}")
    try:
        # A zombie has neither.
        words = (process / "cmdline").read_bytes().split(b"\0")
        if words[0].endswith(b"postgres") and words[1:3] == [b"-D", os.fsencode(cluster)]:
            return True
        return (process / "cwd").readlink() == cluster.resolve()
    except OSError:
        return False


def _working_in(folder: Path) -> Iterator[int]:
    """Yield the processes whose working folder is `folder`; those of other users stay hidden."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            found = (entry / "cwd").readlink()
        except OSError:
            continue
        if found == folder:
            yield int(entry.name)


def end_orphans(cluster: Path) -> None:
    """Kill what a dead server left at work in a cluster; recovery from the log takes back what they had begun.

    A process that computes does not notice the death of its server, and while it lives no new server can start.
    """
    for number in _working_in(cluster.resolve()):
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself
