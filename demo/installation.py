"""An Imagewarden installation in a folder, driven as a user drives it: through the `imagewarden` command."""

import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from demo.errors import DemoError
from demo.processes import Program, background

__all__ = ["REGISTRY", "Credentials", "Installation"]

REGISTRY = "local"
"""Name of the registry in the installation."""


class Credentials(msgspec.Struct, frozen=True):
    """What `imagewarden init` shows once."""

    project_id: str
    """Id of the project."""
    domain: str
    """Name of the account."""
    user: str
    """Name of the administrator."""
    password: str
    """Its password."""
    access_key: str
    """Its access key."""
    secret_key: str
    """The access key's secret."""


class Memory(msgspec.Struct):
    """What one run leaves for the next, in a file only the user may read."""

    credentials: Credentials
    """What `init` said."""
    registry_url: str = ""
    """Address of the registry, to be had again; empty before the first."""


class Installation:
    """The folder `home`: the data folder in it, the logs, and what is remembered between runs.

    Every failure is a DemoError that names the command and its log.
    """

    def __init__(self, home: Path) -> None:
        """Use a folder, which exists."""
        self.home = home
        self.data = home / "data"
        self.logs = home / "logs"
        self._file = home / "credentials.json"
        # No setting of the user's own installation, nor of /etc, may reach the demonstration's.
        config = home / "imagewarden.toml"
        config.write_text("# The demonstration's settings: flags say what differs from the defaults.\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEWARDEN_")}
        self._environment = {**kept, "IMAGEWARDEN_CONFIG": str(config)}
        self.memory: Memory | None = None

    def initialise(self) -> bool:
        """Set the database up, or upgrade it; says whether it is new."""
        answer = json.loads(self._run("init", "--data-dir", str(self.data), "--json"))
        if answer["created"]:
            self._remember(Memory(msgspec.convert(answer, Credentials)))
            return True
        try:
            self.memory = msgspec.json.decode(self._file.read_bytes(), type=Memory)
        except (OSError, msgspec.DecodeError):
            raise DemoError(
                f"the database in {self.data} is from an earlier run, but its credentials in {self._file} cannot be "
                f"read; remove {self.home} and run the demonstration again"
            ) from None
        return False

    @property
    def credentials(self) -> Credentials:
        """Who may use it; after `initialise`."""
        return self._known().credentials

    @property
    def registry_url(self) -> str:
        """Address of the registry in the last run; empty on the first. After `initialise`."""
        return self._known().registry_url

    def serve(self, port: int) -> AbstractContextManager[Program]:
        """Run API and job worker for as long as the context is open."""
        command = [*_COMMAND, "serve", "--data-dir", str(self.data), "--port", str(port)]
        return background("imagewarden serve", command, self.logs / "serve.log", self._environment)

    def add_registry(self, url: str) -> None:
        """Connect the registry at `url`; one that an earlier run connected at another address is replaced."""
        place = ("--data-dir", str(self.data))
        known = {each["name"]: each["url"] for each in json.loads(self._run("registry", "list", "--json", *place))}
        if known.get(REGISTRY) != url:
            if REGISTRY in known:
                self._run("registry", "remove", REGISTRY, *place)
            self._run("registry", "add", REGISTRY, "--type", "Other", "--url", url, *place)
        self._remember(Memory(self.credentials, url))

    def sync(self) -> None:
        """Synchronise the registry, showing the command's own progress."""
        command = ["sync", REGISTRY, "--wait", "--data-dir", str(self.data)]
        done = subprocess.run([*_COMMAND, *command], env=self._environment, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise DemoError(
                f"`imagewarden {' '.join(command)}` ended with code {done.returncode}; what it said is above, "
                f"the server's log is {self.logs / 'serve.log'}"
            )

    def _known(self) -> Memory:
        if self.memory is None:
            raise DemoError("the installation has not been set up yet")
        return self.memory

    def _remember(self, memory: Memory) -> None:
        self.memory = memory
        new = self._file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(memory))
        new.replace(self._file)

    def _run(self, *command: str) -> str:
        """Run a command and return its output; what it says beside goes to a log of its own."""
        log = self.logs / f"{'-'.join(command[:2] if command[0] == 'registry' else command[:1])}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w+") as said:
            done = subprocess.run(
                [*_COMMAND, *command], env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=said, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                said.seek(0)
                reason = said.read().strip() or "it said nothing"
                name = " ".join(command)
                raise DemoError(f"`imagewarden {name}` ended with code {done.returncode}: {reason} (log: {log})")
        return done.stdout


_COMMAND = (sys.executable, "-m", "imagewarden")
