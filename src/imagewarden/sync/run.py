"""One synchronisation of one registry, from its listing to the removal of what is gone."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import structlog
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.vault import Vault
from imagewarden.inventory.latest import refresh_latest
from imagewarden.inventory.registries import RegistryRecord, read_registry
from imagewarden.inventory.tables import registry
from imagewarden.inventory.writer import Target
from imagewarden.model.errors import ImagewardenError
from imagewarden.model.reference import RepositoryName, parse_repository
from imagewarden.model.registry_kind import IMAGE_TYPES
from imagewarden.registry.adapter import ProblemSource, RegistryAdapter, RepositoryLister
from imagewarden.registry.errors import RegistryError, RegistryUnavailable
from imagewarden.registry.selection import Selection
from imagewarden.sync.lock import hold_registry
from imagewarden.sync.progress import Progress, reported, write
from imagewarden.sync.removal import prune_tombstones, remove_missing
from imagewarden.sync.repository import RepositorySync
from imagewarden.sync.runs import SyncReport, fail_interrupted, now_ms, read_run, request_run
from imagewarden.sync.source import open_source, read_source
from imagewarden.sync.tables import registry_repository, sync_run

__all__ = ["sync_registry"]

_LOG = structlog.get_logger(__name__)
_AT_ONCE = 4
_BATCH = 500
_GIVE_UP_AFTER = 8
"""Repositories in a row that the registry gives no answer for: it is down, and asking on would take hours."""


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
    the registry are in the report; raises SyncAlreadyRunning, UnknownRegistry, and what is not the registry's doing
    (the run then says `failed`). Needs a pool of at least 4 connections.
    """
    async with engine.connect() as connection:
        record = await read_registry(connection, registry_id)
    async with hold_registry(engine, record):
        async with engine.begin() as connection:
            number = run_id if run_id is not None else await request_run(connection, registry_id)
            await fail_interrupted(connection, registry_id, number)
            await connection.execute(
                update(sync_run)
                .where(sync_run.c.id == number)
                .values(state="running", started_at=now_ms(), heartbeat_at=now_ms(), finished_at=None)
            )
        await _Run(engine, vault, record, number, adapter).run()
    async with engine.connect() as connection:
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
        self._unanswered = 0
        self._listed = False

    async def run(self) -> None:
        """Read the registry and write down how it went."""
        state = "failed"
        error: BaseException | None = None
        try:
            async with reported(self._engine, self._progress):
                await self._read_all()
                await self._remove()
            state = "partial" if self._progress.repositories_failed else "succeeded"
        except ImagewardenError as failure:
            error = failure
            if self._progress.repositories_done > self._progress.repositories_failed:
                state = "partial"
                await self._remove()
        except BaseException as failure:
            error = failure
            raise
        finally:
            await asyncio.shield(self._finish(state, error))

    async def _read_all(self) -> None:
        """Open the adapter and read every repository; raises ImagewardenError for what concerns the whole registry."""
        source = read_source(self._record)
        adapter = self._adapter or open_source(source, self._vault)
        try:
            await self._read_repositories(adapter, source.options.selection)
        finally:
            if isinstance(adapter, ProblemSource):
                for problem in adapter.take_problems():
                    self._progress.tell(problem.where, problem.code, problem.reason)
            if self._adapter is None:
                await adapter.close()

    async def _read_repositories(self, adapter: RegistryAdapter, selection: Selection) -> None:
        """Read the repositories as they are listed, a few at a time."""
        waiting: asyncio.Queue[tuple[str, bool] | None] = asyncio.Queue(maxsize=_BATCH)

        async def work() -> None:
            while (item := await waiting.get()) is not None:
                await self._read_one(adapter, selection, *item)

        async def feed() -> None:
            count = 0
            async for batch in _batches(_names(adapter, selection)):
                for item in await self._note(batch):
                    await waiting.put(item)
                    count += 1
            self._progress.repositories_total = count
            self._listed = True

        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(work()) for _ in range(_AT_ONCE)]

                async def drain() -> None:
                    for _ in workers:
                        await waiting.put(None)
                    await asyncio.gather(*workers)

                try:
                    await feed()
                except ImagewardenError:
                    await drain()  # what was listed is read even when the listing breaks off
                    raise
                await drain()
        except* ImagewardenError as failures:
            raise _first(failures) from None

    async def _note(self, names: Sequence[str]) -> list[tuple[str, bool]]:
        """Write down which repositories were listed; returns each with whether it is read for the first time."""
        if not names:
            return []
        statement = upsert(registry_repository).values(
            [
                {
                    "registry_id": self._record.id,
                    "repository": name,
                    "initial": self._record.catalog_completed_at is None,
                    "sync_run_id": self._progress.run_id,
                }
                for name in names
            ]
        )
        statement = statement.on_conflict_do_update(
            index_elements=["registry_id", "repository"], set_={"sync_run_id": statement.excluded.sync_run_id}
        )
        columns = registry_repository.c
        async with self._engine.begin() as connection:
            rows = await connection.execute(
                statement.returning(columns.repository, columns.initial, columns.completed_at)
            )
            return [(row.repository, row.initial and row.completed_at is None) for row in rows]

    async def _read_one(self, adapter: RegistryAdapter, selection: Selection, name: str, is_first: bool) -> None:
        """Read one repository; its failure is its own, unless the registry has stopped answering."""
        repository = RepositorySync(
            self._engine, adapter, self._target(parse_repository(name)), selection, self._progress, is_first=is_first
        )
        failure: RegistryError | None = None
        try:
            await repository.run()
            self._unanswered = 0
        except RegistryError as error:
            failure = error
            self._progress.tell(name, error.code, str(error))
        self._progress.repositories_done += 1
        failed = failure is not None or repository.failures > 0
        self._progress.repositories_failed += failed
        await self._close_repository(name, failure, complete=not failed)
        if isinstance(failure, RegistryUnavailable):
            self._unanswered += 1
            if self._unanswered >= _GIVE_UP_AFTER:
                raise RegistryUnavailable(
                    f"registry {self._record.name} gave no answer for {self._unanswered} repositories in a row; "
                    "the rest was not read and stays as it was"
                )

    def _target(self, repository: RepositoryName) -> Target:
        """Return where a repository's rows are written."""
        record = self._record
        return Target(
            project_id=record.project_id,
            enterprise_project_id=record.enterprise_project_id,
            registry_id=record.id,
            kind=IMAGE_TYPES[record.type],
            repository=repository,
            run_id=self._progress.run_id,
            now=self._now,
        )

    async def _close_repository(self, name: str, failure: RegistryError | None, *, complete: bool) -> None:
        """Write down how a repository went; only a complete one may lose rows."""
        values: dict[str, object] = {
            "error_code": failure.code if failure else None,
            "error": str(failure)[:500] if failure else None,
        }
        if complete:
            values |= {"completed_at": self._now, "completed_run_id": self._progress.run_id}
        columns = registry_repository.c
        async with self._engine.begin() as connection:
            await connection.execute(
                update(registry_repository)
                .where(columns.registry_id == self._record.id, columns.repository == name)
                .values(values)
            )

    async def _remove(self) -> None:
        """Remove what complete listings no longer show."""
        record, progress = self._record, self._progress
        async with self._engine.begin() as connection:
            removal = await remove_missing(connection, record.id, progress.run_id, self._now, listed=self._listed)
            for namespace, name in removal.repositories:
                await refresh_latest(connection, record.id, RepositoryName(namespace, name))
            await prune_tombstones(connection, record.id, self._now)
        progress.removed += removal.removed
        progress.held += removal.held
        if removal.held:
            progress.tell(
                "", "removal_held",
                f"{removal.held} images are gone from the listing, too many at once to be believed; "
                "they stay until the next synchronisation confirms it",
            )  # fmt: skip

    async def _finish(self, state: str, error: BaseException | None) -> None:
        """Write down the end of the run."""
        code, sentence = None, None
        if isinstance(error, ImagewardenError):
            code, sentence = getattr(error, "code", type(error).__name__), str(error)[:500]
        elif error is not None:
            code, sentence = "interrupted", f"the synchronisation ended early ({type(error).__name__})"
        _LOG.info("synchronised", registry=self._record.name, run=self._progress.run_id, state=state, reason=sentence)
        await write(self._engine, self._progress, state=state, finished_at=now_ms(), error_code=code, error=sentence)
        values: dict[str, int] = {"synced_at": now_ms()} if state != "failed" else {}
        if self._listed and self._record.catalog_completed_at is None:
            values["catalog_completed_at"] = self._now
        if values:
            async with self._engine.begin() as connection:
                await connection.execute(update(registry).where(registry.c.id == self._record.id).values(**values))


async def _names(adapter: RegistryAdapter, selection: Selection) -> AsyncIterator[str]:
    """Yield the names of the wanted repositories: those configured, else those that the registry lists."""
    if selection.repositories:
        for name in dict.fromkeys(selection.repositories):
            yield parse_repository(name).path
        return
    if not isinstance(adapter, RepositoryLister):
        raise RegistryError("this registry cannot list its repositories; name them with --repository")
    async for name in adapter.repositories():
        if selection.wants_repository(name):
            yield name


async def _batches(names: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    """Yield names in batches, each name once a batch; what came before an error is yielded before it is raised."""
    batch: dict[str, None] = {}
    failure: ImagewardenError | None = None
    try:
        async for name in names:
            batch[name] = None
            if len(batch) >= _BATCH:
                yield list(batch)
                batch = {}
    except ImagewardenError as error:
        failure = error
    yield list(batch)
    if failure is not None:
        raise failure


def _first(failures: BaseExceptionGroup[ImagewardenError]) -> ImagewardenError:
    """Return the first error of a group."""
    found = failures.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
