"""The folder of a project's read model: which of its files are in use, and which version is the newest."""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import structlog

from imagewarden.inventory.arrayfile import write_arrays
from imagewarden.inventory.errors import ModelDamaged
from imagewarden.inventory.feed import FeedPosition
from imagewarden.inventory.paging import Run
from imagewarden.inventory.rowfile import RowFileWriter, row_file_path
from imagewarden.inventory.versions import (
    MANIFEST,
    Manifest,
    RunFile,
    Version,
    assemble,
    fresh_name,
    open_version,
    publish,
    read_manifest,
)

__all__ = ["ModelFolder"]

_LOG = structlog.get_logger(__name__)


class ModelFolder:
    """Files of one project's model, written by one process."""

    def __init__(self, path: Path, project_id: str, encoding: str) -> None:
        """Use a folder, made where it is missing."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._project_id = project_id
        self._encoding = encoding
        self._number = 0
        self._row_file = 0
        self._open_row_file: int | None = None
        self._current: frozenset[str] = frozenset()
        self._held: frozenset[str] = frozenset()

    def recover(self) -> Version | None:
        """Open the newest version, every byte of its columns checked; None where there is none that can be used.

        What no version uses is removed.
        """
        version = self._open()
        self._current = _files_of(version.manifest) if version else frozenset()
        self._remove({path.name for path in self.path.iterdir()} - self._current)
        return version

    def _open(self) -> Version | None:
        try:
            manifest = read_manifest(self.path)
            self._number = manifest.number
            self._row_file = max(manifest.row_files, default=0)
            if (manifest.encoding, manifest.project_id) != (self._encoding, self._project_id):
                return None
            for number in manifest.row_files:
                row_file_path(self.path, number).stat()
            return open_version(self.path, manifest, check=True)
        except FileNotFoundError:
            return None
        except ModelDamaged as error:
            _LOG.warning("the read model is built again", project_id=self._project_id, reason=str(error))
            return None

    def next_row_file(self) -> int:
        """Return the number of a row file that was never used."""
        self._row_file += 1
        return self._row_file

    def new_row_file(self) -> RowFileWriter:
        """Return a new row file."""
        self._open_row_file = number = self.next_row_file()
        return RowFileWriter(row_file_path(self.path, number), number)

    def hold(self, manifest: Manifest) -> None:
        """Keep the files of a version although newer ones are published; until `release`."""
        self._held = _files_of(manifest)

    def release(self) -> None:
        """Hold no version any more; its files go with the next publication."""
        self._current |= self._held
        self._held = frozenset()

    def publish(
        self, files: tuple[RunFile, ...], runs: tuple[Run, ...], position: FeedPosition, row_files: list[int]
    ) -> Version:
        """Publish a version and remove the files that neither it nor a held one uses."""
        dead = {file.name: run.dead for file, run in zip(files, runs, strict=True)}
        name = fresh_name("dead")
        write_arrays(self.path / name, {key: places.astype(np.int32) for key, places in dead.items()})
        self._number += 1
        manifest = Manifest(
            encoding=self._encoding, project_id=self._project_id, number=self._number, position=position,
            read_at=time.time_ns() // 1_000_000, runs=tuple(file.name for file in files), dead=name,
            row_files=tuple(row_files),
        )  # fmt: skip
        publish(self.path, manifest)
        before, self._current = self._current, _files_of(manifest)
        appended = {row_file_path(self.path, self._open_row_file).name} if self._open_row_file else set()
        self._remove(before - self._current - self._held - appended)
        return assemble(manifest, files, dead)

    def clear(self) -> None:
        """Remove all files; those who have them open keep them."""
        self._current = self._held = frozenset()
        self._remove([MANIFEST, *(path.name for path in self.path.iterdir())])

    def _remove(self, names: Iterable[str]) -> None:
        """Remove files; those who have them open keep them."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)


def _files_of(manifest: Manifest) -> frozenset[str]:
    """Return the names of all files of a version."""
    rows = (row_file_path(Path(), number).name for number in manifest.row_files)
    return frozenset((*manifest.runs, manifest.dead, *rows, MANIFEST))
