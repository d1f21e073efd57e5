"""The image list's query parameters (contract: Table 2), and the filter and order they ask for."""

import time
from typing import Any, NamedTuple

from imagewarden.api.errors import AccessDenied, InvalidParameter
from imagewarden.api.parameters import Choice, Flag, Parameter, Text, Whole
from imagewarden.inventory.filters import ANY_FAILED, ImageFilter, ImageOrder, TimeRange
from imagewarden.model.registry_kind import ImageType
from imagewarden.model.scan import RiskLevel, ScanStatus

__all__ = ["ALL_ENTERPRISE_PROJECTS", "IMAGE_LIST_PARAMETERS", "ImageListRequest", "image_list_request"]

ALL_ENTERPRISE_PROJECTS = "all_granted_eps"
"""The value of enterprise_project_id that asks for every enterprise project the caller may see."""

_MAX_INT64 = 2**63 - 1
_TIME = Whole(0, _MAX_INT64)
_ANY_FAILED = "any_failed"

IMAGE_LIST_PARAMETERS = (
    Parameter("enterprise_project_id", Text(1, 256), "enterprise project; all_granted_eps for all of them", "0"),
    Parameter("namespace", Text(1, 128), "organization: the first part of the repository's name"),
    Parameter("image_name", Text(1, 128), "the rest of the repository's name"),
    Parameter("image_version", Text(1, 64), "tag"),
    Parameter("registry_name", Text(1, 128), "name of the registry"),
    Parameter("offset", Whole(0, 2_000_000), "rows to skip", 0),
    Parameter("image_type", Choice(tuple(ImageType)), "kind of image; other is beyond the product API"),
    Parameter("sort_key", Choice(("latest_scan_time",)), "order; by id without it"),
    Parameter("sort_dir", Choice(("asc", "desc")), "direction of the order", "asc"),
    Parameter("limit", Whole(1, 200), "rows of a page", 10),
    Parameter("latest_version", Flag(), "the newest tag of each repository only", default=False),
    Parameter("image_size", Whole(0, _MAX_INT64), "exact size in bytes"),
    Parameter(
        "scan_status",
        Choice((*ScanStatus, _ANY_FAILED)),
        "state of the scan; download_failed, image_oversized and any_failed are beyond the product API",
    ),
    Parameter("start_latest_update_time", _TIME, "tag last changed at or after, ms"),
    Parameter("end_latest_update_time", _TIME, "tag last changed at or before, ms; now without it"),
    Parameter("start_latest_scan_time", _TIME, "last scan ended at or after, ms"),
    Parameter("end_latest_scan_time", _TIME, "last scan ended at or before, ms; now without it"),
    Parameter("start_latest_sync_time", _TIME, "last seen by a sync at or after, ms"),
    Parameter("end_latest_sync_time", _TIME, "last seen by a sync at or before, ms; now without it"),
    Parameter("has_malicious_file", Flag(), "whether malicious files were found"),
    Parameter("has_unsafe_setting", Flag(), "whether checks failed"),
    Parameter("has_vul", Flag(), "whether vulnerabilities were found"),
    Parameter("risky", Flag(), "whether any of the three was found"),
    Parameter("instance_id", Text(0, 128), "id of the SWR enterprise instance"),
    Parameter("instance_name", Text(0, 128), "name of the SWR enterprise instance"),
    Parameter("is_multarch", Flag(), "whether the image holds several architectures"),
    Parameter("severity_level", Choice(tuple(RiskLevel)), "worst finding"),
    Parameter(
        "search",
        Text(1, 128),
        "substring of namespace, name or tag, case ignored; beyond the product API",
    ),
)
"""The 27 parameters of the product API in its order, and `search`."""


class ImageListRequest(NamedTuple):
    """A request of the list, checked."""

    asked: ImageFilter
    """Which rows."""
    order: ImageOrder
    """In which order."""
    offset: int
    """Rows to skip, 0 to 2,000,000."""
    limit: int
    """Rows of a page, 1 to 200."""


def _time_range(values: dict[str, Any], what: str, now: int) -> TimeRange | None:
    """Return the range of one of the three times, None where neither end is given."""
    first, last = f"start_latest_{what}_time", f"end_latest_{what}_time"
    start, end = values[first], values[last]
    if start is None and end is None:
        return None
    until = now if end is None else end
    if start is not None and start > until:
        shown = "now" if end is None else str(end)
        raise InvalidParameter(first, start, f"a time at or before {last} ({shown})")
    return TimeRange(start or 0, until)


def _enterprise_projects(asked: str, granted: frozenset[str] | None) -> frozenset[str] | None:
    """Return which enterprise projects to list, None for all; raises AccessDenied for one that is not granted."""
    if asked == ALL_ENTERPRISE_PROJECTS:
        return granted
    if granted is not None and asked not in granted:
        raise AccessDenied(
            f"access denied to enterprise project {asked[:64]}; name one that is granted to you with "
            f"enterprise_project_id, or {ALL_ENTERPRISE_PROJECTS}"
        )
    return frozenset((asked,))


def _statuses(value: str | None) -> frozenset[ScanStatus] | None:
    """Return the states that a value of scan_status stands for."""
    if value is None:
        return None
    return frozenset(ANY_FAILED) if value == _ANY_FAILED else frozenset((ScanStatus(value),))


def image_list_request(
    values: dict[str, Any], granted: frozenset[str] | None, now: int | None = None
) -> ImageListRequest:
    """Return what the parsed parameters ask for.

    `granted` are the enterprise projects the caller may see, None for all; `now` is in ms, for open ranges. Raises
    InvalidParameter for a range that ends before it starts, AccessDenied for an enterprise project not granted.
    """
    now = time.time_ns() // 1_000_000 if now is None else now
    asked = ImageFilter(
        enterprise_projects=_enterprise_projects(values["enterprise_project_id"], granted),
        registry_name=values["registry_name"],
        namespace=values["namespace"],
        name=values["image_name"],
        tag=values["image_version"],
        kind=values["image_type"] and ImageType(values["image_type"]),
        size=values["image_size"],
        latest_only=values["latest_version"],
        is_index=values["is_multarch"],
        scan_statuses=_statuses(values["scan_status"]),
        risk_level=values["severity_level"] and RiskLevel(values["severity_level"]),
        updated=_time_range(values, "update", now),
        scanned=_time_range(values, "scan", now),
        synced=_time_range(values, "sync", now),
        has_vulnerabilities=values["has_vul"],
        has_unsafe_settings=values["has_unsafe_setting"],
        has_malicious_files=values["has_malicious_file"],
        risky=values["risky"],
        instance_id=values["instance_id"],
        instance_name=values["instance_name"],
        search=values["search"],
    )
    order = ImageOrder(by_scan_time=values["sort_key"] is not None, descending=values["sort_dir"] == "desc")
    return ImageListRequest(asked, order, values["offset"], values["limit"])
