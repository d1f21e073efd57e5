"""One piece of work for all who wait for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Coalesced"]

Result = TypeVar("Result")


class Coalesced(Generic[Result]):
    """An operation that is never run twice at once: whoever asks while it runs waits for the next run, with the others.

    So every caller gets the outcome of a run that began after the call, and runs are as rare as that allows.
    """

    def __init__(self, operation: Callable[[], Awaitable[Result]]) -> None:
        """Run `operation` whenever somebody waits."""
        self._operation = operation
        self._waiting: list[asyncio.Future[Result]] = []
        self._running: asyncio.Task[None] | None = None

    async def __call__(self) -> Result:
        """Return the outcome of the next run, or raise what it raised; a caller that gives up disturbs nobody."""
        outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(outcome)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await outcome

    async def _run(self) -> None:
        """Run until nobody waits."""
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                try:
                    outcome = await self._operation()
                except Exception as error:  # noqa: BLE001 # whatever it is, those who wait get it
                    for each in waiting:
                        if not each.done():
                            each.set_exception(error)
                else:
                    for each in waiting:
                        if not each.done():
                            each.set_result(outcome)
                await asyncio.sleep(0)  # those go on first, and who comes meanwhile is of the next run
        finally:
            self._running = None
