"""A few changed rows in one statement: what most refreshes read, with one way to the database and back.

A transaction of its own for the changes and their rows takes four, which is most of the time that a refresh takes.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from imagewarden.inventory.copying import RECORD_SQL
from imagewarden.inventory.feed import READ, Changes, FeedPosition, changes_of, parameters_of
from imagewarden.inventory.records import Record
from imagewarden.inventory.rows import ImageRow

__all__ = ["FEW", "read_few_changes"]

FEW = 64
"""More rows than this are not put together as JSON."""

_STATEMENT = (
    sql.SQL("""
WITH news AS MATERIALIZED ({read})
SELECT news.*, CASE WHEN NOT everything AND cardinality(image_ids) <= {few} THEN (
  SELECT coalesce(json_agg(record ORDER BY id), '[]')::text FROM (
    SELECT i.id, json_build_array({fields}) AS record FROM image i JOIN registry r ON r.id = i.registry_id
    WHERE i.project_id = %(project_id)s AND i.removed_at IS NULL AND i.id = ANY(news.image_ids)) AS rows) END
FROM news
""")
    .format(read=sql.SQL(READ), few=FEW, fields=RECORD_SQL)
    .as_bytes()
)


def read_few_changes(
    connection: psycopg.Connection, position: FeedPosition, project_id: str
) -> tuple[Changes, list[Record] | None]:
    """Return what a reader at `position` did not see of a project, and the changed rows that are live, by id.

    None for the rows where there are more than FEW, or any may have changed. The connection is in autocommit mode:
    one statement sees one state of the database.
    """
    cursor = connection.cursor(row_factory=tuple_row, binary=True)
    row = cursor.execute(_STATEMENT, parameters_of(project_id, position)).fetchone()
    assert row is not None  # noqa: S101 # one row of news
    *told, records = row
    return changes_of(*told), None if records is None else _records(msgspec.json.decode(records))


def _records(rows: Iterable[list[Any]]) -> list[Record]:
    """Return rows by the values of their fields."""
    return [Record(ImageRow(*values[:-1]), values[-1]) for values in rows]
