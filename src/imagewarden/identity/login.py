"""Password login: who it is and what the token is to be good for."""

from typing import Any

import msgspec
import structlog
from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagewarden.identity.caller import Caller
from imagewarden.identity.errors import NotAuthenticated, Refusal
from imagewarden.identity.grants import caller_from, select_user
from imagewarden.identity.passwords import hash_password, is_outdated, verify_password
from imagewarden.identity.tables import domain, project, user_account

__all__ = ["LoginProject", "authenticate_password", "describe_project", "find_scope"]

_LOG = structlog.get_logger(__name__)


class LoginProject(msgspec.Struct, frozen=True):
    """The project a token is to be good for."""

    id: str
    """Its id."""
    name: str
    """Its name."""
    domain_id: str
    """Its domain's id."""
    domain_name: str
    """Its domain's name."""


async def authenticate_password(
    engine: AsyncEngine, user: str, password: str, *, domain_id: str | None, domain_name: str | None
) -> Caller:
    """Return the user of a domain (by id, else by name) whose name and password these are.

    Raises NotAuthenticated, TooManyLogins. An unknown or disabled user takes as long as a wrong password, and gets
    the same answer. A hash of older parameters is made anew. No connection is held while a password is hashed, so
    that logins that wait do not keep everybody else from the database.
    """
    in_domain = domain.c.name == domain_name if domain_id is None else domain.c.id == domain_id
    statement = select_user(user_account.c.password_hash).where(
        user_account.c.name == user, in_domain, user_account.c.enabled
    )
    async with engine.connect() as connection:
        row = (await connection.execute(statement)).one_or_none()
    if not await verify_password(row.password_hash if row else None, password) or row is None:
        _LOG.info("login refused", user_id=row and row.user_id)
        raise NotAuthenticated("the user name, the domain or the password is wrong", Refusal.PASSWORD)
    if is_outdated(row.password_hash):
        unchanged = (user_account.c.id == row.user_id) & (user_account.c.password_hash == row.password_hash)
        anew = {"password_hash": await hash_password(password)}
        async with engine.begin() as connection:
            await connection.execute(update(user_account).where(unchanged).values(anew))
    return caller_from(row, None)


def _projects() -> Select[Any]:
    """Return a SELECT of what LoginProject holds."""
    return select(project.c.id, project.c.name, domain.c.id, domain.c.name).join_from(project, domain)


async def describe_project(connection: AsyncConnection, project_id: str) -> LoginProject:
    """Return a project by id; raises NotAuthenticated for one that is gone."""
    row = (await connection.execute(_projects().where(project.c.id == project_id))).one_or_none()
    if row is None:
        raise NotAuthenticated("the project of the token is gone", Refusal.SCOPE)
    return LoginProject(*row)


async def find_scope(
    connection: AsyncConnection, caller: Caller, project_id: str | None, project_name: str | None
) -> LoginProject:
    """Return an enabled project of the caller's domain, by id, else by name, in which the caller has a role.

    Raises NotAuthenticated, in the same words for a project that does not exist and one that is not the caller's.
    """
    named = project.c.name == project_name if project_id is None else project.c.id == project_id
    statement = _projects().where(named, project.c.domain_id == caller.domain_id)
    row = (await connection.execute(statement)).one_or_none()
    if row is None or caller.role_in(row[0]) is None:
        raise NotAuthenticated("the user has no role in the project of the scope", Refusal.SCOPE)
    return LoginProject(*row)
