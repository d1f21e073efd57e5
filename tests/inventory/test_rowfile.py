"""Row files: what was appended is read again, and nothing that is not whole."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagewarden.inventory.batch import ROW_FILE_SHIFT
from imagewarden.inventory.errors import ModelDamaged
from imagewarden.inventory.rowfile import CRC_BYTES, RowFileReader, RowFileWriter, RowsDamaged, row_file_path
from tests.support.limits import largest_file

ROWS = [b"first", b"", b"x" * 300_000, b"\0\n", b"last"]
NUMBER = 5

Place = tuple[int, int]


def place(row_at: int, row: bytes) -> Place:
    """Return where a reader finds a row."""
    assert row_at >> ROW_FILE_SHIFT == NUMBER
    return row_at & ((1 << ROW_FILE_SHIFT) - 1), len(row)


def written(path: Path, rows: list[bytes]) -> list[Place]:
    """Write a row file; returns offset and length of each row."""
    with RowFileWriter(path, NUMBER) as writer:
        return [place(writer.append(row), row) for row in rows]


@contextmanager
def reading(path: Path) -> Iterator[RowFileReader]:
    """Give a reader of a file."""
    reader = RowFileReader(path)
    try:
        yield reader
    finally:
        reader.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a row file that is not there yet."""
    return row_file_path(tmp_path, NUMBER)


@given(rows=st.lists(st.one_of(st.binary(max_size=2000), st.just(b"y" * 200_000)), max_size=12))
@settings(max_examples=50, deadline=None)
def test_rows_are_read_as_they_were_appended(rows: list[bytes]) -> None:
    with TemporaryDirectory() as name:
        path = row_file_path(Path(name), NUMBER)
        places = written(path, rows)
        with reading(path) as reader:
            assert [reader.row(*each) for each in reversed(places)] == rows[::-1]
        assert path.stat().st_size == sum(CRC_BYTES + len(row) for row in rows)


def test_blocks_of_rows(path: Path) -> None:
    block = b"".join(zlib.crc32(row).to_bytes(CRC_BYTES, "little") + row for row in ROWS)
    with RowFileWriter(path, NUMBER) as writer:
        first = writer.append(b"before")
        small = writer.append_block(block[: CRC_BYTES + len(ROWS[0])])
        large = writer.append_block(bytearray(block))
        last = writer.append(b"behind")
    with reading(path) as reader:
        assert reader.row(*place(first, b"before")) == b"before"
        assert reader.row(*place(small + CRC_BYTES, ROWS[0])) == ROWS[0]
        start = large
        for row in ROWS:
            assert reader.row(*place(start + CRC_BYTES, row)) == row
            start += CRC_BYTES + len(row)
        assert reader.row(*place(last, b"behind")) == b"behind"


def test_rows_that_come_after_the_file_was_opened(path: Path) -> None:
    with RowFileWriter(path, NUMBER) as writer, reading(path) as reader:
        for row in ROWS:
            at = place(writer.append(row), row)
            writer.flush()
            assert reader.row(*at) == row


def test_a_file_is_made_once(path: Path) -> None:
    written(path, ROWS)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        RowFileWriter(path, NUMBER)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_removed_stays_readable(path: Path) -> None:
    places = written(path, ROWS)
    with reading(path) as reader:
        path.unlink()
        assert [reader.row(*each) for each in places] == ROWS
    with pytest.raises(FileNotFoundError):
        RowFileReader(path)


@pytest.mark.parametrize("length", [0, 3, CRC_BYTES, CRC_BYTES + 3])
def test_a_torn_file(path: Path, length: int) -> None:
    (first, *_) = written(path, ROWS)
    with path.open("r+b") as file:
        file.truncate(length)
    with reading(path) as reader, pytest.raises(RowsDamaged, match="torn"):
        reader.row(*first)
    assert issubclass(RowsDamaged, ModelDamaged)


@given(bit=st.integers(0, 8 * (CRC_BYTES + 5) - 1))
@settings(max_examples=80, deadline=None)
def test_a_flipped_bit(bit: int) -> None:
    with TemporaryDirectory() as name:
        path = row_file_path(Path(name), NUMBER)
        places = written(path, [b"first", b"other"])
        damaged = bytearray(path.read_bytes())
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with reading(path) as reader:
            with pytest.raises(RowsDamaged, match="damaged"):
                reader.row(*places[0])
            assert reader.row(*places[1]) == b"other"


@pytest.mark.parametrize("foreign", [
    (CRC_BYTES + 1, 5), (CRC_BYTES, 4), (CRC_BYTES, 6), (0, 5), (3, 1), (-1, 5), (CRC_BYTES, -1), (2**40, 1),
    (CRC_BYTES, 2**40),
])  # fmt: skip
def test_places_of_no_row(path: Path, foreign: Place) -> None:
    written(path, [b"first", b"other"])
    with reading(path) as reader, pytest.raises(RowsDamaged):
        reader.row(*foreign)


def test_a_write_that_fails_is_made_up_for(path: Path) -> None:
    with RowFileWriter(path, NUMBER) as writer:
        first = place(writer.append(b"first"), b"first")
        writer.flush()
        second = place(writer.append(b"s" * 3000), b"s" * 3000)
        with largest_file(2000):
            with pytest.raises(OSError, match="File too large"):
                writer.flush()
            with pytest.raises(OSError, match="File too large"):
                writer.append(b"l" * 300_000)
        third = place(writer.append(b"third"), b"third")
    with reading(path) as reader:
        assert reader.row(*first) == b"first"
        assert reader.row(*second) == b"s" * 3000
        assert reader.row(*third) == b"third"


def test_closing_tells_of_a_write_that_fails(path: Path) -> None:
    writer = RowFileWriter(path, NUMBER)
    writer.append(b"s" * 3000)
    with largest_file(2000), pytest.raises(OSError, match="File too large"):
        writer.close()
    writer.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        writer.flush()
