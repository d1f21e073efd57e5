"""The bytes of many rows at once: constant texts and fields in one list, joined once, with room for the checksums."""

import zlib
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from imagewarden.inventory.rowfile import CRC_BYTES
from imagewarden.inventory.rows import ImageRow
from imagewarden.inventory.rowtext import OPTIONAL, RowText, fields_of, row_text

__all__ = ["NEVER", "UNKNOWN", "RowWeaver", "Weaver", "seal"]

UNKNOWN, NEVER = -1, -2
"""Stand for kinds of rows that are not learned yet, and for those that cannot be woven."""
_ROOM = bytes(CRC_BYTES)
"""Stands before each row where its checksum will."""


class Weaver:
    """Weaves texts of several kinds, which have the same fields in the same order; kinds are numbered from 0."""

    def __init__(self, before: bytes) -> None:
        """Put `before` before each text."""
        self._before = before
        self.order: tuple[str, ...] = ()
        """The fields that texts have, some perhaps more than once; empty before the first text."""
        self._parts: list[list[bytes]] = []
        self._varying: list[int] = []
        self._pieces: list[bytes] = []
        self.lengths = np.zeros(0, dtype=np.int64)
        """Bytes of the constant texts of a kind."""

    def add(self, text: RowText) -> int | None:
        """Add a kind; returns its number, None if it has the fields in another order than those before."""
        if not self.order:
            self.order = text.order
            self._parts = [[] for _ in text.parts]
        widened = text.widened(self.order)
        if widened is None:
            return None
        for known, part in zip(self._parts, (self._before + widened.parts[0], *widened.parts[1:]), strict=True):
            known.append(part)
        self._varying = [at for at, known in enumerate(self._parts) if known[-1] != known[0] or at in self._varying]
        self._pieces = []
        self.lengths = np.append(self.lengths, sum(map(len, widened.parts)))
        return len(self.lengths) - 1

    def weave(self, kinds: Sequence[int], columns: Mapping[str, Sequence[bytes]]) -> bytearray:
        """Return the bytes of texts by the numbers of their kinds and the values of their fields."""
        step = 2 * len(self.order) + 1
        if len(self._pieces) != len(kinds) * step:
            self._pieces = [b""] * (len(kinds) * step)
            for at, known in enumerate(self._parts):
                self._pieces[2 * at :: step] = [known[0]] * len(kinds)
        pieces = self._pieces
        for at in self._varying:
            pieces[2 * at :: step] = list(map(self._parts[at].__getitem__, kinds))
        for at, field in enumerate(self.order):
            pieces[2 * at + 1 :: step] = columns[field]
        return bytearray().join(pieces)


class RowWeaver:
    """Weaves rows of kinds that it has learned from a row of each.

    A kind is known by a number that rows with the same first field have, doubled, and one more for rows that lack the
    optional field.
    """

    def __init__(self, encode: Callable[[ImageRow], bytes], fields: Sequence[str]) -> None:
        """Weave what `encode` gives for rows that differ in `fields`."""
        self._encode = encode
        self._fields = fields
        self._rows = Weaver(_ROOM)
        self.woven = np.zeros(0, dtype=np.int64)
        """By kind, the number that rows are woven by; less than 0 for kinds that are not woven."""

    def widen(self, kinds: int) -> None:
        """Have an answer, perhaps UNKNOWN, for so many kinds."""
        if kinds > len(self.woven):
            self.woven = np.append(self.woven, np.full(kinds - len(self.woven), UNKNOWN))

    def learn(self, kind: int, example: ImageRow) -> None:
        """Learn how rows of a kind are woven by one of which JSON escapes nothing."""
        self.woven[kind] = NEVER
        if not self._rows.order:
            moment = getattr(example, OPTIONAL)
            full = msgspec.structs.replace(example, **{OPTIONAL: 1 if moment is None else moment})
            if self._learned(full, thoroughly=True) is None:
                return
        number = self._learned(example, thoroughly=False)
        self.woven[kind] = NEVER if number is None else number

    def _learned(self, example: ImageRow, *, thoroughly: bool) -> int | None:
        """Return the number of rows like the example, None if they cannot be woven."""
        text = row_text(self._encode, example, fields_of(example, self._fields), thoroughly=thoroughly)
        return None if text is None else self._rows.add(text)

    def weave(
        self, kinds: npt.NDArray[np.int64], columns: Mapping[str, Sequence[bytes]]
    ) -> tuple[bytearray, npt.NDArray[np.int64]]:
        """Return the bytes of rows, each with room before it, and the length of all of a row but its fields."""
        numbers = self.woven[kinds]
        return self._rows.weave(numbers.tolist(), columns), self._rows.lengths[numbers]


def seal(rows: bytearray, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Write the rows' checksums into the room before them; returns where each row begins."""
    ends = np.cumsum(lengths + CRC_BYTES)
    if ends[-1] != len(rows):
        raise AssertionError("rows are not as long as their fields")
    starts = ends - lengths
    with memoryview(rows) as memory:
        sums = list(map(zlib.crc32, map(memory.__getitem__, map(slice, starts.tolist(), ends.tolist()))))
    room = starts[:, np.newaxis] + np.arange(-CRC_BYTES, 0)
    np.frombuffer(rows, dtype=np.uint8)[room] = np.array(sums, dtype="<u4").view(np.uint8).reshape(-1, CRC_BYTES)
    return starts
