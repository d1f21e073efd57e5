"""Runs of rows put together: what a refresh adds becomes part of the newest run, small runs become larger ones."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import NUMBER_COLUMNS, TERM_COLUMNS, Batch
from imagewarden.inventory.columns import Positions
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.paging import Run
from imagewarden.inventory.versions import RunFile

__all__ = ["INLINE_ROWS", "TINY_ROWS", "joined", "live_batch", "merged_terms", "too_small", "with_dead"]

TINY_ROWS = 1024
"""A run up to this size is written anew with whatever comes after it."""
INLINE_ROWS = 1 << 15
"""A larger run is put together with others in the background only."""
_FACTOR = 4
"""A run that is not so many times larger than what follows it is put together with that."""

Ids = npt.NDArray[np.int64]


def too_small(run: Run, rows: int) -> bool:
    """Return whether a run is to be written anew together with `rows` rows that follow it."""
    size = len(run.columns)
    return size <= INLINE_ROWS and (size <= TINY_ROWS or size < _FACTOR * rows)


def with_dead(run: Run, ids: Ids) -> Run:
    """Return a run whose rows of these ids, which are ascending, are overridden by a newer run or gone."""
    return Run(run.columns, np.union1d(run.dead, run.columns.places_of(ids)).astype(np.int32))


def live_batch(run: Run) -> Batch:
    """Return a run's rows that no newer run overrides."""
    columns = run.columns
    live = np.ones(len(columns), dtype=np.bool_)
    live[run.dead] = False
    return Batch(
        ids=columns.ids[live],
        numbers={column: columns.column(column)[live] for column in NUMBER_COLUMNS},
        codes={column: columns.column(column)[live].astype(np.uint32) for column in TERM_COLUMNS},
        flags=columns.flags[live],
        row_at=columns.row_at[live],
        row_length=columns.row_length[live],
    )


def joined(batches: Sequence[Batch]) -> Batch:
    """Return the rows of several batches, whose ids differ, in order of id."""
    if len(batches) == 1:
        return batches[0]
    ids = np.concatenate([batch.ids for batch in batches])
    order: Positions = np.argsort(ids, kind="stable").astype(np.int32)
    return Batch(
        ids=ids[order],
        numbers={
            column: np.concatenate([batch.numbers[column] for batch in batches])[order] for column in NUMBER_COLUMNS
        },
        codes={column: np.concatenate([batch.codes[column] for batch in batches])[order] for column in TERM_COLUMNS},
        flags=np.concatenate([batch.flags for batch in batches])[order],
        row_at=np.concatenate([batch.row_at for batch in batches])[order],
        row_length=np.concatenate([batch.row_length for batch in batches])[order],
    )


def merged_terms(
    files: Sequence[RunFile], column: ImageColumn, more: Sequence[bytes] = (), first: int = 0
) -> tuple[int, list[bytes]]:
    """Return the first code and the texts of the terms of a column that came with these runs, and `more` after them.

    `first` is the code of the first of `more`, for where the runs brought none.
    """
    pieces = [file.pieces[column] for file in files if len(file.pieces[column])]
    terms = [piece[number] for piece in pieces for number in range(len(piece))]
    return (pieces[0].first if pieces else first), [*terms, *more]
