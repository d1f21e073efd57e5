"""The copy of PostgreSQL that root keeps for the server's account."""

import subprocess
from pathlib import Path

import pytest

from imagewarden.storage import binaries


@pytest.mark.parametrize("program", ["initdb", "postgres", "createdb"])
def test_copied_programs_find_the_libraries_that_the_wheel_brings(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the copy left out the wheel's libraries, which the programs look for beside the package."""
    monkeypatch.setattr(binaries, "SHARED", tmp_path)
    packages = binaries._packages()
    copy = binaries._copied(packages, binaries._fingerprint(packages))
    assert copy.parent == tmp_path
    assert binaries._copied(packages, binaries._fingerprint(packages)) == copy
    done = subprocess.run(
        [copy / binaries._INSTALLED / "bin" / program, "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert binaries.MAJOR_VERSION in done.stdout
    assert not list(tmp_path.glob(".partial-*"))
