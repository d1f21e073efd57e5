"""The account the embedded server runs as: PostgreSQL refuses to run as root."""

import grp
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from imagewarden.storage.errors import StorageError

__all__ = ["Account", "become", "can_reach", "current_name", "server_account"]

NAME = "imagewarden"


@dataclass(frozen=True)
class Account:
    """A user of the operating system."""

    name: str
    """Login name."""
    uid: int
    """User id."""
    gid: int
    """Primary group id."""

    @property
    def is_current(self) -> bool:
        """Whether this process already runs as it."""
        return self.uid == os.geteuid()


def _named(name: str) -> Account | None:
    """Return an existing account."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _create() -> None:
    """Create the system account with the tool that this system has; its success is judged by the account's being."""
    nologin = shutil.which("nologin", path="/usr/sbin:/sbin") or "/bin/false"
    if tool := shutil.which("useradd", path="/usr/sbin:/sbin"):
        command = [tool, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
                   "--shell", nologin, NAME]  # fmt: skip
    elif tool := shutil.which("adduser", path="/usr/sbin:/sbin"):
        command = [tool, "-S", "-D", "-H", "-h", "/nonexistent", "-s", nologin, NAME]
    else:
        return
    subprocess.run(command, check=False, capture_output=True, timeout=30)  # noqa: S603 # fixed words


def server_account() -> Account:
    """Return the account for the server: the current user, or for root the system account `imagewarden`.

    The system account is created when it is missing; where that cannot be done, `nobody` serves. Raises StorageError
    for a user without an entry in the system's list of users, which PostgreSQL needs.
    """
    if os.geteuid() != 0:
        try:
            entry = pwd.getpwuid(os.geteuid())
        except KeyError:
            raise StorageError(
                f"user id {os.geteuid()} has no entry in /etc/passwd, which the embedded database needs; "
                "add one, or name a PostgreSQL server with --database-url"
            ) from None
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    if _named(NAME) is None:
        _create()
    found = _named(NAME) or _named("nobody")
    if found is None or found.uid == 0:
        raise StorageError(
            f"the embedded database cannot run as root and the system account {NAME} could not be created; "
            f"create it (useradd --system {NAME}), run as another user, or name a server with --database-url"
        )
    return found


def current_name() -> str:
    """Return the login name of this process's user, the number where it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def become(account: Account) -> None:
    """Run as the account from here on, for good; nothing changes for the current user.

    As root, files in a folder that the account can write must not be opened: a link there would lead anywhere.
    """
    if account.is_current:
        return
    os.initgroups(account.name, account.gid)
    os.setgid(account.gid)
    os.setuid(account.uid)


def can_reach(path: Path, account: Account) -> bool:
    """Return whether the account may enter every folder on the way to `path`, `path` included."""
    groups = {account.gid, *(group.gr_gid for group in grp.getgrall() if account.name in group.gr_mem)}
    resolved = path.resolve()
    for folder in (*reversed(resolved.parents), resolved):
        try:
            status = folder.stat()
        except FileNotFoundError:
            return True  # what is not there yet is ours to create
        if status.st_uid == account.uid:
            enter = stat.S_IXUSR
        elif status.st_gid in groups:
            enter = stat.S_IXGRP
        else:
            enter = stat.S_IXOTH
        if not status.st_mode & enter:
            return False
    return True
