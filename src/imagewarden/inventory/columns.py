"""One immutable run of rows as NumPy columns, in ascending order of id, and how predicates are evaluated on it.

A predicate that few rows meet is answered from a sorted order of its column and costs what it finds; the others are
vectorised compares. The most selective one goes first, so that the rest look at its rows alone.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import NUMBER_COLUMNS, TERM_COLUMNS, Batch
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.predicate import CodeIn, CodesMatch, FlagsAny, FlagsEqual, NumberWithin, Predicate
from imagewarden.inventory.vocabulary import code_type

__all__ = ["ORDERED", "Columns", "Mask", "Positions", "columns_of"]

Positions = npt.NDArray[np.int32]
"""Places of rows within a run, ascending unless said otherwise."""
Mask = npt.NDArray[np.bool_]
"""A truth value a row of a run."""
Arrays = Mapping[str, npt.NDArray[Any]]

ORDERED = (
    ImageColumn.NAMESPACE,
    ImageColumn.NAME,
    ImageColumn.TAG,
    ImageColumn.SIZE,
    ImageColumn.UPDATED_AT,
    ImageColumn.SCANNED_AT,
    ImageColumn.SYNCED_AT,
)
"""Columns with a sorted order: places by (value, place)."""
_COUNTED_TERMS = 1 << 16
"""Vocabularies up to this size have the rows of each code counted, where there are at least half as many rows."""
_MANY_CODES = 64
"""More codes than this are not looked up one by one."""
_FEW_MARKED = 8
"""Fewer rows than one in so many are marked one by one, as their codes have them."""
_SHARE = 32
"""A predicate that fewer than one row in so many meets is answered from its order."""


def columns_of(batch: Batch, terms: Mapping[ImageColumn, int]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a run of rows, by name; `terms` tells how many codes each vocabulary has given out."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "ids": batch.ids,
        "flags": batch.flags,
        "row_at": batch.row_at,
        "row_length": batch.row_length,
        "count:flags": np.bincount(batch.flags, minlength=256),
    }
    arrays |= {column.value: batch.numbers[column] for column in NUMBER_COLUMNS}
    for column in TERM_COLUMNS:
        codes = batch.codes[column].astype(code_type(terms[column]))
        arrays[column.value] = codes
        if terms[column] <= min(_COUNTED_TERMS, 2 * len(batch.ids)) or column not in ORDERED:
            arrays[f"count:{column}"] = np.bincount(codes, minlength=terms[column])
    for column in ORDERED:
        arrays[f"order:{column}"] = np.argsort(arrays[column.value], kind="stable").astype(np.int32)
    return arrays


class Columns:
    """A run of rows; arrays are never written to, so that they may be mapped from a file that others map too."""

    def __init__(self, arrays: Arrays) -> None:
        """Take the arrays of `columns_of`."""
        self.arrays = arrays
        self.ids: npt.NDArray[np.int64] = arrays["ids"]
        self.flags: npt.NDArray[np.uint8] = arrays["flags"]
        self.row_at: npt.NDArray[np.int64] = arrays["row_at"]
        self.row_length: npt.NDArray[np.uint32] = arrays["row_length"]
        self._items = {name: array.data for name, array in arrays.items()}

    def __len__(self) -> int:
        """Return how many rows it holds, those that newer runs override included."""
        return len(self.ids)

    def column(self, column: ImageColumn) -> npt.NDArray[Any]:
        """Return the values or codes of a column."""
        return self.arrays[column.value]

    def order(self, column: ImageColumn) -> Positions:
        """Return the places sorted by (value of the column, place)."""
        places: Positions = self.arrays[f"order:{column}"]
        return places

    def places_of(self, ids: npt.NDArray[np.int64]) -> Positions:
        """Return the places of those of `ids`, which are ascending, that the run holds."""
        places = np.searchsorted(self.ids, ids)
        inside = places < len(self.ids)
        places, ids = places[inside], ids[inside]
        found: Positions = places[self.ids[places] == ids].astype(np.int32)
        return found

    def estimate(self, predicate: Predicate) -> int:
        """Return about how many rows meet a predicate: exactly but for a search of texts, and 0 only for none."""
        match predicate:
            case CodeIn(column, codes):
                return self._count_codes(column, codes)
            case CodesMatch(tables):
                return sum(self._count_table(column, table) for column, table in tables)
            case NumberWithin(column, low, high):
                first, last = self._span(column, low, high + 1)
                return last - first
            case FlagsEqual(mask, value):
                return self._count_flags(lambda flags: flags & mask == value)
            case FlagsAny(mask):
                return self._count_flags(lambda flags: flags & mask != 0)

    def find(self, predicate: Predicate) -> Positions | None:
        """Return the rows that meet a predicate from sorted orders, in any order; None where no order tells."""
        match predicate:
            case NumberWithin(column, low, high):
                first, last = self._span(column, low, high + 1)
                return self.order(column)[first:last]
            case CodeIn(column, (code,)) if column in ORDERED:
                return self._of_code(column, code)
            case CodesMatch(tables):
                return self._of_tables(tables)
        return None

    def keep(self, predicate: Predicate, places: Positions) -> Positions:
        """Return those of `places` whose rows meet a predicate."""
        match predicate:
            case CodeIn(column, codes):
                met = _equal_any(self.column(column).take(places), codes)
            case CodesMatch(tables):
                met = _any(table_at(table, self.column(column).take(places)) for column, table in tables)
            case NumberWithin(column, low, high):
                values = self.column(column).take(places)
                met = (values >= low) & (values <= high)
            case FlagsEqual(mask, value):
                met = self.flags.take(places) & mask == value
            case FlagsAny(mask):
                met = self.flags.take(places) & mask != 0
        return places[met]

    def mark(self, predicate: Predicate, out: Mask) -> None:
        """Write into `out` which rows meet a predicate."""
        match predicate:
            case CodeIn(column, codes):
                _equal_any(self.column(column), codes, out)
            case CodesMatch(tables):
                self._mark_tables(tables, out)
            case NumberWithin(column, low, high):
                self._mark_within(column, low, high, out)
            case FlagsEqual(mask, value):
                np.equal(self.flags & np.uint8(mask), np.uint8(value), out=out)
            case FlagsAny(mask):
                np.not_equal(self.flags & np.uint8(mask), np.uint8(0), out=out)

    def few(self, rows: int) -> bool:
        """Return whether so many rows are few of this run: looked at one by one."""
        return rows * _SHARE <= len(self)

    def _count_flags(self, met: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]]) -> int:
        counts = self.arrays["count:flags"]
        return int(counts[met(np.arange(256))].sum())

    def _count_codes(self, column: ImageColumn, codes: Sequence[int]) -> int:
        counts = self._items.get(f"count:{column}")
        if counts is not None:
            return sum(counts[code] for code in codes if code < len(counts))
        spans = (self._code_span(column, code) for code in codes)
        return sum(last - first for first, last in spans)

    def _count_table(self, column: ImageColumn, table: npt.NDArray[np.bool_]) -> int:
        counts = self.arrays.get(f"count:{column}")
        if counts is not None:
            return int(counts[table[: len(counts)]].sum())
        marked = np.count_nonzero(table)
        if marked > _MANY_CODES:
            return max(1, len(self) * int(marked) // len(table))
        return self._count_codes(column, np.flatnonzero(table).tolist())

    def _code_span(self, column: ImageColumn, code: int) -> tuple[int, int]:
        """Return where the rows of a code begin and end in the column's order."""
        return self._span(column, code, code + 1)

    def _span(self, column: ImageColumn, low: int, below: int) -> tuple[int, int]:
        """Return where the rows with values from `low` to just under `below` begin and end in the column's order."""
        values, order = self._items[column.value], self._items[f"order:{column}"]
        ranks = range(len(self))
        first = bisect_left(ranks, low, key=lambda rank: values[order[rank]])
        return first, bisect_left(ranks, below, lo=first, key=lambda rank: values[order[rank]])

    def _of_code(self, column: ImageColumn, code: int) -> Positions:
        first, last = self._code_span(column, code)
        return self.order(column)[first:last]

    def _of_tables(self, tables: tuple[tuple[ImageColumn, npt.NDArray[np.bool_]], ...]) -> Positions | None:
        """Return the rows whose codes are marked, each once; None where that takes too many look-ups."""
        found: list[Positions] = []
        for column, table in tables:
            places = self._of_table(column, table)
            if places is None:
                return None
            found.append(places)
        return np.unique(np.concatenate(found))

    def _of_table(self, column: ImageColumn, table: npt.NDArray[np.bool_]) -> Positions | None:
        """Return the rows whose codes are marked, by the column's order; None where compares find them sooner."""
        codes = np.flatnonzero(table)
        if len(codes) <= _MANY_CODES:
            spans = [self._of_code(column, code) for code in codes.tolist()]
            return np.concatenate(spans) if spans else np.zeros(0, dtype=np.int32)
        counts: npt.NDArray[np.int64] | None = self.arrays.get(f"count:{column}")
        if counts is None:
            return None
        codes = codes[: np.searchsorted(codes, len(counts))]
        lengths = counts.take(codes)
        after = np.cumsum(lengths)
        if not len(codes) or after[-1] * _FEW_MARKED > len(self):
            return None
        starts = np.cumsum(counts).take(codes) - after
        return self.order(column).take(np.arange(after[-1]) + np.repeat(starts, lengths))

    def _mark_tables(self, tables: tuple[tuple[ImageColumn, npt.NDArray[np.bool_]], ...], out: Mask) -> None:
        out[:] = False
        for column, table in tables:
            places = self._of_table(column, table)
            if places is None:
                out |= table_at(table, self.column(column))
            else:
                out[places] = True

    def _mark_within(self, column: ImageColumn, low: int, high: int, out: Mask) -> None:
        """Mark a range: by its order where that marks, or unmarks, few rows, else by compares."""
        first, last = self._span(column, low, high + 1)
        inside, order = last - first, self.order(column)
        if inside * 4 <= len(self):
            out[:] = False
            out[order[first:last]] = True
        elif inside * 4 >= len(self) * 3:
            out[:] = True
            out[order[:first]] = False
            out[order[last:]] = False
        else:
            values = self.column(column)
            np.greater_equal(values, low, out=out)
            if last < len(self):
                out &= values <= high


def table_at(table: npt.NDArray[np.bool_], codes: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return the truth values of codes."""
    return np.take(table, codes)


def _any(found: Any) -> npt.NDArray[np.bool_]:
    """Return the union of truth values."""
    union: npt.NDArray[np.bool_] = np.logical_or.reduce(list(found))
    return union


def _equal_any(values: npt.NDArray[Any], codes: Sequence[int], out: Mask | None = None) -> Mask:
    """Return which values are among the codes; a code beyond the values' type is none of them."""
    limit = np.iinfo(values.dtype).max
    fitting = [values.dtype.type(code) for code in codes if code <= limit]
    if out is None:
        out = np.empty(len(values), dtype=np.bool_)
    if not fitting:
        out[:] = False
        return out
    np.equal(values, fitting[0], out=out)
    for code in fitting[1:]:
        out |= values == code
    return out
