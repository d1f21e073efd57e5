"""Random histories of a project, transactions left open among them, against a list kept by the test."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, Engine, delete, select, text, update

from imagewarden.api.v5.image_filters import IMAGE_LIST_PARAMETERS, image_list_request
from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.identity.vault import Vault
from imagewarden.inventory import model as model_module
from imagewarden.inventory import runs as runs_module
from imagewarden.inventory.compaction import compact
from imagewarden.inventory.model import ProjectModel
from imagewarden.inventory.query import select_rows
from imagewarden.inventory.reader import ModelReader
from imagewarden.inventory.rows import ImageRow
from imagewarden.inventory.tables import image, image_platform, registry
from imagewarden.inventory.versions import MANIFEST, open_run
from imagewarden.model.scan import RiskLevel, ScanStatus
from imagewarden.storage.database import Database
from tests.support.inventory import START, Installation, install, random_image, store_images
from tests.support.reference import reference_page

Row = dict[str, Any]
Change = Callable[[dict[int, Row]], None]
seeds = st.integers(0, 2**32 - 1)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "namespace": st.sampled_from(("library", "Shop", "nowhere")),
        "registry_name": st.sampled_from(("registry-other", "renamed-1")),
        "scan_status": st.sampled_from((*ScanStatus, "any_failed")),
        "severity_level": st.sampled_from(tuple(RiskLevel)),
        "risky": st.booleans(),
        "is_multarch": st.booleans(),
        "start_latest_scan_time": st.integers(START, START + 8),
        "search": st.sampled_from(("tool_%", "v1-1", "no such")),
    },
)
PAGES = st.fixed_dictionaries({"offset": st.integers(0, 12), "limit": st.sampled_from((1, 3, 10, 200))})


class Histories(RuleBasedStateMachine):
    """Two connections that change a project, and a model that has to keep step."""

    installation: Installation
    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.project_id = self.installation.credentials.project_id
        self.number = 0
        self.rows: dict[int, Row] = {}
        self.open: Connection | None = None
        self.pending: list[Change] = []
        self.locked: set[int] = set()
        self.folder = Path(tempfile.mkdtemp(prefix="iw-model-"))
        self.engine = self.engine
        with self.engine.begin() as connection:
            connection.execute(text("DELETE FROM image"))
        self.reading = psycopg.connect(self.installation.database.conninfo)
        self.model = self.taken()
        self.reader = ModelReader(self.folder, self.project_id, ENCODING.name)

    def taken(self) -> ProjectModel:
        """Return the model as a new builder takes it."""
        return ProjectModel(self.folder, self.project_id, ENCODING, processes=1)

    def teardown(self) -> None:
        if self.open is not None:
            self.open.close()
        self.model.close()
        self.reading.close()
        shutil.rmtree(self.folder)

    def do(self, apart: bool, statement: Callable[[Connection], Any], change: Callable[[Any], Change]) -> None:
        """Change the database at once, or in the transaction that is left open; and the test's list likewise."""
        if apart:
            if self.open is None:
                self.open = self.engine.connect()
            self.pending.append(change(statement(self.open)))
            return
        with self.engine.begin() as connection:
            changed = change(statement(connection))
        changed(self.rows)

    def some(self, chance: random.Random, most: int = 4) -> list[int]:
        """Return some rows that the open transaction did not touch."""
        free = sorted(set(self.rows) - self.locked)
        return chance.sample(free, min(len(free), chance.randrange(1, most)))

    @rule(seed=seeds, apart=st.booleans())
    def add(self, seed: int, apart: bool) -> None:
        chance = random.Random(seed)
        rows = []
        for _ in range(chance.randrange(1, 6)):
            self.number += 1
            rows.append(random_image(self.installation, chance, self.number))
        self.do(
            apart,
            lambda connection: store_images(connection, rows),
            lambda stored: lambda known: known.update({row["id"]: row for row in stored}),
        )

    def set(self, apart: bool, ids: list[int], values: Row) -> None:
        """Update rows."""
        if apart:
            self.locked.update(ids)

        def change(known: dict[int, Row]) -> None:
            for each in ids:
                known[each] = {**known[each], **values}

        self.do(
            apart,
            lambda connection: connection.execute(update(image).where(image.c.id.in_(ids)).values(values)),
            lambda _: change,
        )

    @precondition(lambda self: set(self.rows) - self.locked)
    @rule(seed=seeds, apart=st.booleans())
    def scan(self, seed: int, apart: bool) -> None:
        chance = random.Random(seed)
        values = {
            "scan_status": "success", "scanned_at": START + chance.randrange(9), "risk_level": "High",
            "vulnerability_count": chance.randrange(3), "failure_code": None, "failure_reason": None,
        }  # fmt: skip
        self.set(apart, self.some(chance), values)

    @precondition(lambda self: set(self.rows) - self.locked)
    @rule(seed=seeds, apart=st.booleans(), tombstone=st.booleans())
    def remove(self, seed: int, apart: bool, tombstone: bool) -> None:
        ids = self.some(random.Random(seed))
        if apart:
            self.locked.update(ids)
        gone = update(image).where(image.c.id.in_(ids)).values(removed_at=START)
        statement = gone if tombstone else delete(image).where(image.c.id.in_(ids))

        def change(known: dict[int, Row]) -> None:
            for each in ids:
                del known[each]

        self.do(apart, lambda connection: connection.execute(statement), lambda _: change)

    @precondition(lambda self: set(self.rows) - self.locked)
    @rule(seed=seeds)
    def scan_children(self, seed: int) -> None:
        ids = self.some(random.Random(seed), 9)
        with self.engine.begin() as connection:
            connection.execute(
                update(image_platform)
                .where(image_platform.c.parent_id.in_(ids))
                .values(vulnerability_count=image_platform.c.vulnerability_count + 1)
            )

    @precondition(lambda self: self.open is None)
    @rule(number=st.integers(0, 9))
    def rename_registry(self, number: int) -> None:
        source = self.installation.registries[0]["id"]
        with self.engine.begin() as connection:
            connection.execute(update(registry).where(registry.c.id == source).values(name=f"renamed-{number}"))
        for row in self.rows.values():
            if row["registry_id"] == source:
                row["registry_name"] = f"renamed-{number}"

    @precondition(lambda self: self.open is not None)
    @rule()
    def undo_to_a_savepoint(self) -> None:
        assert self.open is not None
        inner = self.open.begin_nested()
        self.number += 1
        store_images(self.open, [random_image(self.installation, random.Random(self.number), self.number)])
        inner.rollback()

    @precondition(lambda self: self.open is not None)
    @rule(kept=st.booleans())
    def end(self, kept: bool) -> None:
        assert self.open is not None
        if kept:
            self.open.commit()
            for change in self.pending:
                change(self.rows)
        self.open.close()
        self.open, self.pending, self.locked = None, [], set()

    @rule()
    def kill_the_builder(self) -> None:
        self.model.close()
        (self.folder / "run-torn").write_bytes(b"half of a")
        self.model = self.taken()
        assert not (self.folder / "run-torn").exists()

    @precondition(lambda self: self.model.version is not None)
    @rule(seed=seeds)
    def damage_a_file(self, seed: int) -> None:
        chance = random.Random(seed)
        assert self.model.version is not None
        manifest = self.model.version.manifest
        path = self.folder / chance.choice(
            [MANIFEST, manifest.dead, *manifest.runs]
        )  # names are random, places are not
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        self.model.close()
        fresh = path.with_name("fresh")
        fresh.write_bytes(data)
        fresh.rename(path)
        self.model = self.taken()

    @rule()
    def merge(self) -> None:
        work = self.model.merge_due()
        if work is not None:
            compact(work)
            self.model.merged(open_run(work.folder, work.name))

    @rule(asked=ASKED, pages=PAGES, by_scan_time=st.booleans(), direction=st.sampled_from(("asc", "desc")))
    def look(self, asked: Row, pages: Row, by_scan_time: bool, direction: str) -> None:
        self.model.refresh(self.reading)
        query = {**asked, **pages, "sort_dir": direction}
        if by_scan_time:
            query["sort_key"] = "latest_scan_time"
        values = {each.name: each.default for each in IMAGE_LIST_PARAMETERS} | query
        request = image_list_request(values | {"enterprise_project_id": "all_granted_eps"}, None, START + 100)
        version = self.reader.newest()
        assert version is not None
        found = version.answer(*request)
        assert (found.total, found.ids) == reference_page(list(self.rows.values()), query, START + 100)
        with self.engine.connect() as connection:
            stored = {row[0]: ImageRow(*row) for row in connection.execute(select_rows(found.ids))}
        assert found.rows == [ENCODING.encode(stored[each]) for each in found.ids]


def test_histories(embedded_database: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "_MERGED_FROM", 4)
    monkeypatch.setattr(runs_module, "TINY_ROWS", 2)
    installation = asyncio.run(install(embedded_database, vault))
    engine = embedded_database.sync_engine()
    machine = type("Machine", (Histories,), {"installation": installation, "engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    with engine.connect() as connection:
        assert connection.execute(select(registry.c.id)).all()
    engine.dispose()
