"""The first domain, project, administrator and key."""

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.bootstrap import Credentials, bootstrap
from imagewarden.identity.directory import find_project
from imagewarden.identity.errors import AlreadyExists
from imagewarden.identity.login import authenticate_password
from imagewarden.identity.roles import Role
from imagewarden.identity.tables import access_key
from imagewarden.identity.vault import Vault

pytestmark = pytest.mark.anyio


async def run(engine: AsyncEngine, vault: Vault) -> Credentials | None:
    """Bootstrap in a transaction of its own."""
    async with engine.begin() as connection:
        return await bootstrap(connection, vault, "north-1")


async def test_what_is_shown_works(engine: AsyncEngine, vault: Vault) -> None:
    made = await run(engine, vault)
    assert made is not None
    caller = await authenticate_password(engine, made.user, made.password, domain_id=None, domain_name=made.domain)
    assert caller.role_in(made.project_id) is Role.ADMIN
    assert caller.enterprise_projects(made.project_id) is None
    assert caller.domain_id == made.domain_id
    async with engine.connect() as connection:
        assert (await find_project(connection)).name == made.project == "north-1"
        row = (await connection.execute(select(access_key))).one()
    assert vault.open(row.secret_encrypted, f"access_key:{made.access_key}") == made.secret_key


async def test_second_run_changes_nothing(engine: AsyncEngine, vault: Vault) -> None:
    first = await run(engine, vault)
    assert first is not None
    assert await run(engine, vault) is None
    caller = await authenticate_password(engine, "admin", first.password, domain_id=first.domain_id, domain_name=None)
    assert caller.user_name == first.user


async def test_two_at_once_make_one(engine: AsyncEngine, vault: Vault) -> None:
    made = await asyncio.gather(run(engine, vault), run(engine, vault), return_exceptions=True)
    assert sum(isinstance(each, Credentials) for each in made) == 1
    assert sum(each is None or isinstance(each, AlreadyExists) for each in made) == 1
