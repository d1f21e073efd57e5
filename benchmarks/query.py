"""The image list's query engine beside PostgreSQL, plain and tuned, and DuckDB, on one seeded synthetic project.

All answer the same questions in turn, in one run, so that ratios hold where the machine's speed drifts: 59 shapes of a
query, ever other values. An answer is the exact total, the page's ids and the page's rows, of which ours are the bytes
that are sent. Every answer is compared with ours. `--growth` and `--writes` measure ours alone, over the number of rows
and beside writers.
"""

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks import _growth, _writes
from benchmarks._duckdb import DuckDBPeer, duckdb_is_there
from benchmarks._figures import Timings, compared
from benchmarks._ours import OurEngine, build, column_file_bytes, memory
from benchmarks._postgres import PLAIN, TUNED, Found, PostgresPeer
from benchmarks._project import Images, make
from benchmarks._server import connect, migrated_database, server_facts
from benchmarks._shapes import Question, Shape, shapes
from benchmarks._stored import store
from imagewarden import logs
from imagewarden.storage.database import Database

SEED = 20260403
PEERS = ("plain", "tuned", "duckdb")
BARS = {
    "plain": {"p50": 400.0, "p99": 400.0, "worst_shape_ratio": 1.0},
    "tuned": {"p50": 50.0, "p99": 200.0, "worst_shape_ratio": 1.0},
}
"""How many times longer than ours a peer takes at least."""
BYTES_BAR = 120.0
"""Resident bytes a row, at most, once every shape was asked."""
TWO_BAR = 1.2
"""Memory that the model takes of two processes, beside that of one."""
_TOGETHER = 6
"""Shapes that an engine is asked about before the next one's turn."""
MEMORY_ROUNDS = 16
"""Rounds after which memory is looked at again: what is remembered of searches is full by then."""


class Engine(Protocol):
    """Whoever answers."""

    name: str

    def ask(self, question: Question) -> Found:
        """Return the answer."""

    def close(self) -> None:
        """Give everything back."""


class Run:
    """Engines that are asked in turn: each a few questions at a time, so that each has its own data at hand."""

    def __init__(self, engines: Sequence[Engine], asked: Sequence[Shape], seed: int, more: int) -> None:
        """Ask about these shapes; ours gets `more` questions for each that all are asked: it is done so much sooner."""
        self._engines = list(engines)
        self._shapes = list(asked)
        self._chance = random.Random(seed)
        self._more = more
        self.timings: Timings = {each.name: {shape.name: [] for shape in asked} for each in engines}
        self.compared = 0
        self.wrong: list[str] = []

    def round(self, number: int, *, timed: bool = True) -> None:
        """Ask every engine one question of every shape."""
        self._chance.shuffle(self._shapes)
        for first in range(0, len(self._shapes), _TOGETHER):
            block = self._shapes[first : first + _TOGETHER]
            self._chance.shuffle(self._engines)
            answers = {engine.name: self._answers(engine, block, number, timed=timed) for engine in self._engines}
            ours = answers.pop(OurEngine.name)
            for name, theirs in answers.items():
                self.compared += len(block)
                unlike = (shape for shape, mine, their in zip(block, ours, theirs, strict=True) if mine != their)
                self.wrong += [f"{shape.name}, round {number}: {name}" for shape in unlike]

    def _answers(self, engine: Engine, block: Sequence[Shape], number: int, *, timed: bool) -> list[Found]:
        """Return the answers to the questions that all are asked."""
        more = self._more if engine.name == OurEngine.name else 0
        found = []
        for each in range(number * (self._more + 1), number * (self._more + 1) + more + 1):
            for shape in block:
                question = shape.question(each)
                started = time.perf_counter()
                answer = engine.ask(question)
                if timed:
                    self.timings[engine.name][shape.name].append(time.perf_counter() - started)
                found.append(answer)
        return found[: len(block)]

    def rounds(self, most: int, seconds: float) -> int:
        """Ask for so many rounds, or as many whole ones as fit into the time, but one; returns how many were timed."""
        self.round(0, timed=False)
        started = time.monotonic()
        for number in range(1, most + 1):
            self.round(number)
            spent = time.monotonic() - started
            if spent + spent / number > seconds:
                return number
        return most


def rounds_of(asked: Sequence[Shape], first: int, last: int) -> list[Question]:
    """Return the questions of some rounds."""
    return [shape.question(number) for number in range(first, last) for shape in asked]


@contextmanager
def peers(names: Sequence[str], database: Database, project_id: str, folder: Path) -> Iterator[list[Engine]]:
    """Give the peers, filled with the project's rows."""
    with ExitStack() as opened:
        found: list[Engine] = []
        for name in names:
            if name == "duckdb":
                found.append(DuckDBPeer(database, folder))
            else:
                found.append(PostgresPeer(database, PLAIN if name == "plain" else TUNED, project_id))
            opened.callback(found[-1].close)
        yield found


def facts(database: Database, engines: Sequence[Engine]) -> dict[str, Any]:
    """Return what the figures depend on."""
    with connect(database) as connection:
        server = server_facts(connection)
    found: dict[str, Any] = {
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "postgresql": server,
    }
    for engine in engines:
        if isinstance(engine, DuckDBPeer):
            found["duckdb"] = engine.version
        elif isinstance(engine, PostgresPeer):
            found[engine.name] = {**engine.sizes(), "indexes": engine.indexes, "trigrams": engine.trigrams}
    return found


def bars(ratios: dict[str, dict[str, Any]], bytes_a_row: float, of_two: float, wrong: int) -> dict[str, Any]:
    """Return each bar with what was measured, and whether it is met."""
    found = {
        f"{peer}_{figure}": {"at_least": bar, "measured": ratios[peer][figure], "met": ratios[peer][figure] >= bar}
        for peer, figures in BARS.items()
        if peer in ratios
        for figure, bar in figures.items()
    }
    return {
        **found,
        "bytes_a_row": {"at_most": BYTES_BAR, "measured": round(bytes_a_row, 1), "met": bytes_a_row <= BYTES_BAR},
        "two_processes": {"at_most": TWO_BAR, "measured": round(of_two, 3), "met": of_two <= TWO_BAR},
        "wrong_answers": {"at_most": 0, "measured": wrong, "met": wrong == 0},
    }


def measure(asked: argparse.Namespace, names: Sequence[str], folder: Path, database: Database) -> dict[str, Any]:
    """Return the figures of ours beside the peers."""
    images: Images = make(asked.rows, asked.seed)
    project_id, models = store(database, images), folder / "models"
    build_seconds = build(database, models, project_id)
    questions = shapes(images)
    held, later = memory(models, project_id, [rounds_of(questions, 0, 1), rounds_of(questions, 1, MEMORY_ROUNDS)])
    (of_two,) = memory(models, project_id, [rounds_of(questions, 0, 1)], processes=2)
    ours = OurEngine(models, project_id)
    unlike = [shape.name for shape in questions if not ours.has_right_rows(shape.question(0))]
    with peers(names, database, project_id, folder) as others:
        run = Run([ours, *others], questions, asked.seed, asked.more_rounds)
        rounds = run.rounds(asked.rounds, asked.seconds)
        found = compared(run.timings)
        wrong = run.wrong + unlike
        return {
            "build_seconds": round(build_seconds, 2),
            "bytes_a_row": round(held.per_row(asked.rows), 1),
            "bytes_a_row_later": round(later.per_row(asked.rows), 1),
            "memory_of_two_processes": round(of_two.per_row(1) / held.per_row(1), 3),
            "memory": {**held._asdict(), "column_files": column_file_bytes(models, project_id)},
            "rounds": rounds,
            "shapes": len(questions),
            **found,
            "compared": run.compared,
            "wrong": wrong[:20],
            "wrong_answers": len(wrong),
            "bars": bars(found["ratios"], held.per_row(asked.rows), of_two.per_row(1) / held.per_row(1), len(wrong)),
            "machine": facts(database, others),
        }


def arguments_from(arguments: list[str]) -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other form)")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--rounds", type=int, default=20, help="of all engines in turn, at most")
    parser.add_argument("--more-rounds", type=int, default=4, help="of ours alone, beside each of all")
    parser.add_argument("--seconds", type=float, default=120.0, help="that the rounds, or each measurement, may take")
    parser.add_argument("--peers", default=",".join(PEERS), help="which of them, or none")
    parser.add_argument(
        "--database-url", help="of a server to use in place of the embedded one; its user makes databases"
    )
    parser.add_argument("--growth", action="store_true", help="ours alone, from 10,000 rows to --rows")
    parser.add_argument("--plot", type=Path, help="file of the plot that --growth draws, SVG")
    parser.add_argument("--writes", action="store_true", help="ours beside writers")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    asked = arguments_from(arguments)
    names = [] if asked.peers == "none" else asked.peers.split(",")
    assert set(names) <= set(PEERS), f"peers are {', '.join(PEERS)}, or none"
    missing = [] if duckdb_is_there() else [name for name in names if name == "duckdb"]
    logs.configure("warning")
    head = {"bench": "query", "seed": asked.seed, "cpus": os.cpu_count()}
    if asked.growth:
        print(json.dumps({**head, "growth": _growth.measure(asked.rows, asked.seed, asked.database_url, asked.plot)}))
        return
    with tempfile.TemporaryDirectory() as place, migrated_database(Path(place), asked.database_url) as database:
        if asked.writes:
            found = _writes.measure(asked.rows, asked.seed, asked.seconds, Path(place), database)
        else:
            found = measure(asked, [name for name in names if name not in missing], Path(place), database)
    print(json.dumps({**head, "rows": asked.rows, "not_installed": missing, **found}))


if __name__ == "__main__":
    main(sys.argv[1:])
