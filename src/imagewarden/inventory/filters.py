"""What every filter of the image list means, in one place and apart from how it is executed.

`ImageFilter` is what a caller asks; `conditions` turns it into an AND of a few plain conditions over named columns.
Whatever executes a list (SQL, columns in memory) executes these conditions and knows no filter by name.
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from imagewarden.model.registry_kind import ImageType
from imagewarden.model.scan import FAILED_STATUSES, RiskLevel, ScanStatus

__all__ = [
    "ANY_FAILED",
    "AnyPositive",
    "Condition",
    "Contains",
    "Equals",
    "ImageColumn",
    "ImageFilter",
    "ImageOrder",
    "OneOf",
    "TimeRange",
    "Within",
    "ascii_lower",
    "conditions",
]

ANY_FAILED = FAILED_STATUSES
"""The scan states that the filter value `any_failed` stands for."""


class ImageColumn(StrEnum):
    """Columns of the image list that a condition can name."""

    ENTERPRISE_PROJECT_ID = "enterprise_project_id"
    REGISTRY_NAME = "registry_name"
    NAMESPACE = "namespace"
    NAME = "name"
    TAG = "tag"
    KIND = "kind"
    SIZE = "size"
    IS_LATEST = "is_latest"
    IS_INDEX = "is_index"
    SCAN_STATUS = "scan_status"
    RISK_LEVEL = "risk_level"
    UPDATED_AT = "updated_at"
    SCANNED_AT = "scanned_at"
    SYNCED_AT = "synced_at"
    VULNERABILITY_COUNT = "vulnerability_count"
    UNSAFE_SETTING_COUNT = "unsafe_setting_count"
    MALICIOUS_FILE_COUNT = "malicious_file_count"
    INSTANCE_ID = "instance_id"
    INSTANCE_NAME = "instance_name"


class ImageOrder(msgspec.Struct, frozen=True):
    """Order of a list: by id, or by (scanned_at, id); the direction holds for both parts."""

    by_scan_time: bool = False
    """Whether the time of the last scan comes first; never-scanned rows are first ascending, last descending."""
    descending: bool = False
    """Whether the order is turned around."""


class TimeRange(msgspec.Struct, frozen=True):
    """A range of times, both ends included, ms since 1970 UTC."""

    start: int
    """First instant, 0 or more."""
    end: int
    """Last instant, not before `start`."""


class ImageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What to list; a field that is None asks nothing. Texts are exact and case-sensitive unless said otherwise."""

    enterprise_projects: frozenset[str] | None = None
    """Rows of these enterprise projects only."""
    registry_name: str | None = None
    """Name of the registry."""
    namespace: str | None = None
    """First part of the repository's name."""
    name: str | None = None
    """The rest of the repository's name."""
    tag: str | None = None
    """The tag."""
    kind: ImageType | None = None
    """Kind of image, by its registry."""
    size: int | None = None
    """Exact size in bytes, 0 to 2**63 - 1."""
    latest_only: bool = False
    """Only the newest row of each repository; False asks nothing."""
    is_index: bool | None = None
    """Multi-architecture images only, or none of them."""
    scan_statuses: frozenset[ScanStatus] | None = None
    """Rows in one of these states."""
    risk_level: RiskLevel | None = None
    """Rows of this level; a row never scanned has none."""
    updated: TimeRange | None = None
    """When the tag last changed."""
    scanned: TimeRange | None = None
    """When the last scan ended; a row never scanned is in no range."""
    synced: TimeRange | None = None
    """When a sync last saw the tag."""
    has_vulnerabilities: bool | None = None
    """Whether the count of vulnerabilities is above 0."""
    has_unsafe_settings: bool | None = None
    """Whether the count of unsafe settings is above 0."""
    has_malicious_files: bool | None = None
    """Whether the count of malicious files is above 0."""
    risky: bool | None = None
    """Whether any of the three counts is above 0."""
    instance_id: str | None = None
    """Id of the SWR enterprise instance; empty for other images."""
    instance_name: str | None = None
    """Name of the SWR enterprise instance; empty for other images."""
    search: str | None = None
    """Substring of namespace, name or tag (within one of them), ASCII case ignored."""


class Equals(msgspec.Struct, frozen=True):
    """The column holds exactly this value."""

    column: ImageColumn
    value: str | int | bool


class OneOf(msgspec.Struct, frozen=True):
    """The column holds one of these values; none of them means no row."""

    column: ImageColumn
    values: tuple[str, ...]


class Within(msgspec.Struct, frozen=True):
    """The column holds a number from low to high, both included; a row without a number is outside."""

    column: ImageColumn
    low: int
    high: int


class AnyPositive(msgspec.Struct, frozen=True):
    """Whether at least one of the columns is above 0 is as wanted."""

    columns: tuple[ImageColumn, ...]
    wanted: bool


class Contains(msgspec.Struct, frozen=True):
    """At least one of the columns, in ASCII lower case, contains the text, which is in ASCII lower case."""

    columns: tuple[ImageColumn, ...]
    text: str


Condition = Equals | OneOf | Within | AnyPositive | Contains

_EXACT = (
    ("registry_name", ImageColumn.REGISTRY_NAME),
    ("namespace", ImageColumn.NAMESPACE),
    ("name", ImageColumn.NAME),
    ("tag", ImageColumn.TAG),
    ("kind", ImageColumn.KIND),
    ("size", ImageColumn.SIZE),
    ("is_index", ImageColumn.IS_INDEX),
    ("risk_level", ImageColumn.RISK_LEVEL),
    ("instance_id", ImageColumn.INSTANCE_ID),
    ("instance_name", ImageColumn.INSTANCE_NAME),
)
_RANGES = (
    ("updated", ImageColumn.UPDATED_AT),
    ("scanned", ImageColumn.SCANNED_AT),
    ("synced", ImageColumn.SYNCED_AT),
)
_COUNTS = (
    ImageColumn.VULNERABILITY_COUNT,
    ImageColumn.UNSAFE_SETTING_COUNT,
    ImageColumn.MALICIOUS_FILE_COUNT,
)
_POSITIVE = (
    ("has_vulnerabilities", (ImageColumn.VULNERABILITY_COUNT,)),
    ("has_unsafe_settings", (ImageColumn.UNSAFE_SETTING_COUNT,)),
    ("has_malicious_files", (ImageColumn.MALICIOUS_FILE_COUNT,)),
    ("risky", _COUNTS),
)
_SEARCHED = (ImageColumn.NAMESPACE, ImageColumn.NAME, ImageColumn.TAG)
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def ascii_lower(text: str) -> str:
    """Return `text` with A-Z in lower case and everything else as it was."""
    return text.translate(_ASCII_LOWER)


def conditions(asked: ImageFilter) -> Iterator[Condition]:
    """Yield the conditions that a row must meet, all of them; none for a filter that asks nothing."""
    yield from _memberships(asked)
    yield from (Equals(column, value) for field, column in _EXACT if (value := getattr(asked, field)) is not None)
    yield from (
        Within(column, span.start, span.end) for field, column in _RANGES if (span := getattr(asked, field)) is not None
    )
    yield from (
        AnyPositive(columns, wanted) for field, columns in _POSITIVE if (wanted := getattr(asked, field)) is not None
    )
    if asked.latest_only:
        yield Equals(ImageColumn.IS_LATEST, value=True)
    if asked.search is not None:
        yield Contains(_SEARCHED, ascii_lower(asked.search))


def _memberships(asked: ImageFilter) -> Iterator[OneOf]:
    """Yield the conditions that allow several values."""
    if asked.enterprise_projects is not None:
        yield OneOf(ImageColumn.ENTERPRISE_PROJECT_ID, tuple(sorted(asked.enterprise_projects)))
    if asked.scan_statuses is not None:
        yield OneOf(ImageColumn.SCAN_STATUS, tuple(sorted(asked.scan_statuses)))
