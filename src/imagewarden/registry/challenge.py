"""What a registry wants to be shown: `WWW-Authenticate` (RFC 9110, 11.6.1)."""

import re
from collections.abc import Iterable

import msgspec

__all__ = ["Challenge", "parse_challenges"]

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 # a grammar's token
_ITEM = re.compile(rf'({_TOKEN})(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN})))?')
_MAX_HEADER = 16 * 1024


class Challenge(msgspec.Struct, frozen=True):
    """One way to authenticate."""

    scheme: str
    """`basic`, `bearer`, ..., in lower case."""
    parameters: dict[str, str]
    """`realm`, `service`, `scope`, `error`, ...: names in lower case, values as sent; the first of a name counts."""


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the challenges of all `WWW-Authenticate` headers of an answer, in order; anything else is skipped."""
    found: list[Challenge] = []
    for value in values:
        _parse(value[:_MAX_HEADER], found)
    return tuple(found)


def _parse(value: str, found: list[Challenge]) -> None:
    position, current = 0, None
    while position < len(value):
        item = _ITEM.match(value, position)
        if item is None:
            position += 1  # a separator, or a character that belongs nowhere
            continue
        position = item.end()
        name, quoted, plain = item.groups()
        if quoted is None and plain is None:
            current = Challenge(name.lower(), {})
            found.append(current)
        elif current is not None:
            text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            current.parameters.setdefault(name.lower(), text)
