"""A child process that is kept running: started again when it dies, stopped on request."""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

import structlog

__all__ = ["Keeper"]

_LOG = structlog.get_logger(__name__)
_HEALTHY_SECONDS = 60.0
_LONGEST_WAIT = 30.0


class Keeper:
    """Keeps one command running. It is started by a thread of its own, which the kernel ties the child's life to."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], *, patience: float) -> None:
        """Keep `command` running under `name` in the log; once asked to stop it has `patience` seconds."""
        self._name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._patience = patience
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True)

    def start(self) -> None:
        """Start the command."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Ask the command to end, and start it no more; returns at once."""
        self._stopping.set()
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()

    def stop(self) -> None:
        """Return once the command has ended, killed if it does not within its patience."""
        self.ask_to_stop()
        self._thread.join(self._patience)
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                _LOG.warning("it does not stop and is killed", process=self._name)
                self._process.kill()
        self._thread.join()

    def _start(self) -> subprocess.Popen[bytes] | None:
        """Start the command unless asked to stop; away from the terminal's signals, which are ours to pass on."""
        with self._lock:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(  # noqa: S603 # our own command
                self._command, env=self._environment, stdin=subprocess.DEVNULL, start_new_session=True
            )
            return self._process

    def _keep(self) -> None:
        """Start the command again whenever it ends, at once and then more and more slowly."""
        wait = 0.5
        while (process := self._start()) is not None:
            started = time.monotonic()
            code = process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _HEALTHY_SECONDS:
                wait = 0.5
            _LOG.error("it ended and is started again", process=self._name, code=code, seconds=wait)
            self._stopping.wait(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
