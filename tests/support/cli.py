"""The command line, as a user runs it: real processes over a data folder of their own."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Cli", "Serve", "processes_of"]

_QUIET = {name: value for name, value in os.environ.items() if not name.startswith(("IMAGEWARDEN_", "_IMAGEWARDEN"))}


@dataclass(frozen=True)
class Cli:
    """`imagewarden` over one data folder."""

    data_dir: Path
    """The data folder; need not exist yet."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables besides the usual ones."""

    def command(self, *arguments: str) -> list[str]:
        """Return a command line."""
        return [sys.executable, "-m", "imagewarden", *arguments, "--data-dir", str(self.data_dir)]

    def run(self, *arguments: str, stdin: str | None = None, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which must be as expected."""
        done = subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, text=True, check=False, timeout=120,
            env={**_QUIET, **self.environment},
        )  # fmt: skip
        assert done.returncode == expect, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, stdin: str | None = None, expect: int = 0) -> Any:
        """Run a command with --json; returns what it printed."""
        return json.loads(self.run(*arguments, "--json", stdin=stdin, expect=expect).stdout)

    def fails(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that must fail with one sentence on standard error; returns that."""
        done = self.run(*arguments, stdin=stdin, expect=3)
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("imagewarden: error: ")
        return lines[0].removeprefix("imagewarden: error: ")

    @contextmanager
    def serve(self, *arguments: str) -> Iterator["Serve"]:
        """Run `imagewarden serve` on a free port for the time of a block."""
        process = subprocess.Popen(
            self.command("serve", "--port", "0", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**_QUIET, **self.environment},
        )  # fmt: skip
        served = Serve(process)
        try:
            served.wait_ready()
            yield served
        finally:
            served.stop()


class Serve:
    """A running `imagewarden serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self.url = ""
        self._said: queue.Queue[str] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=each, daemon=True)
            for each in ((process.stdout, self._said.put), (process.stderr, self.log.append))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, keep: Any) -> None:
        with stream:
            for line in stream:
                keep(line.rstrip("\n"))

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Return when it has said where it answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                line = self._said.get(timeout=0.2)
            except queue.Empty:
                continue
            found = re.search(r"answers at (http://\S+)", line)
            if found:
                self.url = found[1]
                return
        raise AssertionError(f"serve does not answer: {self.log}")

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Send it a signal and return how it ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for reader in self._readers:
            reader.join(seconds)
        return code


def processes_of(data_dir: Path) -> dict[int, str]:
    """Return the processes that belong to a data folder, by their arguments, environment or parent, and commands."""
    wanted = os.fsencode(data_dir)
    found: dict[int, str] = {}
    for number in sorted(int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()):
        folder = Path(f"/proc/{number}")
        try:
            command = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in found or wanted in command or wanted in (folder / "environ").read_bytes():
                found[number] = command.replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return {number: command for number, command in found.items() if command and number != os.getpid()}
