"""The meaning of filters, apart from any database: every filter yields its condition."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imagewarden.inventory.filters import (
    ANY_FAILED,
    AnyPositive,
    Condition,
    Contains,
    Equals,
    ImageColumn,
    ImageFilter,
    OneOf,
    TimeRange,
    Within,
    ascii_lower,
    conditions,
)
from imagewarden.model.registry_kind import ImageType
from imagewarden.model.scan import RiskLevel

ASKED: dict[str, tuple[Any, Condition]] = {
    "enterprise_projects": (frozenset({"b", "a"}), OneOf(ImageColumn.ENTERPRISE_PROJECT_ID, ("a", "b"))),
    "registry_name": ("r", Equals(ImageColumn.REGISTRY_NAME, "r")),
    "namespace": ("", Equals(ImageColumn.NAMESPACE, "")),
    "name": ("web", Equals(ImageColumn.NAME, "web")),
    "tag": ("1", Equals(ImageColumn.TAG, "1")),
    "kind": (ImageType.HARBOR, Equals(ImageColumn.KIND, ImageType.HARBOR)),
    "size": (0, Equals(ImageColumn.SIZE, 0)),
    "latest_only": (True, Equals(ImageColumn.IS_LATEST, value=True)),
    "is_index": (False, Equals(ImageColumn.IS_INDEX, value=False)),
    "scan_statuses": (
        frozenset(ANY_FAILED),
        OneOf(ImageColumn.SCAN_STATUS, ("download_failed", "failed", "image_oversized")),
    ),
    "risk_level": (RiskLevel.HIGH, Equals(ImageColumn.RISK_LEVEL, RiskLevel.HIGH)),
    "updated": (TimeRange(1, 2), Within(ImageColumn.UPDATED_AT, 1, 2)),
    "scanned": (TimeRange(0, 0), Within(ImageColumn.SCANNED_AT, 0, 0)),
    "synced": (TimeRange(3, 4), Within(ImageColumn.SYNCED_AT, 3, 4)),
    "has_vulnerabilities": (False, AnyPositive((ImageColumn.VULNERABILITY_COUNT,), wanted=False)),
    "has_unsafe_settings": (True, AnyPositive((ImageColumn.UNSAFE_SETTING_COUNT,), wanted=True)),
    "has_malicious_files": (True, AnyPositive((ImageColumn.MALICIOUS_FILE_COUNT,), wanted=True)),
    "risky": (
        False,
        AnyPositive(
            (ImageColumn.VULNERABILITY_COUNT, ImageColumn.UNSAFE_SETTING_COUNT, ImageColumn.MALICIOUS_FILE_COUNT),
            wanted=False,
        ),
    ),
    "instance_id": ("", Equals(ImageColumn.INSTANCE_ID, "")),
    "instance_name": ("i", Equals(ImageColumn.INSTANCE_NAME, "i")),
    "search": ("Web", Contains((ImageColumn.NAMESPACE, ImageColumn.NAME, ImageColumn.TAG), "web")),
}


def test_every_filter_is_here() -> None:
    assert list(ASKED) == list(ImageFilter.__struct_fields__)


def test_nothing_asked_is_no_condition() -> None:
    assert list(conditions(ImageFilter())) == []


def test_each_filter_alone_is_its_condition() -> None:
    for field, (value, expected) in ASKED.items():
        assert list(conditions(ImageFilter(**{field: value}))) == [expected], field


@given(st.sets(st.sampled_from(sorted(ASKED))))
def test_a_mix_is_all_of_its_conditions(fields: set[str]) -> None:
    asked = ImageFilter(**{field: ASKED[field][0] for field in fields})
    found = list(conditions(asked))
    assert len(found) == len(fields)
    assert all(ASKED[field][1] in found for field in fields)


@given(st.text())
def test_only_ascii_changes_case(text: str) -> None:
    assert ascii_lower(text) == "".join(c.lower() if c.isascii() else c for c in text)
