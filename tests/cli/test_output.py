"""What is printed, on a terminal and in a pipe."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.cli import output
from imagewarden.cli.output import Column

COLUMNS = (Column("NAME"), Column("SIZE", right=True), Column("NOTE", wide=True))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Have a person look, at 80 columns; gives what is seen."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    for name, value in {"COLUMNS": "80", "TERM": "xterm-256color", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return lambda: capsys.readouterr().out


def test_a_pipe_gets_tabs_and_no_footer(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(COLUMNS, [["a", "1", "x"], ["b", "22", "y"]], footer="2 rows")
    said = capsys.readouterr()
    assert said.out == "NAME\tSIZE\tNOTE\na\t1\tx\nb\t22\ty\n"
    assert said.err == "2 rows\n"


def test_a_terminal_gets_a_table_in_color(terminal: Callable[[], str]) -> None:
    output.print_table(COLUMNS, [["a", "1", "x"]], footer="1 row", styles=[["bold red", "", ""]])
    said = terminal()
    assert "1 row" in said
    assert "\x1b[1;31ma" in said
    assert "NOTE" not in said  # 80 columns


def test_a_wide_terminal_gets_every_column(terminal: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "130")
    output.print_table(COLUMNS, [["a", "1", "x"]])
    assert "NOTE" in terminal()


def test_no_color(terminal: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    output.print_table(COLUMNS, [["a", "1", "x"]], styles=[["red", "", ""]])
    assert "\x1b[31m" not in terminal()


@pytest.mark.parametrize("hostile", ["a\x1b[31mb", "a\nb", "a\tb", "a\x9b31mb", "[red]x[/red]"])
def test_a_name_cannot_control_the_terminal(terminal: Callable[[], str], hostile: str) -> None:
    """A repository's name is the registry's word."""
    output.print_table((Column("NAME"),), [[hostile]])
    said = terminal()
    assert "\x1b[31m" not in said
    assert "\x9b" not in said
    assert "red" not in hostile or "[red]x[/red]" in said


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2**63 - 1, "9.2 EB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert output.human_size(count) == shown


@given(st.integers(0, 2**63 - 1))
def test_every_size_is_short(count: int) -> None:
    assert len(output.human_size(count)) <= 8


@pytest.mark.parametrize(
    ("moment", "shown"),
    [(None, ""), (0, "1970-01-01T00:00:00Z"), (1_700_000_000_123, "2023-11-14T22:13:20Z"), (2**62, f"{2**62} ms")],
)
def test_times_in_a_pipe(moment: int | None, shown: str) -> None:
    assert output.human_time(moment) == shown


def test_times_on_a_terminal_are_local(terminal: Callable[[], str]) -> None:
    assert "T" not in output.human_time(1_700_000_000_123)
    assert output.human_time(2**62) == f"{2**62} ms"
