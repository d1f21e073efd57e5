"""Files of encoded rows: appended to by one process, mapped read-only by any number.

Layout: a row is the CRC-32 (zlib.crc32, four bytes, least significant first) of its bytes, then the bytes. Nothing else
tells where rows begin: whoever reads them keeps offset and length.
"""

import mmap
import os
import struct
import weakref
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import ROW_FILE_SHIFT
from imagewarden.inventory.errors import ModelDamaged

__all__ = ["CRC_BYTES", "RowFileReader", "RowFileWriter", "RowsDamaged", "row_file_path"]

CRC_BYTES = 4
"""Bytes before each row."""
_CRC = struct.Struct("<I")
_BEFORE = np.arange(-CRC_BYTES, 0)
"""Where a row's CRC stands, from the row's offset."""
_BUFFER = 1 << 17
"""Bytes that wait at most; more than that at once are written as they come."""


class RowsDamaged(ModelDamaged):
    """Rows that are not what was written, or not all there: the model has to be built again."""


def row_file_path(folder: Path, number: int) -> Path:
    """Return the path of a numbered row file."""
    return folder / f"rows-{number:08d}"


class RowFileWriter:
    """A new row file; what was appended is in the file after `flush`.

    After an OSError, a full disk's for example, nothing of the file is lost, and what is left can be written later.
    """

    def __init__(self, path: Path, number: int) -> None:
        """Make the file, which must not be there: raises FileExistsError, or another OSError."""
        self.path = path
        self.number = number
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._written = 0
        self._waiting = bytearray()

    def append(self, row: bytes) -> int:
        """Append a row; returns its `row_at`."""
        return self.append_block(_CRC.pack(zlib.crc32(row)) + row) + CRC_BYTES

    def append_block(self, block: bytes | bytearray) -> int:
        """Append rows that stand behind their CRCs; returns the place of the block's first byte, as a `row_at`."""
        if len(self._waiting) + len(block) > _BUFFER:
            self.flush()
        at = self._written + len(self._waiting)
        if len(block) > _BUFFER:
            self._write(block)
        else:
            self._waiting += block
        return self.number << ROW_FILE_SHIFT | at

    def flush(self) -> None:
        """Write what is waiting; raises OSError."""
        if self._waiting:
            self._write(self._waiting)
            self._waiting = bytearray()

    def _write(self, data: bytes | bytearray) -> None:
        """Write all of `data` behind what is written; a failure leaves the place where it was."""
        done = 0
        with memoryview(data) as view:
            while done < len(view):
                done += os.pwrite(self._file, view[done:], self._written + done)
        self._written += done

    def close(self) -> None:
        """Write what is waiting and close the file; raises OSError, and then the file is closed all the same."""
        if self._file < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        """Return the writer, closed in the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


class RowFileReader:
    """A row file, mapped; rows that were appended after it was opened are found too."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises FileNotFoundError. It may be removed meanwhile."""
        self._name = path.name
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._close = weakref.finalize(self, os.close, self._file)  # whoever holds a version never closes it
        self._map = self._mapped()

    def _mapped(self) -> mmap.mmap | bytes:
        """Return what there is of the file."""
        size = os.fstat(self._file).st_size
        return mmap.mmap(self._file, size, prot=mmap.PROT_READ) if size else b""

    def is_at(self, path: Path) -> bool:
        """Return whether this is still the file of a path: numbers are given anew once a folder was emptied."""
        return os.path.samestat(os.fstat(self._file), path.stat())

    def row(self, offset: int, length: int) -> bytes:
        """Return the row at an offset of the file; raises RowsDamaged where its bytes are not those that were written.

        `offset` is a `row_at` without the file's number.
        """
        return self.rows(np.array([offset]), np.array([length]))[0]

    def rows(self, offsets: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> list[bytes]:
        """Return rows, at least one, by their offsets; raises RowsDamaged where one is not what was written."""
        ends = offsets + lengths
        first, end = int(offsets.min()), int(ends.max())
        if end > len(self._map):
            self._map = self._mapped()
        if not CRC_BYTES <= first <= end <= len(self._map):
            raise RowsDamaged(f"{self._name} of the read model is torn: rows from {first} to {end} are not all there")
        rows = list(map(self._map.__getitem__, map(slice, offsets.tolist(), ends.tolist())))
        written = np.frombuffer(self._map, dtype=np.uint8).take(offsets[:, None] + _BEFORE).view("<u4")[:, 0].tolist()
        found = list(map(zlib.crc32, rows))
        if written != found:
            place = next(at for at, (one, other) in enumerate(zip(written, found, strict=True)) if one != other)
            raise RowsDamaged(f"{self._name} of the read model is damaged at {offsets[place]}")
        return rows

    def close(self) -> None:
        """Give the map and the file back."""
        if isinstance(self._map, mmap.mmap):
            self._map.close()
        self._close()
