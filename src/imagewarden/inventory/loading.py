"""Rows of a project from PostgreSQL into the read model: columns of numbers, and bytes in row files."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from imagewarden.inventory.batch import Batch
from imagewarden.inventory.blocks import BLOCK_IDS, Block
from imagewarden.inventory.copying import ROW_SQL, read_blocks, read_registries
from imagewarden.inventory.encoderprocess import EncoderEnded, EncoderSetup
from imagewarden.inventory.encoders import Encoders
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.parts import joined_batches
from imagewarden.inventory.records import Record, batch_of_records
from imagewarden.inventory.rowfile import RowFileWriter, row_file_path
from imagewarden.inventory.rows import ImageRow
from imagewarden.inventory.vocabulary import Terms

__all__ = ["EncoderEnded", "RowSpace", "load_project", "load_records"]

_TASK_BYTES = 1 << 20
_BY_ID = (ROW_SQL + sql.SQL(" AND i.id = ANY(%s::int8[]) ORDER BY i.id")).as_bytes()
_IN_RANGE = (ROW_SQL + sql.SQL(" AND i.id BETWEEN %s AND %s ORDER BY i.id")).as_bytes()
_LAST_ID = 2**63 - 1


class RowSpace(NamedTuple):
    """Where row files are made."""

    folder: Path
    """The model's folder."""
    next_number: Callable[[], int]
    """Gives the number of a row file that was never used."""


def load_records(connection: psycopg.Connection, project_id: str, ids: Sequence[int]) -> list[Record]:
    """Return the live rows among `ids`, in ascending order of id."""
    return _records(connection, _BY_ID, (project_id, list(ids)))


def _records(connection: psycopg.Connection, statement: bytes, values: Sequence[object]) -> list[Record]:
    """Return the rows that a statement selects."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return [Record(ImageRow(*found[:-1]), found[-1]) for found in cursor.execute(statement, values)]


def load_project(
    connection: psycopg.Connection,
    project_id: str,
    terms: Mapping[ImageColumn, Terms],
    encode: Callable[[ImageRow], bytes],
    space: RowSpace,
    *,
    processes: int = 2,
) -> Batch:
    """Return all live rows of a project in ascending order of id; their bytes are in new row files of `space`.

    So many `processes` encode a large project, this one among them. Raises EncoderEnded if another one does not do its
    part, OSError if rows cannot be written; then no row file is left.
    """
    with _row_files(space) as next_number:
        registries = read_registries(connection)
        batches, refused = list[Batch](), list[int]()

        def setup() -> EncoderSetup:
            return EncoderSetup(encode, registries, space.folder, next_number())

        with (
            closing(read_blocks(connection, project_id)) as blocks,
            Encoders(setup, terms, processes - 1) as encoders,
        ):
            for batch, firsts in encoders.batches(_tasks(blocks)):
                batches.append(batch)
                refused += firsts
        number = next_number()
        with RowFileWriter(row_file_path(space.folder, number), number) as writer:
            for first in refused:
                values = project_id, first, min(first + BLOCK_IDS - 1, _LAST_ID)
                batches.append(batch_of_records(_records(connection, _IN_RANGE, values), terms, encode, writer))
            batches.append(batch_of_records([], terms, encode, writer))
        return joined_batches(batches)


@contextmanager
def _row_files(space: RowSpace) -> Iterator[Callable[[], int]]:
    """Give numbers of row files; in the end those that stayed empty are removed, after a failure all are."""
    paths: list[Path] = []

    def next_number() -> int:
        number = space.next_number()
        paths.append(row_file_path(space.folder, number))
        return number

    try:
        yield next_number
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise
    for path in paths:
        if path.exists() and path.stat().st_size == 0:
            path.unlink()


def _tasks(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Yield blocks in lists that are worth handing over."""
    task: list[Block] = []
    size = 0
    for block in blocks:
        task.append(block)
        size += block.size
        if size >= _TASK_BYTES:
            yield task
            task, size = [], 0
    if task:
        yield task
