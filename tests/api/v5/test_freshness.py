"""The list shows what was committed before the request, goes on while the database is away, and pages truly."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from imagewarden.identity.vault import Vault
from imagewarden.storage import schema
from imagewarden.storage.database import Database, open_database
from tests.api.v5.test_image_export import token_of
from tests.support.embedded import postmaster, wait_until
from tests.support.inventory import Installation, install
from tests.support.server import serve

INSERT = (
    "INSERT INTO image (project_id, registry_id, namespace, name, tag, digest, config_digest, kind, media_type, size,"
    " scannable, is_index, updated_at, synced_at, sync_run_id)"
    " SELECT %s, %s, 'n', 'n', n::text, 'd', 'c', 'other', 'm', 1, true, false, 1, 1, 1"
    " FROM generate_series(%s::int, %s::int) AS n"
)


class Asked:
    """A client of one project."""

    def __init__(self, url: str, installation: Installation) -> None:
        keys = installation.credentials
        token = asyncio.run(token_of(installation.database, keys.project_id))
        self.url = url
        self.installation = installation
        self.path = f"{url}/v5/{keys.project_id}/image/registries/images"
        self.client = httpx.Client(headers={"X-Auth-Token": token}, trust_env=False, timeout=30)

    def get(self, query: str = "") -> httpx.Response:
        """Ask for a page."""
        return self.client.get(f"{self.path}{query}")

    def total(self, query: str = "") -> int:
        """Return how many rows match."""
        return int(self.get(query).raise_for_status().json()["total_num"])

    def insert(self, connection: psycopg.Connection, first: int, last: int) -> None:
        """Insert rows whose tags are numbers."""
        keys = self.installation.credentials
        connection.execute(INSERT, (keys.project_id, self.installation.registries[0]["id"], first, last))


@contextmanager
def asked(database: Database, vault: Vault, **settings: object) -> Iterator[Asked]:
    installation = asyncio.run(install(database, vault))
    with serve(database, vault, **settings) as url:
        found = Asked(url, installation)
        with found.client:
            yield found


def test_a_request_sees_what_was_committed_before_it(database: Database, vault: Vault) -> None:
    """Also while another transaction stays open, whose turn comes later."""
    with asked(database, vault) as api, psycopg.connect(database.conninfo) as slow:
        assert api.total() == 0
        api.insert(slow, 1000, 1004)
        with psycopg.connect(database.conninfo, autocommit=True) as quick:
            for number in range(1, 30):
                api.insert(quick, number, number)
                assert api.total() == number
                assert api.total(f"?image_version={number}") == 1
        slow.commit()
        assert api.total() == 34


def test_many_who_ask_and_write_at_once(embedded_database: Database, vault: Vault) -> None:
    """Each sees its own write, whoever else waits for the same check."""
    with asked(embedded_database, vault) as api:

        def work(lane: int) -> None:
            with psycopg.connect(embedded_database.conninfo, autocommit=True) as connection:
                for turn in range(10):
                    number = lane * 100 + turn
                    api.insert(connection, number, number)
                    assert api.total(f"?image_version={number}") == 1

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(1, 9)))
        assert api.total() == 80


def test_paging_misses_nothing_while_scans_are_written(embedded_database: Database, vault: Vault) -> None:
    """20,000 rows in pages of 10 without a sort key, and 2,000 scan results meanwhile."""
    with asked(embedded_database, vault) as api:
        with psycopg.connect(embedded_database.conninfo, autocommit=True) as connection:
            api.insert(connection, 1, 20_000)
        done = threading.Event()

        def scan() -> None:
            with psycopg.connect(embedded_database.conninfo, autocommit=True) as connection:
                for number in range(1, 2001):
                    connection.execute(
                        "UPDATE image SET scan_status = 'success', scanned_at = %s, vulnerability_count = 3,"
                        " risk_level = 'High' WHERE tag = %s",
                        (number, str(number * 10)),
                    )
            done.set()

        thread = threading.Thread(target=scan)
        thread.start()
        seen = [
            row["image_version"] for at in range(0, 20_000, 10) for row in api.get(f"?offset={at}").json()["data_list"]
        ]
        thread.join()
        assert seen == [str(number) for number in range(1, 20_001)]
        assert api.total("?has_vul=true") == 2000


@contextmanager
def three_rows(data_dir: Path, vault: Vault) -> Iterator[tuple[Database, Asked]]:
    """Give an embedded server of its own with three rows, and a client that has seen them."""
    with open_database(data_dir, None) as database:
        schema.upgrade(database)
        with asked(database, vault) as api:
            with psycopg.connect(database.conninfo, autocommit=True) as connection:
                api.insert(connection, 1, 3)
            assert api.total() == 3
            yield database, api


def backends(data_dir: Path) -> list[int]:
    """Return the processes of the database server but for the first."""
    first = postmaster(data_dir)
    return [int(each) for each in Path(f"/proc/{first}/task/{first}/children").read_text().split()]


def test_the_list_goes_on_while_the_database_is_away(data_dir: Path, vault: Vault) -> None:
    """It tells its age, health says so, unknown tokens are told to wait, and what comes after is fresh."""
    with three_rows(data_dir, vault) as (database, api):
        assert "age" not in api.get().headers
        server = [postmaster(data_dir), *backends(data_dir)]
        for number in server:
            os.kill(number, signal.SIGSTOP)
        try:
            time.sleep(1.0)
            answer = api.get("?image_version=2")
            assert (answer.status_code, answer.json()["total_num"]) == (200, 1)
            assert int(answer.headers["age"]) >= 1
            assert api.client.get(f"{api.path}/export").headers["age"]
            assert httpx.get(f"{api.url}/health/ready", trust_env=False, timeout=30).status_code == 503
            unknown = httpx.get(api.path, headers={"X-Auth-Token": "x" * 43}, trust_env=False, timeout=30)
            assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "2")
        finally:
            for number in server:
                os.kill(number, signal.SIGCONT)
        wait_until(lambda: "age" not in api.get().headers, 20)
        with psycopg.connect(database.conninfo, autocommit=True) as connection:
            api.insert(connection, 4, 4)
        assert api.total() == 4


def test_a_server_that_starts_anew_is_asked_anew(data_dir: Path, vault: Vault) -> None:
    """The database is killed and recovers; what was committed after that is seen."""
    with three_rows(data_dir, vault) as (database, api):
        for number in (postmaster(data_dir), *backends(data_dir)):
            os.kill(number, signal.SIGKILL)
        assert api.get().json()["total_num"] == 3

        def back() -> bool:
            try:
                with psycopg.connect(database.conninfo, autocommit=True) as connection:
                    api.insert(connection, 4, 4)
            except psycopg.Error:
                return False
            return True

        wait_until(back, 30)
        wait_until(lambda: "age" not in api.get().headers, 30)
        assert api.total() == 4


def damage(folder: Path, kind: str) -> None:
    """Overwrite the end of a model's file, in place, as a failing disk would."""
    (path,) = [each for each in folder.rglob(f"{kind}*") if each.is_file()]
    with path.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(bytes(100))


@pytest.mark.parametrize("kind", ["manifest", "rows"])
def test_a_file_damaged_in_use_is_never_served(
    embedded_database: Database, vault: Vault, tmp_path: Path, kind: str
) -> None:
    with asked(embedded_database, vault, data_dir=tmp_path) as api:
        with psycopg.connect(embedded_database.conninfo, autocommit=True) as connection:
            api.insert(connection, 1, 50)
        before = api.get("?limit=200").content
        damage(tmp_path, kind)
        assert api.get("?limit=200").content == before


@pytest.mark.parametrize("kind", ["manifest", "run", "dead", "rows"])
def test_a_damaged_model_is_built_anew(embedded_database: Database, vault: Vault, tmp_path: Path, kind: str) -> None:
    with asked(embedded_database, vault, data_dir=tmp_path) as api:
        with psycopg.connect(embedded_database.conninfo, autocommit=True) as connection:
            api.insert(connection, 1, 50)
        before = api.get("?limit=200").content
    damage(tmp_path, kind)
    with serve(embedded_database, vault, data_dir=tmp_path) as url:
        again = Asked(url, api.installation)
        with again.client:
            assert again.get("?limit=200").content == before
