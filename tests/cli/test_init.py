"""`imagewarden init`, on nothing, on an installation, and on what it must not touch."""

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.cli import Cli

SECRETS = {"password", "access_key", "secret_key"}


def test_a_new_installation(cli: Cli, facts: dict[str, Any]) -> None:
    assert facts.keys() == {"created", "project_id", "project", "domain", "domain_id", "user", *SECRETS}
    assert facts["created"] is True
    assert len(facts["project_id"]) == 32
    assert (len(facts["access_key"]), len(facts["secret_key"])) == (20, 40)
    assert stat.S_IMODE((cli.data_dir / "secret.key").stat().st_mode) == 0o600


def test_a_second_run_shows_no_secret_and_changes_none(cli: Cli, facts: dict[str, Any]) -> None:
    key = (cli.data_dir / "secret.key").read_bytes()
    again = cli.json("init")
    assert again == {
        "created": False,
        **{name: facts[name] for name in ("project_id", "project", "domain_id")},
    }
    told = cli.run("init").stdout
    assert "exists already" in told
    assert not any(facts[name] in told for name in SECRETS)
    assert (cli.data_dir / "secret.key").read_bytes() == key


def test_two_at_once_make_one_installation(empty_cli: Cli) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: empty_cli.json("init"), range(2)))
    assert sorted(answer["created"] for answer in answers) == [False, True]
    assert len({answer["project_id"] for answer in answers}) == 1


def test_a_lost_key_is_not_replaced(empty_cli: Cli) -> None:
    """Another key would open nothing of what is stored."""
    empty_cli.run("init")
    (empty_cli.data_dir / "secret.key").unlink()
    assert "there is no key file" in empty_cli.fails("init")
    assert not (empty_cli.data_dir / "secret.key").exists()


def test_for_a_person(empty_cli: Cli) -> None:
    done = empty_cli.run("init")
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert shown.keys() >= {"project_id", "domain", "user", "password", "access_key", "secret_key"}
    assert "shown this once" in done.stderr
    assert not any(shown[name] in done.stderr for name in SECRETS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--database-url", "postgresql://u:hush@127.0.0.1:1/x"), "does not answer"),
        (("--database-url", "not a url"), "cannot be read"),
        (("--database-url", "postgresql://u:p@ss:hush@host/x"), "cannot be read"),
    ],
)
def test_databases_that_are_none(empty_cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    told = empty_cli.fails("init", *arguments)
    assert said in told
    assert "hush" not in told


def test_commands_before_init(empty_cli: Cli) -> None:
    assert "run `imagewarden init`" in empty_cli.fails("images")


def test_a_setting_that_is_none(empty_cli: Cli) -> None:
    told = Cli(empty_cli.data_dir, {"IMAGEWARDEN_PORT": "many"}).fails("init")
    assert "IMAGEWARDEN_PORT" in told
