"""How commands end."""

import os
import subprocess
import sys

import pytest
import typer

from imagewarden.cli.errors import BROKEN_PIPE, FAILED, CommandError, reported


def test_an_error_for_the_user_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, reported():
        raise CommandError("port 1 is in use; choose another")
    assert ended.value.exit_code == FAILED
    assert capsys.readouterr().err == "imagewarden: error: port 1 is in use; choose another\n"


def test_any_other_error_is_one_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, reported():
        raise KeyError("x\ny")
    assert ended.value.exit_code == FAILED
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "IMAGEWARDEN_DEBUG=1" in said
    assert "Traceback" not in said


def test_debugging_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEWARDEN_DEBUG", "1")
    with pytest.raises(typer.Exit), reported():
        raise KeyError("x")
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = (
        "import sys\n"
        "from imagewarden.cli.errors import reported\n"
        "import typer\n"
        "try:\n"
        "    with reported():\n"
        "        for n in range(100000): print(n)\n"
        "except typer.Exit as ended: sys.exit(ended.exit_code)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, "")
