"""Query parameters: declared once, then parsed from the raw query string and described in the API document.

The raw string is parsed here because typed framework parameters let through what a client should be told about:
a repeated key, `5.0` for a whole number, bytes that are not UTF-8.
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from imagewarden.api.errors import InvalidParameter

__all__ = ["Choice", "Flag", "Parameter", "Text", "Whole", "decode_text", "parse_query"]

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Kind(Protocol):
    """What values a parameter takes."""

    @property
    def takes(self) -> str:
        """The range, for an error message."""

    def parse(self, text: str) -> Any:
        """Return the value; raises ValueError when the text is not one."""

    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""


class Text(msgspec.Struct, frozen=True):
    """Text of a number of characters."""

    minimum: int = 1
    """Fewest characters."""
    maximum: int = 128
    """Most characters."""

    @property
    def takes(self) -> str:
        """The range, for an error message."""
        return f"{self.minimum} to {self.maximum} characters"

    def parse(self, text: str) -> str:
        """Return the text."""
        if not self.minimum <= len(text) <= self.maximum:
            raise ValueError
        return text

    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""
        return {"type": "string", "minLength": self.minimum, "maxLength": self.maximum}


class Whole(msgspec.Struct, frozen=True):
    """A whole number in plain digits."""

    minimum: int
    """Least value."""
    maximum: int
    """Greatest value."""

    @property
    def takes(self) -> str:
        """The range, for an error message."""
        return f"a whole number from {self.minimum} to {self.maximum}"

    def parse(self, text: str) -> int:
        """Return the number."""
        if not _WHOLE.fullmatch(text) or not self.minimum <= int(text) <= self.maximum:
            raise ValueError
        return int(text)

    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""
        size = "int32" if self.maximum < 2**31 else "int64"
        return {"type": "integer", "format": size, "minimum": self.minimum, "maximum": self.maximum}


class Flag(msgspec.Struct, frozen=True):
    """Yes or no."""

    @property
    def takes(self) -> str:
        """The range, for an error message."""
        return "true or false"

    def parse(self, text: str) -> bool:
        """Return the truth value."""
        if text not in ("true", "false"):
            raise ValueError
        return text == "true"

    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""
        return {"type": "boolean"}


class Choice(msgspec.Struct, frozen=True):
    """One of a few words, case and all."""

    values: tuple[str, ...]
    """The words."""

    @property
    def takes(self) -> str:
        """The range, for an error message."""
        return "one of " + ", ".join(self.values)

    def parse(self, text: str) -> str:
        """Return the word."""
        if text not in self.values:
            raise ValueError
        return text

    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""
        return {"type": "string", "enum": list(self.values)}


class Parameter(msgspec.Struct, frozen=True):
    """One query parameter."""

    name: str
    """Its name on the wire."""
    kind: Kind
    """The values it takes."""
    description: str
    """What it asks for, in the API document."""
    default: Any = None
    """Its value when absent; None for none."""

    def document(self) -> dict[str, Any]:
        """Return the parameter as an OpenAPI object."""
        schema = self.kind.schema() | ({} if self.default is None else {"default": self.default})
        return {
            "name": self.name,
            "in": "query",
            "required": False,
            "description": self.description,
            "schema": schema,
        }


def decode_text(raw: bytes, name: str) -> str:
    """Return percent-encoded bytes as text; raises InvalidParameter for broken escapes, UTF-8, or a NUL."""
    decoded = unquote_to_bytes(raw) if b"%" in raw else raw
    if decoded is not raw and _BAD_ESCAPE.search(raw):
        raise InvalidParameter(name, raw.decode("latin-1"), "percent signs only before two hexadecimal digits")
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParameter(name, raw.decode("latin-1"), "text in UTF-8") from None
    if "\0" in text:
        raise InvalidParameter(name, text, "text without a NUL character")
    return text


def parse_query(raw: bytes, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Return the value of each of `parameters`, defaults filled in; raises InvalidParameter naming the first bad one.

    `raw` is the query string as it was sent. Parameters not declared are ignored.
    """
    declared, defaults = _declared(parameters)
    values = defaults.copy()
    seen: set[bytes] = set()
    for pair in raw.split(b"&") if raw else ():
        key, _, value = pair.partition(b"=")
        name = unquote_to_bytes(key) if b"%" in key else key
        parameter = declared.get(name)
        if parameter is None:
            continue
        text = decode_text(value.replace(b"+", b"%20"), parameter.name)
        if name in seen:
            raise InvalidParameter(parameter.name, text, "one value, and is given more than once")
        seen.add(name)
        try:
            values[parameter.name] = parameter.kind.parse(text)
        except ValueError:
            raise InvalidParameter(parameter.name, text, parameter.kind.takes) from None
    return values


_DECLARED: dict[int, tuple[Sequence[Parameter], dict[bytes, Parameter], dict[str, Any]]] = {}
"""Tables of the parameters of each operation, which are declared once in a module."""


def _declared(parameters: Sequence[Parameter]) -> tuple[dict[bytes, Parameter], dict[str, Any]]:
    """Return the parameters by name, and their defaults."""
    known = _DECLARED.get(id(parameters))
    if known is None or known[0] is not parameters:
        by_name = {each.name.encode(): each for each in parameters}
        known = _DECLARED[id(parameters)] = (parameters, by_name, {each.name: each.default for each in parameters})
    return known[1], known[2]
