"""`imagewarden admin`: what it makes works, and it shows secrets once."""

import asyncio
import json
from typing import Any

import pytest

from imagewarden.identity.caller import Caller
from imagewarden.identity.errors import NotAuthenticated
from imagewarden.identity.login import authenticate_password
from imagewarden.identity.tokens import describe_token
from imagewarden.storage.database import Database
from tests.cli.conftest import Invoke


def made(invoke: Invoke, *arguments: str, stdin: str | None = None) -> Any:
    """Return what a command printed as JSON."""
    return json.loads(invoke(*arguments, "--json", stdin=stdin).stdout)


def log_in(database: Database, name: str, password: str) -> Caller:
    """Return who a name and a password are."""

    async def work() -> Caller:
        engine = database.engine(pool_size=1)
        try:
            return await authenticate_password(engine, name, password, domain_id=None, domain_name="imagewarden")
        finally:
            await engine.dispose()

    return asyncio.run(work())


def owner(database: Database, token: str) -> Caller:
    """Return whose token it is."""

    async def work() -> Caller:
        engine = database.engine(pool_size=1)
        try:
            async with engine.connect() as connection:
                return (await describe_token(connection, token)).caller
        finally:
            await engine.dispose()

    return asyncio.run(work())


def test_a_user_from_start_to_end(invoke: Invoke, embedded_database: Database) -> None:
    bob = made(invoke, "admin", "user", "create", "bob", "--role", "operator")
    assert log_in(embedded_database, "bob", bob["password"]).user_name == "bob"
    reset = made(invoke, "admin", "user", "reset-password", "bob")
    assert reset["password"] != bob["password"]
    with pytest.raises(NotAuthenticated):
        log_in(embedded_database, "bob", bob["password"])
    invoke("admin", "user", "disable", "bob")
    with pytest.raises(NotAuthenticated):
        log_in(embedded_database, "bob", reset["password"])
    invoke("admin", "user", "enable", "bob")
    assert log_in(embedded_database, "bob", reset["password"]).user_id == bob["user_id"]


def test_a_chosen_password_is_never_shown(invoke: Invoke, embedded_database: Database) -> None:
    done = invoke("admin", "user", "create", "eve", "--password-stdin", stdin="a long enough one\n")
    assert "long enough" not in done.output
    assert log_in(embedded_database, "eve", "a long enough one").user_name == "eve"
    done = invoke("admin", "user", "reset-password", "eve", "--password-stdin", stdin="another long one")
    assert "another" not in done.output
    assert log_in(embedded_database, "eve", "another long one").user_name == "eve"


def test_users_are_listed_with_their_roles(invoke: Invoke) -> None:
    invoke("admin", "project", "create", "second")
    invoke("admin", "user", "create", "bob")
    invoke("admin", "user", "grant", "bob", "--role", "operator", "--project", "second")
    users = {user["name"]: user["roles"] for user in made(invoke, "admin", "user", "list")}
    assert users == {"admin": {"local": "admin"}, "bob": {"local": "viewer", "second": "operator"}}
    lines = invoke("admin", "user", "list").stdout.splitlines()
    assert lines[0] == "NAME\tENABLED\tROLES\tCREATED"
    assert lines[2].startswith("bob\tyes\tviewer in local, operator in second\t")


def test_a_token_from_start_to_end(invoke: Invoke, embedded_database: Database) -> None:
    invoke("admin", "user", "create", "bob")
    tokens = [made(invoke, "admin", "token", "create", "--user", "bob")["token"] for _ in range(3)]
    assert owner(embedded_database, tokens[0]).user_name == "bob"
    listed = made(invoke, "admin", "token", "list", "--user", "bob")
    assert len(listed) == 3
    invoke("admin", "token", "revoke", "--user", "bob", listed[0]["id"])
    with pytest.raises(NotAuthenticated):
        owner(embedded_database, tokens[0])
    assert "revoked 2" in invoke("admin", "token", "revoke", "--user", "bob", "--all").stdout
    assert made(invoke, "admin", "token", "list", "--user", "bob") == []


def test_a_key_from_start_to_end(invoke: Invoke) -> None:
    key = made(invoke, "admin", "key", "create", "--user", "admin", "--description", "for a test")

    def listed() -> dict[str, bool]:
        return {each["access"]: each["enabled"] for each in made(invoke, "admin", "key", "list")}

    assert listed()[key["access_key"]] is True
    assert key["secret_key"] not in invoke("admin", "key", "list").output
    invoke("admin", "key", "disable", key["access_key"])
    assert listed()[key["access_key"]] is False
    invoke("admin", "key", "enable", key["access_key"])
    assert listed()[key["access_key"]] is True
    invoke("admin", "key", "delete", key["access_key"])
    assert key["access_key"] not in listed()


def test_projects(invoke: Invoke) -> None:
    second = made(invoke, "admin", "project", "create", "second", "--description", "of two")
    invoke("admin", "project", "disable", "second")
    projects = {each["name"]: each for each in made(invoke, "admin", "project", "list")}
    assert projects["second"]["id"] == second["project_id"]
    assert projects["second"]["enabled"] is False
    invoke("admin", "project", "enable", second["project_id"])
    assert "second\tyes" in invoke("admin", "project", "list").stdout
    invoke("admin", "enterprise-project", "create", "17", "finance")
    invoke("admin", "user", "create", "bob", "--enterprise-project", "17")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("user", "create", "admin"), "exists already"),
        (("user", "create", "a\nb"), "not usable"),
        (("user", "disable", "nobody"), "there is no user nobody"),
        (("user", "create", "bob", "--project", "none"), "no project is called none"),
        (("user", "create", "bob", "--enterprise-project", "none"), "no such user, project and enterprise project"),
        (("project", "create", "local"), "exists already"),
        (("project", "disable", "none"), "no project is called none"),
        (("token", "revoke", "--user", "admin", "feedfeedfeedfeed"), "has no token"),
        (("key", "delete", "NONE"), "there is no access key NONE"),
    ],
)
def test_what_is_not_there_or_is_already(invoke: Invoke, arguments: tuple[str, ...], said: str) -> None:
    told = invoke("admin", *arguments, expect=3).stderr
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("password", ["short", "", "x" * 129, "with\x00nul and more"])
def test_passwords_outside_the_rules(invoke: Invoke, password: str) -> None:
    invoke("admin", "user", "create", "bob", "--password-stdin", stdin=password, expect=3)
    assert len(made(invoke, "admin", "user", "list")) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("user", "create", "bob", "--role", "king"), "--role"),
        (("token", "revoke", "--user", "admin"), "ID"),
        (("token", "create", "--user", "admin", "--lifetime", "5"), "--lifetime"),
        (("key", "create"), "--user"),
        (("user", "explode"), "explode"),
    ],
)
def test_usage(invoke: Invoke, arguments: tuple[str, ...], named: str) -> None:
    assert named in invoke("admin", *arguments, expect=2).stderr
