"""What the server sends of a project's rows, and how it is taken apart.

A text may hold the very bytes that divide fields. It then makes more fields than there can be, whatever it holds: a
block whose fields are not exactly as many as its rows have is not read at all, so no text is ever taken for another.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.rows import ImageRow, PlatformRow

__all__ = [
    "ALIKE",
    "BLOCK_IDS",
    "CHILD",
    "FIELD",
    "LINE",
    "OPTIONAL_TEXTS",
    "PART",
    "RECORD",
    "SELDOM",
    "Block",
    "Lines",
    "Registries",
    "read_lines",
]

Registries = Mapping[str, tuple[str, str]]
"""Name and kind of registries, by id."""

BLOCK_IDS = 512
"""A block's ids are less than so many apart. More at a time would leave the processor's caches."""
FIELD = b"\x1f"
"""Divides lines, and the fields of a line."""
PART = b"\x1e"
"""Divides the parts of a row's first field."""
OPTIONAL_TEXTS = ("failure_code", "failure_reason", "owner_domain", "share_status")
"""Texts that a row may lack."""
SELDOM = ("variant", "instance_name", "instance_id", "instance_url", *OPTIONAL_TEXTS)
"""The last parts of a row's first field: mostly all empty."""
ALIKE = (
    "registry_id", "kind", "enterprise_project_id", "is_latest", "scan_status", "scannable", "risk_level", "os",
    "architecture", *SELDOM,
)  # fmt: skip
"""What a row's first field holds: many rows have all of it alike. Empty stands for none where a row may lack it."""
LINE = (
    "id", "namespace", "name", "config_digest", "digest", "tag", "size", "updated_at", "scanned_at", "synced_at",
    "vulnerability_count", "unsafe_setting_count", "malicious_file_count",
)  # fmt: skip
"""A row's other fields; `scanned_at` may be NEVER_SCANNED. What ImageRow has besides is the same for all."""
NEVER_SCANNED = b"-1"
"""Stands for no `scanned_at`."""
CHILD = ("parent_id", *PlatformRow.__struct_fields__)
"""The fields of a child's line."""
RECORD = (*ImageRow.__struct_fields__, "enterprise_project_id")
"""The fields of a row that stands in JSON."""


class Block(NamedTuple):
    """The live rows of a range of ids."""

    first: int
    """Id of the first; the last is less than BLOCK_IDS away."""
    total: int
    """How many rows there are: those that the block does not hold are too long for it."""
    children_total: int
    """How many children the rows have."""
    plain: int
    """How many rows of one architecture stand in lines."""
    plain_lines: bytes
    """Their lines, in order of id."""
    parents: int
    """How many multi-architecture rows stand in lines."""
    parent_lines: bytes
    """Their lines."""
    children: int
    """How many children of these stand in lines."""
    child_lines: bytes
    """Their lines, in order of parent and position."""
    records: bytes
    """The other rows, a JSON array of arrays; empty for none."""

    @property
    def size(self) -> int:
        """How many bytes it has, about."""
        return len(self.plain_lines) + len(self.parent_lines) + len(self.child_lines) + len(self.records)


class Lines:
    """Lines whose fields are beyond doubt."""

    def __init__(
        self, data: bytes, count: int, fields: int, breaks: npt.NDArray[np.int64], controls: npt.NDArray[np.int64]
    ) -> None:
        """Take `count` lines of `fields` fields, with FIELD at `breaks` and other control characters at `controls`."""
        self._data = data
        self._view = np.frombuffer(data, dtype=np.uint8)
        self._count = count
        self._fields = fields
        self._breaks = breaks
        self._controls = controls

    def __len__(self) -> int:
        """Return how many lines there are."""
        return self._count

    def pieces(self, lines: int) -> Iterator[tuple[slice, list[bytes]]]:
        """Yield the fields of up to so many lines at a time, and which of the lines these are."""
        ends = [*self._breaks[self._fields - 1 :: self._fields].tolist(), len(self._data)]
        start = 0
        for first in range(0, self._count, lines):
            last = min(first + lines, self._count)
            yield slice(first, last), self._data[start : ends[last - 1]].split(FIELD)
            start = ends[last - 1] + 1

    def widths(self) -> npt.NDArray[np.int64]:
        """Return how many bytes the fields of each line have, all but the first."""
        ends = np.append(self._breaks[self._fields - 1 :: self._fields], len(self._data))[: self._count]
        return ends - self._breaks[:: self._fields] - (self._fields - 1)

    def begins(self, field: int, byte: bytes) -> npt.NDArray[np.bool_]:
        """Return in which lines a field, not the first, begins with a byte; one truth value a line."""
        found: npt.NDArray[np.bool_] = self._view[self._breaks[field - 1 :: self._fields] + 1] == byte[0]
        return found

    def escaped(self) -> npt.NDArray[np.bool_] | None:
        """Return which lines have a character that JSON does not let stand as it is, None if there is none."""
        quotes = b'"' in self._data or b"\\" in self._data
        if not quotes and not len(self._controls):
            return None
        places = np.flatnonzero((self._view == ord('"')) | (self._view == ord("\\")))
        escaped = np.zeros(self._count, dtype=np.bool_)
        escaped[np.searchsorted(self._breaks, np.append(self._controls, places)) // self._fields] = True
        return escaped


def read_lines(parts: Sequence[tuple[bytes, int]], fields: int, first_parts: int = 1) -> Lines | None:
    """Return lines of `fields` fields, the first of which has so many parts, of texts with so many lines each.

    None if there are not exactly so many fields and parts: some text holds what divides them.
    """
    data = FIELD.join(text for text, _ in parts if text)
    count = sum(lines for _, lines in parts)
    view = np.frombuffer(data, dtype=np.uint8)
    places = np.flatnonzero(view < ord(" "))
    controls = view[places]
    breaks = places[controls == FIELD[0]]
    if len(breaks) != max(0, count * fields - 1) or np.count_nonzero(controls == PART[0]) != count * (first_parts - 1):
        return None
    return Lines(data, count, fields, breaks, places[controls < PART[0]])
