"""The one way that commands print: tables on a terminal, tab-separated lines in a pipe, JSON when asked."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Column",
    "console",
    "human_size",
    "human_time",
    "is_terminal",
    "markup_mode",
    "note",
    "plain",
    "print_facts",
    "print_json",
    "print_table",
    "say",
]


_WIDE = 120
"""Columns of a terminal that has room for everything."""


class Column(NamedTuple):
    """A column of a table."""

    title: str
    """Its heading."""
    right: bool = False
    """Whether its values stand to the right, as numbers do."""
    wide: bool = False
    """Whether a terminal narrower than 120 columns goes without it."""


def is_terminal() -> bool:
    """Return whether a person looks at standard output."""
    return sys.stdout.isatty()


def markup_mode() -> Literal["rich"] | None:
    """Return how help is laid out: in boxes on a terminal, as plain text in a pipe."""
    return "rich" if is_terminal() else None


def console() -> "Console":
    """Return rich's console of standard output; it honours NO_COLOR and the terminal's width."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """Print a line as it is."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Print a line for a person: beside the output, so that a pipe holds nothing but results."""
    sys.stderr.write(f"{text}\n")


def print_json(value: Any) -> None:
    """Print a value as JSON, indented for a person, on one line in a pipe."""
    say(json.dumps(value, indent=2 if is_terminal() else None, ensure_ascii=False))


def plain(text: str) -> str:
    """Return a text that cannot break the line it is in, nor send the terminal a control sequence."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def print_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    footer: str = "",
    styles: Iterable[Sequence[str]] | None = None,
) -> None:
    """Print rows under headings; `styles` names rich's style of each cell, for a terminal. Cells are plain text."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if not is_terminal():
        say("\t".join(column.title for column in columns))
        for row in cells:
            say("\t".join(row))
        if footer:
            note(footer)
        return
    painted = styles if styles is not None else ([""] * len(columns) for _ in cells)
    _print_rich(columns, cells, painted, footer)


def _print_rich(
    columns: Sequence[Column], cells: Iterable[Sequence[str]], styles: Iterable[Sequence[str]], footer: str
) -> None:
    """Print a table for a person, as wide as the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    terminal = console()
    shown = [at for at, column in enumerate(columns) if not column.wide or terminal.width >= _WIDE]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=footer or None, caption_justify="left")
    for at in shown:
        table.add_column(columns[at].title, justify="right" if columns[at].right else "left", overflow="fold")
    for row, paint in zip(cells, styles, strict=True):
        table.add_row(*(Text(row[at], paint[at]) for at in shown))
    terminal.print(table)


def print_facts(facts: dict[str, str]) -> None:
    """Print names and values, one a line, values in one column."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        say(f"{name:<{width}}  {plain(value)}")


def human_size(count: int) -> str:
    """Return bytes as a person reads them: 999 B, 12.3 MB (decimal units, as registries show)."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB", "EB"):
        size /= 1000
        if size < 999.95 or unit == "EB":
            return f"{size:.1f} {unit}"
    raise AssertionError("unreachable")


def human_time(milliseconds: int | None) -> str:
    """Return a time (ms since 1970 UTC): local on a terminal, ISO 8601 in UTC in a pipe, empty for None."""
    if milliseconds is None:
        return ""
    from datetime import UTC, datetime, timedelta

    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        if is_terminal():
            return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:  # a registry's word; the calendar ends before int64 does
        return f"{milliseconds} ms"
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
