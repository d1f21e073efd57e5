"""The image list, said again in a few lines over plain rows: what every answer is compared with."""

from typing import Any

__all__ = ["reference_page"]

FAILED = ("failed", "download_failed", "image_oversized")
EXACT = {
    "namespace": "namespace", "image_name": "name", "image_version": "tag", "registry_name": "registry_name",
    "image_type": "kind", "image_size": "size", "instance_id": "instance_id", "instance_name": "instance_name",
    "is_multarch": "is_index", "severity_level": "risk_level",
}  # fmt: skip
COUNTS = {"has_vul": "vulnerability_count", "has_unsafe_setting": "unsafe_setting_count",
          "has_malicious_file": "malicious_file_count"}  # fmt: skip
TIMES = {"update": "updated_at", "scan": "scanned_at", "sync": "synced_at"}


def _matches(row: dict[str, Any], asked: dict[str, Any], now: int) -> bool:
    def within(what: str) -> bool:
        start, end = asked.get(f"start_latest_{what}_time"), asked.get(f"end_latest_{what}_time")
        at = row[TIMES[what]]
        return (start is None and end is None) or (
            at is not None and (start or 0) <= at <= (now if end is None else end)
        )

    statuses = FAILED if asked.get("scan_status") == "any_failed" else (asked.get("scan_status"),)
    needle = (asked.get("search") or "").lower()
    return (
        all(name not in asked or row[column] == asked[name] for name, column in EXACT.items())
        and all(name not in asked or (row[column] > 0) == asked[name] for name, column in COUNTS.items())
        and ("risky" not in asked or any(row[column] > 0 for column in COUNTS.values()) == asked["risky"])
        and ("scan_status" not in asked or row["scan_status"] in statuses)
        and (not asked.get("latest_version") or row["is_latest"])
        and all(within(what) for what in TIMES)
        and any(needle in row[column].lower() for column in ("namespace", "name", "tag"))
    )


def reference_page(rows: list[dict[str, Any]], asked: dict[str, Any], now: int) -> tuple[int, list[int]]:
    """Return the total and the ids of the page that a request asks for."""
    found = [row for row in rows if _matches(row, asked, now)]
    by_time = asked.get("sort_key") == "latest_scan_time"
    found.sort(
        key=lambda row: ((row["scanned_at"] or -1) if by_time else 0, row["id"]),
        reverse=asked.get("sort_dir") == "desc",
    )
    offset = asked.get("offset", 0)
    return len(found), [row["id"] for row in found[offset : offset + asked.get("limit", 10)]]
