"""Requests a second of the image list, beside the same framework that returns a prepared page.

Both run in one server process of their own on loopback and are asked in turn by the same client, so that the ratio
holds where the machine's speed drifts: `ratio` is the list's rate divided by the prepared page's.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import secrets
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from granian.constants import Interfaces
from granian.server import Server
from litestar import Litestar, MediaType, Response, get
from sqlalchemy import insert, text

from benchmarks._load import free_port, rate
from imagewarden import logs
from imagewarden.api.app import create_app
from imagewarden.api.services import Services
from imagewarden.identity.bootstrap import Credentials, bootstrap
from imagewarden.identity.tokens import issue_token
from imagewarden.identity.vault import Vault
from imagewarden.inventory.tables import image, registry
from imagewarden.settings import Settings
from imagewarden.storage import schema
from imagewarden.storage.database import Database, open_database

SEED = 20260403
START = 1_700_000_000_000


def store(database: Database, keys: Credentials, rows: int) -> None:
    """Store seeded rows: 100 tags a repository."""
    chance = random.Random(SEED)
    number = "f" * 32
    engine = database.sync_engine()
    with engine.begin() as connection:
        connection.execute(
            insert(registry).values(
                id=number, project_id=keys.project_id, domain_id=keys.domain_id, name="bench", type="Other",
                url="https://bench.example.test", created_at=START,
            )
        )  # fmt: skip
        for first in range(0, rows, 10_000):
            batch = [row(keys.project_id, number, each, chance) for each in range(first, min(first + 10_000, rows))]
            connection.execute(insert(image), batch)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))  # as autovacuum leaves it
    engine.dispose()


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


def application() -> Any:
    """Return the API over the database that the environment names: what a server process runs."""

    @asynccontextmanager
    async def services() -> AsyncIterator[Services]:
        database = Database(os.environ["BENCH_CONNINFO"])
        engine = database.engine(pool_size=10)
        reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield Services(engine, reader, Vault(bytes(32)), Settings())
        finally:
            await engine.dispose()

    return create_app(services)


def prepared() -> Any:
    """Return the same framework that answers every request with prepared bytes."""
    pages = {size: Path(os.environ["BENCH_PAGES"], f"{size}.json").read_bytes() for size in (10, 200)}

    @get("/{size:int}")
    async def page(request: Any) -> Response[bytes]:
        return Response(pages[request.path_params["size"]], media_type=MediaType.JSON)

    page.fn.__annotations__["request"] = __import__("litestar").Request
    return Litestar([page], openapi_config=None, logging_config=None)


@contextmanager
def serving(factory: str) -> Iterator[str]:
    """Serve a factory of this module in one process; gives its address."""
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=run_server, args=(factory, port))
    server.start()
    try:
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.join()


def run_server(factory: str, port: int) -> None:
    """Run one server process."""
    Server(
        f"benchmarks.api:{factory}", address="127.0.0.1", port=port, interface=Interfaces.ASGI, factory=True,
        websockets=False, log_enabled=False, workers=1,
    ).serve()  # fmt: skip


async def prepare(database: Database) -> tuple[Credentials, str]:
    """Bootstrap the database and return its credentials and a token."""
    engine = database.engine(pool_size=1)
    async with engine.begin() as connection:
        keys = await bootstrap(connection, Vault(bytes(32)), "local")
        assert keys is not None
        user = (await connection.execute(text("SELECT id FROM user_account"))).scalar_one()
        issued = await issue_token(connection, user, keys.project_id, 3600)
    await engine.dispose()
    return keys, issued.text


def measure(rows: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Return the figures."""
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        Path(folder).chmod(0o711)  # for the server's own account, where this runs as root
        database = opened.enter_context(open_database(Path(folder, "data"), None))
        schema.upgrade(database)
        keys, token = asyncio.run(prepare(database))
        store(database, keys, rows)
        os.environ.update(BENCH_CONNINFO=database.conninfo, BENCH_PAGES=folder, BENCH_RUN=secrets.token_hex(4))
        path = f"/v5/{keys.project_id}/image/registries/images"
        headers = {"X-Auth-Token": token}
        with serving("application") as ours:
            for size in (10, 200):
                answer = httpx.get(f"{ours}{path}?limit={size}", headers=headers, trust_env=False)
                page = answer.json()
                assert page["total_num"] == rows
                assert [each["image_digest"] for each in page["data_list"]] == [f"sha256:{n:064x}" for n in range(size)]
                Path(folder, f"{size}.json").write_bytes(answer.content)
            with serving("prepared") as theirs:
                return {str(size): pair(ours, path, headers, theirs, size, seconds, rounds) for size in (10, 200)}


def pair(
    ours: str, path: str, headers: dict[str, str], theirs: str, size: int, seconds: float, rounds: int
) -> dict[str, float]:
    """Return the rates of both, asked in turn, and the median of the pairs' ratios."""
    pairs = []
    for _ in range(rounds):
        mine = rate(f"{ours}{path}?limit={size}", headers, seconds)
        floor = rate(f"{theirs}/{size}", {}, seconds)
        pairs.append((mine, floor))
    return {
        "requests_per_second": round(statistics.median(mine for mine, _ in pairs), 1),
        "prepared_requests_per_second": round(statistics.median(floor for _, floor in pairs), 1),
        "ratio": round(statistics.median(mine / floor for mine, floor in pairs), 4),
    }


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON (there is no other form)")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    logs.configure("warning")
    pages = measure(asked.rows, asked.seconds, asked.rounds)
    print(json.dumps({"bench": "api", "rows": asked.rows, "cpus": os.cpu_count(), "seed": SEED, "pages": pages}))


if __name__ == "__main__":
    main(sys.argv[1:])
