"""Requests a second of the image list, beside the same framework that returns a prepared page.

The list is asked for random filter pages, with a token, from `imagewarden serve` with two API processes; the prepared
page, of the median size of those answers, from as many processes of the same server. Both are asked in turn by the same
client, so that the ratio holds where the machine's speed drifts: it is the list's rate divided by the prepared page's.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from granian.constants import Interfaces
from granian.server import Server
from litestar import Litestar, MediaType, Request, Response, get
from sqlalchemy import insert, text

from benchmarks._load import Load, free_port, load
from imagewarden import logs
from imagewarden.identity.bootstrap import Credentials, bootstrap
from imagewarden.identity.tokens import issue_token
from imagewarden.identity.vault import open_vault
from imagewarden.inventory.tables import image, registry
from imagewarden.jobs import schema as queue
from imagewarden.storage import schema
from imagewarden.storage.database import Database, open_database

SEED = 20260403
START = 1_700_000_000_000
PROCESSES = 2
BAR = 0.5
"""Least ratio of the list to the prepared page, at 8 connections."""
QUERIES = 200


def store(database: Database, keys: Credentials, rows: int) -> list[dict[str, Any]]:
    """Store seeded rows, 100 tags a repository; returns them."""
    chance = random.Random(SEED)
    number = "f" * 32
    stored = [row(keys.project_id, number, each, chance) for each in range(rows)]
    engine = database.sync_engine()
    with engine.begin() as connection:
        connection.execute(
            insert(registry).values(
                id=number, project_id=keys.project_id, domain_id=keys.domain_id, name="bench", type="Other",
                url="https://bench.example.test", created_at=START,
            )
        )  # fmt: skip
        for first in range(0, rows, 10_000):
            connection.execute(insert(image), stored[first : first + 10_000])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))  # as autovacuum leaves it
    engine.dispose()
    return stored


def row(project_id: str, registry_id: str, number: int, chance: random.Random) -> dict[str, Any]:
    """Return one row of the image table."""
    risky = chance.random() < 0.2
    return {
        "project_id": project_id, "registry_id": registry_id, "namespace": f"team{number // 10_000}",
        "name": f"service-{number // 100}", "tag": f"1.{number % 100}.0", "digest": f"sha256:{number:064x}",
        "config_digest": f"{number:064x}", "kind": "other", "size": chance.randrange(10**9),
        "media_type": "application/vnd.oci.image.manifest.v1+json", "scannable": True, "is_index": False,
        "updated_at": START + number, "synced_at": START, "scanned_at": START + number, "scan_status": "success",
        "vulnerability_count": chance.randrange(1, 200) if risky else 0, "risk_level": "High" if risky else "Security",
        "sync_run_id": 1,
    }  # fmt: skip


def queries(rows: int, limit: int) -> list[dict[str, Any]]:
    """Return random mixes of filters, seeded, in the parameters' own names."""
    chance = random.Random(SEED + limit)
    found = []
    for _ in range(QUERIES):
        start = START + chance.randrange(rows)
        filters = {
            "namespace": f"team{chance.randrange(max(1, rows // 10_000))}",
            "severity_level": chance.choice(("High", "Security")),
            "has_vul": chance.choice(("true", "false")),
            "image_version": f"1.{chance.randrange(100)}.0",
            "start_latest_update_time": start,
            "search": chance.choice(("team", "service-1", "1.7")),
        }
        chosen = chance.sample(sorted(filters), chance.randrange(3))
        query: dict[str, Any] = {name: filters[name] for name in chosen}
        query |= {"limit": limit, "offset": chance.choice((0, 0, limit, 20 * limit))}
        if chance.random() < 0.3:
            query |= {"sort_key": "latest_scan_time", "sort_dir": chance.choice(("asc", "desc"))}
        found.append(query)
    return found


def expected(stored: Sequence[dict[str, Any]], query: dict[str, Any]) -> tuple[int, list[str]]:
    """Return what the list has to answer: the total, and the digests of the page."""
    checks: dict[str, Callable[[dict[str, Any], Any], bool]] = {
        "namespace": lambda each, value: each["namespace"] == value,
        "severity_level": lambda each, value: each["risk_level"] == value,
        "has_vul": lambda each, value: (each["vulnerability_count"] > 0) is (value == "true"),
        "image_version": lambda each, value: each["tag"] == value,
        "start_latest_update_time": lambda each, value: each["updated_at"] >= value,
        "search": lambda each, value: any(value in each[column] for column in ("namespace", "name", "tag")),
    }
    asked = [(checks[name], value) for name, value in query.items() if name in checks]
    found = [each for each in stored if all(check(each, value) for check, value in asked)]
    if query.get("sort_dir") == "desc":
        found.reverse()  # scan times rise with the ids
    page = found[query["offset"] : query["offset"] + query["limit"]]
    return len(found), [each["digest"] for each in page]


def prepared() -> Any:
    """Return the same framework that answers every request with prepared bytes."""
    pages = {size: Path(os.environ["BENCH_PAGES"], f"{size}.json").read_bytes() for size in (10, 200)}

    @get("/{size:int}")
    async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
        return Response(pages[request.path_params["size"]], media_type=MediaType.JSON)

    return Litestar([page], openapi_config=None, logging_config=None)


def run_prepared(port: int) -> None:
    """Run the server of prepared pages."""
    Server(
        "benchmarks.api:prepared", address="127.0.0.1", port=port, interface=Interfaces.ASGI, factory=True,
        websockets=False, log_enabled=False, workers=PROCESSES,
    ).serve()  # fmt: skip


def wait(url: str) -> None:
    """Return when something answers."""
    for _ in range(1000):
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"{url} does not answer")


@contextmanager
def serving_prepared() -> Iterator[str]:
    """Serve the prepared pages; gives the address."""
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=run_prepared, args=(port,))
    server.start()
    try:
        wait(f"http://127.0.0.1:{port}/10")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.join()


@contextmanager
def serving(data_dir: Path) -> Iterator[str]:
    """Run `imagewarden serve`; gives the address."""
    port = free_port()
    arguments = ["serve", "--port", str(port), "--workers", str(PROCESSES), "--no-worker", "--data-dir", str(data_dir)]
    server = subprocess.Popen(
        [sys.executable, "-m", "imagewarden", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(f"http://127.0.0.1:{port}/health/live")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


async def prepare(database: Database, data_dir: Path) -> tuple[Credentials, str]:
    """Bootstrap the database and return its credentials and a token."""
    engine = database.engine(pool_size=1)
    async with engine.begin() as connection:
        keys = await bootstrap(connection, open_vault(data_dir, None, create=True), "local")
        assert keys is not None
        user = (await connection.execute(text("SELECT id FROM user_account"))).scalar_one()
        issued = await issue_token(connection, user, keys.project_id, 3600)
    await engine.dispose()
    return keys, issued.text


def full_pages(
    url: str, headers: dict[str, str], stored: Sequence[dict[str, Any]], size: int, checked: int
) -> tuple[list[str], bytes]:
    """Return the addresses of random pages that are full, and the answer of median length; checks answers."""
    addresses, answers = [], []
    with httpx.Client(headers=headers, trust_env=False) as client:
        for number, query in enumerate(queries(len(stored), size)):
            address = f"{url}?{urlencode(query)}"
            answer = client.get(address).raise_for_status()
            page = answer.json()
            if number < checked:
                assert (page["total_num"], [each["image_digest"] for each in page["data_list"]]) == expected(
                    stored, query
                ), query
            if len(page["data_list"]) == size:
                addresses.append(address)
                answers.append(answer.content)
    answers.sort(key=len)
    return addresses, answers[len(answers) // 2]


def measure(rows: int, seconds: float, rounds: int, clients: Sequence[int]) -> dict[str, Any]:
    """Return the figures."""
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        Path(folder).chmod(0o711)  # for the server's own account, where this runs as root
        data_dir = Path(folder, "data")
        database = opened.enter_context(open_database(data_dir, None))
        schema.upgrade(database)
        queue.upgrade(database)
        keys, token = asyncio.run(prepare(database, data_dir))
        stored = store(database, keys, rows)
        os.environ["BENCH_PAGES"] = folder
        headers = {"X-Auth-Token": token}
        with serving(data_dir) as ours:
            pages = {}
            for size in (10, 200):
                path = f"{ours}/v5/{keys.project_id}/image/registries/images"
                pages[size], answer = full_pages(path, headers, stored, size, checked=50)
                Path(folder, f"{size}.json").write_bytes(answer)
            with serving_prepared() as theirs:
                figures = {str(size): pair(pages[size], headers, f"{theirs}/{size}", seconds, rounds) for size in pages}
            figures["10"]["clients"] = {str(count): told(load(pages[10], headers, seconds, count)) for count in clients}
            return figures


def told(found: Load) -> dict[str, float]:
    """Return the figures of a load."""
    return {
        "requests_per_second": round(found.rate, 1),
        "p50_ms": round(found.p50 * 1000, 2),
        "p99_ms": round(found.p99 * 1000, 2),
        "errors": found.errors,
    }


def pair(ours: list[str], headers: dict[str, str], theirs: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Return the rates of both, asked in turn, and the median of the pairs' ratios."""
    pairs = [(load(ours, headers, seconds), load([theirs], {}, seconds)) for _ in range(rounds)]
    assert not any(each.errors for pair in pairs for each in pair)
    return {
        "requests_per_second": round(statistics.median(mine.rate for mine, _ in pairs), 1),
        "prepared_requests_per_second": round(statistics.median(floor.rate for _, floor in pairs), 1),
        "p50_ms": round(statistics.median(mine.p50 for mine, _ in pairs) * 1000, 2),
        "ratio": round(statistics.median(mine.rate / floor.rate for mine, floor in pairs), 4),
    }


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other form)")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--clients", type=int, nargs="*", default=[1, 50, 300], help="numbers of connections to report on"
    )
    asked = parser.parse_args(arguments)
    logs.configure("warning")
    pages = measure(asked.rows, asked.seconds, asked.rounds, asked.clients)
    facts = {"rows": asked.rows, "cpus": os.cpu_count(), "seed": SEED, "processes": PROCESSES, "bar": BAR}
    print(json.dumps({"bench": "api", **facts, "pages": pages}))


if __name__ == "__main__":
    main(sys.argv[1:])
