"""Encoded rows on their way from the process that encoded them to the one that keeps the vocabularies."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import NUMBER_COLUMNS, TERM_COLUMNS, Batch
from imagewarden.inventory.blocks import FIELD
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.vocabulary import Terms

__all__ = ["ALIKE_TERMS", "Key", "Numbered", "Part", "PartReader", "Rows", "joined_batches", "joined_rows"]

Key = TypeVar("Key", bound=Hashable)

_ONE_BY_ONE = (ImageColumn.NAMESPACE, ImageColumn.NAME, ImageColumn.TAG)
ALIKE_TERMS = tuple(column for column in TERM_COLUMNS if column not in _ONE_BY_ONE)
"""Columns whose terms many rows have all alike: they are numbered together."""


class Numbered(dict[Key, int]):
    """Numbers for whatever is looked up, from 0 in the order of the first look-ups."""

    def __missing__(self, key: Key) -> int:
        """Number what is new."""
        self[key] = number = len(self)
        return number


class Rows(NamedTuple):
    """Rows that one process encoded, in any order; every array has one element a row."""

    ids: npt.NDArray[np.int64]
    """As Batch has it."""
    numbers: dict[ImageColumn, npt.NDArray[np.int64]]
    """As Batch has it."""
    alike: npt.NDArray[np.uint32]
    """Number of the row's terms of ALIKE_TERMS; the process gives them out, and those of namespaces and names."""
    namespaces: npt.NDArray[np.uint32]
    """Number of the namespace."""
    names: npt.NDArray[np.uint32]
    """Number of the name."""
    flags: npt.NDArray[np.uint8]
    """As Batch has it."""
    row_at: npt.NDArray[np.int64]
    """As Batch has it."""
    row_length: npt.NDArray[np.uint32]
    """As Batch has it."""


class Part(NamedTuple):
    """What a process made of some blocks."""

    rows: Rows
    """The rows."""
    tags: bytes
    """Tags of the rows but the last ones, divided by FIELD."""
    last_tags: list[bytes]
    """Tags of the last rows; these may hold anything."""
    new_alike: list[tuple[bytes, ...]]
    """What the numbers stand for that no part of the process had before, in their order."""
    new_namespaces: list[bytes]
    """The same for namespaces."""
    new_names: list[bytes]
    """The same for names."""
    anew: bool
    """Whether the process forgot all numbers before it gave out these."""
    refused: list[int]
    """First ids of blocks whose rows have to be read one by one."""


class PartReader:
    """Turns the parts of one process into batches."""

    def __init__(self, terms: Mapping[ImageColumn, Terms]) -> None:
        """Give out codes of `terms`."""
        self._terms = terms
        self._codes: dict[ImageColumn, npt.NDArray[np.uint32]] = {}

    def batch(self, part: Part) -> Batch:
        """Return a part's rows in order of id; parts have to come in the order in which they were encoded."""
        if part.anew:
            self._codes.clear()
        rows = part.rows
        first = part.tags.split(FIELD) if len(rows.ids) > len(part.last_tags) else []
        codes = {
            ImageColumn.NAMESPACE: self._learned(ImageColumn.NAMESPACE, part.new_namespaces)[rows.namespaces],
            ImageColumn.NAME: self._learned(ImageColumn.NAME, part.new_names)[rows.names],
            ImageColumn.TAG: self._terms[ImageColumn.TAG].codes(first + part.last_tags),
        }
        for column, new in zip(ALIKE_TERMS, _columns(part.new_alike), strict=True):
            codes[column] = self._learned(column, new)[rows.alike]
        return _in_order(Batch(rows.ids, rows.numbers, codes, rows.flags, rows.row_at, rows.row_length))

    def _learned(self, column: ImageColumn, new: Sequence[bytes]) -> npt.NDArray[np.uint32]:
        """Return the codes by the process's numbers, the new ones included."""
        known = self._codes.get(column)
        if known is None or new:
            codes = self._terms[column].codes(new)
            known = self._codes[column] = codes if known is None else np.concatenate([known, codes])
        return known


def _columns(new: Sequence[tuple[bytes, ...]]) -> list[list[bytes]]:
    """Return terms of ALIKE_TERMS by column."""
    return [[terms[at] for terms in new] for at in range(len(ALIKE_TERMS))]


def _in_order(batch: Batch) -> Batch:
    """Return a batch in order of id."""
    if not (batch.ids[1:] < batch.ids[:-1]).any():
        return batch
    order = np.argsort(batch.ids, kind="stable")
    return _each(lambda array_of: array_of(batch)[order])


def joined_batches(batches: Sequence[Batch]) -> Batch:
    """Return batches, at least one, as one in order of id."""
    return _in_order(_each(lambda array_of: np.concatenate([array_of(batch) for batch in batches])))


def _each(made: Callable[[Callable[[Batch], npt.NDArray[Any]]], npt.NDArray[Any]]) -> Batch:
    """Return a batch each array of which is made of the same array of others."""
    return Batch(
        ids=made(lambda batch: batch.ids),
        numbers={column: made(lambda batch, at=column: batch.numbers[at]) for column in NUMBER_COLUMNS},  # type: ignore[misc] # bound early
        codes={column: made(lambda batch, at=column: batch.codes[at]) for column in TERM_COLUMNS},  # type: ignore[misc]
        flags=made(lambda batch: batch.flags),
        row_at=made(lambda batch: batch.row_at),
        row_length=made(lambda batch: batch.row_length),
    )


def joined_rows(parts: Sequence[Rows]) -> Rows:
    """Return rows, at least one of these, as one."""
    numbers = {column: np.concatenate([part.numbers[column] for part in parts]) for column in NUMBER_COLUMNS}
    return Rows(
        ids=np.concatenate([part.ids for part in parts]),
        numbers=numbers,
        alike=np.concatenate([part.alike for part in parts]),
        namespaces=np.concatenate([part.namespaces for part in parts]),
        names=np.concatenate([part.names for part in parts]),
        flags=np.concatenate([part.flags for part in parts]),
        row_at=np.concatenate([part.row_at for part in parts]),
        row_length=np.concatenate([part.row_length for part in parts]),
    )
