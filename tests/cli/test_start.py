"""The command answers quickly: nothing is imported before it is needed."""

import subprocess
import sys
import time

import pytest

import imagewarden

HEAVY = (
    "sqlalchemy",
    "litestar",
    "alembic",
    "psycopg",
    "procrastinate",
    "granian",
    "httpx",
    "cryptography",
)
PROBE = """
import json, sys
sys.argv = ["imagewarden", *json.loads(sys.argv[1])]
from imagewarden.__main__ import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """Return the packages that a command has imported when it ends."""
    import json

    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(arguments)], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_version_imports_nothing() -> None:
    assert imported("--version").isdisjoint((*HEAVY, "typer", "rich", "structlog"))


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("images", "--help"), ("admin", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not imported(*arguments) & {*HEAVY}


def test_version_is_quick() -> None:
    """Under 150 ms on an idle machine; the bound here leaves room for a busy one."""
    best = min(_seconds("--version") for _ in range(5))
    assert best < 0.4


def _seconds(*arguments: str) -> float:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "imagewarden", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"imagewarden {imagewarden.__version__}\n"
    return time.monotonic() - started
