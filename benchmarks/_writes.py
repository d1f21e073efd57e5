"""Answers beside writers, each after a check that it shows all that was committed before it was asked for.

As in the product: a builder in a process of its own, and one process that asks; the writers are another process. Now
and then the process that asks writes itself, and asks for what it wrote.
"""

import asyncio
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from benchmarks._figures import milliseconds
from benchmarks._ours import build
from benchmarks._postgres import TRUTH, Found, PostgresPeer
from benchmarks._project import NEWEST, make
from benchmarks._shapes import Question, Shape, shapes
from benchmarks._stored import store
from imagewarden import logs
from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.inventory.builder import Builder, claim_models
from imagewarden.inventory.filters import ImageFilter, ImageOrder
from imagewarden.inventory.freshness import Freshness
from imagewarden.inventory.lists import ImageLists
from imagewarden.storage.database import Database

__all__ = ["measure", "write_scans"]

BAR = 2.0
"""How many times longer the 99th percentile may be beside writers."""
_OWN_EVERY = 20
_SIZES = 2**62
"""Sizes from here on are those that the process that asks wrote."""
_PASSES = 2
_SCAN = (
    "UPDATE image SET scan_status = 'success', scanned_at = %s, vulnerability_count = %s, risk_level = %s "
    "WHERE id = ANY(%s)"
)


class Pace(NamedTuple):
    """What a writer does."""

    name: str
    rows: int
    """Of a commit."""
    commits: float
    """A second."""


_PACES = (Pace("quiet", 0, 0), Pace("100 commits a second", 1, 100), Pace("1,000 rows a second", 1000, 1))


def write_scans(connection: psycopg.Connection, chance: random.Random, total: int, rows: int) -> None:
    """Commit the outcome of scans of some rows."""
    ids = chance.sample(range(1, total + 1), rows)
    count = chance.choice((0, 0, 3))
    values = (NEWEST + chance.randrange(10**6) * 10_000, count, "High" if count else "Security", ids)
    connection.execute(_SCAN, values)


def write(conninfo: str, total: int, pace: Pace, stopped: Any, done: Any) -> None:
    """Write at a pace until stopped: a process of its own."""
    chance = random.Random(pace.rows)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        started = time.monotonic()
        while not stopped.wait(max(0.0, started + done.value / pace.commits - time.monotonic())):
            write_scans(connection, chance, total, min(pace.rows, total))
            done.value += 1


def build_on_request(models: Path, conninfo: str) -> None:
    """Refresh the models of a folder whenever asked to: a process of its own."""
    logs.configure("warning")
    with claim_models(models):
        asyncio.run(Builder(models, conninfo, ENCODING, 2**40).serve())


@contextmanager
def _builder(models: Path, conninfo: str) -> Iterator[None]:
    """Have a builder."""
    process = multiprocessing.get_context("spawn").Process(target=build_on_request, args=(models, conninfo))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


@contextmanager
def _writer(conninfo: str, total: int, pace: Pace) -> Iterator[Any]:
    """Have a writer, unless it is quiet; gives what counts its commits."""
    context = multiprocessing.get_context("spawn")
    stopped, done = context.Event(), context.Value("q", 0)
    if not pace.rows:
        yield done
        return
    process = context.Process(target=write, args=(conninfo, total, pace, stopped, done))
    process.start()
    try:
        while not done.value:
            time.sleep(0.01)
        yield done
    finally:
        stopped.set()
        process.join()


class _Asker:
    """The process that asks."""

    def __init__(
        self, lists: ImageLists, project_id: str, asked: Sequence[Shape], connection: psycopg.Connection
    ) -> None:
        self._lists = lists
        self._project_id = project_id
        self._shapes = asked
        self._connection = connection
        self._round = 0
        self._written = 0
        self.stale = 0
        self.own = 0

    async def ask(self, question: Question) -> Found:
        """Return an answer that shows all that was committed before."""
        answer, age = await self._lists.page(self._project_id, *question)
        self.stale += age is not None
        return Found(answer.total, answer.ids)

    async def rounds(self, seconds: float) -> list[float]:
        """Ask about every shape for so long; returns the seconds of each answer."""
        found: list[float] = []
        started = time.monotonic()
        while not found or time.monotonic() - started < seconds:
            self._round += 1
            for shape in self._shapes:
                question = shape.question(self._round)
                began = time.perf_counter()
                await self.ask(question)
                found.append(time.perf_counter() - began)
                if len(found) % _OWN_EVERY == 0:
                    await self._ask_for_own()
        return found

    async def _ask_for_own(self) -> None:
        """Write, and ask for what was written."""
        self._written += 1
        number, size = self._written, _SIZES + self._written
        self._connection.execute("UPDATE image SET size = %s WHERE id = %s", (size, number))
        answer = await self.ask(Question(ImageFilter(size=size), ImageOrder(), 0, 10))
        self.own += 1
        self.stale += answer.ids != [number]


async def _phases(asker: _Asker, conninfo: str, total: int, seconds: float) -> dict[str, Any]:
    """Return the figures beside each writer."""
    timings: dict[str, list[float]] = {pace.name: [] for pace in _PACES}
    commits = dict.fromkeys(timings, 0.0)
    await asker.rounds(0)
    for _ in range(_PASSES):
        for pace in _PACES:
            with _writer(conninfo, total, pace) as done:
                before, started = done.value, time.monotonic()
                timings[pace.name] += await asker.rounds(seconds / _PASSES)
                commits[pace.name] += (done.value - before) / (time.monotonic() - started) / _PASSES
    return {
        name: {**milliseconds(found), "commits_per_second": round(commits[name], 1)} for name, found in timings.items()
    }


async def _asked(
    database: Database, models: Path, project_id: str, asked: Sequence[Shape], seconds: float
) -> dict[str, Any]:
    """Return the figures, and how many answers were wrong in the end."""
    freshness = Freshness(database.conninfo)
    lists = ImageLists(models, freshness, ENCODING.name)
    truth = PostgresPeer(database, TRUTH, project_id)
    try:
        with psycopg.connect(database.conninfo, autocommit=True) as connection:
            asker = _Asker(lists, project_id, asked, connection)
            phases = await _phases(asker, database.conninfo, len(asked[0].images), seconds)
        questions = [shape.question(0) for shape in asked]
        wrong = [question for question in questions if await asker.ask(question) != truth.ask(question)]
    finally:
        truth.close()
        await lists.close()
        await freshness.close()
    return {
        "phases": phases,
        "own_writes": asker.own,
        "stale_answers": asker.stale,
        "compared": len(questions),
        "wrong_answers": len(wrong),
    }


def measure(rows: int, seed: int, seconds: float, folder: Path, database: Database) -> dict[str, Any]:
    """Return the figures of ours beside writers, each for so many seconds."""
    images = make(rows, seed)
    project_id, models = store(database, images), folder / "models"
    build(database, models, project_id)
    with _builder(models, database.conninfo):
        found = asyncio.run(_asked(database, models, project_id, shapes(images), seconds))
    quiet = found["phases"][_PACES[0].name]["p99_ms"]
    bars = {
        f"p99 beside {name}": {
            "at_most": BAR,
            "measured": round(each["p99_ms"] / quiet, 2),
            "met": each["p99_ms"] <= BAR * quiet,
        }
        for name, each in found["phases"].items()
        if name != _PACES[0].name
    }
    for name in ("stale_answers", "wrong_answers"):
        bars[name] = {"at_most": 0, "measured": found[name], "met": found[name] == 0}
    return {"mode": "writes", **found, "bars": bars}
