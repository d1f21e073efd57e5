"""Programs beside the demonstration: awaited, told apart when they fail, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo import processes
from demo.distribution.server import RegistryServer
from demo.errors import DemoError
from demo.processes import background, choose_port
from tests.support.shared import ROOT

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def wait_until(log: Path, text: str) -> None:
    """Return when the log holds a text."""
    for _ in range(200):
        if log.exists() and text in log.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{log} never held {text!r}")


def is_alive(process_id: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_program_is_stopped(tmp_path: Path) -> None:
    """Leaving the context ends the program, whose output is in the log."""
    with background("sleeper", SLEEP, tmp_path / "logs/log") as program:
        wait_until(tmp_path / "logs/log", "up")
        program.check()
    with pytest.raises(DemoError, match=r"sleeper ended with code -15; its log is .*, which ends: up"):
        program.check()


def test_stubborn_program_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that does not listen is killed when its time is over."""
    monkeypatch.setattr(processes, "_PATIENCE", 0.2)
    with background("mule", [sys.executable, "-c", STUBBORN], tmp_path / "log") as program:
        wait_until(tmp_path / "log", "up")
    with pytest.raises(DemoError, match="mule ended with code -9"):
        program.check()


def test_program_that_ends_early(tmp_path: Path) -> None:
    """Waiting for a program that has ended fails at once, with the end of its log."""
    command = [sys.executable, "-c", "raise SystemExit('no such luck')"]
    before = time.monotonic()
    with (
        background("quitter", command, tmp_path / "log") as program,
        pytest.raises(DemoError, match=r"quitter ended with code 1; its log is .*, which ends: no such luck"),
    ):
        program.wait_for("http://127.0.0.1:1/")
    assert time.monotonic() - before < 10


def test_program_that_does_not_answer(tmp_path: Path) -> None:
    """Waiting ends when the time is over, and says where the log is."""
    url = f"http://127.0.0.1:{choose_port(0)}/"
    with (
        background("mute", SLEEP, tmp_path / "log") as program,
        pytest.raises(DemoError, match=f"mute does not answer at {url} after 1 s; its log is"),
    ):
        program.wait_for(url, seconds=1)


def test_program_that_does_not_exist(tmp_path: Path) -> None:
    """A missing program is one sentence."""
    with (
        pytest.raises(DemoError, match="nothing cannot be started"),
        background("nothing", ["/absent"], tmp_path / "log"),
    ):
        raise AssertionError("it runs")


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    """Regression: kill -9 of the demonstration left its server and registry behind."""
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom demo.processes import background\n"
        "command = [sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(60)']\n"
        "with background('child', command, Path(sys.argv[1])): time.sleep(60)\n"
    )
    log = tmp_path / "log"
    with subprocess.Popen([sys.executable, "-c", script, log], cwd=ROOT) as parent:
        wait_until(log, "\n")
        child = int(log.read_text())
        assert is_alive(child)
        parent.send_signal(signal.SIGKILL)
    for _ in range(100):
        if not is_alive(child):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("the child outlived its parent")


def test_chosen_port(registry: RegistryServer) -> None:
    """A free port is taken as wanted, a used one replaced by another that is free."""
    free = choose_port(0)
    assert choose_port(free) == free
    other = choose_port(registry.server_port)
    assert other != registry.server_port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", other))
