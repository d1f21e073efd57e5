"""Where the embedded server's files live: data folder, cluster, sockets."""

import json
import os
import stat
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from imagewarden.storage.account import Account, can_reach, current_name, server_account
from imagewarden.storage.binaries import MAJOR_VERSION, SHARED, reachable_binaries
from imagewarden.storage.errors import DiskFull, ForeignVersion, StorageError, WrongOwner, is_disk_full

__all__ = ["Place", "ensure_data_dir", "find_place", "folder_identity"]

_LONGEST_SOCKET = 107 - len("/.s.PGSQL.5432.lock")  # sockaddr_un.sun_path, less its NUL and what is put behind
_LONGEST_CLUSTER = 900  # PostgreSQL's MAXPGPATH is 1024, and it puts names of files behind


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
    user: str
    """Login name of those who run commands on the data folder."""

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.home / "cluster"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "postgres.log"


def folder_identity(folder: Path) -> str:
    """Return what tells a folder from its copy, however it is reached: device and inode."""
    status = folder.stat()
    return f"{status.st_dev}:{status.st_ino}"


def ensure_data_dir(data_dir: Path) -> Path:
    """Return the data folder's real path, created when missing; raises WrongOwner if it is not ours, or DiskFull.

    A folder made by root lets other accounts pass through (0711), so that the server's own account reaches its part.
    """
    try:
        found = data_dir.expanduser().resolve()
        _make_folders(found)
        status = found.stat()
    except (OSError, RuntimeError, ValueError) as error:
        if is_disk_full(error):
            raise DiskFull(f"no space left on the disk for {data_dir}; free some and try again") from None
        reason = getattr(error, "strerror", None) or error
        raise WrongOwner(
            f"the data folder {data_dir} cannot be used: {reason}; choose another with --data-dir"
        ) from None
    if not stat.S_ISDIR(status.st_mode):
        raise WrongOwner(f"{found} is not a folder; choose another with --data-dir")
    if status.st_uid != os.geteuid():
        raise WrongOwner(
            f"the data folder {found} belongs to user id {status.st_uid}, not to {os.geteuid()}; "
            "run as its owner or choose another with --data-dir"
        )
    if not os.access(found, os.R_OK | os.W_OK | os.X_OK):
        raise WrongOwner(
            f"the data folder {found} cannot be written; make it writable or choose another with --data-dir"
        )
    return found


def _make_folders(folder: Path) -> None:
    """Create a folder and those above it that are missing."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        try:
            missing.mkdir(mode=0o700 if missing == folder else 0o777)
        except FileExistsError:  # another command was quicker
            continue
        if os.geteuid() == 0:
            missing.chmod(0o711)


def _owned_folder(folder: Path, account: Account) -> Path:
    """Create a folder of the account's, 0700; raises WrongOwner for one that is there and is not."""
    if not os.path.lexists(folder):
        folder.mkdir(mode=0o700, parents=True)
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid:
        raise WrongOwner(
            f"{folder} belongs to user id {status.st_uid}, but the database runs as {account.name} ({account.uid}); "
            f"give it back (chown -R {account.name} {folder}) or choose another --data-dir"
        )
    return folder


def _read_note(path: Path) -> dict[str, str]:
    """Return a small JSON file, empty when it is missing."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StorageError(f"{path} is damaged; restore it, or choose another --data-dir")
    return {str(key): str(value) for key, value in found.items()}


def _write_note(path: Path, **content: str) -> None:
    """Write a small JSON file, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _home(data_dir: Path, account: Account) -> Path:
    """Return the cluster's folder: inside the data folder where the account gets there, else under /var/lib."""
    inside = data_dir / "postgres"
    pointer = data_dir / "database.json"
    if pointer.exists():
        return _owned_folder(_pointed(data_dir, pointer) / "postgres", account)
    if account.is_current or can_reach(data_dir, account):
        return _owned_folder(inside, account)
    if inside.exists():
        raise WrongOwner(
            f"the database in {inside} is out of reach for the account {account.name}, which runs it; "
            f"let it pass through the folders on the way (chmod o+x), or move {data_dir} where it can"
        )
    identity = uuid.uuid4().hex
    outer = SHARED / "clusters" / identity
    outer.mkdir(mode=0o711, parents=True)
    if not can_reach(outer, account):
        outer.rmdir()
        raise WrongOwner(f"the account {account.name} cannot enter {SHARED}; allow it (chmod o+x {SHARED})")
    _write_note(outer / "owner.json", id=identity, data_dir=str(data_dir))
    _write_note(pointer, id=identity, home=str(outer))
    return _owned_folder(outer / "postgres", account)


def _pointed(data_dir: Path, pointer: Path) -> Path:
    """Return the folder outside that a data folder's pointer names.

    The pointer and its counterpart beside the cluster name each other, so that a copied data folder never shares the
    original's database; one that was moved takes its database along.
    """
    known = _read_note(pointer)
    outer = Path(known.get("home", ""))
    owner = _read_note(outer / "owner.json")
    if not known.get("id") or owner.get("id") != known["id"]:
        raise StorageError(f"{pointer} names {outer}, which holds no database of it; restore it or remove {pointer}")
    other = Path(owner.get("data_dir", ""))
    if other != data_dir:
        if _read_note(other / pointer.name).get("id") == known["id"]:
            raise StorageError(
                f"{data_dir} is a copy of {other}, whose database is in {outer}; "
                f"remove {pointer} to start an empty database of its own"
            )
        _write_note(outer / "owner.json", id=known["id"], data_dir=str(data_dir))
    return outer


def _sockets(data_dir: Path, home: Path, account: Account) -> Path:
    """Return the sockets' folder: beside the cluster, or a private one with a short name where that cannot be.

    libpq reads a comma in a socket's folder as the start of another one.
    """
    near = home / "run"
    text = str(near)
    if len(os.fsencode(near)) <= _LONGEST_SOCKET and "," not in text and text.isprintable():
        return _owned_folder(near, account)
    note = data_dir / "sockets.json"
    known = _read_note(note)
    if known.get("data_dir") == folder_identity(data_dir) and _is_private(Path(known["folder"]), account):
        return Path(known["folder"])
    made = _private_folder(account)
    os.chown(made, account.uid, account.gid, follow_symlinks=False)
    _write_note(note, folder=str(made), data_dir=folder_identity(data_dir))
    return made


def _private_folder(account: Account) -> Path:
    """Make a folder with a short, unguessable name, in the user's runtime folder or in /tmp."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    short = len(os.fsencode(runtime)) <= _LONGEST_SOCKET - len("/imagewarden-12345678")
    usable = short and account.is_current and "," not in runtime and runtime.isprintable() and Path(runtime).is_dir()
    return Path(tempfile.mkdtemp(prefix="imagewarden-", dir=runtime if usable else "/tmp"))  # noqa: S108 # mkdtemp


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
    if len(os.fsencode(home)) > _LONGEST_CLUSTER:
        raise StorageError(
            f"the path of the data folder is longer than the {_LONGEST_CLUSTER} bytes that PostgreSQL can handle; "
            f"choose a shorter --data-dir than {data_dir}"
        )
    place = Place(
        data_dir=data_dir,
        home=home,
        binaries=reachable_binaries(account),
        sockets=_sockets(data_dir, home, account),
        account=account,
        user=current_name(),
    )
    _check_version(place)
    return place


def _check_version(place: Place) -> None:
    """Raise ForeignVersion for a cluster of another PostgreSQL, WrongOwner for one that cannot be read."""
    try:
        version = (place.cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return
    except PermissionError:
        raise WrongOwner(f"{place.cluster} cannot be read; its owner must be {place.account.name}") from None
    if version != MAJOR_VERSION:
        raise ForeignVersion(
            f"{place.cluster} was made by PostgreSQL {version}, this version of Imagewarden brings {MAJOR_VERSION}; "
            "dump it with the old version and load it into a new --data-dir"
        )
