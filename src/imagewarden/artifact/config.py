"""An image's config, as far as a listing needs it (image-spec, config.md)."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from imagewarden.artifact.manifest import MalformedManifest, platform_of
from imagewarden.model.platform import Platform

__all__ = ["ImageConfig", "parse_config"]

_FRACTION = re.compile(r"\.(\d{1,6})\d*")


class ImageConfig(msgspec.Struct, frozen=True):
    """What a config says of its image."""

    platform: Platform
    """What it runs on."""
    created_at: int | None
    """When it was built, ms since 1970 UTC; None where that is missing or no date."""


def _time(value: object) -> int | None:
    """Return an RFC 3339 time in ms, None for anything else."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(r".\1", value.strip()))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def parse_config(content: bytes) -> ImageConfig:
    """Return what the bytes of a config say; raises MalformedManifest for what is no JSON object."""
    try:
        raw = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedManifest("the config is not a JSON object") from None
    return ImageConfig(platform_of(raw), _time(raw.get("created")))
