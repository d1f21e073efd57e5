"""Log lines: where they go and what they never show."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from imagewarden import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was."""
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configured)


def test_lines_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", as_json=True)
    structlog.get_logger("imagewarden.here").info("it happened", count=3)
    logging.getLogger("elsewhere").warning("that %s", "too")
    said = capsys.readouterr()
    assert said.out == ""
    first, second = map(json.loads, said.err.splitlines())
    assert (first["event"], first["count"], first["level"], first["logger"]) == (
        "it happened",
        3,
        "info",
        "imagewarden.here",
    )
    assert (second["event"], second["level"]) == ("that too", "warning")


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(capsys: pytest.CaptureFixture[str], level: str, heard: int) -> None:
    logs.configure(level)
    log = structlog.get_logger("imagewarden.here")
    for each in ("debug", "info", "warning", "error"):
        getattr(log, each)("line")
    assert capsys.readouterr().err.count("line") == heard


def test_libraries_that_tell_every_step_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """httpx names every URL it asks for."""
    logs.configure("info")
    logging.getLogger("httpx").info("HTTP Request: GET https://registry.example.test/token?secret=hush")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    logs.configure("info", as_json=as_json)

    def fail(password: str) -> None:
        raise ValueError(len(password))

    try:
        fail("hu" + "sh")
    except ValueError:
        structlog.get_logger("imagewarden.here").exception("it failed")
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert "hush" not in said
