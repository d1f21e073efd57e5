"""Logging in with a password, and what the token is to be good for."""

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity import directory, passwords
from imagewarden.identity.errors import NotAuthenticated, Refusal
from imagewarden.identity.login import authenticate_password, describe_project, find_scope
from imagewarden.identity.roles import Role
from imagewarden.identity.tables import user_account
from tests.identity.conftest import PASSWORD, World

pytestmark = pytest.mark.anyio


async def log_in(
    engine: AsyncEngine, user: str = "ann", password: str = PASSWORD, *, number: str | None = None, name: str = "acme"
) -> str:
    """Return the id of the user who logs in."""
    domain_name = None if number else name
    return (await authenticate_password(engine, user, password, domain_id=number, domain_name=domain_name)).user_id


async def test_domain_by_name_and_by_id(engine: AsyncEngine, stored_world: World) -> None:
    assert await log_in(engine) == stored_world.user_id
    assert await log_in(engine, number=stored_world.domain_id) == stored_world.user_id


async def test_domain_named_like_another_ones_id(engine: AsyncEngine, stored_world: World) -> None:
    """A name must not reach into the domain that has it as its id."""
    async with engine.begin() as connection:
        impostor = await directory.create_domain(connection, stored_world.domain_id)
        await directory.create_user(connection, impostor, "ann", "another password")
    assert await log_in(engine, number=stored_world.domain_id) == stored_world.user_id
    assert await log_in(engine, password="another password", name=stored_world.domain_id) != stored_world.user_id


async def test_everything_wrong_gets_the_same_words(engine: AsyncEngine, stored_world: World) -> None:
    async with engine.begin() as connection:
        disabled = await directory.create_user(connection, stored_world.domain_id, "bob", PASSWORD)
        await directory.set_user_enabled(connection, disabled, enabled=False)
    words = set()
    for user, password, domain in [
        ("ann", "wrong", "acme"),
        ("ann", "", "acme"),
        ("nobody", PASSWORD, "acme"),
        ("ann", PASSWORD, "other"),
        ("bob", PASSWORD, "acme"),
        ("ANN", PASSWORD, "acme"),
        ("ann", PASSWORD * 10, "acme"),
    ]:
        with pytest.raises(NotAuthenticated) as caught:
            await log_in(engine, user, password, name=domain)
        words.add((str(caught.value), caught.value.reason))
    assert words == {("the user name, the domain or the password is wrong", Refusal.PASSWORD)}


async def test_no_connection_is_held_while_a_password_is_verified(
    engine: AsyncEngine, stored_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    def fits(stored: str | None, password: str) -> bool:
        held.append(engine.pool.checkedout())  # type: ignore[attr-defined] # a queue pool
        return True

    monkeypatch.setattr(passwords, "_fits", fits)
    await log_in(engine)
    assert held == [0]


async def test_hash_of_older_parameters_is_made_anew(engine: AsyncEngine, stored_world: World) -> None:
    older = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    async with engine.begin() as connection:
        await connection.execute(update(user_account).values(password_hash=older, password_changed_at=7))
    assert await log_in(engine) == stored_world.user_id
    async with engine.connect() as connection:
        row = (await connection.execute(select(user_account))).one()
    assert not passwords.is_outdated(row.password_hash)
    assert row.password_changed_at == 7
    assert await log_in(engine) == stored_world.user_id


async def test_wrong_password_changes_no_hash(engine: AsyncEngine, stored_world: World) -> None:
    older = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    async with engine.begin() as connection:
        await connection.execute(update(user_account).values(password_hash=older))
    with pytest.raises(NotAuthenticated):
        await log_in(engine, password="wrong")
    async with engine.connect() as connection:
        assert (await connection.execute(select(user_account.c.password_hash))).scalar_one() == older


async def test_scope(engine: AsyncEngine, stored_world: World) -> None:
    caller = await authenticate_password(engine, "ann", PASSWORD, domain_id=None, domain_name="acme")
    async with engine.begin() as connection:
        ungranted = await directory.create_project(connection, stored_world.domain_id, "ungranted")
        other = await directory.create_domain(connection, "other")
        await directory.create_project(connection, other, "local")
        by_id = await find_scope(connection, caller, stored_world.project_id, None)
        by_name = await find_scope(connection, caller, None, "local")
        assert by_id == by_name
        assert (by_id.id, by_id.domain_name) == (stored_world.project_id, "acme")
        assert await describe_project(connection, stored_world.project_id) == by_id
        words = set()
        for number, name in [(ungranted.id, None), (None, "ungranted"), ("absent", None), (None, "absent")]:
            with pytest.raises(NotAuthenticated) as caught:
                await find_scope(connection, caller, number, name)
            words.add((str(caught.value), caught.value.reason))
        assert words == {("the user has no role in the project of the scope", Refusal.SCOPE)}
        with pytest.raises(NotAuthenticated, match="gone"):
            await describe_project(connection, "absent")


async def test_disabled_project_is_no_scope(engine: AsyncEngine, stored_world: World) -> None:
    async with engine.begin() as connection:
        await directory.set_project_enabled(connection, stored_world.project_id, enabled=False)
    caller = await authenticate_password(engine, "ann", PASSWORD, domain_id=None, domain_name="acme")
    assert caller.role_in(stored_world.project_id) is None
    async with engine.connect() as connection:
        with pytest.raises(NotAuthenticated):
            await find_scope(connection, caller, stored_world.project_id, None)


async def test_caller_has_all_grants(engine: AsyncEngine, stored_world: World) -> None:
    async with engine.begin() as connection:
        second = await directory.create_project(connection, stored_world.domain_id, "second")
        await directory.create_enterprise_project(connection, stored_world.domain_id, "1", "shop")
        await directory.grant_role(connection, stored_world.user_id, second.id, Role.VIEWER, "1")
    caller = await authenticate_password(engine, "ann", PASSWORD, domain_id=None, domain_name="acme")
    assert caller.role_in(stored_world.project_id) is Role.OPERATOR
    assert caller.role_in(second.id) is Role.VIEWER
    assert caller.enterprise_projects(second.id) == frozenset({"1"})
