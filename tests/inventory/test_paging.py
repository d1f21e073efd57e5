"""Any mix of filters over runs of columns, against a reference of a few lines: totals, ids, orders, pages."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagewarden.api.v5.image_filters import IMAGE_LIST_PARAMETERS, ImageListRequest, image_list_request
from imagewarden.inventory import columns as columns_module
from imagewarden.inventory import matches as matches_module
from imagewarden.inventory.batch import TERM_COLUMNS
from imagewarden.inventory.columns import Columns, columns_of
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.paging import Run, find_page
from imagewarden.inventory.predicate import compile_filter
from imagewarden.inventory.vocabulary import TermPiece, Vocabulary
from imagewarden.model.registry_kind import ImageType
from imagewarden.model.scan import RiskLevel, ScanStatus
from tests.support.columns import batch_of, new_terms
from tests.support.reference import reference_page

NOW = 2_000
Row = dict[str, Any]


@pytest.fixture(params=["as it is", "by orders", "by compares"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make blocks small, and the engine take one of its ways wherever it can."""
    monkeypatch.setattr(matches_module, "_BLOCK", 16)
    monkeypatch.setattr(columns_module, "_MANY_CODES", 3)
    monkeypatch.setattr(columns_module, "_FEW_MARKED", 1)
    if request.param == "by orders":
        monkeypatch.setattr(columns_module, "_SHARE", 1)
    if request.param == "by compares":
        monkeypatch.setattr(columns_module, "_SHARE", 1 << 40)
    return str(request.param)


def random_row(chance: random.Random, number: int) -> Row:
    """Return a row with values from small sets, so that filters match often."""
    status = chance.choice(list(ScanStatus))
    scanned = None if status is ScanStatus.UNSCAN else chance.randrange(1, 6)
    return {
        "id": number,
        "enterprise_project_id": chance.choice(("0", "0", "e1")),
        "registry_name": chance.choice(("one", "two")),
        "namespace": chance.choice(("", "library", "Shop", "team")),
        "name": chance.choice(("nginx", "api/web", "base", "tool_%", "ÄB")),
        "tag": f"{chance.choice(('v1', 'V2', 'latest'))}-{chance.randrange(40)}",
        "kind": chance.choice(list(ImageType)).value,
        "size": chance.choice((0, 1000, 2**63 - 1)),
        "updated_at": chance.randrange(1, 50),
        "synced_at": chance.randrange(1, 3),
        "scanned_at": scanned,
        "scan_status": status.value,
        "risk_level": chance.choice(list(RiskLevel)).value if scanned else None,
        "instance_id": chance.choice(("", "i1")),
        "instance_name": chance.choice(("", "one")),
        "vulnerability_count": chance.choice((0, 0, 3)),
        "unsafe_setting_count": chance.choice((0, 0, 3)),
        "malicious_file_count": chance.choice((0, 0, 3)),
        "is_latest": chance.random() < 0.3,
        "is_index": chance.random() < 0.3,
    }


flags = st.booleans()
times = st.integers(0, 60)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "namespace": st.sampled_from(("library", "Shop", "nowhere")),
        "image_name": st.sampled_from(("nginx", "api/web", "ÄB")),
        "image_version": st.sampled_from(("v1-1", "latest-2", "none")),
        "registry_name": st.sampled_from(("one", "two", "three")),
        "image_type": st.sampled_from(tuple(ImageType)),
        "image_size": st.sampled_from((0, 1000, 5, 2**63 - 1)),
        "latest_version": flags,
        "is_multarch": flags,
        "scan_status": st.sampled_from((*ScanStatus, "any_failed")),
        "severity_level": st.sampled_from(tuple(RiskLevel)),
        "start_latest_update_time": times,
        "end_latest_scan_time": times,
        "start_latest_sync_time": times,
        "has_vul": flags,
        "has_unsafe_setting": flags,
        "has_malicious_file": flags,
        "risky": flags,
        "instance_id": st.sampled_from(("", "i1", "i9")),
        "instance_name": st.sampled_from(("", "one")),
        "search": st.sampled_from(("v", "V2-1", "b", "Äb", "tool_%", "e-3", "nothing at all", "-")),
        "sort_key": st.just("latest_scan_time"),
        "sort_dir": st.sampled_from(("asc", "desc")),
        "offset": st.integers(0, 320),
        "limit": st.integers(1, 200),
    },
)


def request_of(asked: Row) -> ImageListRequest:
    """Return what the parameters ask for; every enterprise project is granted."""
    values = {each.name: each.default for each in IMAGE_LIST_PARAMETERS} | asked
    return image_list_request(values | {"enterprise_project_id": "all_granted_eps"}, None, NOW)


def runs_of(generations: list[list[Row]], gone: set[int]) -> tuple[list[Run], dict[ImageColumn, Vocabulary], list[Row]]:
    """Return runs where each row overrides its like in older ones, the vocabularies, and the rows that are left."""
    terms = new_terms()
    pieces: dict[ImageColumn, list[TermPiece]] = {column: [] for column in TERM_COLUMNS}
    every: list[Columns] = []
    for rows in generations:
        before = {column: len(terms[column].added) for column in TERM_COLUMNS}
        batch = batch_of(rows, terms)
        for column in TERM_COLUMNS:
            added = terms[column].added[before[column] :]
            pieces[column].append(TermPiece(before[column], TermPiece.arrays_of(added)))
        every.append(Columns(columns_of(batch, {column: len(terms[column].added) for column in TERM_COLUMNS})))
    runs, newer, left = [], set(gone), []
    for rows, columns in reversed(list(zip(generations, every, strict=True))):
        runs.append(Run(columns, columns.places_of(np.array(sorted(newer), dtype=np.int64))))
        left += [row for row in rows if row["id"] not in newer]
        newer |= {row["id"] for row in rows}
    return runs[::-1], {column: Vocabulary(pieces[column]) for column in TERM_COLUMNS}, left


def ids_of(runs: list[Run], vocabularies: dict[ImageColumn, Vocabulary], asked: Row) -> tuple[int, list[int]]:
    """Return the engine's answer."""
    request = request_of(asked)
    page = find_page(runs, compile_filter(request.asked, vocabularies), request.order, request.offset, request.limit)
    ids = [int(runs[run].columns.ids[place]) for run, place in zip(page.runs, page.places, strict=True)]
    return page.total, ids


@pytest.mark.parametrize("sizes", [(300,), (300, 40), (200, 60, 9), (5, 200, 30), (0, 30), (1,)])
def test_every_mix_of_filters(way: str, sizes: tuple[int, ...]) -> None:
    chance = random.Random(f"{sizes}")
    numbers = range(1, 320)
    generations = [[random_row(chance, number) for number in chance.sample(numbers, size)] for size in sizes]
    known = {row["id"] for rows in generations for row in rows}
    gone = set(chance.sample(sorted(known), len(known) // 10))
    runs, vocabularies, left = runs_of(generations, gone)

    @settings(max_examples=150, deadline=None)
    @given(ASKED)
    def check(asked: Row) -> None:
        assert ids_of(runs, vocabularies, asked) == reference_page(left, asked, NOW)

    check()


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("key", [{}, {"sort_key": "latest_scan_time"}])
def test_all_pages_are_all_rows_once(way: str, direction: str, key: Row) -> None:
    chance = random.Random(7)
    generations = [[random_row(chance, number) for number in chance.sample(range(1, 320), size)] for size in (250, 60)]
    runs, vocabularies, left = runs_of(generations, set())
    asked = {"sort_dir": direction, **key}
    found = [
        each
        for offset in range(0, 330, 7)
        for each in ids_of(runs, vocabularies, {**asked, "offset": offset, "limit": 7})[1]
    ]
    assert found == reference_page(left, {**asked, "limit": 400}, NOW)[1]


def test_no_rows_at_all() -> None:
    assert ids_of([], {column: Vocabulary() for column in TERM_COLUMNS}, {}) == (0, [])
