"""Rows on their way into the read model: columns of numbers, no row is an object of its own."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.filters import ImageColumn

__all__ = ["FLAG_BITS", "NUMBER_COLUMNS", "ROW_FILE_SHIFT", "TERM_COLUMNS", "Batch"]

NUMBER_COLUMNS = (ImageColumn.SIZE, ImageColumn.UPDATED_AT, ImageColumn.SCANNED_AT, ImageColumn.SYNCED_AT)
"""Columns kept as int64; -1 stands for a row that was never scanned."""
TERM_COLUMNS = (
    ImageColumn.ENTERPRISE_PROJECT_ID,
    ImageColumn.REGISTRY_NAME,
    ImageColumn.NAMESPACE,
    ImageColumn.NAME,
    ImageColumn.TAG,
    ImageColumn.KIND,
    ImageColumn.SCAN_STATUS,
    ImageColumn.RISK_LEVEL,
    ImageColumn.INSTANCE_ID,
    ImageColumn.INSTANCE_NAME,
)
"""Columns kept as codes of a vocabulary of their own; the empty text stands for a row without risk level."""
FLAG_BITS = {
    ImageColumn.VULNERABILITY_COUNT: 1,
    ImageColumn.UNSAFE_SETTING_COUNT: 2,
    ImageColumn.MALICIOUS_FILE_COUNT: 4,
    ImageColumn.IS_LATEST: 8,
    ImageColumn.IS_INDEX: 16,
}
"""Columns kept as one bit each of the flag byte: set where the count is above 0, or the answer is yes."""
ROW_FILE_SHIFT = 40
"""A row's place is the number of its row file, shifted by this, and the offset of its first byte there."""


class Batch(NamedTuple):
    """Rows in ascending order of id; every array has one element a row."""

    ids: npt.NDArray[np.int64]
    """Ids of the records, ascending, each once."""
    numbers: dict[ImageColumn, npt.NDArray[np.int64]]
    """By column of NUMBER_COLUMNS."""
    codes: dict[ImageColumn, npt.NDArray[np.uint32]]
    """By column of TERM_COLUMNS."""
    flags: npt.NDArray[np.uint8]
    """Bits of FLAG_BITS."""
    row_at: npt.NDArray[np.int64]
    """Where the row's encoded bytes begin: file number << 40 | offset."""
    row_length: npt.NDArray[np.uint32]
    """How many bytes they are."""
