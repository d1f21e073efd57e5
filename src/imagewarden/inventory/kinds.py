"""Rows that have a line's first field alike: their number, and what it stands for."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import FLAG_BITS
from imagewarden.inventory.blocks import PART, Registries
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.parts import ALIKE_TERMS, Key, Numbered
from imagewarden.inventory.unpacking import alike_values

__all__ = ["Kinds", "newest"]


def newest(numbered: Numbered[Key], count: int) -> list[Key]:
    """Return what was numbered last, in order."""
    return list(islice(reversed(numbered), count))[::-1]


class Kinds:
    """Everything by the number of a first field, or of terms that a row has without one."""

    def __init__(self, registries: Registries) -> None:
        """Begin with nothing."""
        self._registries = registries
        self._numbered = Numbered[bytes | tuple[bytes, ...]]()
        self.terms: list[tuple[bytes, ...]] = []
        """Terms of ALIKE_TERMS."""
        self.values: list[dict[str, Any]] = []
        """What the first field says; empty without one."""
        self.latest = np.zeros(0, dtype=np.uint8)
        """The flag of ImageColumn.IS_LATEST."""

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return len(self.terms)

    def numbers(self, keys: Sequence[bytes | tuple[bytes, ...]]) -> npt.NDArray[np.uint32]:
        """Return the numbers of first fields, or of terms."""
        found = np.array(list(map(self._numbered.__getitem__, keys)), dtype=np.uint32)
        new = newest(self._numbered, len(self._numbered) - len(self.terms))
        if new:
            self._add(new)
        return found

    def _add(self, keys: Sequence[bytes | tuple[bytes, ...]]) -> None:
        """Find out what new numbers stand for."""
        flags = []
        for key in keys:
            values = {} if isinstance(key, tuple) else alike_values(key.split(PART), self._registries)
            terms = key if isinstance(key, tuple) else tuple((values[it.value] or "").encode() for it in ALIKE_TERMS)
            self.values.append(values)
            self.terms.append(terms)
            flags.append(FLAG_BITS[ImageColumn.IS_LATEST] if values.get("is_latest") else 0)
        self.latest = np.append(self.latest, np.array(flags, dtype=np.uint8))
