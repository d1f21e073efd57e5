"""Which terms hold three given bytes in a row: postings of trigrams, so that a search need not read every term.

A byte belongs to one of 38 classes of its own (a letter whatever its case, a digit, `.` or `-`), or to the class of all
others; a term ends in two bytes of a class of their own. The number of a trigram is made of its classes, so that all
that begin with one or two given bytes stand together. Postings are as long as the texts, four bytes each: they stay on
disk, and what of them was looked at is given back at once.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.arrayfile import let_go

__all__ = ["GRAM_ARRAYS", "Grams", "gram_arrays"]

GRAM_ARRAYS = ("grams", "gram_ends", "gram_terms")
"""The arrays that postings are made of: numbers of trigrams that occur, where each one's terms end, and the terms."""
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789.-"
_END, _OTHER, _CLASSES = 0, len(_LETTERS) + 1, len(_LETTERS) + 2
"""Classes, fewer than 41: the number of a trigram fits 16 bits."""
_PORTION = 1 << 20
"""Bytes whose trigrams are sorted together."""
_CLOSE = 8
"""Postings that are so many times longer than what is left are not looked at: checking the texts costs less."""
_ENOUGH = 256
"""So few terms are not worth looking at more postings."""

Terms = npt.NDArray[np.uint32]


def _classes() -> npt.NDArray[np.uint8]:
    """Return the class of each byte."""
    classes = np.full(256, _OTHER, dtype=np.uint8)
    for number, letter in enumerate(_LETTERS, start=1):
        classes[[letter, ord(chr(letter).upper())]] = number
    return classes


_CLASS_OF = _classes()


def _numbers(blob: npt.NDArray[np.uint8], ends: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint16]:
    """Return the number of the trigram that begins at each byte of terms that follow one another without a gap."""
    classes = np.zeros(len(blob) + 2, dtype=np.uint8)
    np.take(_CLASS_OF, blob, out=classes[:-2])
    second, third = classes[1:-1].copy(), classes[2:].copy()
    last = ends[np.diff(ends, prepend=0) > 0].astype(np.int64) - 1
    second[last] = third[last] = _END
    third[last[last > 0] - 1] = _END  # of a term of one byte: the end of the term before, where this holds already
    numbers = classes[:-2].astype(np.uint16)
    for following in (second, third):
        numbers *= np.uint16(_CLASSES)
        numbers += following
    return numbers


def gram_arrays(blob: npt.NDArray[np.uint8], ends: npt.NDArray[np.uint32]) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays of the postings of terms that stand in a blob, each up to its end."""
    numbers = _numbers(blob, ends)
    counts = np.bincount(numbers, minlength=_CLASSES**3)
    free = np.cumsum(counts) - counts
    terms = np.empty(len(numbers), dtype=np.uint32)
    owners = np.repeat(np.arange(len(ends), dtype=np.uint32), np.diff(ends, prepend=0))
    for first in range(0, len(numbers), _PORTION):
        portion = numbers[first : first + _PORTION]
        order = np.argsort(portion, kind="stable")
        portion = portion[order]
        of_portion = np.bincount(portion, minlength=_CLASSES**3)
        place = free - (np.cumsum(of_portion) - of_portion)
        terms[place[portion] + np.arange(len(portion))] = owners[first : first + _PORTION][order]
        free += of_portion
    grams = np.flatnonzero(counts)
    return {"grams": grams.astype(np.uint16), "gram_ends": np.cumsum(counts[grams]), "gram_terms": terms}


class Grams:
    """Postings of the trigrams of terms; never changes."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take the arrays of `gram_arrays`, from memory or mapped."""
        self._grams, self._ends = arrays["grams"], arrays["gram_ends"]
        self._terms: Terms = arrays["gram_terms"]  # type: ignore[assignment] # as it was made

    def candidates(self, text: bytes) -> tuple[Terms, bool]:
        """Return the numbers of all terms that may contain a text in lower case, and whether all of them do.

        One that contains it more than once may be told more than once.
        """
        classes = _CLASS_OF[np.frombuffer(text, dtype=np.uint8)].astype(np.int64)
        sure = len(text) <= 3 and bool((classes != _OTHER).all())
        spans = self._spans(classes)
        first, last = spans[0]
        found = self._terms[first:last].copy() if first < last else self._terms[:0]
        for first, last in spans[1:]:
            if len(found) <= _ENOUGH or last - first > _CLOSE * len(found):
                break
            others = self._terms[first:last]
            marks = np.zeros(1 + int(max(found[-1], others[-1])), dtype=np.bool_)
            marks[others] = True
            found = found[marks[found]]
        let_go(self._terms)
        return found, sure

    def _spans(self, classes: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
        """Return where the postings of each trigram of a text begin and end, the shortest first."""
        window = classes[:3]
        if len(classes) < 3:
            low = int((window * _CLASSES ** np.arange(2, 2 - len(window), -1)).sum())
            return [self._span(low, low + _CLASSES ** (3 - len(window)))]
        numbers = (classes[:-2] * _CLASSES + classes[1:-1]) * _CLASSES + classes[2:]
        spans = [self._span(number, number + 1) for number in set(numbers.tolist())]
        return sorted(spans, key=lambda span: span[1] - span[0])

    def _span(self, low: int, below: int) -> tuple[int, int]:
        """Return where the postings of some trigrams, from `low` to just under `below`, begin and end."""
        first, last = np.searchsorted(self._grams, (low, below)).tolist()
        return (int(self._ends[first - 1]) if first else 0), (int(self._ends[last - 1]) if last else 0)
