"""A child process that is kept running."""

import os
import time
from pathlib import Path

from imagewarden.cli.keeper import Keeper


def keep(script: str, patience: float = 5.0) -> Keeper:
    """Return the keeper of a shell script, started."""
    keeper = Keeper("script", ["/bin/sh", "-c", script], os.environ, patience=patience)
    keeper.start()
    return keeper


def wait_for(path: Path, lines: int) -> list[str]:
    """Return a file's lines once it has so many."""
    for _ in range(100):
        if path.exists() and len(found := path.read_text().splitlines()) >= lines:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{path} never had {lines} lines")


def test_it_is_started_again(tmp_path: Path) -> None:
    keeper = keep(f"echo $$ >> {tmp_path}/started")
    started = wait_for(tmp_path / "started", 3)
    keeper.stop()
    assert len(set(started)) == len(started)
    count = len((tmp_path / "started").read_text().splitlines())
    time.sleep(1.2)
    assert len((tmp_path / "started").read_text().splitlines()) == count


def test_it_is_asked_to_end(tmp_path: Path) -> None:
    keeper = keep(f"trap 'echo bye >> {tmp_path}/said; exit' TERM; echo up >> {tmp_path}/said; sleep 60 & wait")
    wait_for(tmp_path / "said", 1)
    keeper.stop()
    assert (tmp_path / "said").read_text() == "up\nbye\n"


def test_it_is_killed_when_it_does_not_end(tmp_path: Path) -> None:
    keeper = keep(f"trap '' TERM; echo $$ >> {tmp_path}/started; while :; do sleep 0.1; done", patience=0.5)
    (number,) = wait_for(tmp_path / "started", 1)
    started = time.monotonic()
    keeper.stop()
    assert time.monotonic() - started < 5
    assert not Path(f"/proc/{number}").exists()


def test_a_stop_before_the_start_starts_nothing(tmp_path: Path) -> None:
    keeper = Keeper("script", ["/bin/sh", "-c", f"touch {tmp_path}/started"], os.environ, patience=1.0)
    keeper.ask_to_stop()
    keeper.start()
    keeper.stop()
    assert not (tmp_path / "started").exists()
