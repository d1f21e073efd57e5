"""Random interleavings of three connections: what a reader was told of is all that changed since it last looked."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagewarden.inventory.feed import read_changes, start_position
from imagewarden.storage.database import Database
from tests.support.feed import OTHER, PROJECT, furnish, insert_images, listed, prune

WRITERS, READERS = 3, 3
# Rows that another connection holds are left alone: nothing may wait here.
_FREE = "id IN (SELECT id FROM image WHERE mod(id, 7) = %s FOR NO KEY UPDATE SKIP LOCKED)"
_ALONE = _FREE.replace("NO KEY UPDATE", "UPDATE")
_PARENTS = _FREE.replace("NO KEY UPDATE", "KEY SHARE")
_STATEMENTS = {
    "scan": f"UPDATE image SET size = size + 1, scan_status = 'success' WHERE {_FREE}",
    "seen": f"UPDATE image SET sync_run_id = sync_run_id + 1 WHERE {_FREE}",
    "bury": f"UPDATE image SET removed_at = 1 WHERE {_FREE}",
    "exhume": f"UPDATE image SET removed_at = NULL WHERE {_FREE}",
    "delete": f"DELETE FROM image WHERE {_ALONE}",
    "move": f"UPDATE image SET project_id = '{OTHER}', registry_id = 'r2' WHERE {_ALONE}",
    "return": f"UPDATE image SET project_id = '{PROJECT}', registry_id = 'r1' WHERE {_ALONE}",
    "add platforms": (
        "INSERT INTO image_platform (parent_id, position, digest, config_digest, os, architecture, variant, size)"
        f" SELECT id, 0, gen_random_uuid(), '', '', '', '', 0 FROM image WHERE {_PARENTS}"
    ),
    "remove platforms": f"DELETE FROM image_platform WHERE parent_id IN (SELECT id FROM image WHERE {_ALONE})",
    "rename": (
        "UPDATE registry SET name = 'registry ' || %s"
        " WHERE id IN (SELECT id FROM registry WHERE id = 'r1' FOR UPDATE SKIP LOCKED)"
    ),
}
_NAMED = b"SELECT id FROM registry WHERE id = 'r1' FOR KEY SHARE SKIP LOCKED"


class Follower:
    """A reader that keeps what it was told of, and compares it with the truth of the same snapshot."""

    def __init__(self, conninfo: str) -> None:
        self.connection = psycopg.connect(conninfo)
        self.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self.position = start_position(self.connection)
        self.known = listed(self.connection)
        self.connection.commit()

    def open(self) -> None:
        """Take a snapshot for a `look` that comes later."""
        self.connection.execute("SELECT")

    def look(self) -> None:
        """Catch up and compare."""
        truth = listed(self.connection)
        changes = read_changes(self.connection, self.position, PROJECT)
        self.connection.commit()
        self.position = changes.position
        if changes.everything:
            self.known = truth
        for number in changes.image_ids:
            self.known.pop(number, None)
            if number in truth:
                self.known[number] = truth[number]
        assert self.known == truth


class World:
    """All connections."""

    def __init__(self, database: Database) -> None:
        self.database = database
        patience = "-c lock_timeout=5s"  # a wait is a fault of the test's: nobody would end it
        self.writers = [psycopg.connect(database.conninfo, options=patience) for _ in range(WRITERS)]
        self.followers = [Follower(database.conninfo) for _ in range(READERS)]

    def write(self, who: int, what: str, value: int) -> None:
        """Have a writer do something; it is in a transaction until it ends it."""
        writer = self.writers[who]
        if what != "rename" and not writer.execute(_NAMED).fetchall():
            return  # another connection renames the registry, which images refer to
        if what == "insert":
            insert_images(writer, value + 1)
        elif what in {"released", "undone"}:
            writer.execute("SAVEPOINT s")
            writer.execute(_STATEMENTS["scan"].encode(), (value,))
            writer.execute(b"RELEASE s" if what == "released" else b"ROLLBACK TO s")
        else:
            writer.execute(_STATEMENTS[what].encode(), (value,))

    def end(self, who: int, how: str) -> None:
        """End a writer's transaction."""
        (self.writers[who].commit if how == "commit" else self.writers[who].rollback)()

    def read(self, who: int, how: str) -> None:
        """Have a follower take a snapshot, or look."""
        (self.followers[who].open if how == "open" else self.followers[who].look)()

    def prune(self) -> None:
        """Delete all that may be deleted."""
        asyncio.run(prune(self.database, kept=timedelta(0)))

    def finish(self) -> None:
        """End everything; all followers must know the truth then."""
        for writer in self.writers:
            writer.commit()
        for follower in self.followers:
            follower.look()
            follower.look()

    def close(self) -> None:
        """Close all connections."""
        for connection in (*self.writers, *(each.connection for each in self.followers)):
            connection.close()


def _step(method: Callable[..., None], *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(method), *arguments)


writers, readers = st.integers(0, WRITERS - 1), st.integers(0, READERS - 1)
STEPS = st.one_of(
    _step(World.write, writers, st.sampled_from(["insert", "released", "undone", *_STATEMENTS]), st.integers(0, 6)),
    _step(World.end, writers, st.sampled_from(["commit", "commit", "rollback"])),
    _step(World.read, readers, st.sampled_from(["look", "look", "open"])),
    _step(World.prune),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=10, max_size=60))
def _histories(database: Database, steps: list[tuple[Any, ...]]) -> None:
    world = World(database)
    try:
        for method, *arguments in steps:
            method(world, *arguments)
        world.finish()
    finally:
        world.close()


def test_histories(database: Database) -> None:
    furnish(database, 14)
    _histories(database)
