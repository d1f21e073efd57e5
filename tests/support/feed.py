"""A database with two projects for tests of the change feed, and a reader that follows one of them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import msgspec
import psycopg
from psycopg.rows import tuple_row

from imagewarden.inventory.feed import Changes, prune_changes, read_changes, start_position
from imagewarden.inventory.news import News, NewsReader
from imagewarden.storage.database import Database

__all__ = ["OTHER", "PROJECT", "Reader", "furnish", "insert_images", "listed", "prune", "snapshot"]

PROJECT, OTHER = "1" * 32, "2" * 32

_PLACES = """
INSERT INTO domain (id, name, created_at) VALUES ('d', 'd', 0);
INSERT INTO enterprise_project (domain_id, id, name) VALUES ('d', '0', 'default');
INSERT INTO project (id, domain_id, name, created_at) SELECT repeat(n, 32), 'd', n, 0 FROM unnest('{1,2}'::text[]) AS n;
INSERT INTO registry (id, project_id, domain_id, name, type, url, created_at)
SELECT 'r' || n, repeat(n, 32), 'd', 'registry', 'Other', 'https://registry.example.test', 0
FROM unnest('{1,2}'::text[]) AS n;
"""
_INSERT = """
INSERT INTO image (project_id, registry_id, namespace, name, tag, digest, config_digest, kind, media_type, size,
                   scannable, is_index, updated_at, synced_at, sync_run_id, removed_at)
SELECT %(project)s, 'r' || left(%(project)s, 1), '', 'name', gen_random_uuid(), '', '', 'other', '', 0, true, false,
       0, 0, 1, %(removed_at)s
FROM generate_series(1, %(count)s) RETURNING id
"""
_LISTED = """
SELECT i.id, i.size, i.scan_status, r.name, ARRAY(SELECT p.digest FROM image_platform p WHERE p.parent_id = i.id
                                                  ORDER BY p.digest)
FROM image i JOIN registry r ON r.id = i.registry_id WHERE i.project_id = %s AND i.removed_at IS NULL
"""


def furnish(database: Database, images: int = 5) -> list[int]:
    """Make two projects with a registry each, and images in the first; returns their ids."""
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(_PLACES)
        return insert_images(connection, images)


def insert_images(
    connection: psycopg.Connection, count: int, project: str = PROJECT, removed_at: int | None = None
) -> list[int]:
    """Insert images with one statement; returns their ids."""
    cursor = connection.cursor(row_factory=tuple_row)
    cursor.execute(_INSERT, {"project": project, "count": count, "removed_at": removed_at})
    return sorted(row[0] for row in cursor)


def listed(connection: psycopg.Connection, project: str = PROJECT) -> dict[int, Any]:
    """Return what a list shows of a project's images, by id."""
    return {row[0]: row[1:] for row in connection.execute(_LISTED, (project,))}


@contextmanager
def snapshot(connection: psycopg.Connection) -> Iterator[None]:
    """Have all that is read inside come from one state of the database."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        yield


async def prune(database: Database, **arguments: Any) -> int:
    """Prune in a transaction of its own."""
    engine = database.engine(pool_size=1)
    try:
        async with engine.begin() as connection:
            return await prune_changes(connection, **arguments)
    finally:
        await engine.dispose()


class Reader:
    """One that follows a project's changes, and checks first whether there are any."""

    def __init__(self, database: Database, project: str = PROJECT) -> None:
        self.project = project
        self.connection = psycopg.connect(database.conninfo)
        self._runner = asyncio.Runner()
        self._asking = self._runner.run(NewsReader.connected(database.conninfo))
        self._told = self._runner.run(self._asking.read(None)).position
        with snapshot(self.connection):
            self.position = start_position(self.connection)
        self._identity = self.position.identity

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self._runner.run(self._asking.close())
        self._runner.close()

    def news(self) -> News:
        """Return what a process at the reader's position finds when it checks."""
        foreign = self.position.identity != self._identity
        position = msgspec.structs.replace(self.position, identity=self._told.identity)
        news = self._runner.run(self._asking.read(None if foreign else position))
        self._told = news.position
        return news

    def look(self) -> Changes:
        """Read what is new; nothing else may happen meanwhile."""
        news = self.news()
        with snapshot(self.connection):
            changes = read_changes(self.connection, self.position, self.project)
        assert (news.position.xmax, news.position.in_progress) == (changes.position.xmax, changes.position.in_progress)
        assert changes.everything or (self.project in news.project_ids) == bool(changes.image_ids)
        assert changes.everything <= (news.everything or self.project in news.project_ids)
        self.position, self._identity = changes.position, changes.position.identity
        return changes

    def ids(self) -> list[int]:
        """Return the ids of `look`, which must not be everything."""
        changes = self.look()
        assert not changes.everything
        return changes.image_ids
