"""A project's read model as those who answer from it see it: mapped read-only, one version at a time."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import ROW_FILE_SHIFT
from imagewarden.inventory.errors import ModelDamaged
from imagewarden.inventory.filters import ImageFilter, ImageOrder
from imagewarden.inventory.paging import Page, find_page
from imagewarden.inventory.predicate import compile_filter
from imagewarden.inventory.rowfile import RowFileReader, row_file_path
from imagewarden.inventory.versions import Version, manifest_mark, open_version, read_manifest

__all__ = ["Answer", "ModelReader", "OpenVersion"]

_OFFSET = (1 << ROW_FILE_SHIFT) - 1
_PATIENCE = 2.0
"""Seconds in which a version is opened; each is there for as long as nothing newer is published, which is sooner."""
_PORTION = 2000
"""Rows that are found together where all are wanted."""


class Answer(NamedTuple):
    """One page; all fields come from one version of the model."""

    total: int
    """Rows that match, on all pages."""
    ids: list[int]
    """Ids of the page's rows, in order."""
    rows: list[bytes]
    """The encoded rows of the page, in order."""


class OpenVersion:
    """One version with its row files; what it answers never changes, whatever is published later."""

    def __init__(self, version: Version, rows: Mapping[int, RowFileReader]) -> None:
        """Answer from a version; `rows` are its row files by number."""
        self.version = version
        self.rows = rows

    def answer(self, asked: ImageFilter, order: ImageOrder, offset: int, limit: int) -> Answer:
        """Return a page; raises ModelDamaged where a row's bytes are not what was written."""
        version = self.version
        page = find_page(version.runs, compile_filter(asked, version.vocabularies), order, offset, limit)
        ids, places, lengths = _located(version, page)
        return Answer(page.total, ids.tolist(), self._bytes(places, lengths))

    def all_rows(self, asked: ImageFilter, order: ImageOrder) -> Iterator[list[bytes]]:
        """Give every row that matches, in portions; raises ModelDamaged."""
        offset = 0
        while rows := self.answer(asked, order, offset, _PORTION).rows:
            yield rows
            offset += len(rows)

    def _bytes(self, places: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> list[bytes]:
        """Return the bytes of rows."""
        if not len(places):
            return []
        files, offsets = places >> ROW_FILE_SHIFT, places & _OFFSET
        if (files == files[0]).all():
            return self.rows[int(files[0])].rows(offsets, lengths)
        found = [b""] * len(places)
        for number in set(files.tolist()):
            mine = np.flatnonzero(files == number)
            for at, row in zip(mine.tolist(), self.rows[number].rows(offsets[mine], lengths[mine]), strict=True):
                found[at] = row
        return found


class ModelReader:
    """The model in one folder; for one thread."""

    def __init__(self, folder: Path, project_id: str, encoding: str) -> None:
        """Read a project's model whose rows were encoded as `encoding` says."""
        self._folder = folder
        self._project_id = project_id
        self._encoding = encoding
        self._mark: tuple[int, int] | None = None
        self._newest: OpenVersion | None = None

    def newest(self) -> OpenVersion | None:
        """Return the newest version, opened; None where there is none that can be used."""
        mark = manifest_mark(self._folder)
        if mark is None:
            self._newest = self._mark = None
        elif mark != self._mark:
            self._newest, self._mark = self._open(), mark
        return self._newest

    def _open(self) -> OpenVersion | None:
        """Open the newest version; one that is replaced meanwhile is tried again."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                manifest = read_manifest(self._folder)
                if (manifest.encoding, manifest.project_id) != (self._encoding, self._project_id):
                    return None
                version = open_version(self._folder, manifest, self._newest.version if self._newest else None)
                return OpenVersion(version, self._row_files(version))
            except FileNotFoundError:
                if time.monotonic() > deadline or manifest_mark(self._folder) is None:
                    return None
            except ModelDamaged:
                return None

    def _row_files(self, version: Version) -> dict[int, RowFileReader]:
        """Map the row files of a version, so that they are there for as long as it is used."""
        known = self._newest.rows if self._newest else {}
        found = {}
        for number in version.manifest.row_files:
            path = row_file_path(self._folder, number)
            opened = known.get(number)
            found[number] = opened if opened and opened.is_at(path) else RowFileReader(path)
        return found


def _located(
    version: Version, page: Page
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the ids of a page's rows, and where their bytes stand and how many they are."""
    if len(version.runs) == 1:
        columns = version.runs[0].columns
        at, length = columns.row_at.take(page.places), columns.row_length.take(page.places).astype(np.int64)
        return columns.ids.take(page.places), at, length
    ids = np.empty(len(page.places), dtype=np.int64)
    at, length = np.empty_like(ids), np.empty_like(ids)
    for number, run in enumerate(version.runs):
        mine = page.runs == number
        places = page.places[mine]
        ids[mine] = run.columns.ids[places]
        at[mine] = run.columns.row_at[places]
        length[mine] = run.columns.row_length[places]
    return ids, at, length
