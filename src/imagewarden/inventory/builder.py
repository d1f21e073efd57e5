"""The process of a machine that builds and refreshes its read models, on request of those that read them.

It holds a lock on the folder of all models, so that there is one at most; requests come over a socket in that folder:
a line of JSON each, `RefreshRequest`, answered by another, `Refreshed`, once the model shows all that was committed
before the request arrived. Requests that wait for the same project are served by one refresh.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import structlog

from imagewarden.inventory.coalesced import Coalesced
from imagewarden.inventory.compaction import Compaction, compact
from imagewarden.inventory.errors import InventoryError, ModelBusy
from imagewarden.inventory.model import ProjectModel
from imagewarden.inventory.rows import Encoding
from imagewarden.inventory.versions import RunFile, open_run
from imagewarden.storage.processes import end_with_parent

__all__ = ["Builder", "RefreshRequest", "Refreshed", "building", "claim_models", "model_folder", "socket_address"]

_LOG = structlog.get_logger(__name__)
_LOCK = "lock"
_SOCKET = "builder.socket"
_LINE = 4096
_THREADS = 4
_TICK_SECONDS = 5.0
_IDLE_SECONDS = 60.0
"""A project asked for more recently is not dropped, whatever the budget."""


class RefreshRequest(msgspec.Struct, frozen=True):
    """What a process that reads a model asks for."""

    project_id: str
    """Whose model is to be refreshed."""
    damaged: bool = False
    """Whether it is to be built anew, because a row turned out to be damaged."""


class Refreshed(msgspec.Struct, frozen=True):
    """What became of a request."""

    error: str | None = None
    """Why the model could not be refreshed, in one sentence; None where it was."""


def model_folder(models: Path, project_id: str) -> Path:
    """Return the folder of a project's model; ids are no file names."""
    return models / hashlib.sha256(project_id.encode()).hexdigest()[:32]


@contextlib.contextmanager
def socket_address(models: Path) -> Iterator[str]:
    """Give the path of the builder's socket, short however long the folder's own path is (unix(7): 107 bytes)."""
    descriptor = os.open(models, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def claim_models(models: Path) -> Iterator[None]:
    """Hold the right to write the models of a folder; raises ModelBusy where another process holds it.

    The kernel takes it back however the process ends.
    """
    models.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(models / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelBusy(f"another process writes the read model in {models}") from None
        yield
    finally:
        os.close(descriptor)


class _Project:
    """One project's model, refreshed by one thread at a time."""

    def __init__(self, model: ProjectModel, refresh: Callable[["_Project"], None], threads: ThreadPoolExecutor) -> None:
        self.model = model
        self.used = time.monotonic()
        self._refresh = refresh
        self._threads = threads
        self._lock = asyncio.Lock()
        self._merging: asyncio.Task[None] | None = None
        self.refreshed = Coalesced(self._refreshed)

    async def forget(self) -> None:
        """Have the next refresh build the model anew."""
        async with self._lock:
            self.model.forget()

    async def close(self) -> None:
        """End the merge that goes on, and close the model's files."""
        if self._merging is not None:
            self._merging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._merging
        async with self._lock:
            self.model.close()

    async def _refreshed(self) -> None:
        async with self._lock:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._refresh, self)
            work = self.model.merge_due()
        if work is not None:
            self._merging = asyncio.create_task(self._merge(work))

    async def _merge(self, work: Compaction) -> None:
        """Merge runs in a process of its own, while refreshes go on."""
        process = multiprocessing.get_context("spawn").Process(target=merge_process, args=(work, os.getpid()))
        process.start()
        try:
            await asyncio.to_thread(process.join)
        except asyncio.CancelledError:
            process.kill()
            raise
        file: RunFile | None = None
        try:
            if process.exitcode == 0:
                file = await asyncio.to_thread(open_run, work.folder, work.name)
            else:
                _LOG.error("runs of the read model could not be merged", code=process.exitcode)
        except (InventoryError, OSError) as error:
            _LOG.error("merged runs of the read model cannot be opened", reason=str(error))
        async with self._lock:
            await asyncio.get_running_loop().run_in_executor(self._threads, self.model.merged, file)


def merge_process(work: Compaction, parent: int) -> None:
    """Merge runs as a process that ends with the builder."""
    end_with_parent(parent)
    os.nice(5)
    compact(work)


class Builder:
    """Builds and refreshes the models of one folder, which it has claimed."""

    def __init__(self, models: Path, conninfo: str, encoding: Encoding, budget: int) -> None:
        """Read from the database of `conninfo`; models of idle projects are dropped beyond `budget` bytes in all."""
        self._models = models
        self._conninfo = conninfo
        self._encoding = encoding
        self._budget = budget
        self._projects: dict[str, _Project] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="refresh")
        self._talks: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._connections: list[psycopg.Connection] = []
        self._local = threading.local()

    async def listen(self) -> asyncio.Server:
        """Answer requests from now on, until the server that is returned is closed."""
        with socket_address(self._models) as address:
            (self._models / _SOCKET).unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._converse, address, limit=_LINE)
        (self._models / _SOCKET).chmod(0o600)
        return server

    async def serve(self) -> None:
        """Answer requests until cancelled, and keep the models in use up to date meanwhile."""
        async with await self.listen():
            try:
                while True:
                    await asyncio.sleep(_TICK_SECONDS)
                    await self._tick()
            finally:
                await self.close()

    async def close(self) -> None:
        """End what goes on in the background, and close all files and connections."""
        for writer in self._talks.values():
            writer.close()
        if self._talks:
            await asyncio.wait(self._talks)
        for project in self._projects.values():
            await project.close()
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.close()

    async def refreshed(self, project_id: str, *, damaged: bool = False) -> Refreshed:
        """Have a project's model show all that was committed before the call, built anew if it is damaged."""
        project = self._projects.get(project_id)
        if project is None:
            folder = model_folder(self._models, project_id)
            model = await asyncio.to_thread(ProjectModel, folder, project_id, self._encoding)
            project = self._projects.setdefault(project_id, _Project(model, self._refresh, self._threads))
        project.used = time.monotonic()
        try:
            if damaged:
                await project.forget()
            await project.refreshed()
        except (psycopg.Error, InventoryError, OSError) as error:
            _LOG.warning("the read model could not be refreshed", project_id=project_id, reason=_sentence(error))
            return Refreshed(error=_sentence(error))
        except Exception as error:  # noqa: BLE001 # whoever asks must not wait for an answer that never comes
            _LOG.exception("the read model could not be refreshed", project_id=project_id)
            return Refreshed(error=f"unexpected {type(error).__name__}; the log says more")
        self._keep_budget(project_id)
        return Refreshed()

    def _refresh(self, project: _Project) -> None:
        """Refresh a model over this thread's connection; in a thread."""
        connection: psycopg.Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = self._local.connection = psycopg.connect(self._conninfo)
            self._connections = [each for each in self._connections if not each.closed] + [connection]
        try:
            project.model.refresh(connection)
        except psycopg.Error:
            connection.close()
            raise

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one process that reads the models, line by line."""
        talk = asyncio.current_task()
        assert talk is not None  # noqa: S101 # a server runs this as a task
        self._talks[talk] = writer
        talk.add_done_callback(self._talks.pop)
        with contextlib.suppress(ConnectionError, msgspec.DecodeError):  # not one of ours, or gone
            while line := await reader.readline():
                request = msgspec.json.decode(line, type=RefreshRequest)
                answer = await self.refreshed(request.project_id, damaged=request.damaged)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        writer.close()

    async def _tick(self) -> None:
        """Catch up with what nobody asked for yet, so that whoever asks next does not wait for all of it."""
        for project_id, project in list(self._projects.items()):
            if time.monotonic() - project.used < _IDLE_SECONDS:
                used = project.used
                await self.refreshed(project_id)
                project.used = used

    def _keep_budget(self, asked: str) -> None:
        """Drop the models that were not asked for longest, until the others are within the budget."""
        sizes = {project_id: project.model.size for project_id, project in self._projects.items()}
        total = sum(sizes.values())
        for project_id in sorted(sizes, key=lambda each: self._projects[each].used):
            project = self._projects[project_id]
            if total <= self._budget or project_id == asked or time.monotonic() - project.used < _IDLE_SECONDS:
                continue
            _LOG.info("the read model of an idle project was dropped", project_id=project_id, bytes=sizes[project_id])
            project.model.drop()
            del self._projects[project_id]
            total -= sizes[project_id]


def _sentence(error: Exception) -> str:
    """Return what went wrong in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


@contextlib.asynccontextmanager
async def building(models: Path, conninfo: str, encoding: Encoding, budget: int) -> AsyncIterator[None]:
    """Have somebody build the models of a folder: the process that does it already, else this one, meanwhile."""
    with contextlib.ExitStack() as claimed:
        try:
            claimed.enter_context(claim_models(models))
        except ModelBusy:
            yield
            return
        builder = Builder(models, conninfo, encoding, budget)
        async with await builder.listen():
            try:
                yield
            finally:
                await builder.close()
