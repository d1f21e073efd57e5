"""Rows as the read model's columns, without a database."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imagewarden.inventory.batch import FLAG_BITS, NUMBER_COLUMNS, TERM_COLUMNS, Batch
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.vocabulary import Terms, Vocabulary

__all__ = ["batch_of", "new_terms"]


def new_terms() -> dict[ImageColumn, Terms]:
    """Return vocabularies that know nothing yet."""
    return {column: Terms(Vocabulary()) for column in TERM_COLUMNS}


def batch_of(rows: Sequence[Mapping[str, Any]], terms: Mapping[ImageColumn, Terms]) -> Batch:
    """Return rows, whose keys are the image table's columns and `registry_name`, as a batch in order of id."""
    ordered = sorted(rows, key=lambda row: int(row["id"]))
    return Batch(
        ids=np.array([row["id"] for row in ordered], dtype=np.int64),
        numbers={
            column: np.array([-1 if row[column] is None else row[column] for row in ordered], dtype=np.int64)
            for column in NUMBER_COLUMNS
        },
        codes={
            column: terms[column].codes([(row[column] or "").encode() for row in ordered]) for column in TERM_COLUMNS
        },
        flags=np.array(
            [sum(bit for column, bit in FLAG_BITS.items() if row[column]) for row in ordered], dtype=np.uint8
        ),
        row_at=np.array([row["id"] for row in ordered], dtype=np.int64),
        row_length=np.ones(len(ordered), dtype=np.uint32),
    )
