"""An image's config, as far as a listing needs it (image-spec, config.md)."""

import re
from datetime import UTC, datetime, timedelta

import msgspec

from imagewarden.artifact.document import MalformedManifest
from imagewarden.artifact.manifest import platform_of
from imagewarden.model.platform import Platform

__all__ = ["ImageConfig", "parse_config"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,32})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MAX_WORD = 128
"""Bytes of a member that is looked at; no platform and no time is longer."""


class ImageConfig(msgspec.Struct, frozen=True):
    """What a config says of its image."""

    platform: Platform
    """What it runs on; parts that are missing or no such words are empty."""
    created_at: int | None
    """When it was built by its own word, ms since 1970 UTC; None where that is missing, no time, or before 1970."""


class _Config(msgspec.Struct):
    """The members of interest, unread: the rest of a config is passed over without building anything of it."""

    os: msgspec.Raw = msgspec.Raw()
    architecture: msgspec.Raw = msgspec.Raw()
    variant: msgspec.Raw = msgspec.Raw()
    created: msgspec.Raw = msgspec.Raw()


def parse_config(raw: bytes) -> ImageConfig:
    """Return what the bytes of a config say; raises MalformedManifest for what is no JSON object."""
    try:
        found = msgspec.json.decode(raw, type=_Config)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedManifest(f"the config is not a JSON object: {str(error)[:200]}") from None
    platform = platform_of({name: _word(getattr(found, name)) for name in ("os", "architecture", "variant")})
    return ImageConfig(platform, _time(_word(found.created)))


def _word(member: msgspec.Raw) -> str:
    """Return a member that is a short text; empty for any other."""
    if not 0 < len(bytes(member)) <= _MAX_WORD:
        return ""
    try:
        return msgspec.json.decode(member, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _time(text: str) -> int | None:
    """Return an RFC 3339 time in ms."""
    if not _TIME.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:  # February 30th, or an hour of 24 and more
        return None
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return milliseconds if milliseconds >= 0 else None
