"""The rows of one run that match: how many, and which stand at given ranks of an order.

A rank is found by the counts of blocks, so that a deep page costs what the first one costs. Both orders are ascending
here; a descending page is the mirror of an ascending one.
"""

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from imagewarden.inventory.columns import Columns, Mask, Positions
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.predicate import CodesMatch, Predicate

__all__ = ["All", "Few", "Many", "Matches", "match"]

_BLOCK = 1 << 13
"""Rows that are counted together."""
_SORTED = 1 << 13
"""More rows than this are not sorted by scan time: the run's order is walked instead."""
_NONE = np.zeros(0, dtype=np.int32)
_OTHER = -1
_LOCAL = threading.local()


class Matches(Protocol):
    """Rows of a run that match; valid until this thread's next query."""

    total: int
    """How many."""

    def select(self, first: int, last: int, *, by_scan_time: bool) -> Positions:
        """Return the places of ranks `first` to just under `last`, in the order asked for."""


class Few:
    """Matching rows by place."""

    def __init__(self, columns: Columns, places: Positions) -> None:
        """Take the places, ascending."""
        self._columns = columns
        self._places = places
        self._by_scan_time: Positions | None = None
        self.total = len(places)

    def select(self, first: int, last: int, *, by_scan_time: bool) -> Positions:
        """Return the places of a range of ranks."""
        if not by_scan_time:
            return self._places[first:last]
        if self._by_scan_time is None:
            times = self._columns.column(ImageColumn.SCANNED_AT).take(self._places)
            self._by_scan_time = self._places[np.argsort(times, kind="stable")]
        return self._by_scan_time[first:last]


class All:
    """Every row: what is asked for most."""

    def __init__(self, columns: Columns) -> None:
        """Take the run, of which no row is dead."""
        self._columns = columns
        self.total = len(columns)

    def select(self, first: int, last: int, *, by_scan_time: bool) -> Positions:
        """Return the places of a range of ranks."""
        if by_scan_time:
            return self._columns.order(ImageColumn.SCANNED_AT)[first:last]
        return np.arange(first, min(last, self.total), dtype=np.int32)


class Many:
    """Matching rows as a truth value a row."""

    def __init__(self, columns: Columns, mask: Mask) -> None:
        """Count the mask; its blocks are counted as far as a page asks for it."""
        self._order = columns.order(ImageColumn.SCANNED_AT)
        self._mask = mask
        self._natural = _Walk(len(mask), self._natural_block, self._natural_count)
        self._scanned = _Walk(len(mask), self._scanned_block, self._scanned_count)
        self.total = self._natural.total = self._scanned.total = int(np.count_nonzero(mask))

    def select(self, first: int, last: int, *, by_scan_time: bool) -> Positions:
        """Return the places of a range of ranks."""
        return (self._scanned if by_scan_time else self._natural).select(first, min(last, self.total))

    def _natural_block(self, number: int) -> Positions:
        start = number * _BLOCK
        return (np.flatnonzero(self._mask[start : start + _BLOCK]) + start).astype(np.int32)

    def _natural_count(self, number: int) -> int:
        return int(np.count_nonzero(self._mask[number * _BLOCK : (number + 1) * _BLOCK]))

    def _scanned_block(self, number: int) -> Positions:
        places = self._order[number * _BLOCK : (number + 1) * _BLOCK]
        return places[self._mask.take(places)]

    def _scanned_count(self, number: int) -> int:
        return int(np.count_nonzero(self._mask.take(self._order[number * _BLOCK : (number + 1) * _BLOCK])))


class _Walk:
    """Blocks in an order, counted as far as was needed: from the front, or from the back where that is nearer."""

    def __init__(self, rows: int, block: Callable[[int], Positions], count: Callable[[int], int]) -> None:
        """Walk over `rows` rows: `block` gives the matching places of a block, `count` how many they are."""
        self._blocks = -(-rows // _BLOCK)
        self._block = block
        self._count = count
        self._front = [0]
        self._back = [0]
        self.total = 0

    def select(self, first: int, last: int) -> Positions:
        """Return the places of ranks `first` to just under `last`."""
        if first >= last:
            return _NONE
        number, rank = self._seek(first)
        found, needed = [], last - first
        while needed > 0:
            part = self._block(number)[rank : rank + needed]
            found.append(part)
            needed, rank, number = needed - len(part), 0, number + 1
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _seek(self, rank: int) -> tuple[int, int]:
        """Return the block that a rank stands in, and its rank there."""
        if rank * 2 <= self.total:
            while self._front[-1] <= rank:
                self._front.append(self._front[-1] + self._count(len(self._front) - 1))
            number = bisect_right(self._front, rank) - 1
            return number, rank - self._front[number]
        from_end = self.total - rank
        while self._back[-1] < from_end:
            self._back.append(self._back[-1] + self._count(self._blocks - len(self._back)))
        skipped = bisect_left(self._back, from_end)
        return self._blocks - skipped, self._back[skipped] - from_end


def _scratch(rows: int, lane: int) -> Mask:
    """Return one of this thread's buffers: fresh memory for every query would cost more than the query."""
    buffers: dict[int, Mask] = _LOCAL.__dict__.setdefault("buffers", {})
    buffer = buffers.get(lane)
    if buffer is None or len(buffer) < rows:
        buffer = buffers[lane] = np.empty(rows, dtype=np.bool_)
    return buffer[:rows]


def _without(places: Positions, dead: Positions) -> Positions:
    """Return the places that are not among the dead, which are ascending."""
    if not len(dead) or not len(places):
        return places
    at = np.minimum(np.searchsorted(dead, places), len(dead) - 1)
    living: Positions = places[dead[at] != places]
    return living


def _few(
    columns: Columns, predicates: Sequence[tuple[int, Predicate]], dead: Positions, *, by_scan_time: bool
) -> Few | None:
    """Return the matches by the most selective predicate's order, None where that is no gain."""
    if not predicates or not columns.few(predicates[0][0]):
        return None
    places = columns.find(predicates[0][1])
    if places is None or not columns.few(len(places)):
        return None
    for _, predicate in predicates[1:]:
        places = columns.keep(predicate, places)
    if by_scan_time and len(places) > _SORTED:
        return None
    return Few(columns, np.sort(_without(places, dead)))


def _many(columns: Columns, predicates: Sequence[tuple[int, Predicate]], dead: Positions, lane: int) -> Many:
    """Return the matches by compares of whole columns."""
    mask = _scratch(len(columns), lane)
    if predicates:
        columns.mark(predicates[0][1], mask)
    else:
        mask[:] = True
    for _, predicate in predicates[1:]:
        other = _scratch(len(columns), _OTHER)
        columns.mark(predicate, other)
        np.logical_and(mask, other, out=mask)
    mask[dead] = False
    return Many(columns, mask)


def match(
    columns: Columns, predicates: Sequence[Predicate], dead: Positions, *, by_scan_time: bool, lane: int = 0
) -> Matches:
    """Return the rows that meet all predicates and are not among the dead places, which are ascending.

    `by_scan_time` tells which order will be asked for. Runs of one query have different `lane`s, from 0.
    """
    ranked = sorted(((columns.estimate(each), each) for each in predicates), key=lambda pair: pair[0])
    if ranked and ranked[0][0] == 0:
        return Few(columns, _NONE)
    ranked = [(rows, each) for rows, each in ranked if rows < len(columns) or isinstance(each, CodesMatch)]
    if not ranked and not len(dead):
        return All(columns)
    found = _few(columns, ranked, dead, by_scan_time=by_scan_time)
    return found if found is not None else _many(columns, ranked, dead, lane)
