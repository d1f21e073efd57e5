"""Rows whose tag is gone: removed on the strength of complete listings only, and many at once only after a second one.

A wrongly encoded name, a robot account that lost a project or a failing disk make registries answer with short
listings that look complete. So a listing that would remove more than 30 % of a scope, and at least 20 rows, is held:
its candidates are marked, and removed if the next complete listing still lacks them. Scopes are each repository and
the registry as a whole.
"""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["HELD_FROM_ROWS", "HELD_FROM_SHARE", "KEPT_MS", "Removal", "prune_tombstones", "remove_missing"]

HELD_FROM_ROWS = 20
"""Fewest rows that are held back."""
HELD_FROM_SHARE = 0.3
"""Share of a scope's rows beyond which they are held back."""
KEPT_MS = 30 * 86_400_000
"""How long a tombstone is kept."""

_PATH = "CASE WHEN i.namespace = '' THEN i.name ELSE i.namespace || '/' || i.name END"
_MISSING = text(f"""
CREATE TEMPORARY TABLE missing ON COMMIT DROP AS
SELECT i.id, i.namespace, i.name, i.missing_since IS NOT NULL AS confirmed
FROM image i
LEFT JOIN registry_repository r ON r.registry_id = i.registry_id AND r.repository = {_PATH}
WHERE i.registry_id = :registry AND i.removed_at IS NULL AND i.sync_run_id <> :run
  AND (r.completed_run_id = :run OR (:listed AND (r.repository IS NULL OR r.sync_run_id <> :run)))
""")  # noqa: S608 # a constant
_TOO_MANY = """
SELECT f.namespace, f.name FROM
  (SELECT namespace, name, count(*) AS fresh FROM missing WHERE NOT confirmed GROUP BY namespace, name) f
  JOIN LATERAL (SELECT count(*) AS live FROM image i WHERE i.registry_id = :registry AND i.removed_at IS NULL
                AND i.namespace = f.namespace AND i.name = f.name) l ON true
WHERE f.fresh >= :rows AND f.fresh > :share * l.live
"""
_HOLD = text(f"""
UPDATE image i SET missing_since = :now FROM missing m
WHERE m.id = i.id AND NOT m.confirmed AND (:whole OR (m.namespace, m.name) IN ({_TOO_MANY}))
RETURNING i.id
""")  # noqa: S608 # a constant
_REMOVE = text("""
UPDATE image i SET removed_at = :now, is_latest = false FROM missing m WHERE m.id = i.id AND NOT m.id = ANY(:held)
RETURNING i.namespace, i.name
""")
_COUNT = text("""
SELECT (SELECT count(*) FROM missing WHERE NOT confirmed) AS fresh,
       (SELECT count(*) FROM image WHERE registry_id = :registry AND removed_at IS NULL) AS live
""")
_FORGET = text("""
DELETE FROM registry_repository r WHERE r.registry_id = :registry AND r.sync_run_id <> :run AND NOT EXISTS
  (SELECT FROM image i WHERE i.registry_id = r.registry_id AND i.removed_at IS NULL
   AND i.namespace = CASE WHEN strpos(r.repository, '/') > 0 THEN split_part(r.repository, '/', 1) ELSE '' END
   AND i.name = substr(r.repository, strpos(r.repository, '/') + 1))
""")
_PRUNE = text("""
DELETE FROM image WHERE id IN
  (SELECT id FROM image WHERE removed_at < :before AND registry_id = :registry LIMIT 10000)
""")


class Removal(NamedTuple):
    """What became of the rows that a run did not see."""

    removed: int
    """Rows removed."""
    held: int
    """Rows marked, for the next complete listing to confirm."""
    repositories: frozenset[tuple[str, str]]
    """(namespace, name) of the repositories that lost rows."""


async def remove_missing(
    connection: AsyncConnection, registry_id: str, run_id: int, now: int, *, listed: bool
) -> Removal:
    """Remove or hold the rows that a run should have seen and did not; for one transaction.

    These are rows of repositories that the run read completely and, with `listed` (the listing of repositories was
    complete), rows of repositories that were not listed.
    """
    scope = {"registry": registry_id, "run": run_id}
    await connection.execute(_MISSING, {**scope, "listed": listed})
    counts = (await connection.execute(_COUNT, {"registry": registry_id})).one()
    whole = counts.fresh >= HELD_FROM_ROWS and counts.fresh > HELD_FROM_SHARE * counts.live
    bounds = {"registry": registry_id, "rows": HELD_FROM_ROWS, "share": HELD_FROM_SHARE}
    held = [row.id for row in await connection.execute(_HOLD, {**bounds, "now": now, "whole": whole})]
    gone = (await connection.execute(_REMOVE, {"now": now, "held": held})).all()
    if listed:
        await connection.execute(_FORGET, scope)
    return Removal(len(gone), len(held), frozenset((row.namespace, row.name) for row in gone))


async def prune_tombstones(connection: AsyncConnection, registry_id: str, now: int) -> int:
    """Forget some of the rows that were removed a month ago or earlier; returns how many."""
    done = await connection.execute(_PRUNE, {"registry": registry_id, "before": now - KEPT_MS})
    return done.rowcount
