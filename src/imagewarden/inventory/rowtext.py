"""What `encode` gives for rows that are alike, as constant texts and the fields between them.

Most rows differ from others in a few fields only, and their bytes in the texts of these. Where those stand is found by
encoding rows with values that are found again, so that whoever encodes rows need not say; and it is proven with others.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from imagewarden.inventory.rows import ImageRow, PlatformRow

__all__ = ["OPTIONAL", "PLATFORMS", "FamilyText", "RowText", "child_field", "family_text", "fields_of", "row_text"]

OPTIONAL = "scanned_at"
"""The field that a row may lack; then nothing stands in its place."""
PLATFORMS = "platforms"
"""The field that stands for the texts of a row's children."""

Encode = Callable[[ImageRow], bytes]

_LOWEST = -(2**63)
_PLAIN = (
    "".join(map(chr, range(0x20, 0x180))).translate({ord('"'): None, ord("\\"): None}) + "\u2028\u2029\ufeff\U0001f600"
)
"""Every kind of character that a text may hold where it stands in JSON as it is."""
_CHILD_TYPES = {field.name: field.type for field in msgspec.structs.fields(PlatformRow)}
_MAY_LACK = ("os", "architecture", "variant", "scan_status")
"""Fields of a child that its text may lack."""


def child_field(field: str) -> str:
    """Return the name of a child's field among the fields of its parent."""
    return f"child {field}"


def fields_of(row: ImageRow, fields: Sequence[str]) -> list[str]:
    """Return those of `fields` that a row does not lack."""
    return [field for field in fields if field != OPTIONAL or getattr(row, OPTIONAL) is not None]


class RowText(NamedTuple):
    """The bytes of rows, or of children, that differ in some fields only."""

    order: tuple[str, ...]
    """These fields, in the order in which they stand."""
    parts: tuple[bytes, ...]
    """The texts before, between and after them."""

    def filled(self, values: Mapping[str, Any]) -> bytes:
        """Return the bytes with these values, of which JSON escapes nothing."""
        fields = (_bytes(values[field]) for field in self.order)
        return b"".join(part + value for part, value in zip(self.parts, (*fields, b""), strict=True))

    def widened(self, order: tuple[str, ...]) -> "RowText | None":
        """Return the same with room for the optional field where `order` has it; None if the others differ in order."""
        if self.order == order:
            return self
        if OPTIONAL not in order:
            return None
        at = order.index(OPTIONAL)
        if self.order != order[:at] + order[at + 1 :]:
            return None
        return RowText(order, (*self.parts[: at + 1], b"", *self.parts[at + 1 :]))


class FamilyText(NamedTuple):
    """The bytes of multi-architecture rows and their children."""

    row: RowText
    """Of a row; one of its fields is PLATFORMS."""
    child: RowText
    """Of a child; its fields' names are those of `child_field`, the others are the parent's."""
    between: bytes
    """Stands between children."""


class _Probe(NamedTuple):
    """Values to encode rows with."""

    number: Callable[[int], int]
    text: Callable[[int], str]

    def values(self, types: Mapping[str, Any], first: int = 0) -> dict[str, Any]:
        """Return a value for each field, by its type."""
        return {
            field: self.text(at) if kind is str else self.number(at)
            for at, (field, kind) in enumerate(types.items(), first)
        }


_MARKS = _Probe(lambda at: 7_400_000_000_000_000_000 + at * 1_000_003, lambda at: f"Mark{at:03}Qx")
"""Are found again, whatever is done to them."""
_EMPTY = _Probe(lambda _: 0, lambda _: "")
"""May be taken for no value at all."""
_EXTREME = _Probe(lambda _: _LOWEST, lambda _: _PLAIN)
"""Are written differently by whoever escapes more than must be, or has numbers of another kind."""
_CHILDREN = b"MarkChildrenQx"


def _bytes(value: Any) -> bytes:
    """Return how a value stands in JSON, a text without its quotes."""
    return value if isinstance(value, bytes) else str(value).encode()


def row_text(encode: Encode, example: ImageRow, fields: Sequence[str], *, thoroughly: bool) -> RowText | None:
    """Return the text of rows that differ from `example` in `fields` only, none of which it lacks.

    None if they cannot be put together from constant texts and the fields' values, each once and as it is. Nothing of
    the example may have to be escaped.
    """
    types = {field: type(getattr(example, field)) for field in fields}
    marks = _MARKS.values(types)
    found = _cut(encode(msgspec.structs.replace(example, **marks)), marks)
    if found is None or sorted(found.order) != sorted(fields):
        return None
    own = {field: getattr(example, field) for field in fields}
    probes = [_EMPTY, _EXTREME] if thoroughly else [_EMPTY]
    for values in (*(probe.values(types) for probe in probes), own):
        if found.filled(values) != encode(msgspec.structs.replace(example, **values)):
            return None
    return found


def family_text(encode: Encode, example: ImageRow, fields: Sequence[str], *, thoroughly: bool) -> FamilyText | None:
    """Return the texts of multi-architecture rows that differ from `example` in `fields` and their children only.

    None as with `row_text`.
    """
    types = {field: type(getattr(example, field)) for field in fields}
    none = _Family(encode, example, _MARKS.values(types), _MARKS, 0)
    two = _Family(encode, example, _MARKS.values(types), _MARKS, 2)
    found = _family_text(none, two)
    if found is None or sorted(found.row.order) != sorted((*fields, PLATFORMS)):
        return None
    must = {child_field(field) for field in _CHILD_TYPES if field not in _MAY_LACK}
    if OPTIONAL in found.child.order or not must <= {*found.child.order}:
        return None
    own = {field: getattr(example, field) for field in fields}
    proofs = [_Family(encode, example, own, _EMPTY, 1), _Family(encode, example, _EMPTY.values(types), _EMPTY, 3)]
    if thoroughly:
        proofs.append(_Family(encode, example, _EXTREME.values(types), _EXTREME, 1))
    return found if all(proof.encoded == proof.filled(found) for proof in (none, two, *proofs)) else None


class _Family:
    """A row with children, encoded."""

    def __init__(self, encode: Encode, example: ImageRow, values: dict[str, Any], probe: _Probe, size: int) -> None:
        self.values = values
        self.children = [probe.values(_CHILD_TYPES, 100 * (at + 1)) for at in range(size)]
        platforms = [list(child.values()) for child in self.children]
        self.encoded = encode(msgspec.structs.replace(example, **self.values, platforms=platforms))

    def fields(self) -> Iterator[dict[str, Any]]:
        """Yield the fields of each child, with its parent's."""
        for child in self.children:
            yield {**self.values, **{child_field(field): value for field, value in child.items()}}

    def filled(self, text: FamilyText) -> bytes:
        """Return what a text makes of the same row."""
        children = text.between.join(map(text.child.filled, self.fields()))
        return text.row.filled({**self.values, PLATFORMS: children})


def _family_text(none: _Family, two: _Family) -> FamilyText | None:
    """Return the text that a row without and one with two children have, marked; to be proven."""
    start = next((at for at, pair in enumerate(zip(none.encoded, two.encoded, strict=False)) if pair[0] != pair[1]), 0)
    before, after = none.encoded[:start], none.encoded[start:]
    row = _cut(before + _CHILDREN + after, {**none.values, PLATFORMS: _CHILDREN})
    first, second = two.fields()
    named = [field for field in first if field.startswith(child_field(""))]
    both = _cut(
        two.encoded[start : len(two.encoded) - len(after)],
        {**first, **{f"second {field}": second[field] for field in named}},
    )
    if row is None or both is None or len(both.order) % 2:
        return None
    half = len(both.order) // 2
    opening, closing = both.parts[0], both.parts[-1]
    between = both.parts[half][len(closing) : len(both.parts[half]) - len(opening)]
    return FamilyText(row, RowText(both.order[:half], (*both.parts[:half], closing)), between)


def _cut(encoded: bytes, marks: Mapping[str, Any]) -> RowText | None:
    """Return bytes cut at the marks, None if two of these are the same."""
    names = {_bytes(mark): field for field, mark in marks.items()}
    if len(names) < len(marks):
        return None
    found = _pattern(tuple(names)).split(encoded)
    return RowText(tuple(names[mark] for mark in found[1::2]), tuple(found[::2]))


@cache
def _pattern(marks: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Return what finds marks; there are as many sets of these as of fields."""
    return re.compile(b"(" + b"|".join(map(re.escape, marks)) + b")")
