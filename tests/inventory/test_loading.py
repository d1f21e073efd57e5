"""Rows as they are read into the model: the same whichever way they come, and as they are stored."""

import multiprocessing
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings

from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.inventory import copying, encoders, encoding, loading
from imagewarden.inventory.batch import TERM_COLUMNS, Batch
from imagewarden.inventory.blocks import PART
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.loading import EncoderEnded, RowSpace, load_project, load_rows
from imagewarden.inventory.rowfile import RowFileWriter, row_file_path
from imagewarden.inventory.rows import ImageRow
from tests.support import postgres
from tests.support.columns import new_terms
from tests.support.loading import (
    OTHER,
    PROJECT,
    Kept,
    furnish,
    images,
    kept,
    kept_of,
    killed,
    plain_image,
    snapshot,
    space,
    store,
)  # fmt: skip

Encode = Callable[[ImageRow], bytes]
BOTH = pytest.mark.parametrize("furnished", ["embedded", "debian"], indirect=True)


@pytest.fixture(scope="module")
def furnished(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """Give a connection to a database without images, on the embedded server or another one."""
    server = getattr(request, "param", "embedded")
    with (
        postgres.fresh_database(request.getfixturevalue(f"{server}_conninfo")) as database,
        psycopg.connect(database.conninfo, autocommit=True) as connection,
    ):
        furnish(connection)
        yield connection


@pytest.fixture
def connection(furnished: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Give a connection to the database; what a test stores is removed."""
    try:
        yield furnished
    finally:
        furnished.execute("TRUNCATE image CASCADE")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have blocks, pieces and tasks of a few rows, and helpers at once."""
    for module in (copying, loading):
        monkeypatch.setattr(module, "BLOCK_IDS", 4)
    monkeypatch.setattr(encoding, "_PIECE", 3)
    monkeypatch.setattr(loading, "_TASK_BYTES", 1000)
    monkeypatch.setattr(encoders, "_ALONE", 1)


def project(
    connection: psycopg.Connection, project_id: str = PROJECT, encode: Encode = ENCODING.encode, processes: int = 0
) -> dict[int, Kept]:
    """Return what is kept of a project that is read as a whole."""
    with TemporaryDirectory() as name, snapshot(connection):
        terms = new_terms()
        batch = load_project(connection, project_id, terms, encode, space(Path(name)), processes=processes)
        found = kept_of(batch, terms, Path(name))
        used = {row_file_path(Path(name), number) for number in np.unique(batch.row_at >> 40).tolist()}
        assert {*Path(name).iterdir()} == used
    assert_types(batch)
    return found


def rows(connection: psycopg.Connection, ids: list[int], project_id: str = PROJECT) -> dict[int, Kept]:
    """Return what is kept of rows that are read one by one."""
    with TemporaryDirectory() as name, snapshot(connection):
        terms = new_terms()
        with RowFileWriter(row_file_path(Path(name), 9), 9) as writer:
            batch = load_rows(connection, project_id, ids, terms, ENCODING.encode, writer)
        found = kept_of(batch, terms, Path(name))
    assert_types(batch)
    return found


def assert_types(batch: Batch) -> None:
    """Check that all arrays are as Batch says."""
    assert [batch.ids.dtype, batch.row_at.dtype, batch.row_length.dtype, batch.flags.dtype] == ["i8", "i8", "u4", "u1"]
    assert {array.dtype.str for array in batch.numbers.values()} == {"<i8"}
    assert {array.dtype.str for array in batch.codes.values()} == {"<u4"}
    assert batch.codes.keys() == {*TERM_COLUMNS}
    arrays: list[npt.NDArray[Any]] = [batch.flags, batch.row_at, batch.row_length]
    arrays += [*batch.numbers.values(), *batch.codes.values()]
    assert {len(array) for array in arrays} == {len(batch.ids)}


@BOTH
@given(stored=images)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@example(stored=[plain_image(number, tag=f"{number}\x1f", name="a") for number in (9, 8, 3, 2, 1)])
@example(stored=[plain_image(1, name="x\x1f" * 14), plain_image(2, name="y" * 5000), plain_image(3)])
@example(stored=[plain_image(2**63 - 1), plain_image(1), plain_image(2**63 - 5, name="\x1e")])
def test_all_ways_of_reading_give_what_is_stored(
    small: None, connection: psycopg.Connection, stored: list[dict[str, Any]]
) -> None:
    connection.execute("TRUNCATE image CASCADE")
    store(connection, stored)
    for project_id in (PROJECT, OTHER):
        expected = kept(stored, project_id)
        assert list(rows(connection, [each["id"] for each in stored], project_id).items()) == list(expected.items())
        assert list(project(connection, project_id).items()) == list(expected.items())


def many() -> list[dict[str, Any]]:
    """Return 3,000 images: single and multi-architecture, failed, shared, removed, with texts of all kinds."""

    def child(number: int, at: int) -> dict[str, Any]:
        return {
            "digest": f"sha256:{number}-{at}", "config_digest": f"{number}{at}", "os": "linux",
            "architecture": ("amd64", "arm64", 'x"86')[at if number % 77 else 2], "variant": "",
            "scan_status": ("success", "unscan")[at % 2], "vulnerability_count": at, "unsafe_setting_count": 0,
            "malicious_file_count": 3,
        }  # fmt: skip

    found = []
    for number in range(3000, 0, -1):
        changes: dict[str, Any] = {}
        if number % 11 == 0:
            changes |= {"is_index": True, "os": "", "children": [child(number, at) for at in range(number % 3)]}
        if number % 97 == 0:
            changes |= {"scan_status": "failed", "failure_code": "response_timed_out", "failure_reason": 'no "answer"'}
        if number % 103 == 0:
            changes |= {"owner_domain": "owner", "share_status": "expired", "tag": f"\x1f{number}"}
        if number % 107 == 0:
            changes |= {"name": f"{PART.decode() if number == 535 else ''}\u00e9{number}\\"}
        if number % 109 == 0:
            changes |= {"removed_at": 1}
        if number % 113 == 0:
            changes |= {"project_id": OTHER}
        if number % 127 == 0:
            changes |= {"risk_level": None, "scanned_at": None, "registry_id": f"{1:032x}"}
        found.append(plain_image(number, **changes))
    return found


@pytest.fixture
def stored(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """Store many images."""
    found = many()
    store(connection, found)
    return found


@BOTH
@pytest.mark.parametrize("processes", [0, 1, 2, 3])
def test_helpers_change_nothing(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]], processes: int
) -> None:
    monkeypatch.setattr(loading, "_TASK_BYTES", 1 << 15)
    monkeypatch.setattr(encoders, "_ALONE", 2)
    assert list(project(connection, processes=processes).items()) == list(kept(stored).items())
    assert multiprocessing.active_children() == []


def test_numbers_that_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(loading, "_TASK_BYTES", 1 << 15)
    monkeypatch.setattr(encoding, "_NUMBERED", 100)
    assert project(connection) == kept(stored)


def test_kinds_that_are_not_learned(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(encoding, "_LEARNED", 1)
    monkeypatch.setattr(encoding, "_ROWS_TO_LEARN", 1 << 20)
    assert project(connection) == kept(stored)


def _shouting(row: ImageRow) -> bytes:
    return ENCODING.encode(row).replace(b"service", b"SERVICE")


def _summing(row: ImageRow) -> bytes:
    return b"%d %b" % (row.size % 7, ENCODING.encode(row))


def _twice(row: ImageRow) -> bytes:
    return ENCODING.encode(row) + row.name.encode()


def _windows(row: ImageRow) -> bytes:
    return ENCODING.encode(row) + b"!" * sum(child.architecture == "arm64" for child in row.children)


def _short(row: ImageRow) -> bytes:
    return ENCODING.encode(row)[: 40 + row.vulnerability_count]


def _turned(row: ImageRow) -> bytes:
    return b"%d,%d" % ((row.id, row.size) if row.is_latest else (row.size, row.id)) + ENCODING.encode(row)


@pytest.mark.parametrize("encode", [_shouting, _summing, _twice, _windows, _short, _turned])
def test_encodings_that_are_more_than_constant_texts_and_fields(
    connection: psycopg.Connection, stored: list[dict[str, Any]], encode: Encode
) -> None:
    found = project(connection, encode=encode)
    assert found == kept(stored, encode=encode)


def test_most_rows_are_not_encoded_one_by_one(connection: psycopg.Connection) -> None:
    child = {
        "digest": "sha256:1", "config_digest": "1", "os": "linux", "architecture": "amd64", "variant": "",
        "scan_status": "success", "vulnerability_count": 0, "unsafe_setting_count": 0, "malicious_file_count": 0,
    }  # fmt: skip
    found = [
        plain_image(number, is_index=number % 4 == 0, children=[dict(child)] if number % 4 == 0 else [])
        for number in range(1, 2000)
    ]
    store(connection, found)
    encoded: list[int] = []

    def encode(row: ImageRow) -> bytes:
        encoded.append(row.id)
        return ENCODING.encode(row)

    assert project(connection, encode=encode) == kept(found)
    assert len(encoded) < 100


def test_only_what_is_asked_for(connection: psycopg.Connection, stored: list[dict[str, Any]]) -> None:
    expected = kept(stored)
    assert rows(connection, []) == {}
    assert rows(connection, [0, 109, 113, -5, 2**63 - 1]) == {}
    assert rows(connection, [20, 1, 20, 5000]) == {1: expected[1], 20: expected[20]}
    assert list(rows(connection, [20, 1])) == [1, 20]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_project_without_rows(connection: psycopg.Connection, processes: int) -> None:
    assert project(connection, processes=processes) == {}
    assert project(connection, "no such project", processes=processes) == {}


def test_what_came_after_the_snapshot_is_not_seen(
    connection: psycopg.Connection, stored: list[dict[str, Any]], tmp_path: Path
) -> None:
    with psycopg.connect(connection.info.dsn) as reader, snapshot(reader):
        reader.execute("SELECT count(*) FROM image")
        connection.execute("UPDATE image SET size = 123456")
        batch = load_project(reader, PROJECT, new_terms(), ENCODING.encode, space(tmp_path), processes=0)
    assert 123456 not in batch.numbers[ImageColumn.SIZE]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Have this process, and those it starts, write no file larger than this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def failing(connection: psycopg.Connection, folder: RowSpace, encode: Encode, processes: int) -> None:
    """Load the project in a transaction of its own; what was wrong with it is over then."""
    with snapshot(connection):
        load_project(connection, PROJECT, new_terms(), encode, folder, processes=processes)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]], tmp_path: Path,
    processes: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(loading, "_TASK_BYTES", 1 << 15)
    monkeypatch.setattr(encoders, "_ALONE", 0)
    with largest_file(1 << 19), pytest.raises(OSError, match="File too large"):
        failing(connection, space(tmp_path), ENCODING.encode, processes)
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []
    assert project(connection) == kept(stored)


def _unable(row: ImageRow) -> bytes:
    if multiprocessing.parent_process() is not None:
        raise ValueError(row.id)
    return ENCODING.encode(row)


@pytest.mark.parametrize(("encode", "code"), [(killed, "-9"), (_unable, "1")])
def test_a_helper_that_ends(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]], tmp_path: Path,
    encode: Encode, code: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(loading, "_TASK_BYTES", 1 << 15)
    monkeypatch.setattr(encoders, "_ALONE", 1)
    with pytest.raises(EncoderEnded, match=f"exit code {code}"):
        failing(connection, space(tmp_path), encode, 3)
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []
    assert project(connection) == kept(stored)


def test_a_connection_that_breaks(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]], tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "_TASK_BYTES", 1 << 12)
    monkeypatch.setattr(encoders, "_ALONE", 1)
    with psycopg.connect(connection.info.dsn) as reader:
        ended: list[bool] = []

        def encode(row: ImageRow) -> bytes:
            if not ended:
                ended.append(True)
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", (reader.info.backend_pid,))
            return ENCODING.encode(row)

        with pytest.raises(psycopg.OperationalError):
            failing(reader, space(tmp_path), encode, 0)
    assert list(tmp_path.iterdir()) == []
