"""`imagewarden admin key`: access keys that sign requests."""

from typing import Annotated

import typer

from imagewarden.cli.options import AsJson, DatabaseUrl, DataDir, group
from imagewarden.cli.output import Column, human_time, note, print_facts, print_json, print_table, say
from imagewarden.cli.session import Session, run

__all__ = ["keys"]

keys = group("Access keys, which sign requests.")

Access = Annotated[str, typer.Argument(metavar="ACCESS_KEY", help="The key's public part.")]


@keys.command("create")
def create(
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Whose.")],
    description: Annotated[str, typer.Option(metavar="TEXT", help="What it is for.")] = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create an access key of a user."""
    from imagewarden.identity.accesskeys import AccessKey, create_access_key
    from imagewarden.identity.directory import find_project, find_user

    async def work(session: Session) -> AccessKey:
        async with session.engine.begin() as connection:
            owner = await find_user(connection, (await find_project(connection)).domain_id, user)
            return await create_access_key(connection, session.vault, owner.id, description)

    made = run(work, data_dir=data_dir, database_url=database_url)
    facts = {"access_key": made.access, "secret_key": made.secret}
    if as_json:
        print_json(facts)
        return
    print_facts(facts)
    note("The secret key is shown this once.")


@keys.command("list")
def list_keys(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the access keys, oldest first."""
    import msgspec

    from imagewarden.identity.accesskeys import AccessKeyInfo, list_access_keys
    from imagewarden.identity.directory import find_project

    async def work(session: Session) -> list[AccessKeyInfo]:
        async with session.engine.connect() as connection:
            return await list_access_keys(connection, (await find_project(connection)).domain_id)

    found = run(work, data_dir=data_dir, database_url=database_url)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    columns = [Column("ACCESS KEY"), Column("USER"), Column("ENABLED"), Column("CREATED"), Column("DESCRIPTION")]
    rows = (
        [each.access, each.user_name, "yes" if each.enabled else "no", human_time(each.created_at), each.description]
        for each in found
    )
    print_table(columns, rows)


def _switch(access: str, data_dir: DataDir, database_url: DatabaseUrl, *, enabled: bool) -> None:
    """Enable or disable a key."""
    from imagewarden.identity.accesskeys import set_access_key_enabled

    async def work(session: Session) -> None:
        async with session.engine.begin() as connection:
            await set_access_key_enabled(connection, access, enabled=enabled)

    run(work, data_dir=data_dir, database_url=database_url)
    say(f"access key {access} is {'enabled' if enabled else 'disabled'}")


@keys.command("disable")
def disable(access: Access, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Refuse what a key signs, until it is enabled again."""
    _switch(access, data_dir, database_url, enabled=False)


@keys.command("enable")
def enable(access: Access, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Accept what a key signs again."""
    _switch(access, data_dir, database_url, enabled=True)


@keys.command("delete")
def delete(access: Access, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Forget a key, for good."""
    from imagewarden.identity.accesskeys import delete_access_key

    async def work(session: Session) -> None:
        async with session.engine.begin() as connection:
            await delete_access_key(connection, access)

    run(work, data_dir=data_dir, database_url=database_url)
    say(f"access key {access} is gone")
