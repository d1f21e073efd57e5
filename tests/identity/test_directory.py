"""Domains, projects, users and roles in a real database."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity import directory
from imagewarden.identity.errors import AlreadyExists, InvalidIdentity, NotAuthenticated, UnknownIdentity
from imagewarden.identity.passwords import verify_password
from imagewarden.identity.roles import Role
from imagewarden.identity.tables import enterprise_project, role_assignment, user_account
from imagewarden.identity.tokens import describe_token, issue_token
from tests.identity.conftest import PASSWORD, World

pytestmark = pytest.mark.anyio


async def test_names_are_taken_once_and_the_transaction_lives_on(connection: AsyncConnection, world: World) -> None:
    with pytest.raises(AlreadyExists, match="a domain acme exists already"):
        await directory.create_domain(connection, "acme")
    with pytest.raises(AlreadyExists, match="a project local exists already"):
        await directory.create_project(connection, world.domain_id, "local")
    with pytest.raises(AlreadyExists, match="a user ann exists already"):
        await directory.create_user(connection, world.domain_id, "ann", PASSWORD)
    other = await directory.create_domain(connection, "other")
    await directory.create_project(connection, other, "local")
    await directory.create_user(connection, other, "ann", PASSWORD)
    assert len(await directory.list_projects(connection)) == 2


@pytest.mark.parametrize("name", ["", " ", "a" * 65, " a", "a\n", "a\0b", "a\x7f"])
async def test_names_that_are_not_usable(name: str, connection: AsyncConnection) -> None:
    with pytest.raises(InvalidIdentity, match="1 to 64 printable characters"):
        await directory.create_domain(connection, name)
    with pytest.raises(InvalidIdentity):
        await directory.create_project(connection, "d", name)
    with pytest.raises(InvalidIdentity):
        await directory.create_user(connection, "d", name, PASSWORD)


async def test_domain_has_its_default_enterprise_project(connection: AsyncConnection, world: World) -> None:
    await directory.create_enterprise_project(connection, world.domain_id, "1", "shop")
    await directory.create_enterprise_project(connection, world.domain_id, "1", "again")
    rows = await connection.execute(select(enterprise_project.c.id, enterprise_project.c.name))
    assert sorted(map(tuple, rows)) == [("0", "default"), ("1", "shop")]


async def test_star_is_no_enterprise_project(connection: AsyncConnection, world: World) -> None:
    with pytest.raises(InvalidIdentity, match="stands for all"):
        await directory.create_enterprise_project(connection, world.domain_id, "*", "all")


async def test_project_is_found_by_id_and_name(connection: AsyncConnection, world: World) -> None:
    assert (await directory.find_project(connection)).id == world.project_id
    assert (await directory.find_project(connection, "local")).id == world.project_id
    assert (await directory.find_project(connection, world.project_id)).name == "local"
    with pytest.raises(UnknownIdentity, match="no project is called x"):
        await directory.find_project(connection, "x")
    await directory.create_project(connection, await directory.create_domain(connection, "other"), "local")
    with pytest.raises(UnknownIdentity, match="more than one project is called local"):
        await directory.find_project(connection, "local")


async def test_no_project_yet(connection: AsyncConnection) -> None:
    with pytest.raises(UnknownIdentity, match="imagewarden init"):
        await directory.find_project(connection)


async def test_password_is_stored_as_a_hash(connection: AsyncConnection, world: World) -> None:
    stored = (await connection.execute(select(user_account.c.password_hash))).scalar_one()
    assert PASSWORD not in stored
    assert await verify_password(stored, PASSWORD)


async def test_changed_password_revokes_tokens(connection: AsyncConnection, world: World) -> None:
    issued = await issue_token(connection, world.user_id, None, 60)
    await directory.set_password(connection, world.user_id, "another password")
    with pytest.raises(NotAuthenticated):
        await describe_token(connection, issued.text)
    stored = (await connection.execute(select(user_account.c.password_hash))).scalar_one()
    assert await verify_password(stored, "another password")


async def test_weak_password_changes_nothing(connection: AsyncConnection, world: World) -> None:
    with pytest.raises(InvalidIdentity):
        await directory.set_password(connection, world.user_id, "short")
    with pytest.raises(InvalidIdentity):
        await directory.create_user(connection, world.domain_id, "bob", "short")
    assert [user.name for user in await directory.list_users(connection, world.domain_id)] == ["ann"]


async def test_enabling_again_does_not_bring_tokens_back(connection: AsyncConnection, world: World) -> None:
    issued = await issue_token(connection, world.user_id, None, 60)
    await directory.set_user_enabled(connection, world.user_id, enabled=False)
    assert not (await directory.find_user(connection, world.domain_id, "ann")).enabled
    await directory.set_user_enabled(connection, world.user_id, enabled=True)
    with pytest.raises(NotAuthenticated):
        await describe_token(connection, issued.text)


async def test_users_show_their_greatest_role(connection: AsyncConnection, world: World) -> None:
    await directory.create_enterprise_project(connection, world.domain_id, "1", "shop")
    await directory.grant_role(connection, world.user_id, world.project_id, Role.VIEWER)
    await directory.grant_role(connection, world.user_id, world.project_id, Role.ADMIN, "1")
    await directory.create_user(connection, world.domain_id, "bob", PASSWORD)
    shown = {user.name: user.roles for user in await directory.list_users(connection, world.domain_id)}
    assert shown == {"ann": {"local": "admin"}, "bob": {}}


async def test_a_second_grant_replaces_the_first(connection: AsyncConnection, world: World) -> None:
    await directory.grant_role(connection, world.user_id, world.project_id, Role.VIEWER)
    rows = (await connection.execute(select(role_assignment.c.role))).scalars().all()
    assert rows == ["viewer"]


async def test_roles_stay_within_a_domain(connection: AsyncConnection, world: World) -> None:
    other = await directory.create_domain(connection, "other")
    theirs = await directory.create_project(connection, other, "theirs")
    await directory.create_enterprise_project(connection, other, "9", "theirs")
    for project_id, part in [(theirs.id, "*"), (world.project_id, "9"), ("absent", "*")]:
        with pytest.raises(UnknownIdentity, match="in one domain"):
            await directory.grant_role(connection, world.user_id, project_id, Role.VIEWER, part)


async def test_revoked_role_is_gone(connection: AsyncConnection, world: World) -> None:
    issued = await issue_token(connection, world.user_id, None, 60)
    await directory.revoke_role(connection, world.user_id, world.project_id)
    assert (await describe_token(connection, issued.text)).caller.role_in(world.project_id) is None
    with pytest.raises(UnknownIdentity, match="no such role"):
        await directory.revoke_role(connection, world.user_id, world.project_id)


async def test_disabled_project_gives_no_role(connection: AsyncConnection, world: World) -> None:
    issued = await issue_token(connection, world.user_id, world.project_id, 60)
    assert (await describe_token(connection, issued.text)).caller.role_in(world.project_id) is Role.OPERATOR
    await directory.set_project_enabled(connection, world.project_id, enabled=False)
    assert (await describe_token(connection, issued.text)).caller.role_in(world.project_id) is None


async def test_changes_to_what_does_not_exist(connection: AsyncConnection) -> None:
    with pytest.raises(UnknownIdentity, match="no user absent"):
        await directory.set_password(connection, "absent", PASSWORD)
    with pytest.raises(UnknownIdentity, match="no user absent"):
        await directory.set_user_enabled(connection, "absent", enabled=False)
    with pytest.raises(UnknownIdentity, match="no project absent"):
        await directory.set_project_enabled(connection, "absent", enabled=False)
    with pytest.raises(UnknownIdentity, match="no user bob"):
        await directory.find_user(connection, "absent", "bob")
