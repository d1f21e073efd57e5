"""One synchronisation of one registry, from its listing to the removal of what is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.vault import Vault
from imagewarden.inventory.registries import RegistryRecord, read_registry
from imagewarden.inventory.tables import registry
from imagewarden.model.errors import ImagewardenError
from imagewarden.registry.adapter import ProblemSource, RegistryAdapter
from imagewarden.sync.errors import SyncError
from imagewarden.sync.lock import RegistryLock, hold_registry
from imagewarden.sync.patience import Patience
from imagewarden.sync.progress import Progress, reported, storable, write
from imagewarden.sync.reading import RegistryReading
from imagewarden.sync.removal import remove_missing
from imagewarden.sync.repository import Reading
from imagewarden.sync.runs import SyncReport, fail_interrupted, now_ms, read_run, request_run
from imagewarden.sync.source import open_source, read_source
from imagewarden.sync.tables import sync_run

__all__ = ["sync_registry"]

_LOG = structlog.get_logger(__name__)


async def sync_registry(
    engine: AsyncEngine,
    vault: Vault,
    registry_id: str,
    *,
    run_id: int | None = None,
    adapter: RegistryAdapter | None = None,
) -> SyncReport:
    """Bring the image list in step with a registry; returns the finished run.

    `run_id` names a run that `request_run` made, None makes one; `adapter` replaces the registry's own. Failures of
    the registry are in the report; raises SyncAlreadyRunning, UnknownRegistry (also when it is removed meanwhile),
    LockLost, and what else is not the registry's doing (the run then says `failed`). Needs a pool of at least 4
    connections.
    """
    async with engine.connect() as connection:
        record = await read_registry(connection, registry_id)
    async with hold_registry(engine, record) as lock:
        try:
            async with engine.begin() as connection:
                number = run_id if run_id is not None else await request_run(connection, registry_id)
                await fail_interrupted(connection, registry_id, number)
                await connection.execute(
                    update(sync_run)
                    .where(sync_run.c.id == number)
                    .values(state="running", started_at=now_ms(), heartbeat_at=now_ms(), finished_at=None)
                )
            await _Run(engine, vault, record, number, adapter).run(lock)
        except IntegrityError:
            async with engine.connect() as connection:
                await read_registry(connection, registry_id)  # if it was removed, that is what happened
            raise
    async with engine.connect() as connection:
        await read_registry(connection, registry_id)
        return await read_run(connection, number)


class _Run:
    """A run that holds its registry's lock."""

    def __init__(
        self, engine: AsyncEngine, vault: Vault, record: RegistryRecord, run_id: int, adapter: RegistryAdapter | None
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._record = record
        self._adapter = adapter
        self._now = now_ms()
        self._progress = Progress(run_id)
        self._listed = False

    async def run(self, lock: RegistryLock) -> None:
        """Read the registry and write down how it went."""
        try:
            async with reported(self._engine, self._progress, lock):
                failure = await self._read()
                await lock.check()
                await self._remove()
        except BaseException as error:
            await self._finish_failed(error)
            raise
        await self._finish(*self._ending(failure))

    async def _read(self) -> ImagewardenError | None:
        """Read every repository; returns what kept the registry from being read as a whole."""
        try:
            source = read_source(self._record)
            async with self._opened() as adapter:
                reading = RegistryReading(
                    Reading(
                        engine=self._engine,
                        adapter=adapter,
                        selection=source.options.selection,
                        progress=self._progress,
                        places=asyncio.Semaphore(2 * source.options.concurrency),
                        patience=Patience(self._record.name),
                    ),
                    self._record,
                )
                try:
                    await reading.run()
                finally:
                    self._listed = reading.listed
        except ImagewardenError as error:
            return error
        return None

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[RegistryAdapter]:
        """Give the adapter; in the end, tell what it left out of listings."""
        adapter = self._adapter or open_source(read_source(self._record), self._vault)
        try:
            yield adapter
        finally:
            if isinstance(adapter, ProblemSource):
                for problem in adapter.take_problems():
                    self._progress.tell(problem.where, problem.code, problem.reason)
            if self._adapter is None:
                await adapter.close()

    async def _remove(self) -> None:
        """Remove what complete listings no longer show."""
        progress = self._progress
        async with self._engine.begin() as connection:
            removal = await remove_missing(connection, self._record.id, progress.run_id, self._now, listed=self._listed)
        progress.removed += removal.removed
        progress.held += removal.held
        for held in removal.scopes:
            progress.tell(
                held.where, "removal_held",
                f"{held.rows} of {held.of} images are gone from the listing, too many at once to be believed; "
                "they stay until the next synchronisation confirms it",
            )  # fmt: skip

    def _ending(self, failure: ImagewardenError | None) -> tuple[str, str | None, str | None]:
        """Return state, error code and sentence of a run that was not interrupted."""
        progress = self._progress
        found = progress.added + progress.changed + progress.unchanged + progress.skipped
        is_read = found > 0 or progress.repositories_done > progress.repositories_failed
        if failure is not None:
            code = getattr(failure, "code", type(failure).__name__)
            return "partial" if is_read else "failed", code, str(failure)
        if not progress.repositories_failed:
            return "succeeded", None, None
        if is_read:
            return "partial", None, None
        first = progress.problems[0]
        return (
            "failed",
            first.code,
            f"no repository could be read; the first, {first.where}, failed with: {first.error}",
        )

    async def _finish_failed(self, error: BaseException) -> None:
        """Write down the end of a run by something that is not the registry's doing, as far as the database lets us."""
        code, sentence = "interrupted", f"the synchronisation ended early ({type(error).__name__})"
        if isinstance(error, SyncError):
            code, sentence = type(error).__name__, str(error)
        try:
            await asyncio.shield(self._finish("failed", code, sentence))
        except SQLAlchemyError as another:
            _LOG.warning(
                "the end of a run could not be written", run=self._progress.run_id, kind=type(another).__name__
            )

    async def _finish(self, state: str, code: str | None, sentence: str | None) -> None:
        """Write down the end of the run."""
        sentence = None if sentence is None else storable(sentence[:500])
        _LOG.info("synchronised", registry=self._record.name, run=self._progress.run_id, state=state, reason=sentence)
        await write(self._engine, self._progress, state=state, finished_at=now_ms(), error_code=code, error=sentence)
        values: dict[str, int] = {"synced_at": now_ms()} if state != "failed" else {}
        if self._listed and self._record.catalog_completed_at is None:
            values["catalog_completed_at"] = self._now
        if values:
            async with self._engine.begin() as connection:
                await connection.execute(update(registry).where(registry.c.id == self._record.id).values(**values))
