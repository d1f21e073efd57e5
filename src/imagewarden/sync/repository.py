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
from imagewarden.registry.errors import ManifestNotFound, RegistryError
from imagewarden.registry.selection import NewestTags, Selection
from imagewarden.sync.patience import Patience, is_passing
from imagewarden.sync.progress import Progress, storable
from imagewarden.sync.resolve import NoImage, Resolved, resolve
from imagewarden.sync.skips import SkippedTag, forget_skips, known_skips, touch_skips, write_skips
from imagewarden.sync.tasks import each

__all__ = ["BATCH", "Reading", "RepositorySync"]

BATCH = 100
"""Tags handled together; each may be an index of a thousand children, held until the batch is written."""
_EARLIEST_CREATED = 1_356_998_400_000  # 2013-01-01, the year of the first container registry

Failure = RegistryError | MalformedManifest


class Reading(NamedTuple):
    """What the repositories of one run share."""

    engine: AsyncEngine
    """The database."""
    adapter: RegistryAdapter
    """The registry."""
    selection: Selection
    """What of it is wanted."""
    progress: Progress
    """The run's counters."""
    places: asyncio.Semaphore
    """How many tags are read at once."""
    patience: Patience
    """When it is given up."""


class _Outcome(NamedTuple):
    """What became of one tag of a batch."""

    record: TagRecord
    """The tag."""
    known: KnownTag | None
    """Its row, where there is one."""
    found: Resolved | NoImage | Unchanged | Failure | None
    """What it is now; None when it is gone, or not read yet."""
    digest: Digest | None = None
    """What it points to, when that is not what was known."""


def _skip(outcome: _Outcome) -> SkippedTag | None:
    """Return what to remember of a tag that holds no image."""
    if isinstance(outcome.found, NoImage) and outcome.digest is not None:
        return outcome.record.tag, outcome.digest, storable(outcome.found.reason)
    return None


class RepositorySync:
    """Brings the rows of one repository up to date."""

    def __init__(self, reading: Reading, target: Target, *, is_first: bool) -> None:
        """`is_first`: it was there before the registry was first read, and has not been read as a whole so far."""
        self._engine, self._adapter, self._selection, self._progress, self._places, self._patience = reading
        self._target = target
        self._path = target.repository.path
        self._is_first = is_first
        self.failed_tags = 0
        """Tags that could not be read; their rows stay as they are."""
        self.first_failure: Failure | None = None
        """What the first of them failed with."""
        self.missed_in_passing = False
        """Whether some could not be read because the registry was away or busy: they may be read next time."""

    async def run(self) -> None:
        """Read all tags; raises RegistryError when their listing does not end, RegistrySilent when it is given up.

        Either way, what was read by then is written.
        """
        broken_off: RegistryError | None = None
        batch: list[TagRecord] = []
        try:
            async for record in self._wanted():
                batch.append(record)
                if len(batch) >= BATCH:
                    await self._handle(batch)
                    batch = []
        except RegistryError as error:
            broken_off = error
        await self._handle(batch)
        async with self._engine.begin() as connection:
            await refresh_latest(connection, self._target.registry_id, self._target.repository)
            if broken_off is None:
                await forget_skips(connection, self._target)
        if broken_off is not None:
            raise broken_off

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
        outcomes = await self._read(await self._look(batch))
        async with self._engine.begin() as connection:
            await self._write(connection, outcomes)
        self._progress.tags_seen += sum(outcome.found is not None for outcome in outcomes)

    # ------------------------------------------------------------------------------------------------ reading

    async def _look(self, batch: Sequence[TagRecord]) -> list[_Outcome]:
        """Return where tags point to now; what is new to us is not read yet."""
        tags = [record.tag for record in batch]
        async with self._engine.connect() as connection:
            known = await known_tags(connection, self._target.registry_id, self._target.repository, tags)
            skipped = await known_skips(connection, self._target, tags)

        async def look(record: TagRecord) -> _Outcome:
            row = known.get(record.tag)
            last = row.digest if row else skipped.get(record.tag)
            if record.digest is not None:
                return _pointing(record, row, record.digest, last)
            try:
                state = await self._adapter.tag_state(self._path, record.tag, last)
            except RegistryError as error:
                self._patience.failed(error)
                return _Outcome(record, row, error)
            self._patience.answered()
            if state is None:
                return _Outcome(record, row, None)
            return _pointing(record, row, last if isinstance(state, Unchanged) else state.digest, last)

        return await each(self._places, look, batch)

    async def _read(self, outcomes: Sequence[_Outcome]) -> list[_Outcome]:
        """Return the outcomes with the new digests read, each once; a tag that moved on meanwhile is asked again."""
        digests = list(dict.fromkeys(outcome.digest for outcome in outcomes if outcome.digest))
        contents = dict(zip(digests, await each(self._places, self._resolve, digests), strict=True))

        read = [old._replace(found=contents[old.digest]) if old.digest else old for old in outcomes]
        gone = [at for at, outcome in enumerate(read) if isinstance(outcome.found, ManifestNotFound)]
        for at, again in zip(gone, await each(self._places, self._read_again, [read[at] for at in gone]), strict=True):
            read[at] = again
        return read

    async def _resolve(self, digest: Digest) -> Resolved | NoImage | Failure:
        """Return what a digest is; failures are returned, not raised."""
        try:
            found = await resolve(self._adapter, self._path, digest)
        except (RegistryError, MalformedManifest) as error:
            self._patience.failed(error)
            return error
        self._patience.answered()
        return found

    async def _read_again(self, outcome: _Outcome) -> _Outcome:
        """Return what a tag is whose manifest was gone when it was to be read."""
        try:
            state = await self._adapter.tag_state(self._path, outcome.record.tag)
        except RegistryError as error:
            self._patience.failed(error)
            return outcome._replace(found=error, digest=None)
        if state is None or isinstance(state, Unchanged):
            return outcome._replace(found=None, digest=None)
        return outcome._replace(found=await self._resolve(state.digest), digest=state.digest)

    # ------------------------------------------------------------------------------------------------ writing

    async def _write(self, connection: AsyncConnection, outcomes: Sequence[_Outcome]) -> None:
        """Write what became of a batch."""
        target, progress = self._target, self._progress
        same = [one for one in outcomes if isinstance(one.found, Unchanged)]
        failed = [one for one in outcomes if isinstance(one.found, Failure)]
        await touch(connection, [one.known.id for one in same if one.known], target.run_id, target.now)
        await mark_seen(connection, [one.known.id for one in failed if one.known], target.run_id)
        self._tell(failed)
        facts = [self._facts(one, one.found) for one in outcomes if isinstance(one.found, Resolved)]
        written = await write_images(connection, target, facts)
        # A tag that no longer holds an image is not seen as one: its row goes with the removals.
        await write_skips(connection, target, [skip for one in outcomes if (skip := _skip(one))])
        await touch_skips(connection, target, [one.record.tag for one in (*same, *failed) if not one.known])
        again = sum(not one.known for one in same)
        progress.skipped += again + sum(isinstance(one.found, NoImage) for one in outcomes)
        progress.unchanged += len(same) - again
        progress.added += written.added
        progress.changed += written.changed

    def _tell(self, failed: Sequence[_Outcome]) -> None:
        """Note the tags that could not be read."""
        self.failed_tags += len(failed)
        for outcome in failed:
            if isinstance(outcome.found, Failure):
                self.first_failure = self.first_failure or outcome.found
                self.missed_in_passing = self.missed_in_passing or is_passing(outcome.found)
                self._progress.tell(f"{self._path}:{outcome.record.tag}", outcome.found.code, str(outcome.found))

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


def _pointing(record: TagRecord, known: KnownTag | None, digest: Digest | None, last: Digest | None) -> _Outcome:
    """Return the outcome of a tag that points to a digest: unchanged when that was the last one known."""
    if digest is None or digest == last:
        return _Outcome(record, known, Unchanged())
    return _Outcome(record, known, None, digest)
