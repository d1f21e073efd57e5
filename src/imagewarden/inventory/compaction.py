"""Runs merged in the background, by a process of its own: files in, one file out.

The large run and those that followed it become one; row files of which little is still used are written anew.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import ROW_FILE_SHIFT, TERM_COLUMNS, Batch
from imagewarden.inventory.rowfile import RowFileReader, RowFileWriter, row_file_path
from imagewarden.inventory.runs import joined, live_batch, merged_terms
from imagewarden.inventory.versions import Manifest, open_version, write_run

__all__ = ["Compaction", "compact"]

_USED_SHARE = 0.5
"""A row file is written anew once less of it is in use."""
_OFFSET_MASK = (1 << ROW_FILE_SHIFT) - 1
_PORTION = 1000
"""Rows that are read together."""


class Compaction(NamedTuple):
    """What to merge."""

    folder: Path
    """The model's folder."""
    manifest: Manifest
    """The version whose runs are merged, all of them."""
    row_file: int
    """Number of the row file that rows are moved to, if any are."""
    name: str
    """Name of the file that the runs become."""


def compact(work: Compaction) -> None:
    """Merge all runs of a version into one new file; raises ModelDamaged or OSError. The version stays as it is."""
    version = open_version(work.folder, work.manifest)
    batch = _moved(joined([live_batch(run) for run in version.runs]), work)
    pieces = {column: merged_terms(version.files, column) for column in TERM_COLUMNS}
    terms = {column: len(version.vocabularies[column]) for column in TERM_COLUMNS}
    write_run(work.folder, batch, terms, pieces, name=work.name)


def _moved(batch: Batch, work: Compaction) -> Batch:
    """Return the rows with the bytes of those moved that stand in files of which little is still used."""
    files = (batch.row_at >> ROW_FILE_SHIFT).astype(np.int64)
    moving = np.zeros(len(batch.ids), dtype=np.bool_)
    for number in work.manifest.row_files:
        of_file = files == number
        used = int(batch.row_length[of_file].sum()) + 4 * int(np.count_nonzero(of_file))
        if used < _USED_SHARE * row_file_path(work.folder, number).stat().st_size:
            moving |= of_file
    if not moving.any():
        return batch
    return batch._replace(row_at=_copied(batch, np.flatnonzero(moving), work))


def _copied(batch: Batch, places: npt.NDArray[np.int64], work: Compaction) -> npt.NDArray[np.int64]:
    """Copy the bytes of rows into the new row file; returns where each row is then."""
    row_at, files = batch.row_at.copy(), batch.row_at[places] >> ROW_FILE_SHIFT
    with RowFileWriter(row_file_path(work.folder, work.row_file), work.row_file) as writer:
        for number in np.unique(files).tolist():
            reader = RowFileReader(row_file_path(work.folder, number))
            of_file = places[files == number]
            for first in range(0, len(of_file), _PORTION):
                portion = of_file[first : first + _PORTION]
                offsets, lengths = batch.row_at[portion] & _OFFSET_MASK, batch.row_length[portion].astype(np.int64)
                row_at[portion] = [writer.append(row) for row in reader.rows(offsets, lengths)]
    return row_at
