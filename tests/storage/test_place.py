"""Where the embedded server lives: odd and long paths, copies, moves, folders that others cannot enter."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from imagewarden.storage.embedded import EmbeddedServer
from imagewarden.storage.errors import StorageError, WrongOwner
from imagewarden.storage.place import ensure_data_dir
from tests.support import embedded
from tests.support.embedded import Command, cluster_of, postmaster

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")


def answers(conninfo: str) -> bool:
    """Return whether the server behind a connection string does."""
    with psycopg.connect(conninfo) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def remember(data_dir: Path, word: str) -> None:
    """Store a word in a data folder's database."""
    with EmbeddedServer.start(data_dir) as server, psycopg.connect(server.conninfo) as connection:
        connection.execute("CREATE TABLE memory AS SELECT %s AS word", (word,))
    embedded.stop(data_dir)


def recall(data_dir: Path) -> str | None:
    """Return the word that a data folder's database holds."""
    with EmbeddedServer.start(data_dir) as server, psycopg.connect(server.conninfo) as connection:
        known = connection.execute("SELECT to_regclass('memory') IS NOT NULL").fetchone() == (True,)
        word = connection.execute("SELECT word FROM memory").fetchone() if known else None
    embedded.stop(data_dir)
    return word[0] if word else None


@pytest.mark.parametrize(
    "name",
    [
        'with space, it\'s "quoted"',
        "back\\slash $HOME `id` $(id) %s {}",
        "naïve Ωμέγα 数据",
        "new\nline",
        os.fsdecode(b"\xff not UTF-8"),
        "-dash",
        "x" * 200,
        "/".join(["deeper"] * 60),
    ],
    ids=lambda name: ascii(name)[1:21],
)
def test_odd_and_long_paths(data_dir: Path, name: str) -> None:
    """Any name that the file system takes."""
    place = data_dir.parent / name
    with EmbeddedServer.start(place) as server:
        assert answers(server.conninfo)
        sockets = Path(str(conninfo_to_dict(server.conninfo)["host"]))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    embedded.stop(place)
    if not sockets.is_relative_to(place):
        assert not list(sockets.iterdir())
        sockets.rmdir()


def test_a_path_beyond_what_postgresql_can_handle(data_dir: Path) -> None:
    """1024 bytes is PostgreSQL's bound for names of files: said before it fails somewhere inside."""
    with pytest.raises(StorageError, match="longer than the 900 bytes"):
        EmbeddedServer.start(data_dir.joinpath(*["deeper"] * 140))


def test_through_a_link_it_is_the_same_folder(data_dir: Path) -> None:
    """Two commands that name the folder differently share its server."""
    link = data_dir.with_name("link")
    with EmbeddedServer.start(data_dir) as first:
        link.symlink_to(data_dir)
        number = postmaster(data_dir)
        with EmbeddedServer.start(link) as second:
            assert first.conninfo == second.conninfo
            assert postmaster(data_dir) == number


def test_a_copy_does_not_join_the_server_of_the_original(data_dir: Path) -> None:
    """A data folder copied while its server runs names the original's control socket."""
    remember(data_dir, "original")
    copy = data_dir.with_name("copy")
    shutil.copytree(data_dir, copy, symlinks=True)
    if os.geteuid() == 0:
        owner = cluster_of(data_dir).stat()
        for path in (copy / "postgres", *(copy / "postgres").rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
    with EmbeddedServer.start(data_dir) as server:
        shutil.copyfile(data_dir / "supervisor.json", copy / "supervisor.json")
        with EmbeddedServer.start(copy) as other:
            assert other.conninfo != server.conninfo
            assert postmaster(copy) != postmaster(data_dir)
    embedded.stop(copy)


def test_a_copy_with_a_long_path_gets_sockets_of_its_own(data_dir: Path) -> None:
    """The private folder that the original noted is not shared by its copy."""
    place = data_dir.parent.joinpath(*["deeper"] * 20)
    with EmbeddedServer.start(place) as server:
        first = Path(str(conninfo_to_dict(server.conninfo)["host"]))
    embedded.stop(place)
    with EmbeddedServer.start(place) as server:
        assert first == Path(str(conninfo_to_dict(server.conninfo)["host"]))
    embedded.stop(place)
    note = (place / "sockets.json").read_text()
    shutil.rmtree(place)
    place.mkdir()
    place.chmod(0o711)
    (place / "sockets.json").write_text(note.replace(json.loads(note)["data_dir"], "0:0"))
    with EmbeddedServer.start(place) as server:
        second = Path(str(conninfo_to_dict(server.conninfo)["host"]))
    embedded.stop(place)
    assert first != second
    for folder in (first, second):
        shutil.rmtree(folder)


def test_a_folder_of_sockets_that_others_may_enter_is_not_used(data_dir: Path) -> None:
    """What stands in /tmp under the noted name may have been made by anybody."""
    place = data_dir.parent.joinpath(*["deeper"] * 20)
    with EmbeddedServer.start(place) as server:
        first = Path(str(conninfo_to_dict(server.conninfo)["host"]))
    embedded.stop(place)
    first.chmod(0o755)
    with EmbeddedServer.start(place) as server:
        second = Path(str(conninfo_to_dict(server.conninfo)["host"]))
    embedded.stop(place)
    assert first != second
    for folder in (first, second):
        shutil.rmtree(folder)


def test_a_moved_folder_takes_its_database_along(data_dir: Path) -> None:
    """Nothing inside depends on where the folder is."""
    remember(data_dir, "mine")
    moved = data_dir.rename(data_dir.with_name("moved"))
    assert recall(moved) == "mine"


def test_a_removed_folder_ends_its_server(data_dir: Path) -> None:
    """A new folder of the same name is another database, and the old supervisor leaves it alone."""
    with EmbeddedServer.start(data_dir):
        number = embedded.supervisor(data_dir)
        while data_dir.exists():  # the server writes as long as it can
            shutil.rmtree(data_dir, ignore_errors=True)
        with EmbeddedServer.start(data_dir) as server:
            embedded.wait_until(lambda: not _runs(number), 20.0)
            assert answers(server.conninfo)


def _runs(number: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return bool(Path(f"/proc/{number}/cmdline").read_bytes())
    except OSError:
        return False


# ---------------------------------------------------------------------------------------------- as root


@pytest.fixture
def closed(data_dir: Path) -> Iterator[Path]:
    """Give a data folder under a 0700 home; what was put elsewhere for it is removed afterwards."""
    home = data_dir.parent / "home"
    home.mkdir(mode=0o700)
    place = home / "data"
    yield place
    embedded.stop(place)
    if (place / "database.json").exists():
        shutil.rmtree(cluster_of(place).parents[1])


@needs_root
def test_under_a_closed_home(closed: Path) -> None:
    """The server's account cannot reach the folder: the database lives under /var/lib, the home stays closed."""
    remember(closed, "far")
    assert stat.S_IMODE(closed.parent.stat().st_mode) == 0o700
    assert cluster_of(closed).is_relative_to("/var/lib/imagewarden")
    assert recall(closed) == "far"
    assert not (closed / "postgres").exists()


@needs_root
def test_a_copy_of_a_folder_whose_database_is_elsewhere(closed: Path) -> None:
    """Two folders that name one database: the copy is told so, and may have an empty one."""
    remember(closed, "original")
    copy = closed.with_name("copy")
    shutil.copytree(closed, copy)
    with pytest.raises(StorageError, match="is a copy of"):
        EmbeddedServer.start(copy)
    (copy / "database.json").unlink()
    assert recall(copy) is None
    shutil.rmtree(cluster_of(copy).parents[1])
    assert recall(closed) == "original"


@needs_root
def test_a_moved_folder_whose_database_is_elsewhere(closed: Path) -> None:
    """It takes the database along; a folder that comes back to the old place is then the copy."""
    remember(closed, "mine")
    moved = closed.with_name("moved")
    closed.rename(moved)
    assert recall(moved) == "mine"
    shutil.copytree(moved, closed)
    with pytest.raises(StorageError, match="is a copy of"):
        EmbeddedServer.start(closed)
    shutil.rmtree(closed)
    moved.rename(closed)
    assert recall(closed) == "mine"


@needs_root
def test_a_pointer_to_nothing(closed: Path) -> None:
    """The database is gone: no empty one takes its place unasked."""
    remember(closed, "lost")
    shutil.rmtree(cluster_of(closed).parents[1])
    with pytest.raises(StorageError, match="which holds no database of it"):
        EmbeddedServer.start(closed)
    (closed / "database.json").unlink()


@needs_root
def test_a_database_that_became_unreachable_is_not_replaced(closed: Path) -> None:
    """Once a home is closed, the database inside is out of the account's reach: an error, not an empty database."""
    closed.parent.chmod(0o711)
    remember(closed, "inside")
    closed.parent.chmod(0o700)
    with pytest.raises(WrongOwner, match="out of reach for the account"):
        EmbeddedServer.start(closed)
    closed.parent.chmod(0o711)
    assert recall(closed) == "inside"


@needs_root
def test_no_folder_of_others_changes_its_mode(data_dir: Path) -> None:
    """A folder that was there before keeps mode and owner, whatever the server would like."""
    outside = data_dir.parent / "there before"
    place = outside / "data"
    place.mkdir(parents=True)
    outside.chmod(0o700)
    place.chmod(0o750)
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in (data_dir.parent, outside, place)]
    with EmbeddedServer.start(place) as server:
        assert answers(server.conninfo)
    embedded.stop(place)
    shutil.rmtree(cluster_of(place).parents[1])
    assert [(path, path.stat().st_mode, path.stat().st_uid) for path, _, _ in before] == before


@needs_root
def test_a_strict_umask_keeps_nobody_out(data_dir: Path) -> None:
    """What root makes with a umask of 077 must still let the server's account pass."""
    old = os.umask(0o077)
    try:
        with EmbeddedServer.start(data_dir / "a" / "b") as server:
            assert answers(server.conninfo)
    finally:
        os.umask(old)
    assert cluster_of(data_dir / "a" / "b").is_relative_to(data_dir)
    embedded.stop(data_dir / "a" / "b")


@needs_root
def test_a_link_in_the_account_s_folder_leads_root_nowhere(data_dir: Path) -> None:
    """The account that runs the server could put links where root once opened files: root must not follow."""
    remember(data_dir, "x")
    treasure = data_dir.parent / "treasure"
    treasure.write_text("untouched")
    treasure.chmod(0o600)
    for name in ("cluster/postgresql.conf", "cluster/pg_ident.conf", "postgres.log"):
        path = data_dir / "postgres" / name
        kept = path.read_bytes()
        path.unlink()
        path.symlink_to(treasure)
        with pytest.raises(StorageError):
            EmbeddedServer.start(data_dir)
        path.unlink()
        path.write_bytes(kept)
        shutil.chown(path, cluster_of(data_dir).owner(), cluster_of(data_dir).group())
    assert (treasure.read_text(), treasure.stat().st_uid, stat.S_IMODE(treasure.stat().st_mode)) == (
        "untouched", 0, 0o600,
    )  # fmt: skip
    assert recall(data_dir) == "x"


@needs_root
def test_the_plain_user_s_server_runs_as_the_user(data_dir: Path) -> None:
    """Without root everything is in the data folder and belongs to its owner."""
    data_dir.mkdir()
    shutil.chown(data_dir, "nobody", "nogroup")
    with Command(data_dir, account="nobody") as command:
        said = command.wait()
        if "conninfo" not in said:
            pytest.fail(said["message"])
        owners = {Path(f"/proc/{number}").owner() for number in embedded.processes(data_dir)}
        assert owners == {"nobody"}
        assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700
    embedded.wait_until(lambda: embedded.is_gone(data_dir), 8.0)


# ---------------------------------------------------------------------------------------------- refused


def test_a_file_is_not_a_data_folder(data_dir: Path) -> None:
    """And neither is a path below one."""
    data_dir.write_text("")
    with pytest.raises(WrongOwner, match="is not a folder"):
        ensure_data_dir(data_dir)
    with pytest.raises(WrongOwner, match="Not a directory"):
        ensure_data_dir(data_dir / "below")
    data_dir.unlink()


@pytest.mark.parametrize("name", ["x" * 300, "nul\0", "~no-such-user-here"])
def test_names_that_no_file_system_takes(data_dir: Path, name: str) -> None:
    """A sentence, not a trace."""
    place = Path(name) if name.startswith("~") else data_dir / name
    with pytest.raises(WrongOwner, match="cannot be used"):
        ensure_data_dir(place)


@needs_root
def test_a_folder_of_somebody_else(data_dir: Path) -> None:
    """Root does not take over a user's folder, and a user not root's."""
    data_dir.mkdir()
    shutil.chown(data_dir, "nobody")
    with pytest.raises(WrongOwner, match=r"belongs to user id \d+, not to 0"):
        EmbeddedServer.start(data_dir)
    shutil.chown(data_dir, "root")
    with Command(data_dir, account="nobody") as command:
        said = command.wait()
    assert said["kind"] == "WrongOwner"
    assert "belongs to user id 0" in said["message"]


@needs_root
def test_a_cluster_of_somebody_else(data_dir: Path) -> None:
    """A database that another account ran is not taken over in silence."""
    remember(data_dir, "theirs")
    home = data_dir / "postgres"
    account = home.owner()
    shutil.chown(home, "nobody")
    with pytest.raises(WrongOwner, match="give it back"):
        EmbeddedServer.start(data_dir)
    shutil.chown(home, account)
    assert recall(data_dir) == "theirs"


@needs_root
def test_a_folder_that_its_owner_cannot_write(data_dir: Path) -> None:
    """A plain user's read-only folder."""
    data_dir.mkdir(mode=0o500)
    shutil.chown(data_dir, "nobody", "nogroup")
    with Command(data_dir, account="nobody") as command:
        said = command.wait()
    assert said["kind"] == "WrongOwner"
    assert "cannot be written" in said["message"]
