"""Password login: who it is and what the token is to be good for."""

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity.caller import Caller
from imagewarden.identity.errors import NotAuthenticated
from imagewarden.identity.grants import caller_from, select_user
from imagewarden.identity.passwords import verify_password
from imagewarden.identity.tables import domain, project, user_account

__all__ = ["LoginProject", "authenticate_password", "describe_project", "find_scope"]


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


async def authenticate_password(connection: AsyncConnection, domain_key: str, user: str, password: str) -> Caller:
    """Return the user of a domain (by name or id) whose name and password these are; raises NotAuthenticated.

    An unknown user takes as long as a wrong password, and gets the same answer.
    """
    statement = select_user(user_account.c.password_hash).where(
        user_account.c.name == user, (domain.c.name == domain_key) | (domain.c.id == domain_key)
    )
    row = (await connection.execute(statement)).one_or_none()
    if not await verify_password(row.password_hash if row else None, password) or row is None:
        raise NotAuthenticated("the user name, the domain or the password is wrong")
    return caller_from(row, None)


async def describe_project(connection: AsyncConnection, project_id: str) -> LoginProject:
    """Return a project by id; raises NotAuthenticated for one that is gone."""
    statement = select(project.c.id, project.c.name, domain.c.id, domain.c.name).join_from(project, domain)
    row = (await connection.execute(statement.where(project.c.id == project_id))).one_or_none()
    if row is None:
        raise NotAuthenticated("the project of the token is gone")
    return LoginProject(*row)


async def find_scope(
    connection: AsyncConnection, caller: Caller, project_id: str | None, project_name: str | None
) -> LoginProject:
    """Return an enabled project by id or name in which the caller has a role; raises NotAuthenticated.

    The same words for a project that does not exist and one that is not the caller's.
    """
    held = {grant.project_id for grant in caller.grants}
    statement = select(project.c.id, project.c.name, domain.c.id, domain.c.name).join_from(project, domain)
    if project_id is not None:
        statement = statement.where(project.c.id == project_id)
    else:
        statement = statement.where(project.c.name == project_name, project.c.domain_id == caller.domain_id)
    for row in await connection.execute(statement):
        if row[0] in held:
            return LoginProject(*row)
    raise NotAuthenticated("the user has no role in the project of the scope")
