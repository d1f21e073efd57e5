"""`imagewarden admin project` and `enterprise-project`: what registries belong to."""

from typing import Annotated

import typer

from imagewarden.cli.options import AsJson, DatabaseUrl, DataDir, group
from imagewarden.cli.output import Column, print_facts, print_json, print_table, say
from imagewarden.cli.session import Session, run

__all__ = ["enterprise_projects", "projects"]

projects = group("Projects: what registries belong to and roles are given in.")
enterprise_projects = group("Enterprise projects: a second partition of registries, across projects.")


@projects.command("create")
def create_project_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name, unique in the domain.")],
    description: Annotated[str, typer.Option(metavar="TEXT", help="Free text.")] = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create a project."""
    from imagewarden.identity.directory import Project, create_project, find_project

    async def work(session: Session) -> Project:
        async with session.engine.begin() as connection:
            domain_id = (await find_project(connection)).domain_id
            return await create_project(connection, domain_id, name, description)

    made = run(work, data_dir=data_dir, database_url=database_url)
    facts = {"project_id": made.id, "project": made.name}
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@projects.command("list")
def list_projects_command(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the projects, oldest first."""
    import msgspec

    from imagewarden.identity.directory import Project, list_projects

    async def work(session: Session) -> list[Project]:
        async with session.engine.connect() as connection:
            return await list_projects(connection)

    found = run(work, data_dir=data_dir, database_url=database_url)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    columns = [Column("ID"), Column("NAME"), Column("ENABLED"), Column("DESCRIPTION")]
    print_table(columns, ([each.id, each.name, _yes(each.enabled), each.description] for each in found))


def _switch(project: str, data_dir: DataDir, database_url: DatabaseUrl, *, enabled: bool) -> None:
    """Enable or disable a project."""
    from imagewarden.identity.directory import find_project, set_project_enabled

    async def work(session: Session) -> str:
        async with session.engine.begin() as connection:
            found = await find_project(connection, project)
            await set_project_enabled(connection, found.id, enabled=enabled)
            return found.name

    name = run(work, data_dir=data_dir, database_url=database_url)
    say(f"project {name} is {'enabled' if enabled else 'disabled'}")


@projects.command("disable")
def disable_project(
    project: Annotated[str, typer.Argument(metavar="NAME|ID", help="The project.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Let nobody use a project until it is enabled again."""
    _switch(project, data_dir, database_url, enabled=False)


@projects.command("enable")
def enable_project(
    project: Annotated[str, typer.Argument(metavar="NAME|ID", help="The project.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Let a project be used again."""
    _switch(project, data_dir, database_url, enabled=True)


@enterprise_projects.command("create")
def create_enterprise_project_command(
    number: Annotated[str, typer.Argument(metavar="ID", help="Id, 1 to 64 characters.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Create an enterprise project, if there is none of that id."""
    from imagewarden.identity.directory import create_enterprise_project, find_project

    async def work(session: Session) -> None:
        async with session.engine.begin() as connection:
            domain_id = (await find_project(connection)).domain_id
            await create_enterprise_project(connection, domain_id, number, name)

    run(work, data_dir=data_dir, database_url=database_url)
    say(f"enterprise project {number} is there")


def _yes(value: bool) -> str:  # a cell's value
    """Return a truth value as a cell."""
    return "yes" if value else "no"
