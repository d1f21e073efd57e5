"""Rows whose tag is gone: which are removed, which are held back, and what is forgotten with them."""

from typing import Any

import pytest
from sqlalchemy import select, update

from imagewarden.inventory.tables import image, registry
from imagewarden.registry.errors import AccessDenied
from imagewarden.sync import removal
from imagewarden.sync.tables import registry_repository, skipped_tag
from tests.support.adapter import artifact_of, image_of
from tests.sync.conftest import Project, fill

pytestmark = pytest.mark.anyio


async def configure(project: Project, **selection: object) -> None:
    """Change what is wanted of the registry."""
    async with project.engine.begin() as connection:
        await connection.execute(update(registry).values(options={"selection": selection}))


async def column(project: Project, wanted: Any) -> list[Any]:
    """Return a column's values, in order."""
    async with project.engine.connect() as connection:
        return list((await connection.execute(select(wanted).order_by(wanted))).scalars())


async def test_many_removals_wait_for_a_second_listing(project: Project) -> None:
    fill(project, repositories=1, tags=60)
    await project.sync()
    project.memory.hidden_tags.add("team/app0")
    report = await project.sync()
    assert (report.state, report.removed, report.held) == ("succeeded", 0, 60)
    assert [(problem.where, problem.code) for problem in report.problems] == [("", "removal_held")]
    assert "60 of 60 images" in report.problems[0].error
    assert len(await project.rows()) == 60
    report = await project.sync()
    assert (report.removed, report.held, report.problems) == (60, 0, [])
    assert not await project.rows()


async def test_held_removals_are_forgotten_when_the_tags_are_back(one_project: Project) -> None:
    fill(one_project, repositories=1, tags=60)
    await one_project.sync()
    one_project.memory.hidden_tags.add("team/app0")
    await one_project.sync()
    one_project.memory.hidden_tags.clear()
    await one_project.sync()
    one_project.memory.hidden_tags.add("team/app0")
    assert (await one_project.sync()).held == 60
    assert len(await one_project.rows()) == 60


async def test_listing_that_fails_confirms_nothing(one_project: Project) -> None:
    fill(one_project, repositories=2, tags=30)
    await one_project.sync()
    one_project.memory.hidden_tags.add("team/app0")
    assert (await one_project.sync()).held == 30
    one_project.memory.tags_fail["team/app0"] = AccessDenied("no")
    report = await one_project.sync()
    assert (report.state, report.removed, report.held) == ("partial", 0, 0)
    one_project.memory.tags_fail.clear()
    assert (await one_project.sync()).removed == 30


@pytest.mark.parametrize(
    ("tags", "gone", "held"),
    [(60, 18, 0), (60, 19, 0), (19, 19, 0), (20, 20, 20), (60, 20, 20), (67, 20, 0), (66, 20, 20), (70, 21, 0)],
)
async def test_brake_at_its_bounds(one_project: Project, tags: int, gone: int, held: int) -> None:
    """At least 20 rows, and more than 30 % of the scope."""
    fill(one_project, repositories=1, tags=tags)
    await one_project.sync()
    for number in range(gone):
        one_project.memory.tag_map["team/app0"].pop(f"1.{number}")
    report = await one_project.sync()
    assert (report.held, report.removed) == (held, gone - held)


async def test_brake_over_the_whole_registry(one_project: Project) -> None:
    fill(one_project, repositories=30, tags=2)
    await one_project.sync()
    for number in range(25):
        one_project.memory.tag_map.pop(f"team/app{number}")
    assert (await one_project.sync()).held == 50
    report = await one_project.sync()
    assert (report.removed, len(await one_project.rows())) == (50, 10)


async def test_brake_over_one_repository_lets_the_others_go(one_project: Project) -> None:
    fill(one_project, repositories=1, tags=30)
    for number in range(200):
        one_project.memory.add("big/app", f"1.{number}", *image_of(f"big/{number}"))
    await one_project.sync()
    for number in range(25):
        one_project.memory.tag_map["team/app0"].pop(f"1.{number}")
    for number in range(40):
        one_project.memory.tag_map["big/app"].pop(f"1.{number}")
    report = await one_project.sync()
    assert (report.held, report.removed) == (25, 40), "65 of 230 are under 30 %, and 40 of 200; 25 of 30 are not"
    assert [problem.where for problem in report.problems] == ["team/app0"]
    assert "25 of 30" in report.problems[0].error


async def test_what_is_confirmed_goes_while_what_is_new_waits(one_project: Project) -> None:
    fill(one_project, repositories=2, tags=30)
    await one_project.sync()
    one_project.memory.hidden_tags.add("team/app0")
    assert (await one_project.sync()).held == 30
    one_project.memory.hidden_tags.add("team/app1")
    report = await one_project.sync()
    assert (report.removed, report.held) == (30, 30)
    assert all(key.startswith("team/app1:") for key in await one_project.rows())


async def test_many_rows_go_by_slices(one_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "SLICE", 7)
    fill(one_project, repositories=3, tags=20)
    await one_project.sync()
    one_project.memory.tag_map.clear()
    assert (await one_project.sync()).held == 60
    assert (await one_project.sync()).removed == 60
    assert not await one_project.rows()


async def test_repository_that_lost_its_newest_row_gets_another(one_project: Project) -> None:
    fill(one_project)
    await one_project.sync()
    for tags in one_project.memory.tag_map.values():
        tags.pop("1.2")
    assert (await one_project.sync()).removed == 2
    assert [key for key, row in (await one_project.rows()).items() if row.is_latest] == [
        "team/app0:1.1",
        "team/app1:1.1",
    ]


async def test_unreadable_tag_keeps_its_row_and_no_others(one_project: Project) -> None:
    """A tag that stays malformed must not keep what was deleted beside it in the list for ever."""
    fill(one_project)
    await one_project.sync()
    one_project.memory.add("team/app0", "1.0", b"{")
    one_project.memory.tag_map["team/app0"].pop("1.1")
    report = await one_project.sync()
    assert (report.state, report.removed) == ("partial", 1)
    rows = await one_project.rows()
    assert "team/app0:1.0" in rows
    assert "team/app0:1.1" not in rows


async def test_repositories_that_are_gone_are_forgotten_with_what_was_skipped(one_project: Project) -> None:
    fill(one_project)
    for repository in ("team/app1", "charts"):
        one_project.memory.add(repository, "chart", artifact_of("application/vnd.example.chart"))
    await one_project.sync()
    assert await column(one_project, registry_repository.c.repository) == ["charts", "team/app0", "team/app1"]
    assert await column(one_project, skipped_tag.c.repository) == ["charts", "team/app1"]
    for repository in ("team/app1", "charts"):
        one_project.memory.tag_map.pop(repository)
    await one_project.sync()
    assert await column(one_project, registry_repository.c.repository) == ["team/app0"]
    assert await column(one_project, skipped_tag.c.repository) == []


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        ({"exclude": ["*app1"]}, ["team/app0:1.0", "team/app0:1.1", "team/app0:1.2"]),
        ({"repositories": ["team/app0"]}, ["team/app0:1.0", "team/app0:1.1", "team/app0:1.2"]),
        ({"include_tags": ["*.0"]}, ["team/app0:1.0", "team/app1:1.0"]),
        ({"newest": 1}, ["team/app0:1.2", "team/app1:1.2"]),
    ],
)
async def test_what_is_no_longer_wanted_is_removed(
    one_project: Project, selection: dict[str, object], left: list[str]
) -> None:
    fill(one_project)
    await one_project.sync()
    await configure(one_project, **selection)
    report = await one_project.sync()
    assert (report.state, report.removed) == ("succeeded", 6 - len(left))
    assert sorted(await one_project.rows()) == left


async def test_tag_that_becomes_something_else_than_an_image_is_removed(one_project: Project) -> None:
    fill(one_project)
    await one_project.sync()
    one_project.memory.add("team/app0", "1.2", artifact_of("application/vnd.example.chart"))
    report = await one_project.sync()
    assert (report.removed, report.skipped) == (1, 1)
    assert "team/app0:1.2" not in await one_project.rows()


async def test_tombstones_are_kept_for_a_month(one_project: Project) -> None:
    fill(one_project)
    await one_project.sync()
    for tags in one_project.memory.tag_map.values():
        tags.pop("1.2")
    await one_project.sync()
    (first, second) = [removed for removed in await column(one_project, image.c.removed_at) if removed]
    assert first == second
    async with one_project.engine.begin() as connection:
        month = first - removal.KEPT_MS - 1
        chosen = (image.c.removed_at.is_not(None)) & (image.c.name == "app0")
        await connection.execute(update(image).where(chosen).values(removed_at=month))
    await one_project.sync()
    assert [removed for removed in await column(one_project, image.c.removed_at) if removed] == [second]
    assert len(await one_project.rows()) == 4
