"""Synchronisation by difference, over a registry in memory."""

import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from imagewarden.inventory.tables import image, image_platform
from imagewarden.model.digest import digest_of, hex_part
from imagewarden.registry.errors import AccessDenied
from tests.support.adapter import artifact_of, config_of, encoded, image_of, index_of
from tests.sync.conftest import Project, fill

pytestmark = pytest.mark.anyio
CREATED = int(datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp() * 1000)


async def test_first_sync_writes_every_tag(project: Project) -> None:
    fill(project)
    report = await project.sync()
    assert (report.state, report.added, report.changed, report.removed) == ("succeeded", 6, 0, 0)
    assert (report.repositories_total, report.repositories_done, report.tags_seen) == (2, 2, 6)
    rows = await project.rows()
    assert sorted(rows) == [f"team/app{n}:1.{t}" for n in range(2) for t in range(3)]
    row = rows["team/app0:1.2"]
    manifest, config = image_of("0/2")
    assert (row.digest, row.config_digest) == (digest_of(manifest), hex_part(digest_of(config)))
    assert (row.size, row.os, row.architecture, row.kind) == (1000 + len(config), "linux", "amd64", "other")
    assert (row.scan_status, row.scannable, row.is_index, row.scanned_at) == ("unscan", True, False, None)
    assert row.updated_at == CREATED
    assert abs(row.synced_at - time.time() * 1000) < 60_000


async def test_second_sync_changes_nothing(project: Project) -> None:
    fill(project)
    await project.sync()
    before = await project.rows()
    project.memory.asked.clear()
    report = await project.sync()
    after = await project.rows()
    assert (report.unchanged, report.added, report.changed, report.removed) == (6, 0, 0, 0)
    assert {key: (row.id, row.digest, row.updated_at) for key, row in after.items()} == {
        key: (row.id, row.digest, row.updated_at) for key, row in before.items()
    }
    assert all(after[key].synced_at >= before[key].synced_at for key in after)
    assert {asked.partition(" ")[0] for asked in project.memory.asked} == {"LIST", "HEAD"}


async def test_moved_tag_forgets_what_was_found_in_the_old_image(project: Project) -> None:
    fill(project)
    await project.sync()
    async with project.engine.begin() as connection:
        await connection.execute(
            image.update().values(scan_status="success", vulnerability_count=3, risk_level="High", scanned_at=5)
        )
    manifest, config = image_of("moved")
    project.memory.add("team/app0", "1.0", manifest, config)
    report = await project.sync()
    assert (report.added, report.changed, report.unchanged) == (0, 1, 5)
    rows = await project.rows()
    moved, kept = rows["team/app0:1.0"], rows["team/app0:1.1"]
    assert (moved.scan_status, moved.vulnerability_count, moved.risk_level, moved.scanned_at) == (
        "unscan",
        0,
        None,
        None,
    )
    assert (kept.scan_status, kept.vulnerability_count, kept.risk_level) == ("success", 3, "High")
    assert moved.updated_at > CREATED
    assert moved.is_latest
    assert not kept.is_latest


async def test_deleted_tag_leaves_a_tombstone_and_comes_back_as_a_new_row(project: Project) -> None:
    fill(project)
    await project.sync()
    before = (await project.rows())["team/app0:1.2"]
    assert before.is_latest
    digest = project.memory.tag_map["team/app0"].pop("1.2")
    report = await project.sync()
    assert (report.removed, report.held) == (1, 0)
    rows = await project.rows()
    assert "team/app0:1.2" not in rows
    assert rows["team/app0:1.1"].is_latest
    project.memory.tag_map["team/app0"]["1.2"] = digest
    assert (await project.sync()).added == 1
    assert (await project.rows())["team/app0:1.2"].id > before.id


async def test_tag_that_vanishes_between_listing_and_reading_is_no_failure(project: Project) -> None:
    fill(project)
    await project.sync()
    digest = project.memory.tag_map["team/app0"]["1.2"]
    state = project.memory.tag_state

    async def vanish(repository: str, tag: str, known: object = None) -> object:
        return None if (repository, tag) == ("team/app0", "1.2") else await state(repository, tag, known)  # type: ignore[arg-type]

    project.memory.tag_state = vanish  # type: ignore[method-assign,assignment]
    report = await project.sync()
    assert (report.state, report.removed) == ("succeeded", 1)
    assert digest not in {row.digest for row in (await project.rows()).values()}


async def test_index_lists_its_children_and_tells_of_a_missing_one(project: Project) -> None:
    first, config1 = image_of("amd", config_of("2024-01-01T00:00:00Z"))
    second, config2 = image_of("arm", config_of("2024-02-01T00:00:00Z", "arm64"))
    third, _ = image_of("lost")
    nested = index_of(second, platforms=("arm64",))
    content = index_of(first, nested, third)
    project.memory.add("app", "multi", content, config1, config2)
    for manifest in (first, second, nested):
        project.memory.manifests[digest_of(manifest)] = manifest
    report = await project.sync()
    assert report.state == "succeeded"
    assert [problem.where for problem in report.problems] == ["app:multi"]
    assert digest_of(third) in report.problems[0].error
    row = (await project.rows())["app:multi"]
    assert (row.is_index, row.digest, row.config_digest) == (True, digest_of(content), hex_part(digest_of(content)))
    assert row.size == 2000 + len(config1) + len(config2)
    assert row.updated_at == int(datetime(2024, 2, 1, tzinfo=UTC).timestamp() * 1000)
    async with project.engine.connect() as connection:
        children = (await connection.execute(select(image_platform).order_by(image_platform.c.position))).all()
    assert [(child.digest, child.architecture, bool(child.config_digest)) for child in children] == [
        (digest_of(first), "amd64", True),
        (digest_of(second), "arm64", True),
        (digest_of(third), "s390x", False),
    ]


async def test_what_is_no_image_is_read_once_and_not_listed(project: Project) -> None:
    artifact = artifact_of("application/vnd.example.chart")
    project.memory.add("charts/web", "1.0", artifact)
    project.memory.add("charts/web", f"sha256-{'a' * 64}.sig", artifact)
    report = await project.sync()
    assert (report.added, report.skipped, report.tags_seen) == (0, 1, 1)
    project.memory.asked.clear()
    assert (await project.sync()).skipped == 1
    assert project.memory.asked == ["LIST charts/web", "HEAD charts/web:1.0"]
    manifest, config = image_of("now an image")
    project.memory.add("charts/web", "1.0", manifest, config)
    assert (await project.sync()).added == 1


async def test_schema_1_is_listed_and_not_scannable(project: Project) -> None:
    project.memory.add("old/app", "1", encoded({"schemaVersion": 1, "name": "old/app", "fsLayers": []}))
    assert (await project.sync()).added == 1
    row = (await project.rows())["old/app:1"]
    assert (row.scannable, row.config_digest, row.size) == (False, "", 0)


async def test_repository_that_fails_keeps_its_rows_and_is_named(project: Project) -> None:
    fill(project)
    await project.sync()
    project.memory.tags_fail["team/app0"] = AccessDenied("no")
    project.memory.tag_map["team/app1"].pop("1.0")
    report = await project.sync()
    assert (report.state, report.repositories_failed, report.removed) == ("partial", 1, 1)
    assert [(problem.where, problem.code) for problem in report.problems] == [("team/app0", "access_denied")]
    assert len(await project.rows()) == 5


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b'{"schemaVersion": 2}', b'{"schemaVersion": 9}', b"\xff"])
async def test_malformed_manifest_fails_its_repository_alone(one_project: Project, content: bytes) -> None:
    project = one_project
    fill(project)
    await project.sync()
    project.memory.add("team/app0", "1.0", content)
    report = await project.sync()
    assert (report.state, report.repositories_failed) == ("partial", 1)
    assert [(problem.where, problem.code) for problem in report.problems] == [("team/app0:1.0", "malformed_manifest")]
    rows = await project.rows()
    assert len(rows) == 6
    assert rows["team/app0:1.0"].digest == digest_of(image_of("0/0")[0])


async def test_listing_that_breaks_off_removes_nothing(project: Project) -> None:
    fill(project, repositories=3)
    await project.sync()
    project.memory.listing_fails_after = 1
    report = await project.sync()
    assert (report.state, report.error_code, report.removed) == ("partial", "registry_unavailable", 0)
    assert len(await project.rows()) == 9


async def test_registry_that_is_down_fails_the_run(project: Project) -> None:
    project.memory.listing_fails_after = 0
    fill(project)
    report = await project.sync()
    assert (report.state, report.error_code, report.added) == ("failed", "registry_unavailable", 0)
