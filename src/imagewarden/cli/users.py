"""`imagewarden admin user`: who may ask, and for what."""

from typing import TYPE_CHECKING, Annotated

import typer

from imagewarden.cli.options import AsJson, DatabaseUrl, DataDir, Project, group
from imagewarden.cli.output import Column, human_time, note, print_facts, print_json, print_table, say
from imagewarden.cli.session import Session, run

if TYPE_CHECKING:
    from imagewarden.identity.roles import Role

__all__ = ["users"]

users = group("Users and their roles.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
RoleName = Annotated[str, typer.Option("--role", metavar="admin|operator|viewer", help="What the user may do.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input; made at random without it.")
]


def _show_password(facts: dict[str, str], *, made: bool, as_json: bool) -> None:
    """Print a user, with the password when it was made here: its only showing."""
    if as_json:
        print_json(facts)
        return
    print_facts(facts)
    if made:
        note("The password is shown this once.")


@users.command("create")
def create_user_command(
    name: Name,
    role: RoleName = "viewer",
    enterprise_project: Annotated[
        str, typer.Option("--enterprise-project", metavar="ID", help="The only one it may see; * for all.")
    ] = "*",
    password_stdin: PasswordStdin = False,
    project: Project = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create a user with a role in a project."""
    from imagewarden.cli.secrets_in import stdin_password
    from imagewarden.identity.directory import create_user, find_project, grant_role
    from imagewarden.identity.passwords import generate_password

    wanted = _role(role)
    password = stdin_password() if password_stdin else generate_password()

    async def work(session: Session) -> dict[str, str]:
        async with session.engine.begin() as connection:
            found = await find_project(connection, project)
            user_id = await create_user(connection, found.domain_id, name, password)
            await grant_role(connection, user_id, found.id, wanted, enterprise_project)
            return {"user_id": user_id, "user": name, "project": found.name, "role": wanted.value}

    facts = run(work, data_dir=data_dir, database_url=database_url)
    made = {} if password_stdin else {"password": password}
    _show_password(facts | made, made=bool(made), as_json=as_json)


@users.command("grant")
def grant(
    name: Name,
    role: RoleName,
    enterprise_project: Annotated[
        str, typer.Option("--enterprise-project", metavar="ID", help="The role holds in this one; * for all.")
    ] = "*",
    project: Project = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give a user a role in a project, in place of an earlier one there."""
    from imagewarden.identity.directory import find_project, find_user, grant_role

    wanted = _role(role)

    async def work(session: Session) -> str:
        async with session.engine.begin() as connection:
            found = await find_project(connection, project)
            user = await find_user(connection, found.domain_id, name)
            await grant_role(connection, user.id, found.id, wanted, enterprise_project)
            return found.name

    say(f"user {name} is {wanted} in project {run(work, data_dir=data_dir, database_url=database_url)}")


@users.command("list")
def list_users_command(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the users with their roles, oldest first."""
    import msgspec

    from imagewarden.identity.directory import User, find_project, list_users

    async def work(session: Session) -> list[User]:
        async with session.engine.connect() as connection:
            return await list_users(connection, (await find_project(connection)).domain_id)

    found = run(work, data_dir=data_dir, database_url=database_url)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    columns = [Column("NAME"), Column("ENABLED"), Column("ROLES"), Column("CREATED")]
    rows = (
        [
            each.name,
            "yes" if each.enabled else "no",
            ", ".join(f"{role} in {project}" for project, role in each.roles.items()),
            human_time(each.created_at),
        ]
        for each in found
    )
    print_table(columns, rows)


def _switch(name: str, data_dir: DataDir, database_url: DatabaseUrl, *, enabled: bool) -> None:
    """Enable or disable a user."""
    from imagewarden.identity.directory import find_project, find_user, set_user_enabled

    async def work(session: Session) -> None:
        async with session.engine.begin() as connection:
            user = await find_user(connection, (await find_project(connection)).domain_id, name)
            await set_user_enabled(connection, user.id, enabled=enabled)

    run(work, data_dir=data_dir, database_url=database_url)
    say(f"user {name} is {'enabled' if enabled else 'disabled; its tokens are revoked and its keys refused'}")


@users.command("disable")
def disable(name: Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Shut a user out: tokens are revoked, keys refused."""
    _switch(name, data_dir, database_url, enabled=False)


@users.command("enable")
def enable(name: Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Let a user in again."""
    _switch(name, data_dir, database_url, enabled=True)


@users.command("reset-password")
def reset_password(
    name: Name,
    password_stdin: PasswordStdin = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Give a user a new password; its tokens are revoked."""
    from imagewarden.cli.secrets_in import stdin_password
    from imagewarden.identity.directory import find_project, find_user, set_password
    from imagewarden.identity.passwords import generate_password

    password = stdin_password() if password_stdin else generate_password()

    async def work(session: Session) -> None:
        async with session.engine.begin() as connection:
            user = await find_user(connection, (await find_project(connection)).domain_id, name)
            await set_password(connection, user.id, password)

    run(work, data_dir=data_dir, database_url=database_url)
    made = {} if password_stdin else {"password": password}
    _show_password({"user": name} | made, made=bool(made), as_json=as_json)


def _role(text: str) -> "Role":
    """Return a role by its name; raises a usage error for another word."""
    from imagewarden.identity.roles import Role

    try:
        return Role(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(Role)}", param_hint="--role") from None
