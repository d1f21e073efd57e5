"""Texts that follow one another in a blob, and the search for those that contain a text."""

import threading
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Texts"]

_PORTION = 1 << 18
"""Bytes of a blob that are searched together: what is noted of them stays in the processor's cache."""
_SAMPLE = 1 << 16
"""Bytes that tell how frequent each byte is."""
_LOWER = np.arange(256, dtype=np.uint8)
_LOWER[ord("A") : ord("Z") + 1] += 32

Numbers = npt.NDArray[np.int64]


class _Marks(threading.local):
    """Each thread's room to note where bytes stand: fresh memory for every search would cost more than the search."""

    def __init__(self) -> None:
        self.first, self.second, self.third = (np.empty(_PORTION, dtype=np.bool_) for _ in range(3))


_MARKS = _Marks()


class Texts:
    """Texts of bytes by number; never change. Searches ignore the case of ASCII letters; they are for lower case."""

    def __init__(self, blob: npt.NDArray[np.uint8], ends: npt.NDArray[np.uint32]) -> None:
        """Take the texts, one after another, and where each ends."""
        self.blob = blob
        self.ends = ends

    def containing(self, text: bytes) -> Numbers:
        """Return the numbers of those that contain a text, ascending, as often as they do."""
        starts = len(self.blob) - len(text) + 1
        if starts <= 0:
            return np.zeros(0, dtype=np.int64)
        needle = np.frombuffer(text, dtype=np.uint8)
        rarest = np.argsort(self._frequency[needle], kind="stable")
        places = np.concatenate([self._pair(needle, rarest, at, starts) for at in range(0, starts, _PORTION)])
        for offset in rarest[2:]:
            places = places[_LOWER[self.blob[places + offset]] == needle[offset]]
        owners = np.searchsorted(self.ends, places.astype(self.ends.dtype), side="right")
        within = places + len(text) <= self.ends[owners]
        found: Numbers = owners[within]
        return found

    def among(self, numbers: Numbers) -> "Texts":
        """Return some of them, numbered anew."""
        ends = self.ends[numbers].astype(np.int64)
        starts = np.where(numbers > 0, self.ends[numbers - 1], 0)
        lengths = ends - starts
        fresh_ends = np.cumsum(lengths)
        places = np.arange(fresh_ends[-1] if len(numbers) else 0) + np.repeat(ends - fresh_ends, lengths)
        return Texts(self.blob[places], fresh_ends.astype(np.uint32))

    def _pair(
        self, needle: npt.NDArray[np.uint8], rarest: npt.NDArray[np.int64], first: int, starts: int
    ) -> npt.NDArray[np.int64]:
        """Return where a text may begin in a portion of the blob from `first` on: its two rarest bytes stand there."""
        length = min(_PORTION, starts - first)
        marks = _MARKS.first[:length]
        self._mark(int(needle[rarest[0]]), first + int(rarest[0]), marks)
        if len(rarest) > 1:
            others = _MARKS.second[:length]
            self._mark(int(needle[rarest[1]]), first + int(rarest[1]), others)
            np.logical_and(marks, others, out=marks)
        return np.flatnonzero(marks) + first

    def _mark(self, byte: int, start: int, out: npt.NDArray[np.bool_]) -> None:
        """Write into `out` where a byte in lower case stands, in either case, from `start` on."""
        window = self.blob[start : start + len(out)]
        np.equal(window, np.uint8(byte), out=out)
        if ord("a") <= byte <= ord("z") and self._has_upper:
            upper = _MARKS.third[: len(out)]
            np.equal(window, np.uint8(byte - 32), out=upper)
            np.logical_or(out, upper, out=out)

    @cached_property
    def _frequency(self) -> npt.NDArray[np.int64]:
        """How often each byte, in lower case, stands in a sample of the blob."""
        return np.bincount(_LOWER[self.blob[:: max(1, len(self.blob) // _SAMPLE)]], minlength=256)

    @cached_property
    def _has_upper(self) -> bool:
        """Whether any letter is upper case."""
        return bool(((self.blob >= ord("A")) & (self.blob <= ord("Z"))).any())
