"""One piece of work for all who wait."""

import asyncio

import pytest

from imagewarden.inventory.coalesced import Coalesced

pytestmark = pytest.mark.anyio


class Work:
    """Work that says when it began and ends when told."""

    def __init__(self) -> None:
        self.runs = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        number = self.runs
        await self.go.wait()
        if number == 2:
            raise OSError("the second run fails")
        return number


async def test_everyone_gets_a_run_that_began_after_the_call() -> None:
    work = Work()
    shared = Coalesced(work)
    first = asyncio.create_task(shared())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert work.runs == 1
    later = [asyncio.create_task(shared()) for _ in range(5)]
    await asyncio.sleep(0)
    assert work.runs == 1
    work.go.set()
    assert await first == 1
    for each in later:
        with pytest.raises(OSError, match="second"):
            await each
    assert await shared() == 3


async def test_one_that_gives_up_disturbs_nobody() -> None:
    work = Work()
    shared = Coalesced(work)
    patient, hasty = asyncio.create_task(shared()), asyncio.create_task(shared())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hasty.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hasty
    work.go.set()
    assert await patient == 1
    assert work.runs == 1


async def test_who_comes_while_others_go_on_is_of_one_run_with_those_who_waited() -> None:
    """One run for all of them, where one for each batch would do the same work more often."""
    runs = 0

    async def work() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.01)
        return runs

    async def twice() -> int:
        await shared()
        return await shared()

    shared = Coalesced(work)
    going_on = asyncio.create_task(twice())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = asyncio.create_task(shared())
    assert (await waiting, await going_on) == (2, 2)
    assert runs == 2
