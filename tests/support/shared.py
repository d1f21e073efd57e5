"""Reference material beside the repository: used where it is, never needed."""

import os
from pathlib import Path

import pytest

__all__ = ["ROOT", "shared_path"]

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""


def shared_path(relative: str) -> Path:
    """Return a file of the reference material; skips the test without it, and fails it in continuous integration."""
    path = ROOT.parent / "shared" / relative
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{relative} of the reference material is missing")
        pytest.skip(f"the reference material is not here: {relative}")
    return path
