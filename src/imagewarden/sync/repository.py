"""One repository: its tags, batch by batch, each batch in a fixed number of statements."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagewarden.artifact.manifest import MalformedManifest
from imagewarden.inventory.latest import refresh_latest
from imagewarden.inventory.writer import (
    ImageFacts,
    KnownTag,
    Target,
    known_tags,
    mark_seen,
    touch,
    write_images,
)
from imagewarden.model.digest import Digest
from imagewarden.registry.adapter import RegistryAdapter, TagRecord, Unchanged
from imagewarden.registry.errors import ManifestNotFound, RegistryError, RegistryUnavailable
from imagewarden.registry.selection import NewestTags, Selection
from imagewarden.sync.progress import Progress, storable
from imagewarden.sync.resolve import NoImage, Resolved, resolve
from imagewarden.sync.skips import SkippedTag, forget_skips, known_skips, touch_skips, write_skips

__all__ = ["BATCH", "RepositorySync"]

BATCH = 500
"""Tags handled together."""
_EARLIEST_CREATED = 1_356_998_400_000  # 2013-01-01, the year of the first container registry
_REMEMBERED = 1000


class _Outcome(NamedTuple):
    """What became of one tag of a batch."""

    record: TagRecord
    """The tag."""
    known: KnownTag | None
    """Its row, where there is one."""
    found: Resolved | NoImage | Unchanged | RegistryError | MalformedManifest | None
    """What it is now; None when it is gone."""
    digest: Digest | None = None
    """What it points to, where that was read anew."""


def _skip(outcome: _Outcome) -> SkippedTag | None:
    """Return what to remember of a tag that holds no image."""
    if isinstance(outcome.found, NoImage) and outcome.digest is not None:
        return outcome.record.tag, outcome.digest, storable(outcome.found.reason)
    return None


class RepositorySync:
    """Brings the rows of one repository up to date."""

    def __init__(
        self,
        engine: AsyncEngine,
        adapter: RegistryAdapter,
        target: Target,
        selection: Selection,
        progress: Progress,
        *,
        is_first: bool,
    ) -> None:
        self._engine = engine
        self._adapter = adapter
        self._target = target
        self._path = target.repository.path
        self._selection = selection
        self._progress = progress
        self._is_first = is_first
        self._resolving: dict[Digest, asyncio.Task[Resolved | NoImage]] = {}
        self._changed = False
        self.failures = 0
        """Tags that could not be read."""

    async def run(self) -> None:
        """Read all tags; raises RegistryError when their listing does not end, RegistryUnavailable when it is down."""
        batch: list[TagRecord] = []
        async for record in self._wanted():
            batch.append(record)
            if len(batch) >= BATCH:
                await self._handle(batch)
                batch = []
        await self._handle(batch)
        async with self._engine.begin() as connection:
            if self._changed:
                await refresh_latest(connection, self._target.registry_id, self._target.repository)
            if not self.failures:
                await forget_skips(connection, self._target)

    async def _wanted(self) -> AsyncIterator[TagRecord]:
        """Yield the tags that the configuration wants."""
        listed = self._adapter.tags(self._path)
        if self._selection.newest is None:
            async for record in listed:
                if self._selection.wants_tag(record.tag):
                    yield record
            return
        newest = NewestTags(self._selection.newest)
        async for record in listed:
            if self._selection.wants_tag(record.tag):
                newest.add(record.tag)
        for tag in newest.tags():
            yield TagRecord(tag)

    async def _handle(self, batch: Sequence[TagRecord]) -> None:
        """Read what a batch of tags points to and write the difference in one transaction."""
        if not batch:
            return
        tags = [record.tag for record in batch]
        async with self._engine.connect() as connection:
            known = await known_tags(connection, self._target.registry_id, self._target.repository, tags)
            skipped = await known_skips(connection, self._target, tags)
        outcomes = await asyncio.gather(
            *(self._read(record, known.get(record.tag), skipped.get(record.tag)) for record in batch)
        )
        async with self._engine.begin() as connection:
            await self._write(connection, outcomes)
        self._progress.tags_seen += sum(outcome.found is not None for outcome in outcomes)
        for outcome in outcomes:
            if isinstance(outcome.found, RegistryUnavailable):
                raise outcome.found

    async def _read(self, record: TagRecord, known: KnownTag | None, skipped: Digest | None) -> _Outcome:
        """Return what one tag points to now; errors are its outcome, not raised."""
        last = known.digest if known else skipped
        try:
            digest = record.digest
            if digest is None:
                state = await self._adapter.tag_state(self._path, record.tag, last)
                if state is None:
                    return _Outcome(record, known, None)
                digest = last if isinstance(state, Unchanged) else state.digest
            if digest == last or digest is None:
                return _Outcome(record, known, Unchanged())
            return await self._read_content(record, known, digest)
        except (RegistryError, MalformedManifest) as error:
            return _Outcome(record, known, error)

    async def _read_content(self, record: TagRecord, known: KnownTag | None, digest: Digest) -> _Outcome:
        """Return what a tag's new digest is; a tag that moves on meanwhile is looked at once more."""
        try:
            return _Outcome(record, known, await self._resolve(digest), digest)
        except ManifestNotFound:
            state = await self._adapter.tag_state(self._path, record.tag)
            if state is None or isinstance(state, Unchanged):
                return _Outcome(record, known, None)
            return _Outcome(record, known, await resolve(self._adapter, self._path, state.digest), state.digest)

    async def _resolve(self, digest: Digest) -> Resolved | NoImage:
        """Return what a digest is: tags that share one share the reading."""
        task = self._resolving.get(digest)
        if task is None:
            if len(self._resolving) >= _REMEMBERED:
                self._resolving = {known: task for known, task in self._resolving.items() if not task.done()}
            task = asyncio.create_task(resolve(self._adapter, self._path, digest))
            self._resolving[digest] = task
        return await asyncio.shield(task)

    # ------------------------------------------------------------------------------------------------ writing

    async def _write(self, connection: AsyncConnection, outcomes: Sequence[_Outcome]) -> None:
        """Write what became of a batch."""
        target, progress = self._target, self._progress
        same = [each for each in outcomes if isinstance(each.found, Unchanged)]
        await touch(connection, [each.known.id for each in same if each.known], target.run_id, target.now)
        failed = [each for each in outcomes if isinstance(each.found, RegistryError | MalformedManifest)]
        await mark_seen(connection, [each.known.id for each in failed if each.known], target.run_id)
        self._tell(failed)
        facts = [self._facts(each, each.found) for each in outcomes if isinstance(each.found, Resolved)]
        written = await write_images(connection, target, facts)
        # A tag that no longer holds an image is not seen as one: its row goes with the removals.
        await write_skips(connection, target, [skip for each in outcomes if (skip := _skip(each))])
        again = [each.record.tag for each in same if not each.known]
        await touch_skips(connection, target, again)
        progress.skipped += len(again) + sum(isinstance(each.found, NoImage) for each in outcomes)
        progress.unchanged += len(same) - len(again)
        progress.added += written.added
        progress.changed += written.changed
        self._changed = self._changed or bool(facts)

    def _tell(self, failed: Sequence[_Outcome]) -> None:
        """Note the tags that could not be read."""
        self.failures += len(failed)
        for each in failed:
            code = each.found.code if isinstance(each.found, RegistryError | MalformedManifest) else ""
            self._progress.tell(f"{self._path}:{each.record.tag}", code, str(each.found))

    def _facts(self, outcome: _Outcome, found: Resolved) -> ImageFacts:
        """Return the row of a tag that is new or has moved."""
        tag, now = outcome.record.tag, self._target.now
        for problem in found.problems:
            self._progress.tell(f"{self._path}:{tag}", "incomplete_image", problem)
        updated_at = now
        if outcome.record.pushed_at is not None:
            updated_at = outcome.record.pushed_at
        elif self._is_first and outcome.known is None and found.created_at is not None:
            updated_at = found.created_at if _EARLIEST_CREATED <= found.created_at <= now else now
        return ImageFacts(
            tag=tag,
            digest=found.digest,
            config_digest=found.config_digest,
            media_type=storable(found.media_type[:255]),
            size=found.size,
            platform=found.platform,
            scannable=found.scannable,
            is_index=found.is_index,
            updated_at=updated_at,
            children=found.children,
        )
