"""Synchronisation against Debian's docker-registry, in each of its authentication modes, and through its failures."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from imagewarden.identity.vault import Vault
from imagewarden.storage.database import Database
from imagewarden.sync.run import sync_registry
from imagewarden.sync.runs import SyncReport
from tests.support.registry import RealRegistry, real_registry
from tests.sync.conftest import Project, make_project

pytestmark = pytest.mark.anyio
REPOSITORIES = 12


def fill(registry: RealRegistry) -> None:
    """Push a dozen repositories of four tags, and one index."""
    for number in range(REPOSITORIES):
        for tag in range(4):
            registry.push_image(f"team/app{number}", f"1.{tag}", seed=f"{number}/{tag}")


async def project_of(database: Database, vault: Vault, registry: RealRegistry, **more: Any) -> Project:
    return await make_project(database, vault, url=registry.url, **registry.credentials, **more)


async def synchronise(project: Project) -> SyncReport:
    return await sync_registry(project.engine, project.vault, project.record.id)


@pytest.fixture(scope="module", params=["none", "basic", "token"])
def registry(request: pytest.FixtureRequest) -> Iterator[RealRegistry]:
    """Give a registry in each authentication mode."""
    with real_registry(request.param) as found:
        fill(found)
        yield found


async def test_sync_in_each_authentication_mode(
    registry: RealRegistry, embedded_database: Database, vault: Vault
) -> None:
    project = await project_of(embedded_database, vault, registry)
    first, second = await synchronise(project), await synchronise(project)
    assert (first.state, first.problems) == ("succeeded", [])
    assert (first.added, second.unchanged) == (REPOSITORIES * 4, REPOSITORIES * 4)
    assert (second.added, second.changed, second.removed) == (0, 0, 0)
    rows = await project.rows()
    assert sum(row.is_latest for row in rows.values()) == REPOSITORIES
    await project.engine.dispose()


async def test_wrong_password_says_so(embedded_database: Database, vault: Vault) -> None:
    with real_registry("basic") as registry:
        wrong = {**registry.credentials, "password": "wrong"}
        project = await make_project(embedded_database, vault, url=registry.url, **wrong)
        report = await synchronise(project)
        assert (report.state, report.error_code) == ("failed", "authentication_failed")
        assert "wrong" not in (report.error or "")
        await project.engine.dispose()


async def test_moved_deleted_and_incomplete(database: Database, vault: Vault) -> None:
    with real_registry() as registry:
        fill(registry)
        project = await project_of(database, vault, registry)
        await synchronise(project)
        before = await project.rows()

        registry.push_image("team/app0", "1.0", seed="moved")
        registry.delete("team/app1", before["team/app1:1.1"].digest)
        kept = registry.push_image("team/multi", "kept", seed="amd64")
        lost = registry.push_image("team/multi", "lost", seed="arm64")
        registry.push_index("team/multi", "both", [kept, lost])
        registry.delete("team/multi", lost["digest"])
        report = await synchronise(project)

        assert (report.state, report.changed, report.removed) == ("succeeded", 1, 1)
        assert any(lost["digest"] in problem.error for problem in report.problems)
        rows = await project.rows()
        assert rows["team/app0:1.0"].digest != before["team/app0:1.0"].digest
        assert "team/app1:1.1" not in rows
        assert "team/multi:lost" not in rows
        assert rows["team/multi:both"].is_index
        await project.engine.dispose()


async def test_registry_killed_half_way_keeps_the_rest(embedded_database: Database, vault: Vault) -> None:
    with real_registry() as registry:
        fill(registry)
        project = await project_of(embedded_database, vault, registry, options={"requests_per_second": 60})
        await synchronise(project)
        before = await project.rows()
        registry.push_image("team/app0", "2.0", seed="new")
        task = asyncio.create_task(synchronise(project))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(registry.kill)
        report = await task
        assert report.state in ("partial", "failed")
        assert report.removed == 0
        assert report.error_code == "registry_unavailable" or report.repositories_failed
        rows = await project.rows()
        assert set(before) <= set(rows)
        await asyncio.to_thread(registry.restart)
        report = await synchronise(project)
        assert report.state == "succeeded"
        assert len(await project.rows()) == REPOSITORIES * 4 + 1
        await project.engine.dispose()
