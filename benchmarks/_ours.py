"""Our engine: a project's read model, built from the database and asked as the API processes ask it."""

import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from benchmarks._postgres import Found
from benchmarks._shapes import Question
from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.inventory.builder import model_folder
from imagewarden.inventory.model import ProjectModel
from imagewarden.inventory.reader import Answer, ModelReader
from imagewarden.storage.database import Database

__all__ = ["Memory", "OurEngine", "answered", "build", "column_file_bytes", "memory", "new_reader"]

_ROW_FILES = "rows-"
_SMAPS_UNIT = 1024


class Memory(NamedTuple):
    """Bytes that the model adds to processes that answer from it; pages that they share count once."""

    columns: int
    """Pages of mapped columns and terms that are resident."""
    private: int
    """Memory of its own."""
    rows: int
    """Pages of mapped row files that are resident: the operating system's to drop, and not counted."""

    def per_row(self, rows: int) -> float:
        """Return the bytes a row."""
        return (self.columns + self.private) / rows


def build(database: Database, models: Path, project_id: str) -> float:
    """Build a project's model in the folder of all models; returns the seconds it took."""
    with psycopg.connect(database.conninfo) as connection:
        model = ProjectModel(model_folder(models, project_id), project_id, ENCODING)
        started = time.perf_counter()
        model.refresh(connection)
        took = time.perf_counter() - started
        model.close()
    return took


def new_reader(models: Path, project_id: str) -> ModelReader:
    """Return what answers from a project's model."""
    return ModelReader(model_folder(models, project_id), project_id, ENCODING.name)


def answered(reader: ModelReader, question: Question) -> Answer:
    """Return the answer of the newest version."""
    version = reader.newest()
    assert version is not None
    return version.answer(question.asked, question.order, question.offset, question.limit)


class OurEngine:
    """The model as a peer of the others."""

    name = "ours"

    def __init__(self, models: Path, project_id: str) -> None:
        """Open a model that was built."""
        self._reader = new_reader(models, project_id)

    def ask(self, question: Question) -> Found:
        """Return the answer; the page's rows are its encoded bytes."""
        answer = answered(self._reader, question)
        return Found(answer.total, answer.ids)

    def has_right_rows(self, question: Question) -> bool:
        """Return whether the page's bytes are those of the page's ids."""
        answer = answered(self._reader, question)
        return [json.loads(row)["id"] for row in answer.rows] == answer.ids

    def close(self) -> None:
        """Do nothing: maps go with the reader."""


def memory(models: Path, project_id: str, rounds: Sequence[Sequence[Question]], *, processes: int = 1) -> list[Memory]:
    """Return what fresh processes together hold of the model after each round of questions, which each was asked."""
    context = multiprocessing.get_context("spawn")
    result: Any = context.SimpleQueue()
    arguments = (models, project_id, [list(each) for each in rounds], result, context.Barrier(processes))
    started = [context.Process(target=_answer_all, args=arguments) for _ in range(processes)]
    for process in started:
        process.start()
    found = [result.get() for _ in started]
    for process in started:
        process.join()
        assert process.exitcode == 0
    return [Memory(*map(sum, zip(*of_round, strict=True))) for of_round in zip(*found, strict=True)]


def column_file_bytes(models: Path, project_id: str) -> int:
    """Return the bytes of the files of columns and terms: what would be resident if every page were touched."""
    files = model_folder(models, project_id).iterdir()
    return sum(path.stat().st_size for path in files if not path.name.startswith(_ROW_FILES))


def _answer_all(models: Path, project_id: str, rounds: list[list[Question]], result: Any, together: Any) -> None:
    """Answer all questions and tell what that took, round by round: in a process of its own."""
    folder = model_folder(models, project_id)
    before = _resident(folder)
    reader = new_reader(models, project_id)
    found = []
    for questions in rounds:
        for question in questions:
            answered(reader, question)
        together.wait()
        found.append(tuple(now - then for now, then in zip(_resident(folder), before, strict=True)))
        together.wait()
    result.put(found)


def _resident(folder: Path) -> Memory:
    """Return this process's share of what it holds, by what /proc tells of each mapping (proc_pid_smaps(5))."""
    columns = private = rows = 0
    name = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            name = words[5] if len(words) > 5 else ""
        elif words[0] == "Anonymous:":
            private += int(words[1]) * _SMAPS_UNIT
        elif words[0] == "Pss:" and name.startswith(f"{folder}{os.sep}"):
            size = int(words[1]) * _SMAPS_UNIT
            if Path(name).name.startswith(_ROW_FILES):
                rows += size
            else:
                columns += size
    return Memory(columns, private, rows)
