"""What a synchronisation costs the database."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from imagewarden.sync.repository import BATCH
from tests.support.adapter import image_of, index_of
from tests.sync.conftest import Project, fill

pytestmark = pytest.mark.anyio


@contextmanager
def statements(project: Project) -> Iterator[list[str]]:
    """Give the statements of a block as they come; a statement for many rows that is sent many times counts so."""
    found: list[str] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, _x: object, many: bool) -> None:
        if "heartbeat_at" not in statement and "pg_backend_pid" not in statement:
            found.extend([statement] * (len(parameters) if many and isinstance(parameters, list) else 1))

    engine = project.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


async def cost(project: Project) -> int:
    """Return how many statements a synchronisation takes."""
    with statements(project) as found:
        report = await project.sync()
    assert report.state == "succeeded"
    return len(found)


async def test_statements_do_not_grow_with_the_tags_of_a_batch(one_project: Project) -> None:
    fill(one_project, repositories=1, tags=BATCH)
    many, unchanged = await cost(one_project), await cost(one_project)
    one_project.memory.tag_map.clear()
    fill(one_project, repositories=2, tags=1)
    await cost(one_project)
    one_project.memory.add("other", "1.0", *image_of("another"))
    few = await cost(one_project)
    assert many < few < 2 * many
    assert unchanged < many


async def test_statements_do_not_grow_with_the_children_of_an_index(one_project: Project) -> None:
    manifests = [image_of(f"child {number}") for number in range(3)]
    for manifest, config in manifests:
        one_project.memory.add("app", "child", manifest, config)
    costs = []
    for children in (1, 3):
        one_project.memory.add("app", "multi", index_of(*(manifest for manifest, _ in manifests[:children])))
        await one_project.sync()
        one_project.memory.add("app", "multi", manifests[0][0])
        await one_project.sync()
        one_project.memory.add("app", "multi", index_of(*(manifest for manifest, _ in manifests[:children])))
        costs.append(await cost(one_project))
    assert costs[0] == costs[1]


async def test_nothing_is_written_about_what_did_not_change(one_project: Project) -> None:
    fill(one_project, repositories=1, tags=BATCH)
    await one_project.sync()
    with statements(one_project) as found:
        await one_project.sync()
    written = [
        line for line in map(str.strip, found) if line.startswith(("INSERT INTO image", "UPDATE image", "DELETE"))
    ]
    assert [line.partition(" ")[0] + line.partition("SET")[1] for line in written] == ["UPDATESET", "DELETE", "DELETE"]
    assert written[0].startswith("UPDATE image SET synced_at"), "all of them seen, at once"
    assert [line.split()[2] for line in written[1:]] == ["skipped_tag", "image"], "nothing to forget, no old tombstone"
