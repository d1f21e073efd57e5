"""Runs of synchronisations: asked for, followed, and read afterwards."""

import time
from typing import Any

import msgspec
from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.inventory.tables import registry
from imagewarden.sync.errors import UnknownRun
from imagewarden.sync.tables import sync_run

__all__ = [
    "FINISHED",
    "SyncProblem",
    "SyncReport",
    "fail_interrupted",
    "latest_runs",
    "now_ms",
    "read_run",
    "request_run",
    "running_run",
]

FINISHED = frozenset(("succeeded", "partial", "failed"))
"""States in which nothing more happens to a run."""


class SyncProblem(msgspec.Struct, frozen=True):
    """Something a user should know of a run."""

    where: str
    """Repository, with tag where it is about one."""
    code: str
    """A short stable word."""
    error: str
    """One sentence."""


class SyncReport(msgspec.Struct, frozen=True):
    """A run as it stands; fields in the order of the SELECT below."""

    id: int
    """Id of the run."""
    registry_id: str
    """The registry."""
    registry_name: str
    """Its name."""
    state: str
    """waiting, running, succeeded, partial or failed."""
    created_at: int
    """When it was asked for, ms."""
    started_at: int | None
    """When it began, ms."""
    finished_at: int | None
    """When it ended, ms."""
    repositories_total: int | None
    """Repositories to read; None until their listing has ended."""
    repositories_done: int
    """Repositories read, whole or in part."""
    repositories_failed: int
    """Of these, how many could not be read as a whole."""
    tags_seen: int
    """Tags the registry listed and the configuration wants."""
    added: int
    """New rows."""
    changed: int
    """Rows whose tag had moved."""
    removed: int
    """Rows whose tag is gone."""
    unchanged: int
    """Rows as they were."""
    held: int
    """Removals that wait for a second listing."""
    skipped: int
    """Tags that hold no image."""
    error_code: str | None
    """Why the run failed as a whole, in a word."""
    error: str | None
    """The same in a sentence."""
    problems: list[SyncProblem]
    """What else went wrong, at most 100."""


_FIELDS = [
    registry.c.name.label("registry_name") if field == "registry_name" else sync_run.c[field]
    for field in SyncReport.__struct_fields__
]


def now_ms() -> int:
    """Return the time, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def _report(row: Row[*tuple[Any, ...]]) -> SyncReport:
    """Return a row as a report."""
    return msgspec.convert(dict(zip(SyncReport.__struct_fields__, row, strict=True)), SyncReport)


async def request_run(connection: AsyncConnection, registry_id: str) -> int:
    """Write down that a registry is to be synchronised; returns the run's id."""
    statement = insert(sync_run).values(registry_id=registry_id, state="waiting", created_at=now_ms())
    return int((await connection.execute(statement.returning(sync_run.c.id))).scalar_one())


async def read_run(connection: AsyncConnection, run_id: int) -> SyncReport:
    """Return a run; raises UnknownRun."""
    row = (
        await connection.execute(select(*_FIELDS).join_from(sync_run, registry).where(sync_run.c.id == run_id))
    ).first()
    if row is None:
        raise UnknownRun(f"there is no synchronisation {run_id}; its registry was removed")
    return _report(row)


async def latest_runs(connection: AsyncConnection, project_id: str) -> list[SyncReport]:
    """Return the last run of each registry of a project, by the registry's name."""
    last = select(func.max(sync_run.c.id)).group_by(sync_run.c.registry_id)
    rows = await connection.execute(
        select(*_FIELDS)
        .join_from(sync_run, registry)
        .where(registry.c.project_id == project_id, sync_run.c.id.in_(last))
        .order_by(registry.c.name)
    )
    return [_report(row) for row in rows]


async def running_run(connection: AsyncConnection, registry_id: str) -> int | None:
    """Return the newest run of a registry that says it is running."""
    statement = select(func.max(sync_run.c.id)).where(
        sync_run.c.registry_id == registry_id, sync_run.c.state == "running"
    )
    found: int | None = (await connection.execute(statement)).scalar_one()
    return found


async def fail_interrupted(connection: AsyncConnection, registry_id: str, run_id: int) -> None:
    """Close the books of runs whose process died: only the holder of the registry's lock may say so."""
    await connection.execute(
        update(sync_run)
        .where(sync_run.c.registry_id == registry_id, sync_run.c.state == "running", sync_run.c.id != run_id)
        .values(
            state="failed", finished_at=now_ms(), error_code="interrupted", error="the process that ran it ended early"
        )
    )
