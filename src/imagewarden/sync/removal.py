"""Rows whose tag is gone: removed on the strength of complete listings only, and many at once only after a second one.

A wrongly encoded name, a robot account that lost a project or a failing disk make registries answer with short
listings that look complete. So a listing that would remove more than 30 % of a scope, and at least 20 rows, is held:
its candidates are marked, and removed if the next complete listing still lacks them. Scopes are each repository and
the registry as a whole.
"""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.inventory.latest import refresh_latest
from imagewarden.model.reference import RepositoryName

__all__ = ["HELD_FROM_ROWS", "HELD_FROM_SHARE", "KEPT_MS", "Held", "Removal", "remove_missing"]

HELD_FROM_ROWS = 20
"""Fewest rows that are held back."""
HELD_FROM_SHARE = 0.3
"""Share of a scope's rows beyond which they are held back."""
KEPT_MS = 30 * 86_400_000
"""How long a tombstone is kept."""
SLICE = 10_000
"""Rows changed by one statement: the database bounds the time of each."""
_MOST_TOLD = 100

_PATH = "CASE WHEN i.namespace = '' THEN i.name ELSE i.namespace || '/' || i.name END"
_MISSING = text(f"""
CREATE TEMPORARY TABLE missing ON COMMIT DROP AS
SELECT i.id, i.namespace, i.name, i.is_latest, false AS held, i.missing_since IS NULL AS fresh,
       (row_number() OVER (ORDER BY i.id) - 1) / :slice AS slice
FROM image i
LEFT JOIN registry_repository r ON r.registry_id = i.registry_id AND r.repository = {_PATH}
WHERE i.registry_id = :registry AND i.removed_at IS NULL AND i.sync_run_id <> :run
  AND (r.completed_run_id = :run OR (:listed AND (r.repository IS NULL OR r.sync_run_id <> :run)))
""")  # noqa: S608 # a constant
_INDEX = text("CREATE INDEX ON missing (slice)")
_WHOLE = text("""
SELECT (SELECT count(*) FROM missing WHERE fresh) AS rows,
       (SELECT count(*) FROM image WHERE registry_id = :registry AND removed_at IS NULL) AS of,
       (SELECT max(slice) FROM missing) AS last
""")
_HOLD_WHOLE = text("UPDATE missing SET held = true WHERE fresh")
_HOLD_REPOSITORIES = text("""
WITH scope AS MATERIALIZED
  (SELECT f.namespace, f.name, f.rows, l.of FROM
    (SELECT namespace, name, count(*) AS rows FROM missing WHERE fresh GROUP BY namespace, name
     HAVING count(*) >= :rows) f
    JOIN LATERAL (SELECT count(*) AS of FROM image i WHERE i.registry_id = :registry AND i.removed_at IS NULL
                  AND i.namespace = f.namespace AND i.name = f.name) l ON f.rows > :share * l.of),
marked AS
  (UPDATE missing m SET held = true FROM scope s WHERE m.fresh AND (m.namespace, m.name) = (s.namespace, s.name))
SELECT namespace, name, rows, of FROM scope ORDER BY namespace, name
""")
_MARK = text("""
UPDATE image i SET missing_since = :now FROM missing m WHERE m.id = i.id AND m.slice = :slice AND m.held
""")
_REMOVE = text("""
UPDATE image i SET removed_at = :now, is_latest = false FROM missing m
WHERE m.id = i.id AND m.slice = :slice AND NOT m.held
""")
_HEADLESS = text("""
SELECT m.namespace, m.name FROM missing m WHERE m.is_latest AND NOT m.held AND EXISTS
  (SELECT FROM image i WHERE i.registry_id = :registry AND i.namespace = m.namespace AND i.name = m.name
   AND i.removed_at IS NULL)
""")
_FORGET = text("""
WITH forgotten AS
  (DELETE FROM registry_repository r WHERE r.registry_id = :registry AND r.sync_run_id <> :run AND NOT EXISTS
    (SELECT FROM image i WHERE i.registry_id = r.registry_id AND i.removed_at IS NULL
     AND i.namespace = CASE WHEN strpos(r.repository, '/') > 0 THEN split_part(r.repository, '/', 1) ELSE '' END
     AND i.name = substr(r.repository, strpos(r.repository, '/') + 1))
   RETURNING r.repository)
DELETE FROM skipped_tag s USING forgotten f WHERE s.registry_id = :registry AND s.repository = f.repository
""")
_PRUNE = text("""
DELETE FROM image WHERE id IN
  (SELECT id FROM image WHERE removed_at < :before AND registry_id = :registry LIMIT :slice)
""")


class Held(NamedTuple):
    """A scope whose removals wait for a second listing."""

    where: str
    """Repository; empty for the registry as a whole."""
    rows: int
    """Rows that wait."""
    of: int
    """Of how many."""


class Removal(NamedTuple):
    """What became of the rows that a run did not see."""

    removed: int
    """Rows removed."""
    held: int
    """Rows marked, for the next complete listing to confirm."""
    scopes: tuple[Held, ...]
    """Where, at most 100."""


async def remove_missing(
    connection: AsyncConnection, registry_id: str, run_id: int, now: int, *, listed: bool
) -> Removal:
    """Remove or hold the rows that a run should have seen and did not; for one transaction.

    These are rows of repositories whose listing of tags the run read to its end and, with `listed` (the listing of
    repositories came to its end), rows of repositories that were not listed. Repositories that are gone, and some of
    the rows that were removed a month ago or earlier, are forgotten.
    """
    scope = {"registry": registry_id, "run": run_id}
    await connection.execute(_MISSING, {**scope, "listed": listed, "slice": SLICE})
    await connection.execute(_INDEX)
    counts = (await connection.execute(_WHOLE, {"registry": registry_id})).one()
    held = await _hold(connection, registry_id, counts.rows, counts.of)
    removed = marked = 0
    for number in range(0 if counts.last is None else counts.last + 1):
        bounds = {"now": now, "slice": number}
        marked += (await connection.execute(_MARK, bounds)).rowcount if held else 0
        removed += (await connection.execute(_REMOVE, bounds)).rowcount
    for row in (await connection.execute(_HEADLESS, {"registry": registry_id})).all():
        await refresh_latest(connection, registry_id, RepositoryName(row.namespace, row.name))
    if listed:
        await connection.execute(_FORGET, scope)
    await connection.execute(_PRUNE, {"registry": registry_id, "before": now - KEPT_MS, "slice": SLICE})
    return Removal(removed, marked, held[:_MOST_TOLD])


async def _hold(connection: AsyncConnection, registry_id: str, rows: int, of: int) -> tuple[Held, ...]:
    """Mark the rows that are to be held back among the missing; returns their scopes."""
    if rows < HELD_FROM_ROWS:
        return ()
    if rows > HELD_FROM_SHARE * of:
        await connection.execute(_HOLD_WHOLE)
        return (Held("", rows, of),)
    bounds = {"registry": registry_id, "rows": HELD_FROM_ROWS, "share": HELD_FROM_SHARE}
    found = await connection.execute(_HOLD_REPOSITORIES, bounds)
    return tuple(Held(RepositoryName(row.namespace, row.name).path, row.rows, row.of) for row in found)
