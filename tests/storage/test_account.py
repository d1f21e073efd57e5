"""Who the embedded server runs as, and which folders that account may enter."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from imagewarden.storage import account as subject
from imagewarden.storage.account import Account, can_reach, current_name, server_account
from imagewarden.storage.errors import StorageError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")
STRANGER = Account("stranger", 54321, 54321)


@pytest.mark.parametrize(
    ("owner", "group", "mode", "reached"),
    [
        (0, 0, 0o711, True),
        (0, 0, 0o750, False),
        (0, 0, 0o744, False),
        (54321, 0, 0o700, True),
        (54321, 0, 0o677, False),
        (0, 54321, 0o710, True),
        (0, 54321, 0o701, False),
    ],
)
@needs_root
def test_can_reach_follows_the_kernel_s_rule(tmp_path: Path, owner: int, group: int, mode: int, reached: bool) -> None:
    """The first class that fits decides: owner, then group, then others; the kernel is asked for comparison."""
    for folder in (tmp_path.parent.parent, tmp_path.parent, tmp_path):
        folder.chmod(0o711)
    folder = tmp_path / "folder"
    inner = folder / "inner"
    inner.mkdir(parents=True, mode=0o755)
    os.chown(folder, owner, group)
    folder.chmod(mode)
    assert can_reach(inner, STRANGER) is reached
    entered = subprocess.run(
        ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "test", "-x", str(inner)], check=False, cwd="/"
    )
    assert (entered.returncode == 0) is reached


def test_what_is_not_there_yet_can_be_made() -> None:
    """Only folders that exist can be closed."""
    assert can_reach(Path("/not/there/yet"), STRANGER)


def test_a_link_is_followed(tmp_path: Path) -> None:
    """What counts is the folder behind it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    link = Path(os.path.realpath("/tmp")) / f"iw-link-{os.getpid()}"  # noqa: S108 # a link, removed below
    link.symlink_to(closed)
    try:
        assert not can_reach(link, STRANGER)
    finally:
        link.unlink()


def test_the_current_user_needs_no_other_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain user's server is the user's."""
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    found = server_account()
    assert found.name == "nobody"
    assert found.is_current
    assert current_name() == "nobody"


def test_a_user_without_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container started with a random number: PostgreSQL wants a name, and the error says so."""
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(StorageError, match=r"user id 54321 has no entry in /etc/passwd"):
        server_account()
    assert current_name() == "54321"


def test_root_without_any_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the system account nor nobody: the error says what to create."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(subject, "_create", lambda: None)
    monkeypatch.setattr(subject, "_named", lambda _: None)
    with pytest.raises(StorageError, match="useradd --system imagewarden"):
        server_account()


def test_nobody_serves_where_no_account_can_be_created(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only /etc, say."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(subject, "_create", lambda: None)
    named = subject._named
    monkeypatch.setattr(subject, "_named", lambda name: None if name == subject.NAME else named(name))
    assert server_account().name == "nobody"


@needs_root
def test_root_s_server_gets_the_system_account() -> None:
    """It has no shell, no home, and is not root."""
    found = server_account()
    entry = pwd.getpwnam(found.name)
    assert found.name == "imagewarden"
    assert entry.pw_uid != 0
    assert entry.pw_shell.endswith(("nologin", "false"))
    assert not Path(entry.pw_dir).exists()


@needs_root
def test_become_is_for_good() -> None:
    """No way back to root: real, effective and saved ids, and root's groups, are gone."""
    code = """
import os
from imagewarden.storage.account import become, server_account
account = server_account()
become(account)
assert set(os.getresuid()) == {account.uid} and set(os.getresgid()) == {account.gid}, os.getresuid()
assert 0 not in os.getgroups(), os.getgroups()
try:
    os.setuid(0)
except PermissionError:
    print("for good")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "for good\n"
