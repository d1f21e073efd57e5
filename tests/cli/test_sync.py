"""`imagewarden sync`: asked for, done here, or followed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from imagewarden.cli import output
from tests.cli.conftest import Invoke
from tests.support.cli import Cli
from tests.support.registry import RealRegistry, real_registry


@pytest.fixture
def real() -> Iterator[RealRegistry]:
    """Give a registry with two repositories and four tags."""
    with real_registry() as found:
        for tag in ("1.0", "1.1", "latest"):
            found.push_image("team/app", tag, seed=tag)
        found.push_image("base", "1", seed="base")
        yield found


@pytest.fixture
def one(invoke: Invoke, real: RealRegistry) -> Invoke:
    """Give the command line with the registry added, as `one`."""
    invoke("registry", "add", "one", "--url", real.url, "--every", "never")
    return invoke


def names(invoke: Invoke) -> set[str]:
    """Return the images' names."""
    rows = json.loads(invoke("images", "--json", "--limit", "200").stdout)["data_list"]
    return {f"{row['namespace']}/{row['image_name']}:{row['image_version']}".lstrip("/") for row in rows}


def test_counts_of_each_synchronisation(one: Invoke, real: RealRegistry) -> None:
    assert one("sync", "--wait").stdout == (
        "one: succeeded: added 4, changed 0, removed 0, unchanged 0, held 0, skipped 0\n"
    )
    assert names(one) == {"team/app:1.0", "team/app:1.1", "team/app:latest", "base:1"}
    real.push_image("team/app", "latest", seed="moved")
    real.push_image("team/app", "1.2", seed="new")
    assert "added 1, changed 1, removed 0, unchanged 3" in one("sync", "one", "--wait").stdout
    (report,) = json.loads(one("sync", "--wait", "--json").stdout)
    assert (report["registry_name"], report["state"], report["unchanged"]) == ("one", "succeeded", 5)
    assert json.loads(one("registry", "list", "--json").stdout)[0]["last_sync"]["id"] == report["id"]


def test_a_registry_that_is_down(one: Invoke, real: RealRegistry) -> None:
    one("sync", "--wait")
    real.kill()
    done = one("sync", "--wait", expect=3)
    assert "one: failed: added 0" in done.stdout
    assert "1 of 1 registries could not be read as a whole: one" in done.stderr
    assert len(names(one)) == 4


def test_a_repository_that_cannot_be_read(one: Invoke, real: RealRegistry) -> None:
    """Its reason is told; the others are read."""
    for link in (real.state / "data").rglob("base/_manifests/tags/1/current/link"):
        link.write_text("not a digest")
    done = one("sync", "--wait", expect=3)
    assert "one: partial: added 3" in done.stdout
    assert "1 of 2 repositories failed" in done.stdout
    assert "  base" in done.stdout
    (report,) = json.loads(one("sync", "--wait", "--json", expect=3).stdout)
    assert report["problems"][0]["where"].startswith("base")


def test_a_request_without_a_worker(one: Invoke) -> None:
    done = one("sync")
    assert done.stdout == "one: asked for, run 1\n"
    assert "no worker is running" in done.stderr
    assert json.loads(one("sync", "one", "--json").stdout) == [{"registry": "one", "run_id": 1}]


@pytest.mark.parametrize("wait", [(), ("--wait",)])
def test_registries_that_are_not_there(invoke: Invoke, wait: tuple[str, ...]) -> None:
    assert "there is no registry none" in invoke("sync", "none", *wait, expect=3).stderr
    done = invoke("sync", *wait)
    assert done.stdout == ""
    assert "registry add" in done.stderr


def test_a_bar_on_a_terminal(one: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setattr("imagewarden.cli.sync.is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    shown = one("sync", "--wait").stdout
    assert "2/2 repositories, 4 tags, +4 ~0 -0" in shown
    assert "one: succeeded" in shown


def runs(cli: Cli) -> dict[str, dict[str, Any]]:
    """Return how each registry's last synchronisation stands, by its name; nothing for none."""
    return {each["name"]: each["last_sync"] or {} for each in cli.json("registry", "list")}


def test_a_worker_does_what_was_asked_for(cli: Cli, real: RealRegistry) -> None:
    """And, on its own, what is on a schedule."""
    cli.run("registry", "add", "asked", "--url", real.url, "--every", "never")
    cli.run("registry", "add", "scheduled", "--url", real.url, "--every", "1h")
    with cli.serve() as serve:
        while not any("takes jobs" in line for line in serve.log):
            time.sleep(0.1)
        asked = cli.run("sync", "asked")
        assert (asked.stdout.startswith("asked: asked for, run "), asked.stderr) == (True, "")
        for _ in range(60):
            found = runs(cli)
            if all(run.get("state") == "succeeded" for run in found.values()):
                break
    assert {name: run.get("added") for name, run in found.items()} == {"asked": 4, "scheduled": 4}
    assert cli.json("images")["total_num"] == 8
    for name in found:
        cli.run("registry", "remove", name)


def test_an_interrupt_is_written_down(cli: Cli) -> None:
    """A registry that takes the connection and says nothing; Ctrl-C; the run says so, and a second one may follow."""
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        cli.run("registry", "add", "silent", "--url", url, "--no-check", "--every", "never")
        process = subprocess.Popen(
            cli.command("sync", "--wait"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while runs(cli)["silent"].get("state") != "running":
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        said, told = process.communicate(timeout=90)
    assert process.returncode == 130
    assert "Traceback" not in said + told
    assert (runs(cli)["silent"]["state"], runs(cli)["silent"]["error_code"]) == ("failed", "interrupted")
    cli.run("registry", "remove", "silent")
