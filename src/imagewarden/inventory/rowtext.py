"""What `encode` gives for rows that are alike, as constant texts and the fields between them.

Most rows differ from others in a few fields only, and their bytes in the texts of these. Where those stand is found by
encoding rows with values that are found again, so that whoever encodes rows need not say; and it is proven with others.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from imagewarden.inventory.rows import ImageRow, PlatformRow

__all__ = ["OPTIONAL", "PLATFORMS", "FamilyTexts", "RowText", "child_field", "family_texts", "row_texts"]

OPTIONAL = "scanned_at"
"""The field that a row may lack; then its text is empty."""
PLATFORMS = "platforms"
"""The field that stands for the texts of a row's children."""

Encode = Callable[[ImageRow], bytes]

_MARK = 7_400_000_000_000_000_000
_STEP = 1_000_003
_LOWEST = -(2**63)
_PLAIN = (
    "".join(map(chr, range(0x20, 0x180))).translate({ord('"'): None, ord("\\"): None}) + "\u2028\u2029\ufeff\U0001f600"
)
"""Every kind of character that a text may hold where it stands in JSON as it is."""
_CHILD_TYPES = {field.name: field.type for field in msgspec.structs.fields(PlatformRow)}
_CHILD_CONSTANT = ("os", "architecture", "variant", "scan_status")
"""Fields of a child that its text may lack."""


def child_field(field: str) -> str:
    """Return the name of a child's field among the fields of its parent."""
    return f"child {field}"


class RowText(NamedTuple):
    """The bytes of rows, or of children, that differ in some fields only."""

    order: tuple[str, ...]
    """These fields, in the order in which they stand."""
    parts: tuple[bytes, ...]
    """The texts before, between and after them."""

    def filled(self, values: Mapping[str, bytes]) -> bytes:
        """Return the bytes with these values."""
        fields = (values[field] for field in self.order)
        return b"".join(part + value for part, value in zip(self.parts, (*fields, b""), strict=True))


class FamilyTexts(NamedTuple):
    """The bytes of multi-architecture rows and their children."""

    rows: tuple[RowText, RowText]
    """Of rows that have the optional field, and of those that lack it."""
    child: RowText
    """Of a child; its fields' names are those of `child_field`, the others are the parent's."""
    between: bytes
    """Stands between children."""


def row_texts(encode: Encode, example: ImageRow, fields: Sequence[str]) -> tuple[RowText, RowText] | None:
    """Return the texts of rows that differ from `example` in `fields` only: with the optional field, and without.

    None if they cannot be put together from constant texts and the fields' values, each once and as it is. Nothing of
    the example may have to be escaped.
    """
    both = [_row_text(encode, each, names) for each, names in _variants(example, fields)]
    return _aligned(both[0], both[1])


def family_texts(encode: Encode, example: ImageRow, fields: Sequence[str]) -> FamilyTexts | None:
    """Return the texts of multi-architecture rows that differ from `example` in `fields` and their children only.

    None as with `row_texts`.
    """
    both = [_family_text(encode, each, names) for each, names in _variants(example, fields)]
    if both[0] is None or both[1] is None or both[0][1:] != both[1][1:]:
        return None
    rows = _aligned(both[0][0], both[1][0])
    return rows and FamilyTexts(rows, *both[0][1:])


def _variants(example: ImageRow, fields: Sequence[str]) -> list[tuple[ImageRow, list[str]]]:
    """Return a row with the optional field, and one without it, and which of `fields` each has."""
    moment = getattr(example, OPTIONAL)
    return [
        (msgspec.structs.replace(example, **{OPTIONAL: 1 if moment is None else moment}), list(fields)),
        (msgspec.structs.replace(example, **{OPTIONAL: None}), [field for field in fields if field != OPTIONAL]),
    ]


def _aligned(full: RowText | None, short: RowText | None) -> tuple[RowText, RowText] | None:
    """Return both with the same order, None if one of them is or if they have another."""
    if full is None or short is None:
        return None
    at = full.order.index(OPTIONAL)
    if short.order != full.order[:at] + full.order[at + 1 :]:
        return None
    return full, RowText(full.order, (*short.parts[: at + 1], b"", *short.parts[at + 1 :]))


class _Probe(NamedTuple):
    """Values to encode a row with, which are found again or may go wrong."""

    mark: Callable[[int], int]
    text: Callable[[int], str]

    def values(self, kinds: Mapping[str, Any], first: int = 0) -> dict[str, Any]:
        """Return a value for each field, by its type."""
        return {
            field: self.text(at) if kind is str else self.mark(at)
            for at, (field, kind) in enumerate(kinds.items(), first)
        }


_MARKS = _Probe(lambda at: _MARK + at * _STEP, lambda at: f"Mark{at:03}Qx")
_PROOFS = (_Probe(lambda _: 0, lambda _: _PLAIN), _Probe(lambda _: _LOWEST, lambda _: ""))


def _types(example: ImageRow, fields: Sequence[str]) -> dict[str, Any]:
    return {field: type(getattr(example, field)) for field in fields}


def _bytes(values: Mapping[str, Any]) -> dict[str, bytes]:
    """Return how values stand in JSON, texts without their quotes; only for what JSON does not escape."""
    return {field: str(value).encode() for field, value in values.items()}


def _row_text(encode: Encode, example: ImageRow, fields: Sequence[str]) -> RowText | None:
    """Return the text of rows that differ from `example` in `fields`, all of which it has."""
    kinds = _types(example, fields)
    marks = _MARKS.values(kinds)
    found = _cut(encode(msgspec.structs.replace(example, **marks)), _bytes(marks))
    if found is None or sorted(found.order) != sorted(fields):
        return None
    for values in (*(probe.values(kinds) for probe in _PROOFS), {field: getattr(example, field) for field in fields}):
        if found.filled(_bytes(values)) != encode(msgspec.structs.replace(example, **values)):
            return None
    return found


def _family_text(encode: Encode, example: ImageRow, fields: Sequence[str]) -> tuple[RowText, RowText, bytes] | None:
    """Return the text of rows that differ from `example` in `fields` and their children, of a child, and between."""
    kinds = _types(example, fields)

    def encoded(probe: _Probe, children: int) -> tuple[bytes, dict[str, Any], list[dict[str, Any]]]:
        values = probe.values(kinds)
        family = [probe.values(_CHILD_TYPES, 100 * (at + 1)) for at in range(children)]
        row = msgspec.structs.replace(example, **values, platforms=[list(child.values()) for child in family])
        return encode(row), values, family

    none, marks, _ = encoded(_MARKS, 0)
    one, _, (child_marks,) = encoded(_MARKS, 1)
    two, _, (_, second_marks) = encoded(_MARKS, 2)
    before = none[: next((at for at, (left, right) in enumerate(zip(none, one, strict=False)) if left != right), None)]
    after = none[len(before) :]
    row = _cut(before + _CHILDREN + after, {**_bytes(marks), PLATFORMS: _CHILDREN})
    child = _cut(one[len(before) : len(one) - len(after)], _bytes(_family(marks, child_marks)))
    if row is None or child is None or sorted(row.order) != sorted((*fields, PLATFORMS)):
        return None
    must = {child_field(field) for field in _CHILD_TYPES if field not in _CHILD_CONSTANT}
    second = child.filled(_bytes(_family(marks, second_marks)))
    between = two[len(one) - len(after) : len(two) - len(after) - len(second)]
    if OPTIONAL in child.order or not must <= {*child.order} or not two.endswith(between + second + after):
        return None
    for probe, children in ((_PROOFS[0], 1), (_PROOFS[1], 0), (_PROOFS[1], 3)):
        expected, values, family = encoded(probe, children)
        texts = between.join(child.filled(_bytes(_family(values, each))) for each in family)
        if row.filled({**_bytes(values), PLATFORMS: texts}) != expected:
            return None
    return row, child, between


_CHILDREN = b"MarkChildrenQx"


def _family(values: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row and of its child."""
    return {**values, **{child_field(field): value for field, value in child.items()}}


def _cut(encoded: bytes, marks: Mapping[str, bytes]) -> RowText | None:
    """Return bytes cut at the marks; None if a mark stands there inside of another."""
    names = {mark: field for field, mark in marks.items()}
    if len(names) < len(marks):
        return None
    found = re.split(b"(" + b"|".join(map(re.escape, names)) + b")", encoded)
    return RowText(tuple(names[mark] for mark in found[1::2]), tuple(found[::2]))
