"""`imagewarden admin token`: tokens without a login, and the end of any."""

from typing import Annotated

import typer

from imagewarden.cli.options import AsJson, DatabaseUrl, DataDir, Project, group
from imagewarden.cli.output import Column, human_time, note, print_facts, print_json, print_table, say
from imagewarden.cli.session import Session, run

__all__ = ["tokens"]

tokens = group("API tokens, for the X-Auth-Token header.")

UserName = Annotated[str, typer.Option("--user", metavar="NAME", help="Whose.")]


@tokens.command("create")
def create(
    user: UserName,
    lifetime: Annotated[
        int | None, typer.Option(min=60, max=366 * 86400, metavar="SECONDS", help="Life; the usual one without it.")
    ] = None,
    project: Project = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Issue a token of a user for a project."""
    from imagewarden.identity.directory import find_project, find_user
    from imagewarden.identity.tokens import IssuedToken, issue_token

    async def work(session: Session) -> tuple[IssuedToken, str]:
        async with session.engine.begin() as connection:
            found = await find_project(connection, project)
            owner = await find_user(connection, found.domain_id, user)
            life = lifetime or session.settings.token_lifetime
            return await issue_token(connection, owner.id, found.id, life, "token"), found.id

    issued, project_id = run(work, data_dir=data_dir, database_url=database_url)
    if as_json:
        print_json({"token": issued.text, "project_id": project_id, "expires_at": issued.expires_at})
        return
    print_facts({"token": issued.text, "project_id": project_id, "expires": human_time(issued.expires_at)})
    note("The token is shown this once.")


@tokens.command("list")
def list_tokens_command(
    user: UserName, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """List the tokens of a user that are good."""
    import msgspec

    from imagewarden.identity.directory import find_project, find_user
    from imagewarden.identity.tokens import TokenInfo, list_tokens

    async def work(session: Session) -> list[TokenInfo]:
        async with session.engine.connect() as connection:
            owner = await find_user(connection, (await find_project(connection)).domain_id, user)
            return await list_tokens(connection, owner.id)

    found = run(work, data_dir=data_dir, database_url=database_url)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    columns = [Column("ID"), Column("PROJECT"), Column("ISSUED"), Column("EXPIRES")]
    rows = ([each.id, each.project_id or "", human_time(each.issued_at), human_time(each.expires_at)] for each in found)
    print_table(columns, rows)


@tokens.command("revoke")
def revoke(
    user: UserName,
    listed: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids, as listed.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All tokens of the user.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make tokens of a user worthless, at once."""
    from imagewarden.identity.directory import find_project, find_user
    from imagewarden.identity.tokens import revoke_listed_token, revoke_user_tokens

    if bool(listed) == every:
        raise typer.BadParameter("name tokens by their ids, or give --all", param_hint="ID")

    async def work(session: Session) -> int:
        async with session.engine.begin() as connection:
            owner = await find_user(connection, (await find_project(connection)).domain_id, user)
            if every:
                return await revoke_user_tokens(connection, owner.id)
            for each in listed or ():
                await revoke_listed_token(connection, owner.id, each)
            return len(listed or ())

    say(f"revoked {run(work, data_dir=data_dir, database_url=database_url)} tokens of user {user}")
