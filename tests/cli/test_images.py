"""`imagewarden images`: the API's filters, rules and answers."""

import asyncio
import random
import urllib.request
from typing import Any
from urllib.parse import urlencode

import pytest

from imagewarden.api.v5.image_filters import IMAGE_LIST_PARAMETERS
from imagewarden.cli import output
from imagewarden.cli.images import FILTERS
from imagewarden.identity.vault import Vault
from imagewarden.storage.database import Database
from tests.cli.conftest import Invoke
from tests.support.inventory import Installation, install, random_image, store_images
from tests.support.server import serve

ROWS = 60


@pytest.fixture
def stocked(embedded_database: Database, vault: Vault) -> list[dict[str, Any]]:
    """Put random images into the database; gives their rows."""
    installation: Installation = asyncio.run(install(embedded_database, vault))
    chance = random.Random(11)
    engine = embedded_database.sync_engine()
    with engine.begin() as connection:
        rows = store_images(connection, [random_image(installation, chance, number) for number in range(ROWS)])
    engine.dispose()
    return rows


def test_the_filters_are_the_apis() -> None:
    assert sorted(each.name for each in FILTERS) == sorted(each.name for each in IMAGE_LIST_PARAMETERS)


QUERIES: list[dict[str, str]] = [
    {},
    {"limit": "200", "sort_key": "latest_scan_time", "sort_dir": "desc"},
    {"risky": "true", "limit": "3", "offset": "2"},
    {"has_vul": "false", "is_multarch": "true"},
    {"severity_level": "High", "latest_version": "true"},
    {"scan_status": "any_failed", "image_type": "other"},
    {"search": "TOOL_%", "namespace": "Shop"},
    {"end_latest_update_time": "1700000000002", "enterprise_project_id": "all_granted_eps"},
    {"offset": "2000000"},
]


def options(query: dict[str, str]) -> list[str]:
    """Return a query of the API as options."""
    found = []
    for name, value in query.items():
        option = name.replace("_", "-")
        found.append({"true": f"--{option}", "false": f"--no-{option}"}.get(value, f"--{option}={value}"))
    return found


def test_json_is_what_the_api_answers(
    stocked: list[dict[str, Any]], invoke: Invoke, embedded_database: Database, vault: Vault
) -> None:
    token = invoke("admin", "token", "create", "--user", "admin").stdout.split()[1]
    with serve(embedded_database, vault) as url:
        base = f"{url}/v5/{stocked[0]['project_id']}/image/registries/images"
        for query in QUERIES:
            asked = urllib.request.Request(f"{base}?{urlencode(query)}", headers={"x-auth-token": token})
            with urllib.request.urlopen(asked, timeout=10) as answer:
                body = answer.read().decode()
            assert invoke("images", "--json", *options(query)).stdout == f"{body}\n"


def test_lines_in_a_pipe(stocked: list[dict[str, Any]], invoke: Invoke) -> None:
    done = invoke("images", "--limit", "5", "--offset", "3")
    head, *lines = done.stdout.splitlines()
    assert head.split("\t")[:4] == ["REGISTRY", "REPOSITORY", "TAG", "DIGEST"]
    assert [line.split("\t")[2] for line in lines] == [row["tag"] for row in stocked[3:8]]
    assert done.stderr == f"showing 4-8 of {ROWS}\n"


def test_cells(stocked: list[dict[str, Any]], invoke: Invoke) -> None:
    lines = invoke("images", "--limit", "200").stdout.splitlines()[1:]
    for row, line in zip(stocked, lines, strict=True):
        cells = line.split("\t")
        assert cells[1] == "/".join(part for part in (row["namespace"], row["name"]) if part)
        assert cells[3] == row["digest"][7:19]
        if row["is_index"]:
            assert cells[4] == "linux/amd64,linux/arm64"
        counts = [row[f"{each}_count"] for each in ("vulnerability", "unsafe_setting", "malicious_file")]
        assert cells[7] == ("-" if row["scanned_at"] is None else "/".join(map(str, counts)))
        assert cells[8] == (row["risk_level"] or "-")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--search", "no such image"), "no image matches"), (("--offset", "60"), f"showing none of {ROWS}")],
)
def test_nothing_to_show(stocked: list[dict[str, Any]], invoke: Invoke, arguments: tuple[str, ...], said: str) -> None:
    done = invoke("images", *arguments)
    assert done.stderr.strip() == said
    assert done.stdout.count("\n") == 1


def test_severity_is_in_color(stocked: list[dict[str, Any]], invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = invoke("images", "--severity-level", "High", "--limit", "1").stdout
    assert "\x1b[1;31mHigh" in shown
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;31m" not in invoke("images", "--severity-level", "High", "--limit", "1").stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--limit", "0"),
        ("--limit", "5.0"),
        ("--offset", "-1"),
        ("--image-size", "1e3"),
        ("--scan-status", "Success"),
        ("--severity-level", "high"),
        ("--sort-dir", "up"),
        ("--image-name", ""),
        ("--image-version", "x" * 65),
        ("--start-latest-scan-time", "99999999999999"),
        ("--namespace", "\udcff"),
    ],
)
def test_values_that_the_api_refuses(invoke: Invoke, option: str, value: str) -> None:
    told = invoke("images", f"{option}={value}", expect=2).stderr
    assert option in told
    assert "it takes" in told


def test_another_project(stocked: list[dict[str, Any]], invoke: Invoke) -> None:
    invoke("admin", "project", "create", "second")
    assert '"total_num":0' in invoke("images", "--json", "--project", "second").stdout
    assert "no project is called third" in invoke("images", "--project", "third", expect=3).stderr
