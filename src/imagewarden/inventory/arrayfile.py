"""Files of named arrays: written once, mapped read-only by any number of processes, checked for damage.

Layout: magic, length and CRC-32 of the header, the header (msgspec JSON), then each array at a multiple of 64 bytes.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from imagewarden.inventory.errors import ModelDamaged

__all__ = ["let_go", "map_arrays", "write_arrays"]

_MAGIC = b"IWarray1"
_FIXED = struct.Struct("<8sII")
_ALIGNED = 64
_TYPES = {np.dtype(name): name for name in ("bool", "uint8", "uint16", "uint32", "int32", "int64")}
_DTYPES = {name: dtype for dtype, name in _TYPES.items()}


class _Array(msgspec.Struct, frozen=True, array_like=True):
    """Where an array stands in its file."""

    name: str
    type: str
    count: int
    offset: int
    """From where the arrays begin, which is a multiple of the alignment too."""


class _Header(msgspec.Struct, frozen=True):
    """What the file holds."""

    size: int
    """Bytes of all arrays, from where they begin to the end of the file."""
    crc: int
    """CRC-32 of all that follows the header."""
    arrays: list[_Array]


def _aligned(offset: int) -> int:
    """Return the next multiple of the alignment."""
    return -(-offset // _ALIGNED) * _ALIGNED


def _header_of(arrays: Mapping[str, npt.NDArray[Any]], crc: int) -> bytes:
    """Return the header, filled up so that the arrays may begin behind it."""
    found, offset = [], 0
    for name, array in arrays.items():
        found.append(_Array(name, _TYPES[array.dtype], len(array), offset))
        offset = _aligned(offset + array.nbytes)
    text = msgspec.json.encode(_Header(offset, crc, found))
    return text + b" " * (_aligned(_FIXED.size + len(text)) - _FIXED.size - len(text))


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays of one dimension into a new file; raises OSError, FileExistsError among them."""
    parts = [np.ascontiguousarray(array).view(np.uint8).data for array in arrays.values()]
    crc = 0
    for part in parts:
        crc = zlib.crc32(bytes(_aligned(len(part)) - len(part)), zlib.crc32(part, crc))
    text = _header_of(arrays, crc)
    with path.open("xb", buffering=1 << 16) as file:
        file.write(_FIXED.pack(_MAGIC, len(text), zlib.crc32(text)) + text)
        for part in parts:
            file.write(part)
            file.write(bytes(_aligned(len(part)) - len(part)))


def map_arrays(path: Path, *, check: bool = False) -> dict[str, npt.NDArray[Any]]:
    """Map a file of arrays; with `check` every byte is read and compared with its CRC-32.

    Raises ModelDamaged for a file that is torn, damaged or another kind of file, FileNotFoundError for none.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _FIXED.size:
            raise ModelDamaged(f"{path.name} of the read model is too short to be one of its files")
        mapped = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)
    magic, length, crc = _FIXED.unpack_from(mapped)
    text = mapped[_FIXED.size : _FIXED.size + length]
    if magic != _MAGIC or zlib.crc32(text) != crc:
        raise ModelDamaged(f"{path.name} of the read model is damaged, or another kind of file")
    header = msgspec.json.decode(text, type=_Header)
    start = _FIXED.size + length
    if header.size != size - start:
        raise ModelDamaged(f"{path.name} of the read model is torn: {size} of {start + header.size} bytes are there")
    if check and zlib.crc32(memoryview(mapped)[start:]) != header.crc:
        raise ModelDamaged(f"{path.name} of the read model is damaged")
    return {each.name: _array(mapped, each, start, path) for each in header.arrays}


def _array(mapped: mmap.mmap, each: _Array, start: int, path: Path) -> npt.NDArray[Any]:
    """Return one array of a mapped file."""
    dtype = _DTYPES.get(each.type)
    if dtype is None:
        raise ModelDamaged(f"{path.name} of the read model holds numbers of an unknown type")
    if not each.count:
        return np.zeros(0, dtype=dtype)
    return np.frombuffer(mapped, dtype=dtype, count=each.count, offset=start + each.offset)


def let_go(array: npt.NDArray[Any]) -> None:
    """Give back the memory that pages of a mapped array take: those that are looked at again come from the file.

    Does nothing for an array that is not mapped.
    """
    mapped = getattr(array.base, "obj", None)  # the memory view's that NumPy took
    if not isinstance(mapped, mmap.mmap):
        return
    first = array.ctypes.data - np.frombuffer(mapped, dtype=np.uint8).ctypes.data
    start = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (first + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if start < end:
        mapped.madvise(mmap.MADV_DONTNEED, start, end - start)
