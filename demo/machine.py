"""The package databases of the machine this runs on: what makes the demonstration's images real.

Only package databases and the release file are read; nothing of /home, no configuration, no keys. What is missing
or may not be read is left out: the images are then smaller, and just as valid.
"""

import platform
import re
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from demo.content import Files

__all__ = ["Machine", "for_architecture", "read_machine"]

_LISTED_PATHS = 40
"""Paths kept of a package's file list: enough to show its shape."""
_MOST_FILES = 400
"""Files taken from one tree of libraries."""
_LARGEST = 48 << 20
"""Bytes of one file at most; a larger database is left out."""
_SMALL = 64 << 10
"""Bytes of one metadata file at most; longer ones are cut after a line."""
_PRIORITIES = re.compile(rb"^(?:Priority: (?:required|important|standard)|Essential: yes)$", re.MULTILINE)
_FIELD = re.compile(rb"^Package: (\S+)$", re.MULTILINE)
_NODE_TREES = ("usr/lib/node_modules", "usr/local/lib/node_modules", "usr/share/nodejs")
_ALPINE = {"amd64": "x86_64", "arm64": "aarch64"}
_DATABASES = (
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages.db",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
)


@dataclass(frozen=True)
class Machine:
    """What the images are made of."""

    distribution: str
    """The distribution's identifier, such as `debian`; `linux` where the machine does not say."""
    version: str
    """Its version, such as `12`; `rolling` where there is none."""
    architecture: str
    """`amd64` or `arm64`."""
    essential: Files
    """The release file and the database of the packages every system has (of all, where it cannot be divided)."""
    complete: Files
    """The database of all packages."""
    python_version: str
    """The running Python's version, such as `3.12.4`."""
    python: Files
    """Metadata of the Python distributions of the running environment."""
    node: Files
    """package.json of every globally installed Node package; empty without Node."""


def read_machine(root: Path = Path("/")) -> Machine:
    """Read the package databases under `root`, and the running Python's."""
    release = _release(root)
    databases = {path: content for path in _DATABASES if (content := _read(root / path)) is not None}
    status = _read(root / "var/lib/dpkg/status") or b""
    packages = [package for package in status.split(b"\n\n") if package.strip()]
    needed = [package for package in packages if _PRIORITIES.search(package)]
    base = {"etc/os-release": _read(root / "etc/os-release") or b"ID=linux\n", **databases}
    return Machine(
        distribution=_part(release.get("ID"), "linux"),
        version=_part(release.get("VERSION_ID"), "rolling"),
        architecture="arm64" if platform.machine() == "aarch64" else "amd64",
        essential={**base, **_dpkg(root, needed)},
        complete={**base, **_dpkg(root, packages), **_status_folder(root)},
        python_version=platform.python_version().rstrip("+"),
        python=_python(),
        node=_node(root),
    )


def for_architecture(files: Files, source: str, target: str) -> Files:
    """Return a Debian or Alpine package database as a machine of another architecture has it for the same release."""
    words = [
        (f"\nArchitecture: {source}\n".encode(), f"\nArchitecture: {target}\n".encode()),
        (f"\nA:{_ALPINE[source]}\n".encode(), f"\nA:{_ALPINE[target]}\n".encode()),
    ]
    rebuilt = {}
    for path, content in files.items():
        text = content
        if path.endswith(("/status", "/installed")):
            for before, after in words:
                text = text.replace(before, after)
        rebuilt[path.replace(f":{source}.", f":{target}.")] = text
    return rebuilt


def _release(root: Path) -> dict[str, str]:
    text = (_read(root / "etc/os-release") or b"").decode(errors="replace")
    return {name: value.strip("\"'") for name, _, value in (line.partition("=") for line in text.splitlines())}


def _part(text: str | None, otherwise: str) -> str:
    """Return a text of the release file as it may stand in a repository's name or a tag."""
    return re.sub(r"[^a-z0-9.]+", "", (text or "").lower()).strip(".") or otherwise


def _dpkg(root: Path, packages: list[bytes]) -> dict[str, bytes]:
    if not packages:
        return {}
    files = {"var/lib/dpkg/status": b"\n\n".join(package.strip(b"\n") for package in packages) + b"\n"}
    names = {found[1].decode() for package in packages if (found := _FIELD.search(package))}
    for path in sorted(root.glob("var/lib/dpkg/info/*.list")):
        if path.stem.partition(":")[0] in names and (content := _read(path)) is not None:
            files[f"var/lib/dpkg/info/{path.name}"] = b"".join(content.splitlines(keepends=True)[:_LISTED_PATHS])
    return files


def _status_folder(root: Path) -> dict[str, bytes]:
    """Return the database of images without dpkg itself: one file a package."""
    paths = sorted(root.glob("var/lib/dpkg/status.d/*"))[:_MOST_FILES]
    return {f"var/lib/dpkg/status.d/{path.name}": content for path in paths if (content := _read(path)) is not None}


def _python() -> dict[str, bytes]:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = f"usr/local/lib/python{version}/site-packages"
    files = {}
    for path in sorted(Path(sysconfig.get_path("purelib")).glob("*.dist-info/*")):
        # Not direct_url.json: it holds paths of this machine.
        if path.name in ("METADATA", "RECORD", "INSTALLER", "WHEEL") and (content := _read(path)) is not None:
            files[f"{target}/{path.parent.name}/{path.name}"] = _cut(content)
    return files


def _node(root: Path) -> dict[str, bytes]:
    paths = [path for tree in _NODE_TREES for path in sorted((root / tree).rglob("package.json"))]
    found = {path.relative_to(root).as_posix(): _read(path) for path in paths[:_MOST_FILES]}
    return {path: content for path, content in found.items() if content is not None and len(content) <= _SMALL}


def _cut(content: bytes) -> bytes:
    return content if len(content) <= _SMALL else content[: content.rfind(b"\n", 0, _SMALL) + 1]


def _read(path: Path) -> bytes | None:
    """Return a regular file's bytes; None for what is missing, too large or not ours to read."""
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _LARGEST else None
    except OSError:
        return None
