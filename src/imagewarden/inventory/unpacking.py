"""Rows as objects, of what the server sends of them."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from imagewarden.inventory.blocks import ALIKE, CHILD, LINE, RECORD, Registries
from imagewarden.inventory.records import Record
from imagewarden.inventory.rows import ImageRow, PlatformRow

__all__ = ["alike_values", "read_children", "records_in", "records_of"]

_ROW_TYPES = {field.name: field.type for field in msgspec.structs.fields(ImageRow)}
_CHILD_TYPES = {"parent_id": int} | {field.name: field.type for field in msgspec.structs.fields(PlatformRow)}
_REGISTRY_ID, _REGISTRY_NAME, _REGISTRY_TYPE = map(RECORD.index, ("registry_id", "registry_name", "registry_type"))
_FROM_ALIKE = tuple({*ALIKE, "registry_name", "registry_type"} & {*ImageRow.__struct_fields__})


def _reader(kind: Any) -> Callable[[bytes], Any]:
    """Return what reads a field of a line."""
    if kind is bool:
        return b"t".__eq__
    return int if kind in {int, int | None} else bytes.decode


_READ_ALIKE = [(field, _reader(_ROW_TYPES.get(field, str))) for field in ALIKE]
_OPTIONAL = [field for field in ALIKE if _ROW_TYPES.get(field) == str | None]
_READ_LINE = {field: (1 + at, _reader(_ROW_TYPES[field])) for at, field in enumerate(LINE)}
_READ_CHILD = [_reader(_CHILD_TYPES[field]) for field in CHILD]


def alike_values(parts: Sequence[bytes], registries: Registries) -> dict[str, Any]:
    """Return what the parts of a line's first field say of its row, its registry's name and kind included."""
    values = {field: read(part) for (field, read), part in zip(_READ_ALIKE, parts, strict=True)}
    for field in _OPTIONAL:
        values[field] = values[field] or None
    values["registry_name"], values["registry_type"] = registries[values["registry_id"]]
    return values


def records_of(
    flat: Sequence[bytes], alike: Sequence[dict[str, Any]], platforms: Sequence[list[Any] | None] | None
) -> list[Record]:
    """Return the rows of lines: of their fields, and of what their first fields say.

    Given what is in them, even if that is nothing, the rows are multi-architecture ones.
    """
    absent = [None] * len(alike)
    columns: dict[str, Sequence[Any]] = {
        field: list(map(read, flat[at :: 1 + len(LINE)])) for field, (at, read) in _READ_LINE.items()
    }
    columns["scanned_at"] = [None if moment < 0 else moment for moment in columns["scanned_at"]]
    columns["is_index"] = [platforms is not None] * len(alike)
    columns["platforms"] = absent if platforms is None else platforms
    for field in _FROM_ALIKE:
        columns[field] = [values[field] for values in alike]
    rows = map(ImageRow, *(columns.get(field, absent) for field in ImageRow.__struct_fields__))
    return list(map(Record, rows, [values["enterprise_project_id"] for values in alike]))


def read_children(columns: Sequence[Sequence[bytes]]) -> list[list[Any]]:
    """Return children as ImageRow has them, of columns in the order of CHILD."""
    _, *values = (list(map(read, column)) for read, column in zip(_READ_CHILD, columns, strict=True))
    return list(map(list, zip(*values, strict=True)))


def records_in(records: bytes, registries: Registries) -> list[Record]:
    """Return the rows that stand in JSON; nothing stands for none."""
    found = []
    for values in msgspec.json.decode(records) if records else ():
        values[_REGISTRY_NAME], values[_REGISTRY_TYPE] = registries[values[_REGISTRY_ID]]
        found.append(Record(ImageRow(*values[:-1]), values[-1]))
    return found
