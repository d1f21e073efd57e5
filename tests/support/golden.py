"""Files that say what an output must be; UPDATE_GOLDEN=1 writes them anew."""

import os
from pathlib import Path

__all__ = ["compare"]


def compare(path: Path, found: str) -> None:
    """Fail unless the file holds exactly this text."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found)
    assert path.exists(), f"{path} is missing; UPDATE_GOLDEN=1 makes it"
    assert found == path.read_text(), f"{path} is out of date; UPDATE_GOLDEN=1 writes it anew"
