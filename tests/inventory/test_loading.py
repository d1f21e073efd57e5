"""Rows as they are read into the model: the same whichever way they come, and as they are stored."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from msgspec.structs import astuple

from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.inventory import copying, encoders, encoding, loading
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.loading import load_project
from imagewarden.inventory.rows import ImageRow
from tests.support.columns import new_terms
from tests.support.loading import (  # fmt: skip
    OTHER,
    PROJECT,
    images,
    kept,
    many,
    plain_image,
    project,
    rows,
    snapshot,
    space,
    store,
)

Encode = Callable[[ImageRow], bytes]
BOTH = pytest.mark.parametrize("furnished", ["embedded", "debian"], indirect=True)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have blocks, pieces and tasks of a few rows, and helpers at once."""
    for module in (copying, loading):
        monkeypatch.setattr(module, "BLOCK_IDS", 4)
    monkeypatch.setattr(encoding, "_PIECE", 3)
    monkeypatch.setattr(loading, "_TASK_BYTES", 1000)
    monkeypatch.setattr(encoders, "_ALONE", 1)


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


def _reversed(row: ImageRow) -> bytes:
    children = [astuple(child)[:: -1 if row.is_latest else 1] for child in row.children]
    return msgspec.json.encode((*astuple(row)[:-1], children))


@pytest.mark.parametrize("encode", [_shouting, _summing, _twice, _windows, _short, _turned, _reversed])
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
