"""All rows of a project in one streaming read, as blocks of rows that the server puts together.

A message a row would cost more than all else that is done with the row. Most rows come as a line, its fields divided by
FIELD, and so do the children of multi-architecture images; the few that take more than a line come as JSON.
"""

from collections.abc import Generator, Sequence

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from imagewarden.inventory.blocks import (
    ALIKE,
    BLOCK_IDS,
    CHILD,
    FIELD,
    LINE,
    NEVER_SCANNED,
    OPTIONAL_TEXTS,
    PART,
    RECORD,
    SELDOM,
    Block,
    Registries,
)
from imagewarden.inventory.rows import PlatformRow

__all__ = ["RECORD_SQL", "ROW_SQL", "read_blocks", "read_registries"]

_LINE_BYTES = 4096
_RECORD_BYTES = 1 << 16
"""Longer rows are left out of their block: a value has 1 GiB at most."""


def _columns(fields: Sequence[str], table: str = "i", **special: str | sql.Composable) -> sql.Composable:
    """Return fields of a row as expressions; all but the special ones are columns of the field's own name."""
    found = (special.get(field, f"{table}.{field}") for field in fields)
    return sql.SQL(", ").join(sql.SQL(each) if isinstance(each, str) else each for each in found)


_PLATFORMS = sql.SQL(
    "CASE WHEN i.is_index THEN (SELECT json_agg(json_build_array({}) ORDER BY p.position, p.id)"
    " FROM image_platform p WHERE p.parent_id = i.id) END"
).format(_columns(PlatformRow.__struct_fields__, "p"))
RECORD_SQL = _columns(RECORD, registry_name="r.name", registry_type="r.type", platforms=_PLATFORMS)
"""The fields of RECORD, of an image `i` and its registry `r`."""
ROW_SQL = sql.SQL(
    "SELECT {fields} FROM image i JOIN registry r ON r.id = i.registry_id"
    " WHERE i.project_id = %s AND i.removed_at IS NULL"
).format(fields=RECORD_SQL)
"""The live rows of a project with the fields of RECORD, one by one."""
_IN_LINE = sql.SQL("{} AND coalesce(i.scanned_at, 0) >= 0").format(
    sql.SQL(" AND ").join(sql.SQL("i.{} IS DISTINCT FROM ''").format(sql.Identifier(it)) for it in OPTIONAL_TEXTS)
)
"""What a line can tell: an empty text stands for none there."""
_BLOCKS = sql.SQL("""
WITH RECURSIVE block(first) AS (
  SELECT min(i.id) FROM image i WHERE {live}
  UNION ALL
  SELECT (SELECT min(i.id) FROM image i WHERE {live} AND i.id > {last}) FROM block WHERE first IS NOT NULL
)
SELECT
  block.first, rows.total, children.total,
  rows.plain, rows.plain_lines, rows.parents, rows.parent_lines, children.fitting, children.lines, rows.records
FROM block, LATERAL (
  SELECT
    count(*) AS total,
    count(*) FILTER (WHERE octet_length(plain_line) < {line_bytes}) AS plain,
    string_agg(plain_line, {field}) FILTER (WHERE octet_length(plain_line) < {line_bytes}) AS plain_lines,
    count(*) FILTER (WHERE octet_length(parent_line) < {line_bytes}) AS parents,
    string_agg(parent_line, {field}) FILTER (WHERE octet_length(parent_line) < {line_bytes}) AS parent_lines,
    array_agg(id) FILTER (WHERE octet_length(parent_line) < {line_bytes}) AS parent_ids,
    json_agg(record) FILTER (WHERE octet_length(record::text) < {record_bytes}) AS records
  FROM (
    SELECT i.id,
      CASE WHEN NOT i.is_index AND {in_line} THEN {line} END AS plain_line,
      CASE WHEN i.is_index AND {in_line} THEN {line} END AS parent_line,
      CASE WHEN NOT ({in_line}) THEN json_build_array({record}) END AS record
    FROM image i WHERE {live} AND i.id >= block.first AND i.id <= {last} ORDER BY i.id OFFSET 0
  ) each
) rows, LATERAL (
  SELECT
    count(*) AS total,
    count(*) FILTER (WHERE octet_length(line) < {line_bytes}) AS fitting,
    string_agg(line, {field}) FILTER (WHERE octet_length(line) < {line_bytes}) AS lines
  FROM (
    SELECT concat_ws({field}, {child}) AS line FROM image_platform p
    WHERE p.parent_id = ANY(rows.parent_ids) ORDER BY p.parent_id, p.position, p.id OFFSET 0
  ) each
) children
WHERE block.first IS NOT NULL""")
"""Every block is a scan of a range of ids; OFFSET 0 keeps lines from being made more than once."""
_TYPES = ("int8", "int8", "int8", "int8", "bytea", "int8", "bytea", "int8", "bytea", "bytea")


def _line() -> sql.Composable:
    """Return a row's line; what is mostly empty is not put together each time."""
    often = _columns(ALIKE[: -len(SELDOM)], risk_level="coalesce(i.risk_level, '')")
    texts = {field: f"coalesce(i.{field}, '')" for field in OPTIONAL_TEXTS}
    empty = sql.SQL(" AND ").join(sql.SQL("{} = ''").format(_columns((field,), "i", **texts)) for field in SELDOM)
    return sql.SQL(
        "concat_ws({field}, CASE WHEN {empty} THEN concat_ws({part}, {often}, {parts})"
        " ELSE concat_ws({part}, {often}, {seldom}) END, {fields})"
    ).format(
        field=FIELD.decode(), part=PART.decode(), empty=empty, often=often, seldom=_columns(SELDOM, "i", **texts),
        parts=PART.decode() * (len(SELDOM) - 1),
        fields=_columns(LINE, scanned_at=f"coalesce(i.scanned_at, {NEVER_SCANNED.decode()})"),
    )  # fmt: skip


def _statement(project_id: str) -> sql.Composed:
    """Return the SELECT of a project's blocks; its columns are those of Block."""
    span = sql.Literal(BLOCK_IDS - 1)
    return _BLOCKS.format(
        live=sql.SQL("i.project_id = {} AND i.removed_at IS NULL").format(project_id),
        last=sql.SQL("block.first + least({}, 9223372036854775807 - block.first)").format(span),
        in_line=_IN_LINE, field=FIELD.decode(), line_bytes=_LINE_BYTES, record_bytes=_RECORD_BYTES,
        line=_line(),
        child=_columns(CHILD, "p"),
        # The registry's fields are added by whoever reads the record.
        record=_columns(RECORD, registry_name="NULL", registry_type="NULL", platforms=_PLATFORMS),
    )  # fmt: skip


def read_blocks(connection: psycopg.Connection, project_id: str) -> Generator[Block]:
    """Yield a project's live rows in ascending order of id; the connection is busy until all are read."""
    with connection.cursor() as cursor:
        # Compiling the statement takes longer than it could ever save.
        cursor.execute("SET LOCAL jit = off")
        with cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(_statement(project_id))) as copy:
            copy.set_types(_TYPES)
            for values in copy.rows():
                yield Block._make(b"" if value is None else value for value in values)


def read_registries(connection: psycopg.Connection) -> Registries:
    """Return name and kind of every registry, by id: a join would be paid for by every row."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return {found[0]: (found[1], found[2]) for found in cursor.execute("SELECT id, name, type FROM registry")}
