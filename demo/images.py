"""The demonstration's images: a small company's registry, built from the package databases of this machine.

Real are the distribution's, Python's and Node's packages; invented are the applications on top and their history.
The same machine gives the same digests each time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from demo import attachments
from demo.content import DOCKER, OCI, Dialect, Layer, Manifest, image, index, layer, to_json
from demo.machine import Machine, for_architecture, read_machine

__all__ = ["Published", "build"]

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Published:
    """What one or several tags of a repository point to."""

    repository: str
    """The repository."""
    tags: tuple[str, ...]
    """Its tags: one digest, many names."""
    manifest: Manifest
    """The manifest or index."""
    is_image: bool = True
    """Whether it belongs into a list of images: charts and signatures do not."""


def build(machine: Machine | None = None) -> list[Published]:
    """Build everything, from this machine's databases unless others are given; takes a second or two."""
    stock = _Stock(machine or read_machine())
    return [*_platforms(stock), *_applications(stock), *_others(stock)]


class _Stock:
    """The layers that several images share, each packed once."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

        self.slim = self.slim_for(machine.architecture)
        # Node's packages are none on a machine without Node.
        self.node = [layer(machine.node, "RUN npm install --global npm", _day("2025-04-10"))] if machine.node else []
        command = "RUN pip install --no-cache-dir -r requirements.txt"
        self.python = layer(machine.python, command, _day("2025-04-10"))
        self.full = layer(machine.complete, "ADD rootfs.tar.xz /", _day("2025-04-03"))

    def slim_for(self, architecture: str) -> Layer:
        """Return the smallest system, for this machine's architecture or another."""
        files = for_architecture(self.machine.essential, self.machine.architecture, architecture)
        return layer(files, "ADD rootfs-slim.tar.xz /", _day("2025-04-03"))

    def image(
        self,
        layers: Sequence[Layer],
        day: str,
        settings: Mapping[str, Any],
        architecture: str | None = None,
        dialect: Dialect = OCI,
    ) -> Manifest:
        """Put an image together whose environment has a PATH."""
        complete = {**settings, "Env": [_PATH, *settings.get("Env", [])]}
        return image(layers, complete, _day(day), architecture or self.machine.architecture, dialect)


def _day(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}T09:30:00").replace(tzinfo=UTC)


def _versions(version: str, *more: str) -> tuple[str, ...]:
    """Return a version with its shorter forms as tags: 1.2.3, 1.2, 1."""
    parts = version.split(".")
    return (*(".".join(parts[:count]) for count in range(len(parts), 0, -1)), *more)


def _application(name: str, version: str, day: str) -> Layer:
    """Return the layer of an invented application."""
    about = {"name": f"@example/{name}", "version": version, "private": True, "license": "UNLICENSED"}
    files = {f"srv/{name}/package.json": to_json(about), f"srv/{name}/VERSION": f"{version}\n".encode()}
    return layer(files, f"COPY . /srv/{name}", _day(day))


def _platforms(stock: _Stock) -> Iterator[Published]:
    """Yield what other images are built on."""
    machine = stock.machine
    base = f"base/{machine.distribution}"
    full = stock.image([stock.full], "2025-04-03", {"Cmd": ["bash"]})
    yield Published(base, (machine.version, "latest"), full)
    slim = stock.image([stock.slim], "2025-04-03", {"Cmd": ["bash"]})
    yield Published(base, (f"{machine.version}-slim", "slim"), slim)
    settings: dict[str, Any] = {"Env": ["PYTHONUNBUFFERED=1"], "Cmd": ["python3"]}
    python = stock.image([stock.full, stock.python], "2025-04-10", settings)
    yield Published("platform/python", _versions(machine.python_version, "latest"), python)
    slim_python = stock.image([stock.slim, stock.python], "2025-04-10", settings)
    yield Published("platform/python", (f"{machine.python_version}-slim", "slim"), slim_python)
    if stock.node:
        node = stock.image([stock.slim, *stock.node], "2025-04-10", {"Env": ["NODE_ENV=production"], "Cmd": ["node"]})
        yield Published("platform/node", ("lts", "latest"), node)
    gateway = [stock.slim, _application("gateway", "1.27.3", "2025-05-02")]
    settings = {"ExposedPorts": {"8080/tcp": {}}, "User": "101", "Cmd": ["gateway", "-g", "daemon off;"]}
    yield Published("platform/gateway", ("1.27.3", "1.27", "stable"), stock.image(gateway, "2025-05-02", settings))


def _applications(stock: _Stock) -> Iterator[Published]:
    """Yield the applications of the shop: one for two architectures, the others for this machine's."""
    web = _two_platforms(stock, "web", "1.4.2", "2025-06-12")
    yield Published("shop/web", _versions("1.4.2", "latest"), web)
    yield Published("shop/web", ("1.4.1",), _two_platforms(stock, "web", "1.4.1", "2025-05-15"))
    attached = web.digest.replace(":", "-")
    listed = ["example-web", stock.machine.distribution]
    yield Published("shop/web", (f"{attached}.sig",), attachments.signature(web, "shop/web"), is_image=False)
    yield Published("shop/web", (attached,), attachments.contents(web, listed), is_image=False)
    run = {"User": "1000:1000", "ExposedPorts": {"8000/tcp": {}}}
    for name, repository, version, day, tags in (
        ("api", "shop/api", "2.1.0", "2025-06-09", _versions("2.1.0", "latest")),
        ("api", "shop/api", "2.0.3", "2024-11-30", ("2.0.3", "2.0")),
        ("checkout", "shop/checkout", "0.9.0", "2025-05-19", ("0.9.0", "0.9", "latest")),
        ("checkout", "shop/checkout", "0.10.0", "2025-06-13", ("0.10.0-rc.1", "main-4f2c1ab")),
        ("mailer", "shop/jobs/mailer", "5.0.1", "2025-02-20", _versions("5.0.1", "latest")),
    ):
        layers = [stock.slim, stock.python, _application(name, version, day)]
        settings = {**run, "WorkingDir": f"/srv/{name}", "Cmd": ["python3", "-m", name]}
        yield Published(repository, tags, stock.image(layers, day, settings))


def _two_platforms(stock: _Stock, name: str, version: str, day: str) -> Manifest:
    """Return an index of one application for amd64 and arm64, with the attestation of its build."""
    top = [*stock.node, _application(name, version, day)]
    settings = {
        "User": "node",
        "WorkingDir": f"/srv/{name}",
        "Cmd": ["node", "server.js"],
        "ExposedPorts": {"3000/tcp": {}},
    }
    amd64, arm64 = (stock.image([stock.slim_for(each), *top], day, settings, each) for each in ("amd64", "arm64"))
    return index([amd64, arm64, attachments.attestation(amd64)])


def _others(stock: _Stock) -> Iterator[Published]:
    """Yield the odd ones: an old image in Docker's format, a tiny one, and what is no image at all."""
    careless = layer({"opt/tools/run.sh": b'#!/bin/sh\nexec "$@"\n'}, "RUN chmod -R 777 /opt/tools", _day("2019-05-06"))
    old = stock.image([stock.full, careless], "2019-05-06", {"Entrypoint": ["/opt/tools/run.sh"]}, dialect=DOCKER)
    yield Published("legacy/tools", ("2019.1", "latest"), old)
    greeting = layer({"hello.txt": b"Hello.\n"}, "COPY hello.txt /", _day("2024-02-29"))
    yield Published("hello", ("1.0.0", "latest"), stock.image([greeting], "2024-02-29", {"Cmd": ["/hello.txt"]}))
    files = layer({"shop/Chart.yaml": b"apiVersion: v2\nname: shop\nversion: 0.3.0\n"}, "", _day("2025-05-02"))
    yield Published("platform/charts", ("0.3.0",), attachments.chart("shop", "0.3.0", files), is_image=False)
