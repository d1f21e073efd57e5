"""A few changed rows in one statement, beside the same rows read in a transaction."""

import psycopg
import pytest

from imagewarden.inventory import catchup
from imagewarden.inventory.catchup import FEW, read_few_changes
from imagewarden.inventory.feed import FeedPosition, read_changes, start_position
from imagewarden.inventory.loading import load_records
from tests.support.loading import PROJECT, many, snapshot, store


@pytest.fixture
def position(connection: psycopg.Connection) -> FeedPosition:
    """Give the position of one that has seen all."""
    with snapshot(connection):
        return start_position(connection)


def test_rows_of_every_kind_are_what_a_transaction_reads(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, position: FeedPosition
) -> None:
    """Children, failures, texts that JSON escapes, rows that are gone or another project's."""
    every = catchup._STATEMENT.replace(f"<= {FEW} ".encode(), b"<= 100000 ")
    assert every != catchup._STATEMENT
    monkeypatch.setattr(catchup, "_STATEMENT", every)
    store(connection, many())
    changes, records = read_few_changes(connection, position, PROJECT)
    with snapshot(connection):
        assert read_changes(connection, position, PROJECT) == changes
        assert load_records(connection, PROJECT, changes.image_ids) == records
    assert records is not None
    assert 2500 < len(records) < len(changes.image_ids)


def test_nothing_new_and_more_than_a_few(connection: psycopg.Connection, position: FeedPosition) -> None:
    """No rows, and no rows that are told."""
    changes, records = read_few_changes(connection, position, PROJECT)
    assert (changes.image_ids, changes.everything, records) == ([], False, [])
    images = [each for each in many() if each["project_id"] == PROJECT][: FEW + 1]
    store(connection, images[:-1])
    few, records = read_few_changes(connection, position, PROJECT)
    assert (len(few.image_ids), records is None) == (FEW, False)
    store(connection, images[-1:])
    changes, records = read_few_changes(connection, position, PROJECT)
    assert (len(changes.image_ids), records) == (FEW + 1, None)
    assert read_few_changes(connection, few.position, PROJECT)[0].image_ids == [images[-1]["id"]]


def test_a_foreign_position(connection: psycopg.Connection, position: FeedPosition) -> None:
    """Anything may have changed: there is nothing to read."""
    changes, records = read_few_changes(connection, FeedPosition("another", position.xmax, ()), PROJECT)
    assert (changes.image_ids, changes.everything, records) == ([], True, None)
