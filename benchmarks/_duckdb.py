"""DuckDB as a peer: the same rows in memory, columnar, each with its children."""
# ruff: noqa: S608 # statements are put together of constants

import importlib.util
from pathlib import Path
from typing import Any

from benchmarks._postgres import COLUMNS, REGISTRY_IDS, Found
from benchmarks._server import connect
from benchmarks._shapes import Question
from imagewarden.inventory.filters import (
    AnyPositive,
    Condition,
    Contains,
    Equals,
    ImageColumn,
    OneOf,
    Within,
    conditions,
)
from imagewarden.storage.database import Database

__all__ = ["DuckDBPeer", "duckdb_is_there"]

_EXPORT = f"""
COPY (SELECT {COLUMNS}, enterprise_project_id,
  (SELECT json_agg(child ORDER BY child.position) FROM image_platform AS child WHERE child.parent_id = image.id)
  AS platforms FROM image ORDER BY id) TO STDOUT (FORMAT csv, HEADER)
"""
_BOOLEANS = ("is_latest", "scannable", "is_index")
_NUMBERS = (
    "id", "size", "updated_at", "scanned_at", "synced_at", "vulnerability_count", "unsafe_setting_count",
    "malicious_file_count",
)  # fmt: skip


def duckdb_is_there() -> bool:
    """Return whether DuckDB is installed."""
    return importlib.util.find_spec("duckdb") is not None


class DuckDBPeer:
    """The image table in DuckDB, asked by two threads."""

    name = "duckdb"

    def __init__(self, database: Database, folder: Path) -> None:
        """Copy all rows, in order of id."""
        import duckdb

        exported = folder / "image.csv"
        with exported.open("wb") as file, connect(database) as connection, connection.cursor().copy(_EXPORT) as copy:
            file.writelines(copy)
        names = [*COLUMNS.split(", "), "enterprise_project_id", "platforms"]
        types = ", ".join(f"'{name}': '{_type(name)}'" for name in names)
        self.version: str = duckdb.__version__
        self._connection = duckdb.connect(config={"threads": 2})
        self._connection.execute(
            f"CREATE TABLE image AS SELECT * FROM read_csv('{exported}', header = true, columns = {{{types}}})"
        )
        exported.unlink()

    def ask(self, question: Question) -> Found:
        """Return the answer; a page's rows are fetched whole, once they are known: that is quicker here too."""
        texts, values = ["true"], list[Any]()
        for condition in conditions(question.asked):
            text, more = _sql(condition)
            texts.append(text)
            values += more
        where = " AND ".join(texts)
        total = self._rows(f"SELECT count(*) FROM image WHERE {where}", values)[0][0]
        direction, nulls = ("DESC", "LAST") if question.order.descending else ("ASC", "FIRST")
        times = f"scanned_at {direction} NULLS {nulls}, " if question.order.by_scan_time else ""
        order = f"ORDER BY {times}id {direction}"
        page = f"SELECT rowid FROM image WHERE {where} {order} LIMIT {question.limit} OFFSET {question.offset}"
        rows = self._rows(f"SELECT {COLUMNS}, platforms FROM image WHERE rowid IN ({page}) {order}", values)
        return Found(total, [row[0] for row in rows])

    def _rows(self, statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._connection.execute(statement, values).fetchall()
        return found

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def _type(column: str) -> str:
    """Return a column's type."""
    return "BOOLEAN" if column in _BOOLEANS else "BIGINT" if column in _NUMBERS else "VARCHAR"


def _sql(condition: Condition) -> tuple[str, list[Any]]:
    """Return a condition as SQL with its values."""
    values: list[Any] = []
    match condition:
        case Equals(ImageColumn.REGISTRY_NAME, value):
            text, values = "registry_id = ?", [REGISTRY_IDS[str(value)]]
        case Equals(column, bool(value)):
            text = column.value if value else f"NOT {column}"
        case Equals(column, value):
            text, values = f"{column} = ?", [value]
        case OneOf(column, several):
            text, values = f"{column} IN ({', '.join('?' * len(several))})", list(several)
        case Within(column, low, high):
            text, values = f"{column} BETWEEN ? AND ?", [low, high]
        case AnyPositive(columns, wanted):
            some = " OR ".join(f"{column} > 0" for column in columns)
            text = f"({some})" if wanted else f"NOT ({some})"
        case Contains(columns, sought):
            text = f"({' OR '.join(f'contains(lower({column}), ?)' for column in columns)})"
            values = [sought] * len(columns)
    return text, values
