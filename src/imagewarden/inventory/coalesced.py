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
        self._next: asyncio.Future[Result] | None = None
        self._running: asyncio.Task[None] | None = None

    async def __call__(self) -> Result:
        """Return the outcome of the next run, or raise what it raised; a caller that gives up disturbs nobody."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._running is None:
                self._running = asyncio.create_task(self._run())
        return await asyncio.shield(self._next)

    async def _run(self) -> None:
        """Run until nobody waits."""
        try:
            while self._next is not None:
                waiting, self._next = self._next, None
                try:
                    outcome = await self._operation()
                except Exception as error:  # noqa: BLE001 # whatever it is, those who wait get it
                    waiting.set_exception(error)
                    waiting.exception()  # nobody may be left to see it
                else:
                    waiting.set_result(outcome)
        finally:
            self._running = None
