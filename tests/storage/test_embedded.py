"""The embedded server as commands see it: one for all of them, there while it is needed, closed to everybody else."""

import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from imagewarden.storage.embedded import EmbeddedServer
from tests.support.embedded import (
    Command,
    cluster_of,
    is_gone,
    kill,
    postmaster,
    processes,
    supervisor,
    wait_until,
)

FEW_SECONDS = 8.0
"""How long anything of ours may outlive the last command: the linger of 2 s, a clean stop, a slow machine."""


def ask(conninfo: str, statement: str) -> str:
    """Return the one value that a statement gives."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return str(row[0])


def test_first_start_and_restart_are_quick(data_dir: Path) -> None:
    """Measured on two cores: 0.6 s and 0.1 s; the bounds leave room for a busy machine."""
    taken = []
    for _ in range(2):
        begun = time.monotonic()
        with EmbeddedServer.start(data_dir) as server:
            taken.append(time.monotonic() - begun)
            assert ask(server.conninfo, "SELECT 1") == "1"
        wait_until(lambda: is_gone(data_dir), FEW_SECONDS)
    assert taken[0] < 10
    assert taken[1] < 3


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("SHOW listen_addresses", ""),
        ("SHOW fsync", "on"),
        ("SHOW synchronous_commit", "on"),
        ("SHOW full_page_writes", "on"),
        ("SHOW data_checksums", "on"),
        ("SHOW server_encoding", "UTF8"),
        ("SELECT datlocale FROM pg_database WHERE datname = current_database()", "C.UTF-8"),
        ("SHOW is_superuser", "on"),
        ("SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules", "peer"),
        ("SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolcanlogin", "imagewarden"),
        ("SELECT count(*) FROM pg_ident_file_mappings WHERE error IS NOT NULL", "0"),
    ],
)
def test_what_the_server_is(embedded_conninfo: str, statement: str, answer: str) -> None:
    """Durable, UTF-8, nothing on the network, nobody without the kernel's word."""
    assert ask(embedded_conninfo, statement) == answer


def test_nobody_else_gets_in(data_dir: Path) -> None:
    """Another account of the machine reaches neither socket, and the role is not its own if it did."""
    with EmbeddedServer.start(data_dir) as server:
        sockets = Path(psycopg.conninfo.conninfo_to_dict(server.conninfo)["host"])  # type: ignore[arg-type]
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert cluster_of(data_dir).stat().st_mode & 0o777 == 0o700
        for name in ("control", ".s.PGSQL.5432"):
            assert (sockets / name).stat().st_mode & 0o077 == 0
        if os.geteuid() != 0:
            return
        # With the socket's folder opened wide, the server still asks the kernel who calls.
        for folder in (sockets.parent, sockets, sockets / ".s.PGSQL.5432"):
            folder.chmod(0o777)
        psql = Path(f"/proc/{postmaster(data_dir)}/exe").resolve().with_name("psql")
        stranger = subprocess.run(
            ["setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups", psql, server.conninfo, "-c", "SELECT 1"],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        assert stranger.returncode != 0
        assert "authentication failed" in stranger.stderr or "Permission denied" in stranger.stderr


def test_the_server_is_not_root(data_dir: Path) -> None:
    """Neither PostgreSQL nor its supervisor keeps root's rights."""
    with EmbeddedServer.start(data_dir):
        owners = {Path(f"/proc/{number}").stat().st_uid for number in (supervisor(data_dir), postmaster(data_dir))}
        status = Path(f"/proc/{supervisor(data_dir)}/status").read_text()
    expected = cluster_of(data_dir).stat().st_uid
    assert 0 not in owners or os.geteuid() != 0
    assert expected != 0
    uids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    assert set(uids) == {str(expected)}


def test_commands_at_the_same_moment_share_one_server(data_dir: Path) -> None:
    """Four commands on an empty folder: one makes the database, and all use it."""
    with ExitStack() as stack:
        commands = [stack.enter_context(Command(data_dir)) for _ in range(4)]
        conninfos = [command.conninfo for command in commands]
        starts = {ask(conninfo, "SELECT pg_postmaster_start_time()") for conninfo in conninfos}
        assert len(starts) == 1
        assert sum("imagewarden.storage.supervisor" in line for line in processes(data_dir).values()) == 1


def test_the_server_stays_for_the_last_command(data_dir: Path) -> None:
    """The command that started the server may end first, however it ends."""
    with Command(data_dir) as first:
        server = first.conninfo
        number = postmaster(data_dir)
        with Command(data_dir) as second:
            assert second.conninfo == server
            first.kill()
            time.sleep(3.0)
            assert postmaster(data_dir) == number
            assert ask(server, "SELECT 1") == "1"
    wait_until(lambda: is_gone(data_dir), FEW_SECONDS)


def test_a_clean_end_needs_no_recovery(data_dir: Path) -> None:
    """The last command's end is a shutdown, not a kill."""
    for _ in range(2):
        with EmbeddedServer.start(data_dir):
            pass
        wait_until(lambda: is_gone(data_dir), FEW_SECONDS)
    log = (data_dir / "postgres/postgres.log").read_text()
    assert log.count("database system is shut down") == 2
    assert "not properly shut down" not in log
    assert not (cluster_of(data_dir) / "postmaster.pid").exists()


def test_a_command_that_comes_while_the_server_stops_gets_a_new_one(data_dir: Path) -> None:
    """The moment between the last lease and the end of the server is not an error."""
    for wait in (1.9, 2.0, 2.1, 2.2, 2.3):
        with EmbeddedServer.start(data_dir) as server:
            assert ask(server.conninfo, "SELECT 1") == "1"
        time.sleep(wait)


def test_no_zombie_of_a_supervisor_stays(data_dir: Path) -> None:
    """A command that lives long does not collect dead children."""
    for _ in range(2):
        with EmbeddedServer.start(data_dir):
            kill(supervisor(data_dir))
            time.sleep(0.2)
    with EmbeddedServer.start(data_dir):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        states = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] for child in children]
        assert "Z" not in states


def test_the_supervisor_is_small(data_dir: Path) -> None:
    """It lives as long as the server: nothing heavy is loaded into it."""
    with EmbeddedServer.start(data_dir):
        status = Path(f"/proc/{supervisor(data_dir)}/status").read_text()
        maps = Path(f"/proc/{supervisor(data_dir)}/maps").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    assert resident < 40_000
    assert "psycopg" not in maps
    assert "sqlalchemy" not in maps


def test_secrets_of_the_environment_stay_with_the_command(data_dir: Path) -> None:
    """The supervisor lives on after the command: it gets none of Imagewarden's settings."""
    with Command(data_dir, IMAGEWARDEN_SECRET_KEY="the-key", IMAGEWARDEN_DATABASE_URL="u") as command:
        assert command.conninfo
        for number in processes(data_dir):
            assert b"IMAGEWARDEN_" not in Path(f"/proc/{number}/environ").read_bytes()
