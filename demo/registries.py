"""The registry of the demonstration: Debian's docker-registry where it is installed, else our own small one."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.processes import Program, background

__all__ = ["RunningRegistry", "docker_registry", "own_registry", "run_registry"]


@dataclass(frozen=True)
class RunningRegistry:
    """A registry that answers."""

    kind: str
    """What it is, for a person."""
    url: str
    """Its address."""
    program: Program
    """Its process."""


@contextmanager
def run_registry(folder: Path, log: Path, port: int) -> Iterator[RunningRegistry]:
    """Run a registry on a free port of loopback, with its content in `folder`; raises DemoError if it does not come up.

    Two kinds of registry share nothing in the folder.
    """
    program = shutil.which("docker-registry")
    chosen = docker_registry(program, folder, log, port) if program else own_registry(folder, log, port)
    with chosen as registry:
        registry.program.wait_for(f"{registry.url}/v2/")
        yield registry


@contextmanager
def docker_registry(program: str, folder: Path, log: Path, port: int) -> Iterator[RunningRegistry]:
    """Run the distribution project's registry."""
    content = folder / "docker-registry"
    content.mkdir(parents=True, exist_ok=True)
    config = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(content)}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    file = folder / "docker-registry.yml"
    file.write_text(json.dumps(config))  # YAML has JSON in it
    with background("docker-registry", [program, "serve", file], log) as running:
        yield RunningRegistry("docker-registry", f"http://127.0.0.1:{port}", running)


@contextmanager
def own_registry(folder: Path, log: Path, port: int) -> Iterator[RunningRegistry]:
    """Run the registry of `demo/registry.py`."""
    script = Path(__file__).with_name("registry.py")
    command: list[str | Path] = [sys.executable, script, "--port", str(port), "--root", folder / "registry"]
    with background("the registry", command, log) as running:
        yield RunningRegistry("demo/registry.py", f"http://127.0.0.1:{port}", running)
