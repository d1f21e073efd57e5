"""Installations made by the command line itself."""

import base64
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from imagewarden.cli.main import app
from imagewarden.identity.vault import Vault
from imagewarden.storage.database import Database
from tests.support.cli import Cli


@pytest.fixture
def empty_cli() -> Iterator[Cli]:
    """Give the command line over a data folder that is not there yet."""
    home = Path(tempfile.mkdtemp(prefix="iw-cli-"))
    home.chmod(0o711)
    yield Cli(home / "data")
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def installation() -> Iterator[tuple[Cli, dict[str, Any]]]:
    """Give the command line over an installation of the module's own, and what init printed."""
    home = Path(tempfile.mkdtemp(prefix="iw-cli-"))
    home.chmod(0o711)
    made = Cli(home / "data")
    yield made, made.json("init")
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def cli(installation: tuple[Cli, dict[str, Any]]) -> Cli:
    """Give the command line over the module's installation."""
    return installation[0]


@pytest.fixture
def facts(installation: tuple[Cli, dict[str, Any]]) -> dict[str, Any]:
    """Give what init printed."""
    return installation[1]


Invoke = Callable[..., Result]


KEY = bytes(range(32))


@pytest.fixture(scope="session")
def vault() -> Vault:
    """Give the vault of the installations below."""
    return Vault(KEY)


@pytest.fixture
def invoke(embedded_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoke]:
    """Give the command line over a fresh installation, run in this process; checks the exit code."""
    monkeypatch.setenv("IMAGEWARDEN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IMAGEWARDEN_DATABASE_URL", embedded_database.conninfo)
    monkeypatch.setenv("IMAGEWARDEN_SECRET_KEY", base64.b64encode(KEY).decode())
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str, stdin: str | None = None, expect: int = 0) -> Result:
        done = CliRunner().invoke(app, arguments, input=stdin, prog_name="imagewarden")
        assert done.exit_code == expect, f"{arguments}: {done.output}"
        assert "Traceback" not in done.output
        return done

    run("init")
    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configured)
