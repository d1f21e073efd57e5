"""The change feed: which images changed since a read model last looked.

Triggers note every change of the image list in `image_change`, in the transaction that makes it and under that
transaction's number. A position is the snapshot of the database that a reader saw: of transactions below `xmax` it
saw those that were not in progress, of later ones none (PostgreSQL, "pg_snapshot components"). What it has not seen
is what is visible now and was not then, whatever the order in which transactions got their numbers and ended.

A position is worth something only where numbers are not given out twice. `identity` changes wherever that could
have happened, or changes could have gone unnoticed, and a reader starts anew:

- another database, a copy, a restored dump, an emptied feed: the files of the feed's tables and the ids of the others;
- a standby that took over, a recovery to a point in time: the timeline;
- a crash of the server, which may give the numbers of transactions again whose end had not reached the disk: the
  server resets its statistics then, and the tables of the feed, which are not logged;
- triggers that were switched off: the versions of their rows in the catalogue. While one is off, no identity fits.
"""

from datetime import timedelta
from typing import NamedTuple

import msgspec
import psycopg
from psycopg.rows import tuple_row
from psycopg.types.numeric import Int8
from sqlalchemy import Interval, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = [
    "IDENTITIES",
    "KEPT",
    "NEXT",
    "READ",
    "SWITCHES",
    "TABLES",
    "Changes",
    "FeedPosition",
    "changes_of",
    "parameters_of",
    "position_of",
    "prune_changes",
    "read_changes",
    "start_position",
]

KEPT = timedelta(hours=1)
"""How long changes are kept at least: a model that was not refreshed for longer may have to be built again."""

IDENTITIES = ""
"""In place of a project's id: changes of users, roles, projects and tokens (migration 0003)."""
_TRIGGERS = 10
"""How many triggers feed `image_change`: migration 0002."""
_PRUNE_LOCK = 0x66656564  # "feed": one that prunes at a time
_SLICE = 20_000
"""Rows deleted by one statement: the database bounds the time of each."""

TABLES = """
pg_relation_filepath('image_change'), pg_relation_filepath('image_feed'),
'image'::regclass::oid, 'image_platform'::regclass::oid, 'registry'::regclass::oid
"""
"""What changes where a table is made anew or emptied."""

SWITCHES = f"""
SELECT CASE WHEN count(*) = {_TRIGGERS} THEN sum(xmin::text::bigint) END FROM pg_trigger
WHERE tgrelid IN ('image'::regclass, 'image_platform'::regclass, 'registry'::regclass)
  AND starts_with(tgname::text, 'tell_') AND tgenabled IN ('A', 'O')
"""  # noqa: S608 # constants
"""What changes where a trigger is switched off or on, NULL while one is off or missing."""

_IDENTITY = f"""
concat_ws(' ', {TABLES}, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))
|| ' ' || (SELECT extract(epoch FROM stats_reset) FROM pg_stat_archiver) || ' ' || ({SWITCHES})
"""  # noqa: S608 # constants

# Numbers from here on can only be another cluster's, which came with a dump: whatever is visible has a lower one.
NEXT = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"

# Two lookups of the index, one for each part. Numbers stand in subqueries, where the planner does not look at them: it
# would find a plan made for the very numbers cheaper each time, and making it takes longer than the question.
_TOLD = f"""
SELECT image_ids FROM image_change
WHERE project_id = %(project_id)s AND xid >= (SELECT %(xmax)s::bigint) AND xid < {NEXT}
UNION ALL
SELECT image_ids FROM image_change
WHERE project_id = %(project_id)s AND xid = ANY((SELECT %(in_progress)s::bigint[])::bigint[])
"""  # noqa: S608 # constants

_LOST = f"""
(({_IDENTITY}) = %(identity)s) IS NOT TRUE OR %(xmax)s > {NEXT}
OR EXISTS (SELECT FROM image_feed
           WHERE project_id = %(project_id)s AND pruned_up_to >= (SELECT %(oldest)s::bigint) AND pruned_up_to < {NEXT})
"""

_POSITION = f"SELECT {_IDENTITY} AS identity, pg_current_snapshot()::text AS snapshot"

READ = f"""
WITH told AS MATERIALIZED ({_TOLD})
{_POSITION}, {_LOST} OR EXISTS (SELECT FROM told WHERE image_ids IS NULL) AS everything,
  ARRAY(SELECT DISTINCT unnest(image_ids) AS id FROM told ORDER BY id) AS image_ids
"""  # noqa: S608 # constants
"""What a reader at a position did not see, of one project; takes `parameters_of`, gives what `changes_of` takes."""

_FOREIGN_FEED = text(f"DELETE FROM image_feed WHERE pruned_up_to >= {NEXT}")  # noqa: S608 # a constant

# A later transaction sees all that a transaction below the horizon did: no position that is still to come needs it.
_PRUNE = text(f"""
WITH now AS MATERIALIZED
  (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon, {NEXT} AS next),
pruned AS
  (DELETE FROM image_change WHERE ctid = ANY(ARRAY(
     SELECT ctid FROM image_change, now
     WHERE (changed_at < clock_timestamp() - :kept AND xid < horizon)
        OR (xid >= next AND xid IS DISTINCT FROM pg_current_xact_id_if_assigned()::text::bigint)
     LIMIT {_SLICE}))
   RETURNING project_id, xid),
noted AS
  (INSERT INTO image_feed (project_id, pruned_up_to)
   SELECT project_id, max(xid) FROM pruned, now WHERE xid < horizon GROUP BY project_id ORDER BY project_id
   ON CONFLICT (project_id) DO UPDATE SET pruned_up_to = greatest(image_feed.pruned_up_to, excluded.pruned_up_to))
SELECT count(*) FROM pruned
""").bindparams(bindparam("kept", type_=Interval))  # noqa: S608 # constants


class FeedPosition(msgspec.Struct, frozen=True):
    """What of a database a reader has seen."""

    identity: str
    """Which database it was, in which run of its numbers; empty where that could not be told, which fits none."""
    xmax: int
    """No transaction from this number on was seen."""
    in_progress: tuple[int, ...]
    """Transactions below `xmax` that were not seen either, ascending."""

    @property
    def oldest(self) -> int:
        """Number of the first transaction that was not seen."""
        return min(self.in_progress, default=self.xmax)


class Changes(NamedTuple):
    """What is visible of a project's changes, and was not at an earlier position."""

    position: FeedPosition
    """The reader's position once it has seen these."""
    image_ids: list[int]
    """Images that are new, changed or gone, ascending, each once; some may be as they were. Empty for `everything`."""
    everything: bool
    """Whether any image may have changed: the reader starts anew."""


def position_of(identity: str | None, snapshot: str) -> FeedPosition:
    """Return a position from PostgreSQL's text of a snapshot, `xmin:xmax:xip,xip`."""
    _, xmax, running = snapshot.split(":")
    return FeedPosition(identity or "", int(xmax), tuple(int(each) for each in running.split(",") if each))


def parameters_of(project_id: str, position: FeedPosition) -> dict[str, object]:
    """Return the parameters of a question; of the same types whatever the numbers, so that one plan serves."""
    return {
        "project_id": project_id,
        "identity": position.identity,
        "xmax": Int8(position.xmax),
        "oldest": Int8(position.oldest),
        "in_progress": "{" + ",".join(map(str, position.in_progress)) + "}",
    }


def start_position(connection: psycopg.Connection) -> FeedPosition:
    """Return the position of one that reads all images in the transaction at hand, which is REPEATABLE READ."""
    row = connection.cursor(row_factory=tuple_row).execute(_POSITION).fetchone()
    assert row is not None  # noqa: S101 # a SELECT without FROM
    return position_of(*row)


def read_changes(connection: psycopg.Connection, position: FeedPosition, project_id: str) -> Changes:
    """Return what the transaction at hand, which is REPEATABLE READ, sees and a reader at `position` did not.

    Nothing is missing from it; images may be in it that the reader would find unchanged.
    """
    cursor = connection.cursor(row_factory=tuple_row, binary=True)
    row = cursor.execute(READ, parameters_of(project_id, position)).fetchone()
    assert row is not None  # noqa: S101 # a SELECT without FROM
    return changes_of(*row)


def changes_of(identity: str | None, snapshot: str, everything: bool, image_ids: list[int]) -> Changes:  # a row
    """Return what a row of READ tells."""
    return Changes(position_of(identity, snapshot), [] if everything else image_ids, everything)


async def prune_changes(connection: AsyncConnection, kept: timedelta = KEPT) -> int:
    """Delete changes older than `kept`, unless a transaction that began before still runs; returns how many.

    Readers at positions that would need them start anew. For one transaction, which others do not wait for: where
    another one prunes, nothing is done.
    """
    if not (await connection.execute(text(f"SELECT pg_try_advisory_xact_lock({_PRUNE_LOCK})"))).scalar_one():
        return 0
    await connection.execute(_FOREIGN_FEED)
    total = 0
    while True:
        deleted: int = (await connection.execute(_PRUNE, {"kept": kept})).scalar_one()
        total += deleted
        if deleted < _SLICE:
            return total
