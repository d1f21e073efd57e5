"""Synchronising registries here and now, or following the process that does."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagewarden.cli.session import Session
    from imagewarden.inventory.registries import RegistryRecord
    from imagewarden.sync.runs import SyncReport

__all__ = ["sync_all"]

_POLL_SECONDS = 0.3
_SILENT_POLLS = 40
"""Polls without a change, about 12 s, after which it is asked whether the process that is followed still lives."""
_AT_ONCE = 4

Watch = Callable[["SyncReport"], None]


async def sync_all(session: "Session", records: "Sequence[RegistryRecord]", watch: Watch) -> "list[SyncReport]":
    """Bring registries in step, a few at a time; returns their finished runs, in order.

    `watch` gets each run as it stands, several times a second.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(record: "RegistryRecord") -> "SyncReport":
        async with places:
            report = await _sync(session, record, watch)
            watch(report)
            return report

    return list(await asyncio.gather(*(one(record) for record in records)))


async def _sync(session: "Session", record: "RegistryRecord", watch: Watch) -> "SyncReport":
    """Synchronise a registry, unless somebody does: then follow, and take over when that one dies."""
    from imagewarden.sync.errors import SyncAlreadyRunning
    from imagewarden.sync.run import sync_registry

    while True:
        work = asyncio.create_task(sync_registry(session.engine, session.vault, record.id))
        looking = asyncio.create_task(_look(session, record, watch))
        try:
            return await work
        except SyncAlreadyRunning as busy:
            run_id = busy.run_id
        finally:  # what looking ran into, if anything, the work runs into as well
            for task in (work, looking):
                task.cancel()
            await asyncio.gather(work, looking, return_exceptions=True)
        followed = None if run_id is None else await _follow(session, run_id, watch)
        if followed is not None:
            return followed
        await asyncio.sleep(_POLL_SECONDS)


async def _look(session: "Session", record: "RegistryRecord", watch: Watch) -> None:
    """Show the registry's running run for as long as there is one."""
    from imagewarden.sync.runs import read_run, running_run

    while True:
        await asyncio.sleep(_POLL_SECONDS)
        async with session.engine.connect() as connection:
            run_id = await running_run(connection, record.id)
            if run_id is not None:
                watch(await read_run(connection, run_id))


async def _follow(session: "Session", run_id: int, watch: Watch) -> "SyncReport | None":
    """Show another process's run until it has finished; None when nothing has been heard of it for a while."""
    from imagewarden.sync.runs import FINISHED, read_run

    last, silent = None, 0
    while silent < _SILENT_POLLS:
        async with session.engine.connect() as connection:
            report = await read_run(connection, run_id)
        watch(report)
        if report.state in FINISHED:
            return report
        silent = silent + 1 if report == last else 0
        last = report
        await asyncio.sleep(_POLL_SECONDS)
    return None
