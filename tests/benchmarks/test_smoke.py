"""Each benchmark runs small and prints one JSON object."""

import json
import subprocess
import sys

import pytest

from tests.support.shared import ROOT

SMALL = {
    "api": ["--rows", "300", "--seconds", "0.3", "--rounds", "1", "--clients", "20"],
    "query": ["--rows", "1000", "--rounds", "1", "--more-rounds", "1", "--peers", "plain"],
    "start": ["--rounds", "1"],
    "sync": ["--repositories", "2"],
    "writes": ["--rows", "2000", "--rounds", "2", "--size", "200"],
}


def test_every_benchmark_has_a_smoke() -> None:
    found = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if not path.stem.startswith("_")}
    assert set(SMALL) == found


@pytest.mark.parametrize("name", SMALL)
def test_smoke(name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *SMALL[name]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout)["bench"] == name
