"""`kill -9` of anything: what was committed is there, and nothing stays behind."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
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


class Writer(threading.Thread):
    """Commits one number after the other, through every loss of the server, and knows which were acknowledged."""

    def __init__(self, conninfo: str) -> None:
        super().__init__()
        self.conninfo = conninfo
        self.acknowledged: set[int] = set()
        self.unsure: set[int] = set()
        self.connected = 0
        self.seen = 0
        self.enough = threading.Event()

    def run(self) -> None:
        """Write until told that it is enough."""
        number = 0
        while not self.enough.is_set():
            try:
                with psycopg.connect(self.conninfo, autocommit=True) as connection:
                    self.connected += 1
                    while not self.enough.is_set():
                        number += 1
                        self.unsure.add(number)
                        connection.execute("INSERT INTO proof VALUES (%s)", (number,))
                        self.acknowledged.add(number)
            except psycopg.OperationalError:
                time.sleep(0.02)

    def went_on(self) -> bool:
        """Wait until rows are acknowledged over another connection than last time; returns whether they are.

        A server that was told to end may acknowledge some more over the old one.
        """
        wait_until(lambda: self.connected > self.seen, 60.0)
        self.seen = self.connected
        before = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) > before + 10, 60.0)
        return True


def kill_server(data_dir: Path) -> None:
    """Kill the postmaster."""
    kill(postmaster(data_dir))


def kill_supervisor(data_dir: Path) -> None:
    """Kill the supervisor; the kernel tells the server."""
    kill(supervisor(data_dir))


def kill_both(data_dir: Path) -> None:
    """Kill both at the same moment: nobody is left to stop or restart anything."""
    kill(supervisor(data_dir), postmaster(data_dir))


def kill_one_of_the_server(data_dir: Path) -> None:
    """Kill a process that serves the writer: the server itself takes the rest down and recovers."""
    kill(next(number for number, line in processes(data_dir).items() if "INSERT" in line or "idle" in line))


def test_committed_rows_survive_every_kill(data_dir: Path) -> None:
    """Server, supervisor, both, one backend: in turn, twice, while rows are written."""
    blows: tuple[Callable[[Path], None], ...] = (kill_server, kill_supervisor, kill_both, kill_one_of_the_server)
    with EmbeddedServer.start(data_dir) as server:
        with psycopg.connect(server.conninfo) as connection:
            connection.execute("CREATE TABLE proof (number bigint PRIMARY KEY)")
        writer = Writer(server.conninfo)
        writer.start()
        try:
            for blow in blows * 2:
                assert writer.went_on()
                blow(data_dir)
            assert writer.went_on()
        finally:
            writer.enough.set()
            writer.join()
        with psycopg.connect(server.conninfo) as connection:
            stored = {number for (number,) in connection.execute("SELECT number FROM proof")}
            (failures,) = connection.execute("SELECT sum(checksum_failures) FROM pg_stat_database").fetchone() or (1,)
    assert writer.acknowledged <= stored <= writer.unsure
    assert len(writer.acknowledged) > 90
    assert failures == 0
    wait_until(lambda: is_gone(data_dir), FEW_SECONDS)


@contextmanager
def computing(conninfo: str) -> Iterator[None]:
    """Have the server compute without end for a client, who leaves at the end of the context."""
    client = psycopg.connect(conninfo, autocommit=True)
    try:
        client.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
        client.pgconn.flush()
        with psycopg.connect(conninfo, autocommit=True) as other:
            active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'"
            wait_until(lambda: other.execute(active).fetchone() == (1,))
        yield
    finally:
        client.close()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize(
    "victims",
    ["command", "command supervisor", "command server", "command supervisor server", "supervisor server command"],
)
def test_nothing_outlives_a_killed_command(data_dir: Path, victims: str, busy: bool) -> None:
    """Whatever dies with the only command, in whatever order, the rest ends within seconds.

    A busy server computes without ever looking up: no message, no latch.
    """
    with Command(data_dir) as command:
        conninfo = command.conninfo
        numbers = {
            "command": command.process.pid,
            "supervisor": supervisor(data_dir),
            "server": postmaster(data_dir),
        }
        with computing(conninfo) if busy else nullcontext():
            kill(*(numbers[victim] for victim in victims.split()))
        wait_until(lambda: is_gone(data_dir), FEW_SECONDS)
    with EmbeddedServer.start(data_dir) as server, psycopg.connect(server.conninfo) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_that_computes_does_not_keep_the_server_down(data_dir: Path) -> None:
    """A process of a dead server that never looks up held its memory, and no new server could start."""
    with EmbeddedServer.start(data_dir) as server, computing(server.conninfo):
        kill_both(data_dir)
        wait_until(lambda: _answers(server.conninfo), 15.0)


def _answers(conninfo: str) -> bool:
    try:
        with psycopg.connect(conninfo) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_a_server_that_keeps_dying_comes_back(data_dir: Path) -> None:
    """Seven deaths in a row are more than one supervisor puts up with; the next one goes on for the command."""
    with EmbeddedServer.start(data_dir) as server:
        for _ in range(7):
            wait_until(lambda: _answers(server.conninfo), 30.0)
            kill_server(data_dir)
        wait_until(lambda: _answers(server.conninfo), 30.0)


def test_killed_while_the_database_is_made(data_dir: Path) -> None:
    """At any moment of the first start: the next command finds nothing half-made."""
    for moment in (0.05, 0.15, 0.25, 0.35, 0.5):
        command = Command(data_dir)
        wait_until((data_dir / "supervisor.json").exists, 20.0)
        time.sleep(moment)
        kill(supervisor(data_dir))
        command.kill()
        wait_until(lambda: is_gone(data_dir), FEW_SECONDS)
        if (cluster_of(data_dir) / "PG_VERSION").exists():
            break
        (data_dir / "supervisor.json").unlink()
    with EmbeddedServer.start(data_dir) as server:
        assert _answers(server.conninfo)
    assert not list(cluster_of(data_dir).parent.glob("cluster.partial-*"))
