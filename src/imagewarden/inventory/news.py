"""What a whole process wants to know before it answers: which projects' images changed, and whether identities did."""

from typing import NamedTuple

import psycopg
from psycopg.rows import tuple_row
from psycopg.types.numeric import Int8

from imagewarden.inventory.feed import IDENTITIES, IDENTITY, NEXT, FeedPosition, position_of

__all__ = ["News", "read_news"]

# Lookups of an index: of the transactions that came later, and of those that were open. Numbers stand in subqueries, so
# that one plan serves all of them.
_NEWS = f"""
SELECT {IDENTITY} AS identity, pg_current_snapshot()::text,
  %(xmax)s > {NEXT} OR EXISTS (
    SELECT FROM image_feed WHERE pruned_up_to >= (SELECT %(oldest)s::bigint) AND pruned_up_to < {NEXT}),
  ARRAY(SELECT project_id FROM image_change WHERE xid >= (SELECT %(xmax)s::bigint) AND xid < {NEXT}
        UNION SELECT project_id FROM image_change WHERE xid = ANY((SELECT %(in_progress)s::bigint[])::bigint[]))
"""  # noqa: S608 # constants


class News(NamedTuple):
    """What is visible and was not at an earlier position."""

    position: FeedPosition
    """The process's position from now on."""
    project_ids: list[str]
    """Projects whose images changed."""
    identities: bool
    """Whether users, roles, keys or projects changed, or a token was revoked."""
    everything: bool
    """Whether anything may have changed."""


async def read_news(connection: psycopg.AsyncConnection, position: FeedPosition | None) -> News:
    """Return what was committed since a position, None for a process that is new.

    The connection is in autocommit mode: each call sees all that was committed before it.
    """
    cursor = connection.cursor(row_factory=tuple_row, binary=True)
    since = position or FeedPosition("", 0, ())
    parameters = {
        "xmax": Int8(since.xmax),
        "oldest": Int8(since.oldest),
        "in_progress": "{" + ",".join(map(str, since.in_progress)) + "}",
    }
    await cursor.execute(_NEWS, parameters, prepare=True)
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 # a SELECT without FROM
    identity, snapshot, lost, told = row
    now = position_of(identity, snapshot)
    foreign = not now.identity or now.identity != since.identity
    return News(now, [each for each in told if each != IDENTITIES], IDENTITIES in told, lost or foreign)
