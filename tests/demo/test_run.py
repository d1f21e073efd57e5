"""The whole demonstration, as `make demo` runs it, on one folder again and again."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from demo.errors import DemoError
from demo.images import build
from demo.installation import Installation
from tests.support.shared import ROOT

COMMAND = [sys.executable, "-m", "demo.run"]


@dataclass(frozen=True)
class First:
    """What the first run left."""

    home: Path
    """Its folder."""
    output: str
    """What it printed."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment with the folder, and with a setting of the user's that must have no effect."""
    return {**os.environ, "DEMO_DIR": str(home), "IMAGEWARDEN_DATABASE_URL": "postgresql://127.0.0.1:1/x", **more}


def running_in(home: Path) -> list[str]:
    """Return the command lines of processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(home) in line:
            found.append(line)
    return found


def assert_nothing_runs(home: Path) -> None:
    """Fail if, a few seconds later, a process of the folder is still there."""
    for _ in range(100):
        if not running_in(home):
            return
        time.sleep(0.1)
    raise AssertionError(running_in(home))


@pytest.fixture(scope="module")
def first() -> Iterator[First]:
    """Run it once on an empty folder, to its own end, on a machine without docker-registry."""
    folder = Path(tempfile.mkdtemp(prefix="iw-demo-"))
    folder.chmod(0o711)  # so that root's database stays in it
    home = folder / "with a space"
    bare = environment(home, DEMO_ONESHOT="1", PATH="/nonexistent")
    done = subprocess.run(COMMAND, cwd=ROOT, env=bare, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    yield First(home, done.stdout)
    shutil.rmtree(folder, ignore_errors=True)


def test_list(first: First) -> None:
    """Every tag of every image is in the list, once; signatures and charts are not."""
    cells = [[cell.strip() for cell in line.split("│")[1:3]] for line in first.output.splitlines() if "│" in line]
    expected = {(each.repository, tag) for each in build() if each.is_image for tag in each.tags}
    assert {tuple(pair) for pair in cells} == expected
    assert len(cells) == len(expected)
    assert f"\n{len(expected)} images; the whole took " in first.output
    assert "demo/registry.py at http://127.0.0.1:" in first.output


def test_clean_end(first: First) -> None:
    """Nothing runs on after the end, and what is secret only the user may read."""
    assert_nothing_runs(first.home)
    assert (first.home / "credentials.json").stat().st_mode & 0o777 == 0o600
    password = re.search(r"password +(\S+)", first.output)
    assert password is not None
    for log in (first.home / "logs").iterdir():
        assert password[1] not in log.read_text()


@pytest.fixture
def second(first: First) -> Iterator[subprocess.Popen[str]]:
    """Run it again on the same folder, until it waits for Ctrl-C."""
    with subprocess.Popen(COMMAND, cwd=ROOT, env=environment(first.home), stdout=subprocess.PIPE, text=True) as program:
        yield program
        program.terminate()
    assert_nothing_runs(first.home)


def test_second_run(first: First, second: subprocess.Popen[str]) -> None:
    """The second run keeps data and credentials, its API answers what it prints, and Ctrl-C ends everything."""
    assert second.stdout is not None
    lines: list[str] = []
    for line in second.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            break
    text = "".join(lines)
    assert "from an earlier run" in text
    assert "added 0, " in text
    for name in ("project id", "password", "secret key"):
        values = [re.findall(rf"^  {name} +(\S+)$", output, re.MULTILINE) for output in (first.output, text)]
        assert values[0] == values[1]
        assert len(values[0]) == 1
    curl = shlex.split(next(line for line in lines if line.startswith("curl ")))
    name, _, token = curl[curl.index("-H") + 1].partition(": ")
    answer = httpx.get(curl[-1], headers={name: token}, trust_env=False)
    assert (answer.status_code, len(answer.json()["data_list"])) == (200, 3)
    third = subprocess.run(COMMAND, cwd=ROOT, env=environment(first.home), capture_output=True, text=True, check=False)
    assert (third.returncode, "is running in" in third.stderr) == (3, True)
    second.send_signal(signal.SIGINT)
    assert second.wait(90) == 0


def test_lost_credentials(first: First) -> None:
    """Without the first run's credentials the message says which folder to remove."""
    (first.home / "credentials.json").unlink()
    with pytest.raises(DemoError, match=f"cannot be read; remove {first.home} and run the demonstration again"):
        Installation(first.home).initialise()
    assert_nothing_runs(first.home)


def test_unusable_folder(tmp_path: Path) -> None:
    """A folder that cannot be made is one sentence that names the variable."""
    (tmp_path / "file").touch()
    bare = environment(tmp_path / "file" / "below")
    done = subprocess.run(COMMAND, cwd=ROOT, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "DEMO_DIR" in done.stderr


def test_failing_command(tmp_path: Path) -> None:
    """A command that fails is quoted with what it said and where its log is."""
    (tmp_path / "data").touch()
    with pytest.raises(
        DemoError, match=r"`imagewarden init .*` ended with code 3: imagewarden: error: .*\(log: .*init"
    ):
        Installation(tmp_path).initialise()
