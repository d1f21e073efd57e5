"""Versions of a project's read model on disk: published by renaming a manifest, opened by any number of processes.

A version is a list of runs of rows, the large one first, each newer one overriding rows of the older ones. Its files
never change once they are named by a manifest; one that opens a version keeps its files by mapping them, however soon
they are unlinked.
"""

import os
import secrets
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from imagewarden.inventory.arrayfile import map_arrays, write_arrays
from imagewarden.inventory.batch import TERM_COLUMNS, Batch
from imagewarden.inventory.columns import Columns, columns_of
from imagewarden.inventory.errors import ModelDamaged
from imagewarden.inventory.feed import FeedPosition
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.paging import NO_PLACES, Run
from imagewarden.inventory.vocabulary import TermPiece, Vocabulary

__all__ = [
    "FORMAT",
    "MANIFEST",
    "Manifest",
    "RunFile",
    "Version",
    "assemble",
    "fresh_name",
    "manifest_mark",
    "open_run",
    "open_version",
    "publish",
    "read_manifest",
    "write_run",
]

FORMAT = 2
"""Raised whenever files of an older release cannot be read any more: they are built again."""
MANIFEST = "manifest"
"""Name of the file that names all others."""
_ASIDE = 1 << 16
"""Rows from which their columns are made beside their terms: NumPy sorts while Python does."""
_NO_TERMS = TermPiece(0, TermPiece.arrays_of(()))


class Manifest(msgspec.Struct, frozen=True):
    """What a version is made of."""

    encoding: str
    """What the rows' bytes were encoded with: another release's are built again."""
    project_id: str
    """Whose images they are."""
    number: int
    """Counts up with every version of this folder."""
    position: FeedPosition
    """What of the database the version has seen."""
    read_at: int
    """When it was read, ms."""
    runs: tuple[str, ...]
    """Files of runs, the oldest first."""
    dead: str
    """File of the places of each run that newer runs override."""
    row_files: tuple[int, ...]
    """Numbers of the files that the rows' bytes are in."""
    format: int = FORMAT
    """FORMAT of the release that wrote it."""


class RunFile(NamedTuple):
    """One opened file of a run."""

    name: str
    """Its name in the model's folder."""
    columns: Columns
    """Its rows."""
    pieces: Mapping[ImageColumn, TermPiece]
    """The terms that came with it."""


class Version(NamedTuple):
    """An opened version; everything in it is read-only."""

    manifest: Manifest
    """What it is made of."""
    files: tuple[RunFile, ...]
    """Its runs' files, the oldest first."""
    runs: tuple[Run, ...]
    """The same as the engine takes them."""
    vocabularies: Mapping[ImageColumn, Vocabulary]
    """The texts of each column."""


def fresh_name(kind: str) -> str:
    """Return a file name that was never used."""
    return f"{kind}-{secrets.token_hex(8)}"


def write_run(
    folder: Path,
    batch: Batch,
    codes: Mapping[ImageColumn, int],
    pieces: Mapping[ImageColumn, tuple[int, list[bytes]]],
    name: str | None = None,
) -> RunFile:
    """Write a run of rows with its terms (first code, and texts, by column) into a new file, and open it.

    `codes` tells how many codes each vocabulary has given out.
    """
    if len(batch.ids) < _ASIDE:
        arrays = {**columns_of(batch, codes), **_arrays_of(pieces)}
    else:
        with ThreadPoolExecutor(1) as aside:
            columns = aside.submit(columns_of, batch, codes)
            terms = _arrays_of(pieces)
            arrays = {**columns.result(), **terms}
    name = name or fresh_name("run")
    write_arrays(folder / name, arrays)
    return open_run(folder, name)


def _arrays_of(pieces: Mapping[ImageColumn, tuple[int, list[bytes]]]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of terms, for the columns that have any."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for column, (first, terms) in pieces.items():
        if terms:
            arrays |= {f"term:{column}:{name}": array for name, array in TermPiece.arrays_of(terms).items()}
            arrays[f"term:{column}:first"] = np.array([first], dtype=np.int64)
    return arrays


def open_run(folder: Path, name: str, *, check: bool = False) -> RunFile:
    """Open the file of a run; raises ModelDamaged or FileNotFoundError."""
    arrays = map_arrays(folder / name, check=check)
    try:
        pieces = {column: _piece(arrays, column) for column in TERM_COLUMNS}
        return RunFile(name, Columns(arrays), pieces)
    except KeyError as missing:
        raise ModelDamaged(f"{name} of the read model lacks {missing}") from None


def _piece(arrays: Mapping[str, npt.NDArray[Any]], column: ImageColumn) -> TermPiece:
    """Return the terms of a column that came with a run, which are in its file only if there are any."""
    prefix = f"term:{column}:"
    first = arrays.get(f"{prefix}first")
    if first is None:
        return _NO_TERMS
    return TermPiece(
        int(first[0]), {name: arrays[prefix + name] for name in TermPiece.ARRAYS if prefix + name in arrays}
    )


def publish(folder: Path, manifest: Manifest) -> None:
    """Make a version the one that is opened from now on; its files are there already."""
    text = msgspec.json.encode(manifest)
    fresh = folder / f"{MANIFEST}.{secrets.token_hex(4)}"
    fresh.write_bytes(b"%08x\n" % zlib.crc32(text) + text)
    fresh.rename(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the newest version; raises ModelDamaged, or FileNotFoundError where there is none."""
    crc, _, text = (folder / MANIFEST).read_bytes().partition(b"\n")
    try:
        if int(crc, 16) != zlib.crc32(text):
            raise ModelDamaged("the manifest of the read model is damaged")
        manifest = msgspec.json.decode(text, type=Manifest)
    except ValueError:  # msgspec's errors are of this kind
        raise ModelDamaged("the manifest of the read model is damaged, or another release's") from None
    if manifest.format != FORMAT:
        raise ModelDamaged(f"the read model has format {manifest.format}; this release reads {FORMAT}")
    return manifest


def manifest_mark(folder: Path) -> tuple[int, int] | None:
    """Return what changes whenever another version is published, None where there is none; costs one system call."""
    try:
        found = os.stat(f"{folder}/{MANIFEST}")  # noqa: PTH116 # each request asks: a path object would cost more
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def open_version(folder: Path, manifest: Manifest, known: Version | None = None, *, check: bool = False) -> Version:
    """Open the files of a manifest, but for those that `known` has open.

    With `check` every byte of the columns is verified. Raises ModelDamaged, or FileNotFoundError where a file is gone
    because a newer version was published.
    """
    opened = {file.name: file for file in known.files} if known else {}
    files = tuple(opened[name] if name in opened else open_run(folder, name, check=check) for name in manifest.runs)
    return assemble(manifest, files, map_arrays(folder / manifest.dead, check=check))


def assemble(manifest: Manifest, files: tuple[RunFile, ...], dead: Mapping[str, npt.NDArray[Any]]) -> Version:
    """Return the version of opened files; `dead` holds each run's dead places by its file's name."""
    runs = tuple(Run(file.columns, dead.get(file.name, NO_PLACES)) for file in files)
    vocabularies = {column: Vocabulary(file.pieces[column] for file in files) for column in TERM_COLUMNS}
    return Version(manifest, files, runs, vocabularies)
