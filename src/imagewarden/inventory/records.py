"""Rows of the image list one by one, as objects: for a few rows, and for those that are not like others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import FLAG_BITS, NUMBER_COLUMNS, TERM_COLUMNS, Batch
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.rowfile import RowFileWriter
from imagewarden.inventory.rows import ImageRow
from imagewarden.inventory.vocabulary import Terms

__all__ = ["Record", "Values", "batch_of_records", "values_of"]

_ROW_COLUMNS = tuple(column for column in ImageColumn if column is not ImageColumn.ENTERPRISE_PROJECT_ID)
_OF_ROW = attrgetter(*(column.value for column in _ROW_COLUMNS))


class Record(NamedTuple):
    """A row, and what the model keeps of it that is not sent."""

    row: ImageRow
    """The row."""
    enterprise_project_id: str
    """Its enterprise project."""


class Values(NamedTuple):
    """Records as columns; every array and list has one element a record."""

    ids: npt.NDArray[np.int64]
    """As Batch has it."""
    numbers: dict[ImageColumn, npt.NDArray[np.int64]]
    """As Batch has it."""
    terms: dict[ImageColumn, list[bytes]]
    """Texts in UTF-8 by column of TERM_COLUMNS."""
    flags: npt.NDArray[np.uint8]
    """As Batch has it."""
    row_at: npt.NDArray[np.int64]
    """As Batch has it."""
    row_length: npt.NDArray[np.uint32]
    """As Batch has it."""


def values_of(records: Sequence[Record], encode: Callable[[ImageRow], bytes], writer: RowFileWriter) -> Values:
    """Return records as columns; their bytes are appended to `writer`."""
    rows = [record.row for record in records]
    columns = list(zip(*map(_OF_ROW, rows), strict=True)) or [()] * len(_ROW_COLUMNS)
    found: dict[ImageColumn, Sequence[Any]] = dict(zip(_ROW_COLUMNS, columns, strict=True))
    found[ImageColumn.ENTERPRISE_PROJECT_ID] = [record.enterprise_project_id for record in records]
    encoded = list(map(encode, rows))
    flags = np.zeros(len(records), dtype=np.uint8)
    for column, bit in FLAG_BITS.items():
        flags |= np.where(_integers(found[column]) > 0, np.uint8(bit), np.uint8(0))
    return Values(
        ids=_integers([row.id for row in rows]),
        numbers={column: _integers([-1 if it is None else it for it in found[column]]) for column in NUMBER_COLUMNS},
        terms={column: [(text or "").encode() for text in found[column]] for column in TERM_COLUMNS},
        flags=flags,
        row_at=_integers(list(map(writer.append, encoded))),
        row_length=np.array(list(map(len, encoded)), dtype=np.uint32),
    )


def batch_of_records(
    records: Iterable[Record],
    terms: Mapping[ImageColumn, Terms],
    encode: Callable[[ImageRow], bytes],
    writer: RowFileWriter,
) -> Batch:
    """Return records in ascending order of id as a batch; their bytes are appended to `writer`."""
    values = values_of(list(records), encode, writer)
    codes = {column: terms[column].codes(values.terms[column]) for column in TERM_COLUMNS}
    return Batch(values.ids, values.numbers, codes, values.flags, values.row_at, values.row_length)


def _integers(values: Sequence[Any]) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
