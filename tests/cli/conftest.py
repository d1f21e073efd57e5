"""Installations made by the command line itself."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
