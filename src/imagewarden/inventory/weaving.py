"""The bytes of many rows at once: constant texts and fields in one list, joined once, with room for the checksums."""

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.rowfile import CRC_BYTES
from imagewarden.inventory.rows import ImageRow
from imagewarden.inventory.rowtext import RowText, row_texts

__all__ = ["UNKNOWN", "RowWeaver", "Weaver", "seal"]

UNKNOWN, NEVER = -1, -2
"""Kinds of rows that are not learned yet, and of those that cannot be woven."""
_ROOM = bytes(CRC_BYTES)
"""Stands before each row where its checksum will."""


class Weaver:
    """Weaves texts of several kinds, which have the same fields in the same order; kinds are numbered from 0."""

    def __init__(self, before: bytes) -> None:
        """Put `before` before each text."""
        self._before = before
        self._order: tuple[str, ...] | None = None
        self._parts: list[list[bytes]] = []
        self._varying: list[int] = []
        self._pieces: list[bytes] = []
        self.lengths = np.zeros(0, dtype=np.int64)
        """Bytes of the constant texts of a kind."""

    @property
    def order(self) -> tuple[str, ...]:
        """The fields that texts have, some perhaps more than once."""
        return self._order or ()

    def add(self, *texts: RowText) -> int | None:
        """Add kinds; returns the number of the first, None if they do not have the fields' order."""
        if self._order is None:
            self._order = texts[0].order
            self._parts = [[] for _ in texts[0].parts]
        if any(text.order != self._order for text in texts):
            return None
        first = len(self.lengths)
        for text in texts:
            for known, part in zip(self._parts, (self._before + text.parts[0], *text.parts[1:]), strict=True):
                known.append(part)
        self._varying = [at for at, known in enumerate(self._parts) if len({*known}) > 1]
        self.lengths = np.append(self.lengths, [sum(map(len, text.parts)) for text in texts])
        self._pieces = []
        return first

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
    """Weaves rows whose first fields, which have numbers, are known; learns from a row of each number."""

    def __init__(self, encode: Callable[[ImageRow], bytes], fields: Sequence[str]) -> None:
        """Weave what `encode` gives for rows that differ in `fields`."""
        self._encode = encode
        self._fields = fields
        self._rows = Weaver(_ROOM)
        self.kinds = np.zeros(0, dtype=np.int64)
        """By number: less than 0 for those whose rows are not woven."""

    def widen(self, numbers: int) -> None:
        """Have a kind, perhaps UNKNOWN, for so many numbers."""
        if numbers > len(self.kinds):
            self.kinds = np.append(self.kinds, np.full(numbers - len(self.kinds), UNKNOWN))

    def learn(self, number: int, example: ImageRow) -> None:
        """Learn how rows of a number are woven by one of which JSON escapes nothing."""
        texts = row_texts(self._encode, example, self._fields)
        self.kinds[number] = self._added(texts)

    def _added(self, texts: tuple[RowText, RowText] | None) -> int:
        kind = texts and self._rows.add(*texts)
        return NEVER if kind is None else kind

    def weave(
        self, numbers: npt.NDArray[np.uint32], lacking: npt.NDArray[np.bool_], columns: Mapping[str, Sequence[bytes]]
    ) -> tuple[bytearray, npt.NDArray[np.int64]]:
        """Return the bytes of rows, each with room before it, and the length of all of a row but its fields.

        `lacking` tells which rows lack the optional field.
        """
        kinds = self.kinds[numbers] + lacking
        return self._rows.weave(kinds.tolist(), columns), self._rows.lengths[kinds]


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
