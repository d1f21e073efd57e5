"""The export: every image of a filter, as it is at one moment, in both formats."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from imagewarden.api.v5 import image_export
from imagewarden.identity.tokens import issue_token
from imagewarden.identity.vault import Vault
from imagewarden.inventory import reader
from imagewarden.storage.database import Database
from tests.api.conftest import Served
from tests.support.inventory import install
from tests.support.server import serve


async def token_of(database: Database, project_id: str) -> str:
    """Return a token of the administrator."""
    engine = database.engine(pool_size=1)
    async with engine.begin() as connection:
        user = (await connection.execute(text("SELECT id FROM user_account"))).scalar_one()
        issued = await issue_token(connection, user, project_id, 3600)
    await engine.dispose()
    return issued.text


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    token = asyncio.run(token_of(served.installation.database, served.project_id))
    base = f"{served.url}/v5/{served.project_id}/image/registries/"
    with httpx.Client(base_url=base, headers={"X-Auth-Token": token}, trust_env=False) as client:
        yield client


QUERIES = (
    "",
    "has_vul=true",
    "search=tool_%25&sort_key=latest_scan_time&sort_dir=desc",
    "namespace=nowhere",
    "enterprise_project_id=all_granted_eps&is_multarch=true&sort_dir=desc",
)


@pytest.mark.parametrize("query", QUERIES)
def test_ndjson_is_what_the_pages_show(client: httpx.Client, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_PORTION", 7)
    page = client.get(f"images?{query}&limit=200").json()
    answer = client.get(f"images/export?{query}")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["content-disposition"] == 'attachment; filename="images.ndjson"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert rows == page["data_list"]
    assert len(rows) == page["total_num"]


@pytest.mark.parametrize("query", QUERIES)
def test_csv_says_the_same(client: httpx.Client, query: str) -> None:
    page = client.get(f"images?{query}&limit=200").json()
    answer = client.get(f"images/export?{query}&format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [{name: read(name, text) for name, text in row.items() if text} for row in rows] == [
        {name: value for name, value in each.items() if value not in ("", [])} for each in page["data_list"]
    ]


def read(name: str, cell: str) -> Any:
    """Return a cell as JSON has it."""
    if name == "association_images" or cell in ("true", "false"):
        return json.loads(cell)
    number = name in ("id", "image_size") or name.endswith(("_time", "_num"))
    return int(cell) if number else cell


@pytest.mark.parametrize("value", ["=1+1", "+x", "-x", "@x", "\tx", "\rx"])
def test_no_text_is_a_formula(value: str) -> None:
    (written,) = image_export.csv_text(iter([[json.dumps({"image_version": value, "image_size": -1}).encode()]]))
    head, row = csv.reader(io.StringIO(written.decode(), newline=""))
    assert row[head.index("image_version")] == f"'{value}"
    assert row[head.index("image_size")] == "-1"


@pytest.mark.parametrize(("query", "named"), [("format=xml", "format"), ("limit=0&namespace=", "namespace")])
def test_bad_parameters_are_named(client: httpx.Client, query: str, named: str) -> None:
    answer = client.get(f"images/export?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "HSS.0001")
    assert named in answer.json()["error_msg"]


def test_one_version_however_long_it_takes(embedded_database: Database, vault: Vault) -> None:
    """Rows that change or go while an export is read are as they were when it began."""
    installation = asyncio.run(install(embedded_database, vault))
    keys, engine = installation.credentials, embedded_database.sync_engine()
    count = 30_000
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO image (project_id, registry_id, namespace, name, tag, digest, config_digest, kind,"
                " media_type, size, scannable, is_index, updated_at, synced_at, sync_run_id)"
                " SELECT :project, :registry, 'n', 'n', n::text, 'd', 'c', 'other', 'm', n, true, false, 1, 1, 1"
                " FROM generate_series(1, :count) AS n"
            ),
            {"project": keys.project_id, "registry": installation.registries[0]["id"], "count": count},
        )
    token = asyncio.run(token_of(embedded_database, keys.project_id))
    with serve(embedded_database, vault) as url:
        base = f"{url}/v5/{keys.project_id}/image/registries/images"
        with (
            httpx.Client(headers={"X-Auth-Token": token}, trust_env=False, timeout=60) as client,
            client.stream("GET", f"{base}/export") as answer,
        ):
            lines = answer.iter_lines()
            sizes = [json.loads(next(lines))["image_size"]]
            with engine.begin() as connection:
                connection.execute(text("UPDATE image SET size = 0 WHERE id % 2 = 0"))
                connection.execute(text("DELETE FROM image WHERE id % 3 = 0"))
            assert client.get(base).json()["total_num"] < count
            sizes += [json.loads(line)["image_size"] for line in lines]
    engine.dispose()
    assert sizes == list(range(1, count + 1))
