"""The benchmark of the query engine, small: every engine gives the same answers, and every mode prints its figures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from benchmarks._figures import compared, percentile
from benchmarks._project import REGISTRIES, make
from benchmarks._shapes import shapes
from tests.support.shared import ROOT

ROWS = 3000


def run(*arguments: str) -> dict[str, Any]:
    """Return what the benchmark prints."""
    command = [sys.executable, "-m", "benchmarks.query", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("peers", ["plain,tuned", "duckdb"])
def test_all_engines_agree(peers: str) -> None:
    if peers == "duckdb":
        pytest.importorskip("duckdb", reason="DuckDB, of the group `bench`, is not installed")
    found = run("--rows", str(ROWS), "--rounds", "1", "--more-rounds", "1", "--peers", peers)
    assert found["wrong_answers"] == 0, found["wrong"]
    assert found["compared"] == 2 * found["shapes"] * len(peers.split(","))
    assert set(found["engines"]) == {"ours", *peers.split(",")}
    assert found["bars"]["wrong_answers"]["met"]


def test_answers_beside_writers_are_fresh() -> None:
    found = run("--rows", "1000", "--writes", "--seconds", "1")
    assert found["stale_answers"] == found["wrong_answers"] == 0
    assert found["own_writes"] > 0
    assert found["phases"]["100 commits a second"]["commits_per_second"] > 0


def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    found = run("--rows", "1000", "--growth", "--plot", str(tmp_path / "growth.svg"))
    assert [step["rows"] for step in found["growth"]] == [1000]
    assert ET.parse(tmp_path / "growth.svg").getroot().tag.endswith("svg")  # noqa: S314 # our own file


def test_project_has_the_skew_of_the_field() -> None:
    images = make(20_000, 1)
    tags = [images.tag_text(row) for row in range(len(images))]
    repositories = {(*key,) for key in zip(images.registry, images.namespace, images.name, tags, strict=True)}
    assert len(repositories) == len(images)
    own = [tag for tag, is_own in zip(tags, images.own_tag, strict=True) if is_own]
    assert len(set(own)) == len(own)
    assert 0.45 < len(own) / len(images) < 0.55
    assert 0.25 < np.mean(images.scanned < 0) < 0.35
    assert set(images.registry) == set(range(len(REGISTRIES)))
    assert np.bincount(images.name).max() > 1000
    assert (make(20_000, 1).size == images.size).all()


def test_questions_are_seeded_and_differ() -> None:
    asked = shapes(make(20_000, 1))
    assert len({shape.name for shape in asked}) == len(asked) >= 34
    for shape in asked:
        assert shape.question(3) == shape.question(3)
        assert len({repr(shape.question(number)) for number in range(30)}) > 2


def test_figures() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(1, 101)], 0.99) == 99.0
    found = compared({"ours": {"a": [0.001], "b": [0.002]}, "other": {"a": [0.1], "b": [0.001]}})
    assert found["ratios"]["other"] == {"p50": 1.0, "p99": 50.0, "worst_shape": "b", "worst_shape_ratio": 0.5}
