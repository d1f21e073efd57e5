"""What a client's header fields ask of an answer: validators, accepted types, byte ranges (RFC 9110)."""

import re
from email.message import Message

from demo.distribution.messages import Refusal

__all__ = ["accepts", "byte_range", "not_modified"]

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def not_modified(headers: Message, digest: str) -> bool:
    """Say whether If-None-Match names this content, whose entity tag is its digest (RFC 9110, 13.1.2)."""
    wanted = ",".join(headers.get_all("If-None-Match", []))
    return any(_entity_tag(tag) in (digest, "*") for tag in wanted.split(","))


def _entity_tag(text: str) -> str:
    return text.strip().removeprefix("W/").strip('"')


def accepts(headers: Message, media_type: str) -> bool:
    """Say whether Accept allows a media type; without Accept everything is allowed (RFC 9110, 12.5.1)."""
    ranges = ",".join(headers.get_all("Accept", []))
    kind = media_type.partition("/")[0]
    allowed = [item.partition(";")[0].strip().lower() for item in ranges.split(",") if not _is_refused(item)]
    return not ranges.strip() or any(item in (media_type.lower(), f"{kind}/*", "*/*") for item in allowed)


def _is_refused(item: str) -> bool:
    """Say whether an element of Accept carries the weight 0, which means "not this one"."""
    weight = re.search(r";\s*q\s*=\s*([0-9.]+)", item, re.IGNORECASE)
    return weight is not None and not weight[1].strip("0.")


def byte_range(headers: Message, digest: str, size: int) -> tuple[int, int] | None:
    """Return (start, length) of the one range asked for, or None for the whole content.

    Several ranges, other units and a failed If-Range are answered with the whole, as RFC 9110 (14.2) allows.
    A range outside the content is refused with 416.
    """
    asked = _RANGE.fullmatch(headers.get("Range", "").strip())
    condition = headers.get("If-Range")
    if asked is None or asked[0] == "bytes=-" or (condition is not None and condition != f'"{digest}"'):
        return None
    first, last = asked.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise Refusal(416, "SIZE_INVALID", "the range lies outside the content", {"Content-Range": f"bytes */{size}"})
    return start, end - start
