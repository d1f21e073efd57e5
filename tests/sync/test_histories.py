"""Random histories of a registry, synchronised step by step, against a model of what the list must show."""

import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from imagewarden.inventory.latest import newest
from imagewarden.inventory.registries import NewRegistry, add_registry
from imagewarden.inventory.tables import image
from imagewarden.model.digest import Digest
from imagewarden.model.reference import RepositoryName
from imagewarden.model.registry_kind import RegistryType
from imagewarden.registry.errors import AccessDenied
from imagewarden.sync import reading, removal, repository
from imagewarden.sync.runs import SyncReport
from imagewarden.sync.tables import registry_repository
from tests.support.adapter import MemoryRegistry, artifact_of, image_of
from tests.sync.conftest import Project

pytestmark = pytest.mark.anyio

REPOSITORIES = ("a", "b/c", "d/e/f")
TAGS = ("1", "2", "3", "4", "5", "6", "7")
ROWS, SHARE = 3, 0.3
"""The brake, low enough for small histories to meet it."""
ARTIFACT = artifact_of("application/vnd.example.chart")
Key = tuple[str, str]
names, tag_sets = st.sampled_from(REPOSITORIES), st.frozensets(st.sampled_from(TAGS), min_size=1)
change = st.one_of(
    st.tuples(st.just("push"), names, tag_sets, st.integers(0, 3)),
    st.tuples(st.just("push"), names, tag_sets, st.integers(0, 3)),
    st.tuples(st.sampled_from(("artifact", "malformed", "delete")), names, tag_sets, st.just(0)),
    st.tuples(st.just("drop"), names, st.just(frozenset[str]()), st.just(0)),
)
a_repository = st.one_of(st.none(), st.none(), names)
step = st.tuples(
    st.lists(change, max_size=4),
    a_repository,  # its listing of tags fails
    a_repository,  # it shows no tags, as if that were all
    st.one_of(st.none(), st.none(), st.integers(0, 2)),  # repositories listed before the listing breaks off
)


def play(memory: MemoryRegistry, what: str, name: str, tags: frozenset[str], mark: int) -> None:
    """Change the registry."""
    for tag in tags:
        if what == "push":
            memory.add(name, tag, *image_of(f"{mark}"))
        elif what == "artifact":
            memory.add(name, tag, ARTIFACT)
        elif what == "malformed":
            memory.add(name, tag, b"{")
        else:
            memory.tag_map.get(name, {}).pop(tag, None)
    if what == "drop":
        memory.tag_map.pop(name, None)


def brakes(rows: int, of: int) -> bool:
    return rows >= ROWS and rows > SHARE * of


@dataclass
class Model:
    """What the list must show."""

    rows: dict[Key, Digest] = field(default_factory=dict)
    """Digest by repository and tag."""
    held: set[Key] = field(default_factory=set)
    """Those whose removal waits."""
    counts: Counter[str] = field(default_factory=Counter)
    """Of the last synchronisation."""

    def sync(self, memory: MemoryRegistry) -> None:
        """Do what a synchronisation must do."""
        self.counts = Counter()
        every = sorted(memory.tag_map)
        ended = memory.listing_fails_after is None or memory.listing_fails_after >= len(every)
        listed = every if ended else every[: memory.listing_fails_after]
        read = [name for name in listed if name not in memory.tags_fail]
        shown = {
            (name, tag): digest
            for name in set(read) - memory.hidden_tags
            for tag, digest in memory.tag_map[name].items()
        }
        seen = {key for key, digest in shown.items() if self._see(key, digest, memory.manifests[digest])}
        self.held -= seen
        missing = {key for key in self.rows.keys() - seen if key[0] in read or (ended and key[0] not in listed)}
        self._lose(missing)

    def _see(self, key: Key, digest: Digest, content: bytes) -> bool:
        if content == ARTIFACT:
            self.counts["skipped"] += 1
            return False
        if content == b"{":
            return key in self.rows
        old = self.rows.get(key)
        self.counts["added" if old is None else "unchanged" if old == digest else "changed"] += 1
        self.rows[key] = digest
        return True

    def _lose(self, missing: set[Key]) -> None:
        fresh = missing - self.held
        live, lost = (Counter(name for name, _ in keys) for keys in (self.rows, fresh))
        whole = brakes(len(fresh), len(self.rows))
        waiting = {key for key in fresh if whole or brakes(lost[key[0]], live[key[0]])}
        for key in missing - waiting:
            del self.rows[key]
        self.held = (self.held | waiting) & self.rows.keys()
        self.counts.update(held=len(waiting), removed=len(missing - waiting))


async def stored(project: Project) -> dict[Key, Any]:
    """Return the live rows of the project's registry."""
    async with project.engine.connect() as connection:
        mine = (image.c.registry_id == project.record.id) & image.c.removed_at.is_(None)
        found = await connection.execute(select(image).where(mine))
        return {(RepositoryName(row.namespace, row.name).path, row.tag): row for row in found}


async def known_repositories(project: Project) -> set[str]:
    """Return what is remembered of repositories."""
    async with project.engine.connect() as connection:
        mine = registry_repository.c.registry_id == project.record.id
        return set((await connection.execute(select(registry_repository.c.repository).where(mine))).scalars())


def check_newest(rows: dict[Key, Any]) -> None:
    """Assert that each repository has one newest row, and that it is that one."""
    repositories = defaultdict(list)
    for (name, _), row in rows.items():
        repositories[name].append(row)
    for name, found in repositories.items():
        marked = [row.id for row in found if row.is_latest]
        assert marked == [newest((row.updated_at, row.id, row.tag) for row in found)], name


def check_kept(before: dict[Key, Any], after: dict[Key, Any]) -> None:
    """Assert that a row stays the same row, and that its time changes with its digest alone."""
    for key in before.keys() & after.keys():
        old, new = before[key], after[key]
        assert new.id == old.id
        assert (new.updated_at == old.updated_at) or (new.digest != old.digest), key


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make batches, slices and the brake small."""
    monkeypatch.setattr(removal, "HELD_FROM_ROWS", ROWS)
    monkeypatch.setattr(removal, "HELD_FROM_SHARE", SHARE)
    monkeypatch.setattr(removal, "SLICE", 2)
    monkeypatch.setattr(repository, "BATCH", 2)
    monkeypatch.setattr(reading, "_BATCH", 2)


async def synchronised(project: Project, model: Model, before: dict[Key, Any]) -> dict[Key, Any]:
    """Synchronise project and model; returns the rows, which are as they must be."""
    report: SyncReport = await project.sync()
    model.sync(project.memory)
    rows = await stored(project)
    assert {key: row.digest for key, row in rows.items()} == model.rows
    assert {key for key, row in rows.items() if row.missing_since is not None} == model.held
    for name in ("added", "changed", "unchanged", "skipped", "removed", "held"):
        assert getattr(report, name) == model.counts[name], name
    check_newest(rows)
    check_kept(before, rows)
    return rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(step, min_size=1, max_size=6))
async def test_list_follows_the_registry(one_project: Project, small: None, history: list[Any]) -> None:
    async with one_project.engine.begin() as connection:
        new = NewRegistry(name=uuid.uuid4().hex, type=RegistryType.OTHER, url="http://memory.example.test")
        record = await add_registry(connection, one_project.vault, one_project.record.project_id, new)
    project = replace(one_project, record=record, memory=MemoryRegistry())
    memory, model, rows = project.memory, Model(), dict[Key, Any]()
    for changes, failing, hidden, breaks_off in history:
        for each in changes:
            play(memory, *each)
        memory.tags_fail = {failing: AccessDenied("no")} if failing else {}
        memory.hidden_tags = {hidden} if hidden else set()
        memory.listing_fails_after = breaks_off
        rows = await synchronised(project, model, rows)
    memory.tags_fail, memory.hidden_tags, memory.listing_fails_after = {}, set(), None
    rows = await synchronised(project, model, rows)
    with_rows = {name for name, _ in rows}
    assert await known_repositories(project) == set(memory.tag_map) | with_rows
    rows = await synchronised(project, model, rows)
    shown = {(name, tag): digest for name, tags in memory.tag_map.items() for tag, digest in tags.items()}
    images = {key: digest for key, digest in shown.items() if memory.manifests[digest] not in (ARTIFACT, b"{")}
    unreadable = {key for key, digest in shown.items() if memory.manifests[digest] == b"{"}
    assert {key: row.digest for key, row in rows.items() if key not in unreadable} == images, "two syncs tell the truth"
