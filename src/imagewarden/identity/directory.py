"""Domains, projects, enterprise projects, users and their roles."""

import re
import uuid

import msgspec
from sqlalchemy import ColumnElement, delete, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity.caller import EVERY_ENTERPRISE_PROJECT
from imagewarden.identity.errors import AlreadyExists, InvalidIdentity, UnknownIdentity
from imagewarden.identity.grants import now_ms
from imagewarden.identity.passwords import check_rules, hash_password
from imagewarden.identity.roles import Role
from imagewarden.identity.tables import domain, enterprise_project, project, role_assignment, user_account
from imagewarden.identity.tokens import revoke_user_tokens

__all__ = [
    "DEFAULT_ENTERPRISE_PROJECT",
    "Project",
    "User",
    "create_domain",
    "create_enterprise_project",
    "create_project",
    "create_user",
    "find_project",
    "find_user",
    "grant_role",
    "list_projects",
    "list_users",
    "revoke_role",
    "set_password",
    "set_project_enabled",
    "set_user_enabled",
]

DEFAULT_ENTERPRISE_PROJECT = "0"
"""Every domain has it."""

_GRANT_KEY = ["user_id", "project_id", "enterprise_project_id"]
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


class Project(msgspec.Struct, frozen=True):
    """A project."""

    id: str
    """32 hex digits."""
    domain_id: str
    """Its domain."""
    name: str
    """Unique in its domain."""
    description: str
    """Free text."""
    enabled: bool
    """Whether it can be used."""


class User(msgspec.Struct, frozen=True):
    """A user, without secrets."""

    id: str
    """32 hex digits."""
    domain_id: str
    """The user's domain."""
    name: str
    """Unique in its domain."""
    enabled: bool
    """Whether it can authenticate."""
    created_at: int
    """ms."""
    roles: dict[str, str]
    """Greatest role by project name."""


def _checked(name: str, what: str) -> str:
    """Return a name; raises InvalidIdentity for an empty, long or unprintable one."""
    if not _NAME.fullmatch(name) or name != name.strip():
        raise InvalidIdentity(f"the {what} {name[:80]!r} is not usable; it takes 1 to 64 printable characters")
    return name


async def _stored(connection: AsyncConnection, statement: Insert, column: ColumnElement[str]) -> bool:
    """Run an INSERT that may meet a row of that name; returns whether it stored anything.

    Not by catching the violation, which would end the caller's transaction.
    """
    return (await connection.execute(statement.returning(column))).one_or_none() is not None


async def create_domain(connection: AsyncConnection, name: str) -> str:
    """Create a domain with its default enterprise project; returns its id. Raises AlreadyExists, InvalidIdentity."""
    made = uuid.uuid4().hex
    statement = upsert(domain).values(id=made, name=_checked(name, "domain name"), created_at=now_ms())
    if not await _stored(connection, statement.on_conflict_do_nothing(index_elements=["name"]), domain.c.id):
        raise AlreadyExists(f"a domain {name} exists already")
    await create_enterprise_project(connection, made, DEFAULT_ENTERPRISE_PROJECT, "default")
    return made


async def create_enterprise_project(connection: AsyncConnection, domain_id: str, number: str, name: str) -> None:
    """Create an enterprise project with an id of 1 to 64 characters, if there is none of that id."""
    _checked(number, "enterprise project id")
    if number == EVERY_ENTERPRISE_PROJECT:
        raise InvalidIdentity(f"the enterprise project id {number} stands for all of them; take another one")
    statement = upsert(enterprise_project).values(domain_id=domain_id, id=number, name=_checked(name, "name"))
    await connection.execute(statement.on_conflict_do_nothing(index_elements=["domain_id", "id"]))


async def create_project(connection: AsyncConnection, domain_id: str, name: str, description: str = "") -> Project:
    """Create a project; raises AlreadyExists, InvalidIdentity."""
    made = Project(uuid.uuid4().hex, domain_id, _checked(name, "project name"), description, enabled=True)
    statement = upsert(project).values(**msgspec.structs.asdict(made), created_at=now_ms())
    statement = statement.on_conflict_do_nothing(index_elements=["domain_id", "name"])
    if not await _stored(connection, statement, project.c.id):
        raise AlreadyExists(f"a project {name} exists already in this domain")
    return made


async def set_project_enabled(connection: AsyncConnection, project_id: str, *, enabled: bool) -> None:
    """Let a project be used, or by nobody any more; raises UnknownIdentity."""
    done = await connection.execute(update(project).where(project.c.id == project_id).values(enabled=enabled))
    if not done.rowcount:
        raise UnknownIdentity(f"there is no project {project_id}; `imagewarden admin project list` shows them")


async def list_projects(connection: AsyncConnection, domain_id: str | None = None) -> list[Project]:
    """Return the projects of a domain (of all with None), oldest first."""
    statement = select(
        project.c.id, project.c.domain_id, project.c.name, project.c.description, project.c.enabled
    ).order_by(project.c.created_at, project.c.id)
    if domain_id is not None:
        statement = statement.where(project.c.domain_id == domain_id)
    return [Project(*row) for row in await connection.execute(statement)]


async def find_project(connection: AsyncConnection, asked: str | None = None) -> Project:
    """Return a project by id or name, with None the oldest (the one `init` makes); raises UnknownIdentity."""
    known = await list_projects(connection)
    if not known:
        raise UnknownIdentity("there is no project yet; run `imagewarden init`")
    if asked is None:
        return known[0]
    found = [each for each in known if asked in (each.id, each.name)]
    if len(found) != 1:
        many = "more than one project is" if found else "no project is"
        raise UnknownIdentity(f"{many} called {asked}; `imagewarden admin project list` shows names and ids")
    return found[0]


async def create_user(connection: AsyncConnection, domain_id: str, name: str, password: str) -> str:
    """Create a user without roles; returns its id. Raises AlreadyExists, InvalidIdentity."""
    check_rules(password)
    made, now = uuid.uuid4().hex, now_ms()
    row = {
        "id": made,
        "domain_id": domain_id,
        "name": _checked(name, "user name"),
        "password_hash": await hash_password(password),
        "created_at": now,
        "password_changed_at": now,
    }
    statement = upsert(user_account).values(row).on_conflict_do_nothing(index_elements=["domain_id", "name"])
    if not await _stored(connection, statement, user_account.c.id):
        raise AlreadyExists(f"a user {name} exists already in this domain")
    return made


async def grant_role(
    connection: AsyncConnection,
    user_id: str,
    project_id: str,
    role: Role,
    enterprise_project_id: str = EVERY_ENTERPRISE_PROJECT,
) -> None:
    """Give a user a role in a project (in one enterprise project, by default in all), in place of an earlier one.

    Raises UnknownIdentity unless user, project and enterprise project exist in one domain.
    """
    source = (
        select(user_account.c.id, project.c.id, literal(enterprise_project_id), literal(role.value))
        .join_from(user_account, project, project.c.domain_id == user_account.c.domain_id)
        .where(user_account.c.id == user_id, project.c.id == project_id)
    )
    if enterprise_project_id != EVERY_ENTERPRISE_PROJECT:
        same = (enterprise_project.c.domain_id == project.c.domain_id) & (
            enterprise_project.c.id == enterprise_project_id
        )
        source = source.where(select(enterprise_project.c.id).where(same).exists())
    statement = upsert(role_assignment).from_select([*_GRANT_KEY, "role"], source)
    statement = statement.on_conflict_do_update(index_elements=_GRANT_KEY, set_={"role": role.value})
    if not await _stored(connection, statement, role_assignment.c.role):
        raise UnknownIdentity("there is no such user, project and enterprise project in one domain")


async def revoke_role(
    connection: AsyncConnection,
    user_id: str,
    project_id: str,
    enterprise_project_id: str = EVERY_ENTERPRISE_PROJECT,
) -> None:
    """Take a role away; raises UnknownIdentity when the user does not have it."""
    key = (user_id, project_id, enterprise_project_id)
    held = tuple_(*(role_assignment.c[name] for name in _GRANT_KEY)) == key
    if not (await connection.execute(delete(role_assignment).where(held))).rowcount:
        raise UnknownIdentity("the user has no such role")


async def find_user(connection: AsyncConnection, domain_id: str, name: str) -> User:
    """Return a user by name; raises UnknownIdentity."""
    for user in await list_users(connection, domain_id):
        if user.name == name:
            return user
    raise UnknownIdentity(f"there is no user {name}; `imagewarden admin user list` shows them")


async def list_users(connection: AsyncConnection, domain_id: str) -> list[User]:
    """Return the users of a domain with their roles, oldest first."""
    rows = await connection.execute(
        select(user_account, project.c.name.label("project_name"), role_assignment.c.role)
        .select_from(user_account.outerjoin(role_assignment).outerjoin(project))
        .where(user_account.c.domain_id == domain_id)
        .order_by(user_account.c.created_at, user_account.c.id)
    )
    found: dict[str, User] = {}
    for row in rows:
        user = found.setdefault(row.id, User(row.id, row.domain_id, row.name, row.enabled, row.created_at, {}))
        if row.project_name:
            held = user.roles.get(row.project_name)
            if held is None or Role(row.role).at_least(Role(held)):
                user.roles[row.project_name] = row.role
    return list(found.values())


async def set_password(connection: AsyncConnection, user_id: str, password: str) -> None:
    """Change a user's password and revoke its tokens; raises InvalidIdentity, UnknownIdentity."""
    check_rules(password)
    await _change_user(connection, user_id, password_hash=await hash_password(password), password_changed_at=now_ms())
    await revoke_user_tokens(connection, user_id)


async def set_user_enabled(connection: AsyncConnection, user_id: str, *, enabled: bool) -> None:
    """Let a user authenticate, or no longer: its tokens are revoked and its keys refused; raises UnknownIdentity."""
    await _change_user(connection, user_id, enabled=enabled)
    if not enabled:
        await revoke_user_tokens(connection, user_id)


async def _change_user(connection: AsyncConnection, user_id: str, **values: object) -> None:
    """Update one user; raises UnknownIdentity."""
    done = await connection.execute(update(user_account).where(user_account.c.id == user_id).values(values))
    if not done.rowcount:
        raise UnknownIdentity(f"there is no user {user_id}; `imagewarden admin user list` shows them")
