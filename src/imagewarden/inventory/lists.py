"""The image list as a process answers it: from the mapped read model, after a check that it has seen all commits.

A request sees every change that was committed before it arrived. The check is one statement for all requests that wait;
where it finds changes, the builder is asked to refresh. While the database is away the last version goes on answering,
and the answer tells how old it is.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from imagewarden.inventory.builder import model_folder
from imagewarden.inventory.builderclient import BuilderClient
from imagewarden.inventory.coalesced import Coalesced
from imagewarden.inventory.errors import ModelDamaged, ModelUnavailable
from imagewarden.inventory.filters import ImageFilter, ImageOrder
from imagewarden.inventory.freshness import DatabaseAway, Freshness
from imagewarden.inventory.reader import Answer, ModelReader, OpenVersion

__all__ = ["DatedAnswer", "DatedRows", "ImageLists"]

_LOG = structlog.get_logger(__name__)
_TOLD_SECONDS = 20.0
"""How often the builder is told that a project is in use, if nothing else tells it."""


class DatedAnswer(NamedTuple):
    """A page, and how sure it is to be the newest."""

    answer: Answer
    """The page."""
    age: float | None
    """Seconds since it was last known to show all that was committed; None where it does now."""


class DatedRows(NamedTuple):
    """All rows that match, and how sure they are to be the newest."""

    rows: Iterator[list[bytes]]
    """Encoded rows in portions, all of one version; may raise ModelDamaged."""
    age: float | None
    """Seconds since they were last known to show all that was committed; None where they do now."""


class _Project:
    """One project's model in this process."""

    def __init__(self, project_id: str, reader: ModelReader, freshness: Freshness, builder: BuilderClient) -> None:
        self._project_id = project_id
        self._freshness = freshness
        self._builder = builder
        self._reached = -1
        self._seen_at = time.monotonic()
        self._told_at = 0.0
        self._telling: asyncio.Task[None] | None = None
        self._refreshed = Coalesced(self._refresh)
        self._reader = reader

    async def shown(self, *, checked: bool) -> tuple[OpenVersion, float | None]:
        """Return a version that shows all that was committed before the call, else an older one and its age.

        `checked` where a check of the freshness began after the request arrived. Raises ModelUnavailable.
        """
        started = time.monotonic()
        try:
            if not checked:
                await self._freshness.check()
            wanted = self._freshness.changes(self._project_id)
            version = self._reader.newest() if self._reached >= wanted else None
            while version is None:
                await self._refreshed()
                version = self._reader.newest() if self._reached >= wanted else None
        except (DatabaseAway, ModelUnavailable) as error:
            version = self._reader.newest()
            if version is None:
                raise ModelUnavailable(str(error)) from None
            return version, started - self._seen_at
        self._seen_at = started
        if started - self._told_at > _TOLD_SECONDS and self._telling is None:
            self._telling = asyncio.create_task(self._tell())
        return version, None

    async def _refresh(self, *, damaged: bool = False) -> None:
        """Have the builder refresh the model; raises ModelUnavailable where it cannot."""
        self._told_at = time.monotonic()
        reached = self._freshness.changes(self._project_id)
        for damaged_too in (damaged, True):  # a file that the builder has open may be one that nobody else can open
            refreshed = await self._builder.refresh(self._project_id, damaged=damaged_too)
            if refreshed.error is not None:
                raise ModelUnavailable(refreshed.error)
            if self._reader.newest() is not None:
                self._reached = reached
                return
        raise ModelUnavailable("the read model was built but cannot be opened; the log says why")

    async def _tell(self) -> None:
        """Tell the builder that the project is in use."""
        try:
            await self._refreshed()
        except ModelUnavailable as error:
            _LOG.warning("the builder of the read model does not answer", reason=str(error))
        finally:
            self._telling = None

    async def rebuilt(self) -> OpenVersion:
        """Return a version of a damaged model that was built anew; raises ModelUnavailable."""
        await self._refresh(damaged=True)
        version = self._reader.newest()
        if version is None:
            raise ModelUnavailable("the read model cannot be opened")
        return version

    async def close(self) -> None:
        """End what goes on in the background."""
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling


class ImageLists:
    """The lists of all projects; for one event loop."""

    def __init__(self, models: Path, freshness: Freshness, encoding: str) -> None:
        """Read the models in a folder, whose rows were encoded as `encoding` says."""
        self._models = models
        self._encoding = encoding
        self._freshness = freshness
        self._builder = BuilderClient(models)
        self._projects: dict[str, _Project] = {}

    async def page(
        self, project_id: str, asked: ImageFilter, order: ImageOrder, offset: int, limit: int, *, checked: bool = False
    ) -> DatedAnswer:
        """Return a page and the exact number of all that match; raises ModelUnavailable.

        The project exists: whoever asks was let in to it. `checked` where a check of the freshness began after the
        request arrived.
        """
        project = self._project(project_id)
        version, age = await project.shown(checked=checked)
        try:
            return DatedAnswer(version.answer(asked, order, offset, limit), age)
        except ModelDamaged as error:
            _LOG.error("the read model is damaged and built again", project_id=project_id, reason=str(error))
        return DatedAnswer((await project.rebuilt()).answer(asked, order, offset, limit), None)

    async def rows(self, project_id: str, asked: ImageFilter, order: ImageOrder) -> DatedRows:
        """Return all rows that match, of one version; raises ModelUnavailable."""
        version, age = await self._project(project_id).shown(checked=False)
        return DatedRows(version.all_rows(asked, order), age)

    def _project(self, project_id: str) -> _Project:
        project = self._projects.get(project_id)
        if project is None:
            reader = ModelReader(model_folder(self._models, project_id), project_id, self._encoding)
            project = self._projects[project_id] = _Project(project_id, reader, self._freshness, self._builder)
        return project

    async def close(self) -> None:
        """Close all connections but the freshness's, which was given."""
        for project in self._projects.values():
            await project.close()
        await self._builder.close()
