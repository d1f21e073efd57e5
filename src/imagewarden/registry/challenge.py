"""The WWW-Authenticate header (RFC 9110, section 11.6.1; distribution token authentication specification)."""

import re
from collections.abc import Iterable

import msgspec

__all__ = ["Challenge", "parse_challenges"]

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 # a grammar
_SCHEME = re.compile(rf"\s*,?\s*({_TOKEN})(?=\s|,|$)\s*")
_PARAMETER = re.compile(rf'\s*,?\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_LONGEST = 8192


class Challenge(msgspec.Struct, frozen=True):
    """One way to authenticate that the server offers."""

    scheme: str
    """`basic`, `bearer`, ... in lower case."""
    parameters: dict[str, str]
    """realm, service, scope, ...; names in lower case."""


def _one(value: str) -> list[Challenge]:
    """Return the challenges of one header; what does not fit the grammar ends it."""
    found, at = [], 0
    while at < len(value) and (scheme := _SCHEME.match(value, at)):
        at = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(value, at):
            quoted = parameter.group(2)
            text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter.group(3)
            parameters.setdefault(parameter.group(1).lower(), text)
            at = parameter.end()
        found.append(Challenge(scheme.group(1).lower(), parameters))
    return found


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Return the challenges of all WWW-Authenticate headers, in order; headers beyond 8 KiB are left out."""
    return [challenge for value in values if len(value) <= _LONGEST for challenge in _one(value)]
