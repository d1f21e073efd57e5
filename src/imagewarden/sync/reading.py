"""The repositories of a registry: read as they are listed, a few at a time, and what became of each written down."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert as upsert

from imagewarden.inventory.registries import RegistryRecord
from imagewarden.inventory.writer import Target
from imagewarden.model.errors import ImagewardenError
from imagewarden.model.reference import parse_repository
from imagewarden.model.registry_kind import IMAGE_TYPES
from imagewarden.registry.adapter import RegistryAdapter, RepositoryLister
from imagewarden.registry.errors import RegistryError
from imagewarden.registry.selection import Selection
from imagewarden.sync.progress import storable
from imagewarden.sync.repository import Reading, RepositorySync
from imagewarden.sync.runs import now_ms
from imagewarden.sync.tables import registry_repository
from imagewarden.sync.tasks import one_failure

__all__ = ["RegistryReading"]

_AT_ONCE = 4
_BATCH = 500


class RegistryReading:
    """Reads all repositories of a registry."""

    def __init__(self, shared: Reading, record: RegistryRecord) -> None:
        self._shared = shared
        self._record = record
        self._run_id = shared.progress.run_id
        self._waiting: asyncio.Queue[tuple[str, bool] | None] = asyncio.Queue(maxsize=_BATCH)
        self.listed = False
        """Whether the listing of repositories has come to its end."""

    async def run(self) -> None:
        """Read every repository that is listed and wanted; what was listed is read even when the listing breaks off.

        Raises RegistryError for a listing that broke off, RegistrySilent when the registry is given up. What a single
        repository fails with is written down with it, and told.
        """
        broken_off: ImagewardenError | None = None
        async with one_failure() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._work())
            try:
                await self._list()
            except ImagewardenError as error:
                broken_off = error
            for _ in range(_AT_ONCE):
                await self._waiting.put(None)
        if broken_off is not None:
            raise broken_off

    async def _list(self) -> None:
        """Queue the repositories as they are listed."""
        count = 0
        async for batch in _batches(_names(self._shared.adapter, self._shared.selection)):
            for item in await self._note(batch):
                await self._waiting.put(item)
                count += 1
        self._shared.progress.repositories_total = count
        self.listed = True

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
                    "sync_run_id": self._run_id,
                }
                for name in names
            ]
        )
        statement = statement.on_conflict_do_update(
            index_elements=["registry_id", "repository"], set_={"sync_run_id": statement.excluded.sync_run_id}
        )
        columns = registry_repository.c
        async with self._shared.engine.begin() as connection:
            rows = await connection.execute(
                statement.returning(columns.repository, columns.initial, columns.completed_at)
            )
            return [(row.repository, row.initial and row.completed_at is None) for row in rows]

    async def _work(self) -> None:
        """Read repositories from the queue until it ends."""
        while (item := await self._waiting.get()) is not None:
            await self._read(*item)

    async def _read(self, name: str, is_first: bool) -> None:
        """Read one repository; its failure is its own, unless the registry has stopped answering."""
        record, progress = self._record, self._shared.progress
        target = Target(
            project_id=record.project_id,
            enterprise_project_id=record.enterprise_project_id,
            registry_id=record.id,
            kind=IMAGE_TYPES[record.type],
            repository=parse_repository(name),
            run_id=self._run_id,
            now=now_ms(),
        )
        repository = RepositorySync(self._shared, target, is_first=is_first)
        broken_off: RegistryError | None = None
        try:
            await repository.run()
            self._shared.patience.answered()
        except RegistryError as error:
            broken_off = error
            progress.tell(name, error.code, str(error))
        progress.repositories_done += 1
        progress.repositories_failed += broken_off is not None or repository.failed_tags > 0
        await self._close(repository, target, broken_off)
        if broken_off is not None:
            self._shared.patience.failed(broken_off)

    async def _close(self, repository: RepositorySync, target: Target, broken_off: RegistryError | None) -> None:
        """Write down how a repository went; only one whose listing came to its end may lose rows."""
        failure = broken_off or repository.first_failure
        sentence = None if failure is None else str(failure)
        if broken_off is None and failure is not None:
            sentence = f"{repository.failed_tags} tags could not be read; the first failed with: {failure}"
        values: dict[str, object] = {
            "error_code": None if failure is None else failure.code,
            "error": None if sentence is None else storable(sentence[:500]),
        }
        if broken_off is None:
            values["completed_run_id"] = self._run_id
            if not repository.missed_in_passing:
                values["completed_at"] = target.now
        columns = registry_repository.c
        async with self._shared.engine.begin() as connection:
            await connection.execute(
                update(registry_repository)
                .where(columns.registry_id == self._record.id, columns.repository == target.repository.path)
                .values(values)
            )


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
