"""One page out of several runs of rows: a large one, and a few small ones that override some of its rows.

The small runs' matches are put in order together; where a page begins between them and the large run's is found by
binary search, so that nothing of what comes before it is looked at.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.columns import Columns, Positions
from imagewarden.inventory.filters import ImageColumn, ImageOrder
from imagewarden.inventory.matches import Matches, match
from imagewarden.inventory.predicate import Predicate

__all__ = ["NO_PLACES", "Page", "Run", "find_page"]

NO_PLACES: Positions = np.zeros(0, dtype=np.int32)
"""No row of a run."""
_NOTHING = np.zeros(0, dtype=np.int64)


class Run(NamedTuple):
    """A run of rows within a version."""

    columns: Columns
    """Its rows."""
    dead: Positions
    """Places, ascending, of rows that a newer run overrides or that are gone."""


class Page(NamedTuple):
    """What a query found."""

    total: int
    """Rows that match, on all pages."""
    runs: npt.NDArray[np.int64]
    """The page's rows, in order: the number of the run of each."""
    places: npt.NDArray[np.int64]
    """And its place there."""


class _Keyed(NamedTuple):
    """Rows with what they are sorted by."""

    times: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    def key(self, at: int) -> tuple[int, int]:
        """Return the sort key of one."""
        return int(self.times[at]), int(self.ids[at])

    def slice(self, first: int, last: int) -> "_Keyed":
        """Return some of them."""
        return _Keyed(*(array[first:last] for array in self))


def _keyed(run: Run, number: int, places: Positions, *, by_scan_time: bool) -> _Keyed:
    """Return rows of a run with their keys."""
    ids = run.columns.ids.take(places)
    times = run.columns.column(ImageColumn.SCANNED_AT).take(places) if by_scan_time else np.zeros_like(ids)
    return _Keyed(times, ids, np.full(len(places), number), places.astype(np.int64))


def _sorted(parts: Sequence[_Keyed]) -> _Keyed:
    """Return all rows in the order of their keys."""
    if len(parts) == 1:
        return parts[0]
    every = _Keyed(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    order = np.lexsort((every.ids, every.times))
    return _Keyed(*(array[order] for array in every))


class _Merged:
    """The matches of all runs in one ascending order."""

    def __init__(self, runs: Sequence[Run], matches: Sequence[Matches], *, by_scan_time: bool) -> None:
        self._by_scan_time = by_scan_time
        self._runs = runs
        self._large = max(range(len(runs)), key=lambda number: matches[number].total)
        self._matches = matches[self._large]
        small = [
            self._rows(number, found.select(0, found.total, by_scan_time=by_scan_time))
            for number, found in enumerate(matches)
            if number != self._large and found.total
        ]
        self._small = _sorted(small) if small else None

    def slice(self, first: int, last: int) -> _Keyed:
        """Return the rows of ranks `first` to just under `last`."""
        if self._small is None:
            return self._of_large(first, last)
        before = self._before(self._small, first)
        count = last - first
        near = self._small.slice(before, before + count)
        return _sorted([self._of_large(first - before, first - before + count), near]).slice(0, count)

    def _of_large(self, first: int, last: int) -> _Keyed:
        last = min(last, self._matches.total)
        return self._rows(self._large, self._matches.select(first, last, by_scan_time=self._by_scan_time))

    def _rows(self, number: int, places: Positions) -> _Keyed:
        return _keyed(self._runs[number], number, places, by_scan_time=self._by_scan_time)

    def _before(self, small: _Keyed, rank: int) -> int:
        """Return how many of the small runs' rows are among the first `rank` rows."""
        low, high = max(0, rank - self._matches.total), min(rank, len(small.ids))
        while low < high:
            middle = (low + high) // 2
            last_of_large = self._of_large(rank - middle - 1, rank - middle)
            if small.key(middle) < last_of_large.key(0):
                low = middle + 1
            else:
                high = middle
        return low


def find_page(
    runs: Sequence[Run], predicates: Sequence[Predicate] | None, order: ImageOrder, offset: int, limit: int
) -> Page:
    """Return the total and one page of the rows that meet all predicates; None of them stands for no row.

    Ids are unique over the runs but for dead rows. A page past the end is empty, the total still true.
    """
    if predicates is None or not runs:
        return Page(0, _NOTHING, _NOTHING)
    matches = [
        match(run.columns, predicates, run.dead, by_scan_time=order.by_scan_time, lane=lane)
        for lane, run in enumerate(runs)
    ]
    total = sum(found.total for found in matches)
    first, last = min(offset, total), min(offset + limit, total)
    if first == last:
        return Page(total, _NOTHING, _NOTHING)
    if order.descending:
        first, last = total - last, total - first
    some = [number for number, found in enumerate(matches) if found.total]
    if len(some) == 1:
        places = matches[some[0]].select(first, last, by_scan_time=order.by_scan_time)
        places = places[::-1] if order.descending else places
        return Page(total, np.full(len(places), some[0]), places.astype(np.int64))
    rows = _Merged(runs, matches, by_scan_time=order.by_scan_time).slice(first, last)
    if order.descending:
        return Page(total, rows.runs[::-1], rows.places[::-1])
    return Page(total, rows.runs, rows.places)
