"""Ours alone over the number of rows: building, answering, memory, and refreshing after small commits."""

import math
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks._figures import milliseconds
from benchmarks._ours import OurEngine, build, memory, new_reader
from benchmarks._plot import Line, plot
from benchmarks._project import make
from benchmarks._server import migrated_database
from benchmarks._shapes import Shape, shapes
from benchmarks._stored import store
from benchmarks._writes import write_scans
from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.inventory.builder import model_folder
from imagewarden.inventory.model import ProjectModel
from imagewarden.storage.database import Database

__all__ = ["measure"]

_STEPS = (10_000, 100_000, 1_000_000, 2_000_000, 10_000_000)
_ROUNDS = 20
_COMMITS = {1: 50, 1000: 15}
"""How many commits of so many rows are measured."""
_DRAWN = (
    ("p99_ms", "99th percentile of an answer"),
    ("p50_ms", "median answer"),
    ("refresh_1000_rows_ms", "refresh after a commit of 1,000 rows"),
    ("refresh_1_row_ms", "refresh after a commit of 1 row"),
)


def measure(most: int, seed: int, database_url: str | None, file: Path | None) -> list[dict[str, Any]]:
    """Return the figures of each number of rows up to `most`, and draw them into a file."""
    steps = [rows for rows in _STEPS if rows <= most] or [most]
    found = []
    for rows in steps:
        with tempfile.TemporaryDirectory() as place, migrated_database(Path(place), database_url) as database:
            found.append(_step(rows, seed, database, Path(place, "models")))
    if file is not None:
        file.write_text(_drawn(found))
    return found


def _step(rows: int, seed: int, database: Database, models: Path) -> dict[str, Any]:
    """Return the figures of one number of rows."""
    images = make(rows, seed)
    started = time.perf_counter()
    project_id = store(database, images)
    stored = time.perf_counter() - started
    seconds = build(database, models, project_id)
    asked = shapes(images)
    held = memory(models, project_id, [[shape.question(0) for shape in asked]])[0]
    return {
        "rows": rows,
        "load_seconds": round(stored, 1),
        "build_seconds": round(seconds, 2),
        "bytes_a_row": round(held.per_row(rows), 1),
        **milliseconds(_answers(OurEngine(models, project_id), asked)),
        **_refreshes(database, models, project_id, rows),
    }


def _answers(engine: OurEngine, asked: Sequence[Shape]) -> list[float]:
    """Return the seconds of each answer, after a round that does not count."""
    found = []
    for number in range(_ROUNDS + 1):
        for shape in asked:
            question = shape.question(number)
            started = time.perf_counter()
            engine.ask(question)
            if number:
                found.append(time.perf_counter() - started)
    return found


def _refreshes(database: Database, models: Path, project_id: str, rows: int) -> dict[str, float]:
    """Return how long it takes until a commit can be seen, medians."""
    chance, folder = random.Random(rows), model_folder(models, project_id)
    model, reader = ProjectModel(folder, project_id, ENCODING), new_reader(models, project_id)
    found: dict[str, float] = {}
    with (
        psycopg.connect(database.conninfo, autocommit=True) as writer,
        psycopg.connect(database.conninfo) as connection,
    ):
        for size, commits in _COMMITS.items():
            took = []
            for _ in range(commits):
                write_scans(writer, chance, rows, min(size, rows))
                started = time.perf_counter()
                model.refresh(connection)
                reader.newest()
                took.append(time.perf_counter() - started)
            found[f"refresh_{size}_row{'s' * (size > 1)}_ms"] = round(statistics.median(took) * 1000, 3)
    model.close()
    return found


def _drawn(found: Sequence[dict[str, Any]]) -> str:
    """Return the plot."""
    lines = [Line(text, [(each["rows"], each[key]) for each in found]) for key, text in _DRAWN]
    top = 10 ** math.ceil(math.log10(max(value for line in lines for _, value in line.points)))
    bottom = 10 ** math.floor(math.log10(min(value for line in lines for _, value in line.points)))
    return plot("Milliseconds over the number of images", lines, (bottom, top))
