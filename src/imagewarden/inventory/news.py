"""What a whole process wants to know before it answers: which projects' images changed, and whether identities did."""

from typing import NamedTuple, Self

import msgspec

from imagewarden.inventory.feed import IDENTITIES, NEXT, SWITCHES, TABLES, FeedPosition, position_of
from imagewarden.inventory.question import Question

__all__ = ["News", "NewsReader"]

# Cheaper than the identity of the feed: what else that is made of changes only where the server starts anew, and then
# another of its processes answers. A connection may go by way of a pool, so that this one would not notice.
_IDENTITY = f"""
concat_ws(' ', pg_backend_pid(), pg_postmaster_start_time(), {TABLES}) || ' ' || ({SWITCHES})
"""

# Lookups of an index: of the transactions that came later, and of those that were open. Numbers stand in subqueries, so
# that one plan serves all of them.
_TYPES = "bigint, bigint, bigint[]"
_NEWS = f"""
SELECT {_IDENTITY}, pg_current_snapshot()::text,
  $1 > {NEXT} OR EXISTS (SELECT FROM image_feed WHERE pruned_up_to >= (SELECT $2) AND pruned_up_to < {NEXT}),
  (SELECT json_agg(project_id) FROM
     (SELECT project_id FROM image_change WHERE xid >= (SELECT $1) AND xid < {NEXT}
      UNION SELECT project_id FROM image_change WHERE xid = ANY((SELECT $3)::bigint[])) AS told)
"""  # noqa: S608 # constants


class News(NamedTuple):
    """What is visible and was not at an earlier position."""

    position: FeedPosition
    """The process's position from now on; good for the connection that told it."""
    project_ids: list[str]
    """Projects whose images changed."""
    identities: bool
    """Whether users, roles, keys or projects changed, or a token was revoked."""
    everything: bool
    """Whether anything may have changed."""


class NewsReader:
    """One connection that tells what is new; for one event loop, one question at a time."""

    def __init__(self, question: Question) -> None:
        """Take the question; see `connected`."""
        self._question = question

    @classmethod
    async def connected(cls, conninfo: str) -> Self:
        """Connect to the database; raises psycopg.Error."""
        return cls(await Question.prepared(conninfo, _TYPES, _NEWS))

    @property
    def closed(self) -> bool:
        """Whether the connection is no longer there."""
        return self._question.closed

    async def read(self, position: FeedPosition | None) -> News:
        """Return what was committed since a position, before this call; None, or another connection's: everything.

        Raises psycopg.Error.
        """
        since = position or FeedPosition("", 0, ())
        running = ",".join(map(str, since.in_progress))
        row = await self._question.ask((b"%d" % since.xmax, b"%d" % since.oldest, b"{%b}" % running.encode()))
        identity, snapshot, lost, told = row
        now = position_of(identity.decode() if identity else None, (snapshot or b"").decode())
        project_ids = msgspec.json.decode(told, type=list[str]) if told else []
        foreign = not now.identity or now.identity != since.identity
        identities = IDENTITIES in project_ids
        return News(now, [each for each in project_ids if each != IDENTITIES], identities, lost == b"t" or foreign)

    async def close(self) -> None:
        """Close the connection, whatever state it is in."""
        await self._question.close()
