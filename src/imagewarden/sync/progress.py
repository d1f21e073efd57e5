"""What a run has done so far, written down about once a second for others to read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.sync.lock import RegistryLock
from imagewarden.sync.runs import SyncProblem, now_ms
from imagewarden.sync.tables import sync_run
from imagewarden.sync.tasks import one_failure

__all__ = ["Progress", "reported", "storable", "write"]

_MOST_PROBLEMS = 100
_EVERY_SECONDS = 1.0
_COUNTERS = (
    "repositories_done", "repositories_failed", "tags_seen", "added", "changed", "removed", "unchanged", "held",
    "skipped",
)  # fmt: skip


def storable(text: str) -> str:
    """Return text without what PostgreSQL cannot keep: NUL characters and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class Progress(msgspec.Struct):
    """Counters of one run; see SyncReport for their meaning."""

    run_id: int
    """The run."""
    repositories_total: int | None = None
    repositories_done: int = 0
    repositories_failed: int = 0
    tags_seen: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    held: int = 0
    skipped: int = 0
    problems: list[SyncProblem] = []
    """The first 100."""
    problems_beyond: int = 0
    """How many more there were."""

    def tell(self, where: str, code: str, error: str) -> None:
        """Note something a user should know."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(SyncProblem(storable(where[:400]), code, storable(error[:500])))
        else:
            self.problems_beyond += 1

    def values(self) -> dict[str, object]:
        """Return the columns of the run's row."""
        problems = [msgspec.to_builtins(problem) for problem in self.problems]
        if self.problems_beyond:
            problems[-1] = {"where": "", "code": "more", "error": f"{self.problems_beyond + 1} more problems"}
        return {
            **{name: getattr(self, name) for name in _COUNTERS},
            "repositories_total": self.repositories_total,
            "problems": problems,
            "heartbeat_at": now_ms(),
        }


async def write(engine: AsyncEngine, progress: Progress, **more: object) -> None:
    """Write the counters down, in a transaction of their own."""
    async with engine.begin() as connection:
        statement = update(sync_run).where(sync_run.c.id == progress.run_id)
        await connection.execute(statement.values(**progress.values(), **more))


@asynccontextmanager
async def reported(engine: AsyncEngine, progress: Progress, lock: RegistryLock) -> AsyncIterator[None]:
    """Write the counters down about once a second for as long as the context is open.

    What is inside is cancelled as soon as they cannot be written, or the lock is lost: then LockLost is raised.
    """
    ended = asyncio.Event()

    async def tick() -> None:
        while not ended.is_set():
            await lock.check()
            await write(engine, progress)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _EVERY_SECONDS)

    async with one_failure() as group:
        group.create_task(tick())
        yield
        ended.set()
