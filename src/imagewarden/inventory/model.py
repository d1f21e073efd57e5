"""The one writer of a project's read model: builds it, keeps it in step with the database, publishes versions.

Readers may open any version that was published; none is ever changed. A version tells what of the database it has seen
(`FeedPosition`), so that a refresh reads what came after, and a model that another process left is caught up.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psycopg
import structlog

from imagewarden.inventory.batch import ROW_FILE_SHIFT, TERM_COLUMNS, Batch
from imagewarden.inventory.catchup import read_few_changes
from imagewarden.inventory.compaction import Compaction
from imagewarden.inventory.feed import Changes, FeedPosition, read_changes, start_position
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.folder import ModelFolder
from imagewarden.inventory.loading import RowSpace, load_project, load_records
from imagewarden.inventory.paging import NO_PLACES, Run
from imagewarden.inventory.records import Record, batch_of_records
from imagewarden.inventory.rowfile import RowFileWriter
from imagewarden.inventory.rows import Encoding
from imagewarden.inventory.runs import joined, live_batch, merged_terms, too_small, with_dead
from imagewarden.inventory.versions import RunFile, Version, fresh_name, write_run
from imagewarden.inventory.vocabulary import Terms, Vocabulary

__all__ = ["ProjectModel"]

_LOG = structlog.get_logger(__name__)
_MERGED_FROM = 8192
"""Rows beside the large run, at least, from which all are merged."""
_MERGED_SHARE = 64
"""And at least one for so many of the large run."""
_IDLE_MS = 600_000
"""Time after which a version is published though nothing changed: an old position may be pruned."""

Ids = npt.NDArray[np.int64]


class ProjectModel:
    """The read model of one project in one folder; at most one process at a time may hold it."""

    def __init__(self, folder: Path, project_id: str, encoding: Encoding, *, processes: int = 2) -> None:
        """Take the folder's newest version if there is one that can be used; `processes` build a large project."""
        self._folder = ModelFolder(folder, project_id, encoding.name)
        self._project_id = project_id
        self._encode = encoding.encode
        self._processes = processes
        self._version = self._folder.recover()
        self._rows: RowFileWriter | None = None
        self._row_files: dict[str, frozenset[int]] = {}
        self._merging: list[Ids] | None = None
        self._frozen = 0

    @property
    def version(self) -> Version | None:
        """The newest version, None before the first build."""
        return self._version

    def refresh(self, connection: psycopg.Connection) -> bool:
        """See all that was committed before the call; returns whether a version was published.

        The connection is not in a transaction; from now on it is in autocommit mode. Builds the model where it is new,
        was damaged, or cannot be caught up.
        """
        version = self._version
        connection.autocommit = True
        if version is not None:
            few, records = read_few_changes(connection, version.manifest.position, self._project_id)
            if records is not None:
                return self._caught_up(version, few, records)
        with _snapshot(connection):
            changes = version and read_changes(connection, version.manifest.position, self._project_id)
            if version is None or changes is None or changes.everything:
                self._build(connection)
                return True
            records = load_records(connection, self._project_id, changes.image_ids)
        return self._caught_up(version, changes, records)

    def _caught_up(self, version: Version, changes: Changes, records: list[Record]) -> bool:
        """Show changed rows, of which `records` are live; returns whether a version was published."""
        if not changes.image_ids:
            return self._move(version, changes.position)
        terms = {column: Terms(version.vocabularies[column]) for column in TERM_COLUMNS}
        writer = self._row_writer()
        batch = batch_of_records(records, terms, self._encode, writer)
        writer.flush()
        self._apply(version, changes, batch, terms)
        return True

    @property
    def size(self) -> int:
        """Bytes of the newest version's columns and terms."""
        files = self._version.files if self._version else ()
        return sum(array.nbytes for file in files for array in file.columns.arrays.values())

    def drop(self) -> None:
        """Remove the model's files; the next refresh builds it anew."""
        self.close()
        self._version, self._merging, self._frozen = None, None, 0
        self._folder.clear()

    def forget(self) -> None:
        """Have the next refresh build the model anew: a file of it turned out to be damaged."""
        self._version = None

    def merge_due(self) -> Compaction | None:
        """Return what to merge in the background, None for nothing; what it gives is for `merged`."""
        if self._version is None or self._merging is not None or len(self._version.runs) < 2:
            return None
        large, *small = self._version.runs
        beside = sum(len(run.columns) for run in small) + len(large.dead)
        if beside <= max(_MERGED_FROM, len(large.columns) // _MERGED_SHARE):
            return None
        self._merging = []
        self._frozen = len(self._version.runs)
        self._folder.hold(self._version.manifest)
        return Compaction(self._folder.path, self._version.manifest, self._folder.next_row_file(), fresh_name("run"))

    def merged(self, file: RunFile | None) -> None:
        """Take the outcome of a merge, None where it failed: then the runs stay as they are."""
        changed, version = self._merging, self._version
        self._merging, frozen, self._frozen = None, self._frozen, 0
        self._folder.release()
        if changed is None or file is None or version is None:
            return
        since = np.unique(np.concatenate(changed)) if changed else np.zeros(0, dtype=np.int64)
        large = with_dead(Run(file.columns, NO_PLACES), since)
        files, runs = (file, *version.files[frozen:]), (large, *version.runs[frozen:])
        self._publish(files, runs, version.manifest.position)

    def close(self) -> None:
        """Close the row file."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def _build(self, connection: psycopg.Connection) -> None:
        """Read the whole project, in the transaction at hand."""
        started = time.monotonic()
        self.close()
        self._merging, self._frozen = None, 0
        self._folder.release()
        position = start_position(connection)
        terms = {column: Terms(Vocabulary()) for column in TERM_COLUMNS}
        space = RowSpace(self._folder.path, self._folder.next_row_file)
        batch = load_project(connection, self._project_id, terms, self._encode, space, processes=self._processes)
        file = self._write(batch, (), terms)
        self._publish((file,), (Run(file.columns, NO_PLACES),), position)
        _LOG.info(
            "the read model was built",
            project_id=self._project_id, rows=len(batch.ids), seconds=round(time.monotonic() - started, 2),
        )  # fmt: skip

    def _row_writer(self) -> RowFileWriter:
        """Return the file that refreshed rows are appended to."""
        if self._rows is None:
            self._rows = self._folder.new_row_file()
        return self._rows

    def _move(self, version: Version, position: FeedPosition) -> bool:
        """Note that nothing changed up to a position, where the one at hand has grown old."""
        if version.manifest.read_at + _IDLE_MS > time.time_ns() // 1_000_000:
            return False
        self._publish(version.files, version.runs, position)
        return True

    def _apply(self, version: Version, changes: Changes, batch: Batch, terms: Mapping[ImageColumn, Terms]) -> None:
        """Publish a version with the rows of `batch`; changed rows that it lacks are gone."""
        ids = np.array(changes.image_ids, dtype=np.int64)
        if self._merging is not None:
            self._merging.append(ids)
        files, runs = list(version.files), [with_dead(run, ids) for run in version.runs]
        parts, taken = [batch], list[RunFile]()
        while len(runs) > self._frozen and too_small(runs[-1], sum(len(part.ids) for part in parts)):
            parts.append(live_batch(runs.pop()))
            taken.insert(0, files.pop())
        whole = joined(parts)
        if len(whole.ids):
            file = self._write(whole, taken, terms)
            files.append(file)
            runs.append(Run(file.columns, NO_PLACES))
        self._publish(tuple(files), tuple(runs), changes.position)

    def _write(self, batch: Batch, taken: Sequence[RunFile], terms: Mapping[ImageColumn, Terms]) -> RunFile:
        """Write a run with the terms of those it takes the place of, and those that were added."""
        pieces = {
            column: merged_terms(taken, column, terms[column].added, terms[column].first) for column in TERM_COLUMNS
        }
        counts = {column: len(terms[column]) for column in TERM_COLUMNS}
        return write_run(self._folder.path, batch, counts, pieces)

    def _publish(self, files: tuple[RunFile, ...], runs: tuple[Run, ...], position: FeedPosition) -> None:
        known = self._row_files
        self._row_files = {
            file.name: known[file.name] if file.name in known else _row_files(file) for file in files
        }  # a large run is not looked through for every change
        used = sorted(set().union(*self._row_files.values()))
        self._version = self._folder.publish(files, runs, position, used)


def _row_files(file: RunFile) -> frozenset[int]:
    """Return the numbers of the row files that a run's rows stand in."""
    return frozenset(np.unique(file.columns.row_at >> ROW_FILE_SHIFT).tolist())


@contextmanager
def _snapshot(connection: psycopg.Connection) -> Iterator[None]:
    """Have all that is read inside come from one state of the database."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        yield
