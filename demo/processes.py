"""Programs that run beside the demonstration: started with a log, awaited, stopped by their own process id."""

import ctypes
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from demo.errors import DemoError

__all__ = ["Program", "background", "choose_port"]

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PATIENCE = 20.0
_LIBC = ctypes.CDLL(None)


class Program:
    """A program in the background."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    def wait_for(self, url: str, seconds: float = 60) -> None:
        """Return once `url` answers 200; raises DemoError if the program ends or the time is over before."""
        deadline = time.monotonic() + seconds
        with httpx.Client(timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline:
                self.check()
                try:
                    if client.get(url).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass  # not yet: the loop's clock decides
                time.sleep(0.05)
        raise DemoError(f"{self.name} does not answer at {url} after {seconds:.0f} s; its log is {self.log}")

    def check(self) -> None:
        """Raise DemoError if the program has ended."""
        code = self._process.poll()
        if code is not None:
            raise DemoError(f"{self.name} ended with code {code}; its log is {self.log}{_last_line(self.log)}")

    def stop(self) -> None:
        """Ask the program to end, and end it if it does not."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def background(
    name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run a program for as long as the context is open; its output goes to `log`, which is written anew.

    It is in a session of its own, so that Ctrl-C reaches this process alone, which then stops everything in order.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env=environment,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 # one system call, and no other thread is running
            )  # fmt: skip
        except OSError as failure:
            raise DemoError(f"{name} cannot be started: {failure}") from failure
    program = Program(name, process, log)
    try:
        yield program
    finally:
        program.stop()


def choose_port(wanted: int) -> int:
    """Return a port on loopback that is free at this moment: the wanted one, or any if that is taken or 0."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            # As servers do: a port whose last connections are still in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError("no port is free on 127.0.0.1")


def _end_with_parent() -> None:
    """Have the kernel stop the program when this process is gone, even if that was killed without a word."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-1:]
    return f", which ends: {lines[0][:300]}" if lines else ""
