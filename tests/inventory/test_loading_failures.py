"""What comes of rows being read while something fails: an error that says so, and nothing that is left."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.inventory import encoders, loading
from imagewarden.inventory.loading import EncoderEnded, RowSpace, load_project
from imagewarden.inventory.rows import ImageRow
from tests.support.columns import new_terms
from tests.support.embedded import wait_until
from tests.support.limits import largest_file
from tests.support.loading import PROJECT, kept, many, project, snapshot, space, store

Encode = Callable[[ImageRow], bytes]


@pytest.fixture
def stored(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """Store many images."""
    found = many()
    store(connection, found)
    return found


def failing(connection: psycopg.Connection, folder: RowSpace, encode: Encode, processes: int) -> None:
    """Load the project in a transaction of its own; what was wrong with it is over then."""
    with snapshot(connection):
        load_project(connection, PROJECT, new_terms(), encode, folder, processes=processes)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]], tmp_path: Path,
    processes: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(loading, "_TASK_BYTES", 1 << 15)
    monkeypatch.setattr(encoders, "_ALONE", 0)
    with largest_file(1 << 19), pytest.raises(OSError, match="File too large"):
        failing(connection, space(tmp_path), ENCODING.encode, processes)
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []
    assert project(connection) == kept(stored)


_CALLS = itertools.count()


def _killed(row: ImageRow) -> bytes:
    if multiprocessing.parent_process() is not None and next(_CALLS) >= 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return ENCODING.encode(row)


def _unable(row: ImageRow) -> bytes:
    if multiprocessing.parent_process() is not None:
        raise ValueError(row.id)
    return ENCODING.encode(row)


@pytest.mark.parametrize(("encode", "code"), [(_killed, "-9"), (_unable, "1")])
def test_a_helper_that_ends(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]], tmp_path: Path,
    encode: Encode, code: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(loading, "_TASK_BYTES", 1 << 15)
    monkeypatch.setattr(encoders, "_ALONE", 1)
    with pytest.raises(EncoderEnded, match=f"exit code {code}"):
        failing(connection, space(tmp_path), encode, 3)
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []
    assert project(connection) == kept(stored)


def test_a_helper_that_cannot_make_its_file(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]], tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "_TASK_BYTES", 1 << 15)
    monkeypatch.setattr(encoders, "_ALONE", 1)
    numbers = iter((1, 1))
    with pytest.raises(FileExistsError):
        failing(connection, RowSpace(tmp_path, lambda: next(numbers)), ENCODING.encode, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_helper_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time, multiprocessing\n"
        "from pathlib import Path\n"
        "from imagewarden.api.v5.image_rows import ENCODING\n"
        "from imagewarden.inventory.encoderprocess import EncoderProcess, EncoderSetup\n"
        "helper = EncoderProcess(EncoderSetup(ENCODING.encode, {}, Path(sys.argv[1]), 1))\n"
        "helper.encode([])\n"
        "print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        helper = int(starter.stdout.readline())
        assert is_alive(helper)
        starter.kill()
    wait_until(lambda: not is_alive(helper), 10.0)


def is_alive(number: int) -> bool:
    """Return whether a process runs."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_connection_that_breaks(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection, stored: list[dict[str, Any]], tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "_TASK_BYTES", 1 << 12)
    monkeypatch.setattr(encoders, "_ALONE", 1)
    with psycopg.connect(connection.info.dsn) as reader:
        ended: list[bool] = []

        def encode(row: ImageRow) -> bytes:
            if not ended:
                ended.append(True)
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", (reader.info.backend_pid,))
            return ENCODING.encode(row)

        with pytest.raises(psycopg.OperationalError):
            failing(reader, space(tmp_path), encode, 0)
    assert list(tmp_path.iterdir()) == []
