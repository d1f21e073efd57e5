"""`imagewarden registry`: added once it answers, tested, listed and removed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.cli.source import interval_seconds, shown_interval
from imagewarden.identity.vault import Vault
from imagewarden.inventory.tables import registry
from imagewarden.storage.database import Database
from tests.cli.conftest import Invoke
from tests.support.registry import PASSWORD, USER, RealRegistry, real_registry


@pytest.fixture(scope="module")
def real() -> Iterator[RealRegistry]:
    """Give a registry that wants a password."""
    with real_registry("basic") as found:
        yield found


def listed(invoke: Invoke) -> list[dict[str, Any]]:
    """Return the registries as JSON."""
    found: list[dict[str, Any]] = json.loads(invoke("registry", "list", "--json").stdout)
    return found


def add(invoke: Invoke, real: RealRegistry, name: str, *more: str, stdin: str = PASSWORD, expect: int = 0) -> str:
    """Add the registry; returns everything that was said."""
    arguments = ("--url", real.url, "--username", USER, "--password-stdin", *more)
    return invoke("registry", "add", name, *arguments, stdin=stdin, expect=expect).output


def test_a_registry_from_start_to_end(
    invoke: Invoke, real: RealRegistry, embedded_database: Database, vault: Vault
) -> None:
    said = add(invoke, real, "one", "--every", "15m", stdin=f"{PASSWORD}\n")
    assert "registry one is added: OCI distribution registry" in said
    (found,) = listed(invoke)
    assert (found["name"], found["url"], found["username"], found["sync_interval"]) == ("one", real.url, USER, 900)
    assert found["has_password"] is True
    assert found["last_sync"] is None
    engine = embedded_database.sync_engine()
    with engine.connect() as connection:
        row = connection.execute(registry.select()).one()
    engine.dispose()
    assert vault.open(row.password_encrypted, f"registry:{row.id}") == PASSWORD
    assert "OCI distribution registry" in invoke("registry", "test", "one").stdout
    assert "exists already" in add(invoke, real, "one", expect=3)
    assert "with 0 images" in invoke("registry", "remove", "one").stdout
    assert listed(invoke) == []
    assert "there is no registry one" in invoke("registry", "remove", "one", expect=3).stderr


def test_the_password_is_shown_nowhere(invoke: Invoke, real: RealRegistry) -> None:
    said = add(invoke, real, "one")
    said += invoke("registry", "list").output + invoke("registry", "list", "--json").output
    assert PASSWORD not in said


def test_what_does_not_answer_is_not_kept(invoke: Invoke, real: RealRegistry) -> None:
    assert "does not accept the credentials" in add(invoke, real, "one", stdin="wrong", expect=3)
    assert "wrong" not in add(invoke, real, "one", stdin="wrong", expect=3)
    assert listed(invoke) == []
    add(invoke, real, "one", "--no-check", stdin="wrong")
    assert len(listed(invoke)) == 1
    assert "does not accept" in invoke("registry", "test", "one", expect=3).stderr


def test_options_are_kept(invoke: Invoke) -> None:
    invoke(
        "registry", "add", "one", "--url", "https://registry.example.test", "--no-check", "--insecure",
        "--proxy", "http://proxy.example.test:3128", "--repository", "a", "--repository", "b/c", "--include", "team/*",
        "--exclude", "team/x", "--include-tag", "v*", "--exclude-tag", "*-rc", "--newest", "3", "--concurrency", "2",
        "--rate", "1.5", "--token-host", "auth.example.test", "--every", "never",
    )  # fmt: skip
    (found,) = listed(invoke)
    assert found["sync_interval"] == 0
    assert found["options"] == {
        "insecure": True,
        "ca_file": "",
        "proxy": "http://proxy.example.test:3128",
        "docker_config": "",
        "token_hosts": ["auth.example.test"],
        "concurrency": 2,
        "requests_per_second": 1.5,
        "selection": {
            "repositories": ["a", "b/c"],
            "include": ["team/*"],
            "exclude": ["team/x"],
            "include_tags": ["v*"],
            "exclude_tags": ["*-rc"],
            "newest": 3,
        },
    }


def test_credentials_of_docker(invoke: Invoke, real: RealRegistry, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    host = real.url.removeprefix("http://")
    config.write_text(json.dumps({"auths": {host: {"username": USER, "password": PASSWORD}}}))
    invoke("registry", "add", "one", "--url", real.url, "--docker-config", str(config))
    assert listed(invoke)[0]["options"]["docker_config"] == str(config)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--type", "other"), "--type"),
        (("--every", "soon"), "--every"),
        (("--every", "59s"), "--every"),
        (("--newest", "0"), "--newest"),
        (("--concurrency", "65"), "--concurrency"),
        (("--rate", "-1"), "--rate"),
        (("--ca-file", "/no/such/file"), "--ca-file"),
        (("--docker-config", "/no/such/file"), "--docker-config"),
        (("--proxy", "http://user:hush@proxy.example.test"), "--proxy"),
        (("--password-stdin",), "--password-stdin"),
        (("--unknown",), "--unknown"),
    ],
)
def test_usage(invoke: Invoke, arguments: tuple[str, ...], named: str) -> None:
    base = ("registry", "add", "one", "--url", "https://registry.example.test", "--no-check")
    said = invoke(*base, *arguments, expect=2).stderr
    assert named in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", "registry.example.test"), "http"),
        (("--url", "ftp://registry.example.test"), "http"),
        (("--url", "https://user:hush@registry.example.test"), ""),
        (("--url", "https://registry.example.test", "--type", "Harbor"), "not supported"),
        (("--url", "https://registry.example.test", "--enterprise-project", "9"), "no enterprise project 9"),
        (("--url", "https://registry.example.test", "--username", "u"), "no terminal"),
    ],
)
def test_what_cannot_be_used(invoke: Invoke, arguments: tuple[str, ...], said: str) -> None:
    told = invoke("registry", "add", "one", "--no-check", *arguments, expect=3).stderr
    assert said in told
    assert "hush" not in told
    assert listed(invoke) == []


def test_an_empty_list_says_what_to_do(invoke: Invoke) -> None:
    done = invoke("registry", "list")
    assert done.stdout.startswith("NAME\t")
    assert "registry add" in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m", 60), ("90s", 90), ("1h", 3600), ("1d", 86_400), ("31d", 2_678_400), ("never", 0)]
)
def test_intervals(text: str, seconds: int) -> None:
    assert interval_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "1w", "-1h", "1.5h", "32d", "1 h", "99999999h", "\u0661h"])
def test_intervals_that_are_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="never"):
        interval_seconds(text)


@given(st.integers(60, 31 * 86_400))
def test_intervals_are_shown_as_they_are_given(seconds: int) -> None:
    assert interval_seconds(shown_interval(seconds)) == seconds
