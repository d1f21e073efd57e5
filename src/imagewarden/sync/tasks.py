"""Small tasks, a few at a time: none outlives its group, and what the first one failed with is what is raised."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

__all__ = ["each", "one_failure"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@asynccontextmanager
async def one_failure() -> AsyncIterator[asyncio.TaskGroup]:
    """Give a group of tasks; raises the first failure itself, not a group of it."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    found = failures.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


async def each(
    places: asyncio.Semaphore, work: Callable[[Item], Awaitable[Result]], items: Iterable[Item]
) -> list[Result]:
    """Return what `work` makes of each item, in order; as many at once as there are places."""

    async def one(item: Item) -> Result:
        async with places:
            return await work(item)

    async with one_failure() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [task.result() for task in tasks]
