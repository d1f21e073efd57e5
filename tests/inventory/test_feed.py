"""What the database tells of: every way in which the image list can change, and little else."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from imagewarden.storage.database import Database
from tests.support.feed import OTHER, PROJECT, Reader, furnish, insert_images

PLATFORM = """
INSERT INTO image_platform (parent_id, position, digest, config_digest, os, architecture, variant, size)
SELECT id, 0, %s, '', '', '', '', 0 FROM unnest(%s::bigint[]) AS id
"""


@pytest.fixture
def ids(database: Database) -> list[int]:
    """Fill the database; gives the images' ids."""
    return furnish(database)


@pytest.fixture
def writer(database: Database, ids: list[int]) -> Iterator[psycopg.Connection]:
    """Give a connection that commits each statement."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture
def reader(database: Database, ids: list[int]) -> Iterator[Reader]:
    """Give a reader of the first project."""
    with Reader(database) as found:
        assert found.ids() == []
        yield found


@pytest.fixture
def other(database: Database, ids: list[int]) -> Iterator[Reader]:
    """Give a reader of the second project."""
    with Reader(database, OTHER) as found:
        yield found


def test_inserts_updates_and_deletes(writer: psycopg.Connection, reader: Reader, other: Reader, ids: list[int]) -> None:
    new = insert_images(writer, 2)
    assert reader.ids() == new
    writer.execute("UPDATE image SET size = 1 WHERE id = ANY(%s)", (ids[:2],))
    writer.execute("DELETE FROM image WHERE id = ANY(%s)", (ids[1:3],))
    assert reader.ids() == ids[:3]
    assert reader.ids() == []
    assert other.ids() == []
    assert other.ids() == []


def test_statements_that_find_nothing_tell_of_nothing(writer: psycopg.Connection, reader: Reader) -> None:
    for statement in ("UPDATE image SET size = 1 WHERE id = 0", "DELETE FROM image WHERE id = 0"):
        writer.execute(statement)
    assert writer.execute("SELECT count(*) FROM image_change WHERE image_ids = '{}'").fetchone() == (0,)
    assert reader.ids() == []


@pytest.mark.parametrize("statement", [
    "INSERT INTO image SELECT * FROM image WHERE id = ANY(%s) ON CONFLICT (id) DO UPDATE SET size = 2",
    "MERGE INTO image i USING unnest(%s::bigint[]) AS given ON i.id = given WHEN MATCHED THEN UPDATE SET size = 2",
    "MERGE INTO image i USING unnest(%s::bigint[]) AS given ON i.id = given WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM image WHERE id = ANY(%s) RETURNING id) SELECT count(*) FROM gone",
])  # fmt: skip
def test_other_statements_that_write(
    writer: psycopg.Connection, reader: Reader, ids: list[int], statement: str
) -> None:
    writer.execute(statement, (ids[:2],))
    assert reader.ids() == ids[:2]


def test_copy(writer: psycopg.Connection, reader: Reader, ids: list[int]) -> None:
    writer.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM image")
    writer.execute("DELETE FROM image")
    assert reader.ids() == ids
    with writer.cursor() as cursor, cursor.copy("COPY kept TO STDOUT") as out:
        data = b"".join(bytes(block) for block in out)
    with writer.cursor() as cursor, cursor.copy("COPY image FROM STDIN") as into:
        into.write(data)
    assert reader.ids() == ids


def test_a_session_that_applies_a_replica_and_has_no_search_path(
    writer: psycopg.Connection, reader: Reader, ids: list[int]
) -> None:
    writer.execute("SET session_replication_role = replica")
    writer.execute("SET search_path = ''")
    writer.execute("UPDATE public.image SET size = 1 WHERE id = %s", (ids[0],))
    writer.execute("DELETE FROM public.image WHERE id = %s", (ids[1],))
    assert reader.ids() == ids[:2]


def test_an_image_is_told_to_the_project_it_leaves_and_to_the_one_it_joins(
    writer: psycopg.Connection, reader: Reader, other: Reader, ids: list[int]
) -> None:
    writer.execute("UPDATE image SET project_id = %s WHERE id = %s", (OTHER, ids[0]))
    assert reader.ids() == other.ids() == ids[:1]


def test_an_image_that_gets_another_id(writer: psycopg.Connection, reader: Reader, ids: list[int]) -> None:
    writer.execute("UPDATE image SET id = 1000000 WHERE id = %s", (ids[0],))
    assert reader.ids() == [ids[0], 1_000_000]
    writer.execute("UPDATE image SET id = id, project_id = project_id WHERE id = 1000000")
    assert writer.execute("SELECT count(*) FROM image_change").fetchone() == (4,), "one row, for it did not move"
    assert reader.ids() == [1_000_000]


def test_tombstones(writer: psycopg.Connection, reader: Reader, ids: list[int]) -> None:
    writer.execute("UPDATE image SET removed_at = 1 WHERE id = ANY(%s)", (ids[:2],))
    assert reader.ids() == ids[:2]
    writer.execute("DELETE FROM image WHERE id = %s", (ids[0],))
    assert reader.ids() == [], "it was not listed"
    writer.execute("UPDATE image SET removed_at = NULL WHERE id = %s", (ids[1],))
    assert reader.ids() == [ids[1]]


def test_platforms_are_told_of_by_their_images(writer: psycopg.Connection, reader: Reader, ids: list[int]) -> None:
    writer.execute(PLATFORM, ("a", ids[:2]))
    assert reader.ids() == ids[:2]
    writer.execute("UPDATE image_platform SET scan_status = 'success' WHERE parent_id = %s", (ids[0],))
    assert reader.ids() == ids[:1]
    writer.execute("UPDATE image_platform SET parent_id = %s WHERE parent_id = %s", (ids[2], ids[1]))
    assert reader.ids() == ids[1:3]
    writer.execute("DELETE FROM image_platform WHERE parent_id = %s", (ids[2],))
    assert reader.ids() == ids[2:3]
    writer.execute("DELETE FROM image WHERE id = %s", (ids[0],))
    assert reader.ids() == ids[:1], "its platforms went with it"


def test_a_registry_that_goes_takes_its_images(
    writer: psycopg.Connection, reader: Reader, other: Reader, ids: list[int]
) -> None:
    writer.execute(PLATFORM, ("a", ids))
    reader.look()
    writer.execute("DELETE FROM registry WHERE id = 'r1'")
    assert reader.ids() == ids
    assert other.ids() == []
    rows = writer.execute("SELECT count(*) FROM image_change WHERE xid = (SELECT max(xid) FROM image_change)")
    assert rows.fetchone() == (1,), "one row, not one an image"


@pytest.mark.parametrize("change", ["name = 'renamed'", "type = 'Harbor'"])
def test_what_the_list_shows_of_a_registry(
    writer: psycopg.Connection, reader: Reader, other: Reader, change: str
) -> None:
    writer.execute(f"UPDATE registry SET {change} WHERE id = 'r1'".encode())
    assert reader.look().everything
    assert other.ids() == []
    assert reader.ids() == []


def test_what_the_list_does_not_show_of_a_registry(writer: psycopg.Connection, reader: Reader) -> None:
    writer.execute("UPDATE registry SET synced_at = 1, name = name, url = 'https://moved.example.test'")
    assert reader.ids() == []


@pytest.mark.parametrize("table", ["image", "image_platform", "registry"])
def test_truncate(writer: psycopg.Connection, reader: Reader, other: Reader, table: str) -> None:
    writer.execute(f"TRUNCATE {table} CASCADE".encode())
    assert reader.look().everything
    assert other.look().everything
    assert reader.ids() == []


@pytest.mark.parametrize("table", ["image_change", "image_feed"])
def test_a_feed_that_is_emptied(writer: psycopg.Connection, reader: Reader, table: str) -> None:
    writer.execute(f"TRUNCATE {table}".encode())
    assert reader.look().everything
    assert reader.ids() == []


def test_many_images_are_told_of_in_rows_of_bounded_size(
    writer: psycopg.Connection, reader: Reader, ids: list[int]
) -> None:
    many = insert_images(writer, 1234)
    assert reader.ids() == many
    writer.execute("UPDATE image SET size = 3")
    assert reader.ids() == [*ids, *many]
    sizes = [row[0] for row in writer.execute(
        "SELECT cardinality(image_ids) FROM image_change WHERE xid = (SELECT max(xid) FROM image_change) ORDER BY 1"
    )]  # fmt: skip
    assert sizes == [239, 500, 500]


def test_changes_of_two_projects_in_one_statement(
    writer: psycopg.Connection, reader: Reader, other: Reader, ids: list[int]
) -> None:
    theirs = insert_images(writer, 3, OTHER)
    other.look()
    writer.execute("UPDATE image SET size = 9")
    assert (reader.ids(), other.ids()) == (ids, theirs)


def test_every_trigger_fires_always(writer: psycopg.Connection) -> None:
    found = writer.execute(
        "SELECT tgrelid::regclass::text, tgenabled::text, count(*) FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgname LIKE 'tell\\_image%' OR tgname LIKE 'tell\\_platform%'"
        " OR tgname LIKE 'tell\\_registry%' GROUP BY 1, 2 ORDER BY 1"
    ).fetchall()
    assert found == [("image", "A", 5), ("image_platform", "A", 4), ("registry", "A", 1)]


def test_a_role_that_may_only_use_the_tables(database: Database, ids: list[int]) -> None:
    """Nothing that the feed asks for needs a privilege that an ordinary role lacks."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS feed_reader")
        connection.execute("CREATE ROLE feed_reader")
        connection.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO feed_reader")
    try:
        limited = Database(make_conninfo(database.conninfo, options="-c role=feed_reader"))
        with Reader(limited) as reader, psycopg.connect(limited.conninfo, autocommit=True) as writer:
            assert reader.ids() == []
            writer.execute("UPDATE image SET size = 1 WHERE id = %s AND project_id = %s", (ids[0], PROJECT))
            assert reader.ids() == ids[:1]
    finally:
        with psycopg.connect(database.conninfo, autocommit=True) as connection:
            connection.execute("DROP OWNED BY feed_reader")
            connection.execute("DROP ROLE feed_reader")
