"""`imagewarden registry`: the registries of a project."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagewarden.cli.options import AsJson, DatabaseUrl, DataDir, Extra, Project, group, with_extra
from imagewarden.cli.output import Column, human_time, note, print_json, print_table, say
from imagewarden.cli.session import Session, run
from imagewarden.cli.source import new_registry, shown_interval

if TYPE_CHECKING:
    from imagewarden.inventory.registries import NewRegistry, RegistryRecord
    from imagewarden.sync.runs import SyncReport

__all__ = ["SOURCE", "registry"]

registry = group("Registries: where images are, and how to read them.")

_MANY = list[str] | None
_KINDS = "Other|Harbor|Jfrog|SwrPrivate|SwrShared|SwrEnterprise"
SOURCE = (
    Extra("type", "Kind; Other, any OCI registry, without it.", _KINDS, str, "Other"),
    Extra("username", "User; anonymous without it.", "NAME"),
    Extra("password_stdin", "Read the password from standard input; asked for without it.", kind=bool, default=False),
    Extra("insecure", "Accept any TLS certificate.", kind=bool, default=False),
    Extra("ca_file", "Certificate authorities to trust besides the usual ones.", "FILE"),
    Extra("proxy", "HTTP proxy.", "http://HOST:PORT"),
    Extra("docker_config", "Docker's config.json, to ask for credentials.", "FILE"),
    Extra("token_host", "Token service on another host that may get the credentials.", "HOST", _MANY),
    Extra("repository", "Read this repository instead of the registry's own list.", "NAME", _MANY),
    Extra("include", "Only repositories like this, such as 'team/*'.", "PATTERN", _MANY),
    Extra("exclude", "But none like this.", "PATTERN", _MANY),
    Extra("include_tag", "Only tags like this, such as 'v*'.", "PATTERN", _MANY),
    Extra("exclude_tag", "But none like this.", "PATTERN", _MANY),
    Extra("newest", "Only the N newest tags of each repository.", "N", int | None, least=1),
    Extra("every", "How often to synchronise: 15m, 1h, 1d, never.", "TIME", str, "1h"),
    Extra("concurrency", "Requests at once.", "N", int, 4, 1, 64),
    Extra("rate", "Requests a second; 0 for no bound.", "N", float, 0.0, 0, 10_000),
    Extra("enterprise_project", "Enterprise project that its images fall into.", "ID", str, "0"),
)
"""How to reach a registry and what to take from it."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The registry's name.")]


@registry.command("add")
@with_extra(SOURCE)
def add(
    name: Name,
    url: Annotated[str, typer.Option(metavar="URL", help="Scheme, host and port.")],
    no_check: Annotated[bool, typer.Option("--no-check", help="Store it without asking it anything.")] = False,
    project: Project = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    **source: Any,
) -> None:
    """Add a registry, once it has answered at its address to its credentials.

    Options that take a pattern, a repository or a host may be given more than once.
    """
    new = new_registry(name, url, source)
    work = _adding(new, project, check=not no_check)
    record, answered = run(work, data_dir=data_dir, database_url=database_url)
    if as_json:
        print_json(_described(record))
        return
    say(f"registry {record.name} is added" + (f": {answered}" if answered else ""))
    note(f"Next: imagewarden sync {record.name} --wait")


def _adding(
    new: "NewRegistry", project: str | None, *, check: bool
) -> "Callable[[Session], Awaitable[tuple[RegistryRecord, str]]]":
    """Return the work of storing a registry; what does not answer is not kept."""

    async def work(session: Session) -> "tuple[RegistryRecord, str]":
        from imagewarden.identity.directory import find_project
        from imagewarden.inventory.registries import add_registry

        async with session.engine.begin() as connection:
            found = await find_project(connection, project)
            record = await add_registry(connection, session.vault, found.id, new)
            return record, await _ask(session, record, check=check)

    return work


async def _ask(session: Session, record: "RegistryRecord", *, check: bool = True) -> str:
    """Return what a registry answers, in a line; without `check` its options alone are judged.

    Raises RegistryError kinds.
    """
    from imagewarden.sync.source import open_source, read_source

    adapter = open_source(read_source(record), session.vault)
    try:
        return await adapter.check() if check else ""
    finally:
        await adapter.close()


def _described(record: "RegistryRecord", report: "SyncReport | None" = None) -> dict[str, Any]:
    """Return a registry for JSON: everything but its password."""
    import msgspec

    facts: dict[str, Any] = msgspec.to_builtins(record)
    sealed = facts.pop("password_sealed")
    facts["has_password"] = sealed is not None
    facts["last_sync"] = None if report is None else msgspec.to_builtins(report)
    return facts


@registry.command("list")
def list_registries_command(
    project: Project = None, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """List the registries of a project, with how their last synchronisation went."""

    async def work(session: Session) -> "tuple[list[RegistryRecord], dict[str, SyncReport]]":
        from imagewarden.identity.directory import find_project
        from imagewarden.inventory.registries import list_registries
        from imagewarden.sync.runs import latest_runs

        async with session.engine.connect() as connection:
            found = await find_project(connection, project)
            runs = {report.registry_id: report for report in await latest_runs(connection, found.id)}
            return await list_registries(connection, found.id), runs

    records, runs = run(work, data_dir=data_dir, database_url=database_url)
    if as_json:
        print_json([_described(record, runs.get(record.id)) for record in records])
        return
    columns = [Column("NAME"), Column("TYPE"), Column("URL"), Column("USER", wide=True), Column("EVERY"),
               Column("LAST SYNC"), Column("RESULT")]  # fmt: skip
    print_table(
        columns,
        (
            [
                record.name,
                record.type.value,
                record.url,
                record.username or "",
                shown_interval(record.sync_interval),
                human_time(record.synced_at) or "-",
                runs[record.id].state if record.id in runs else "-",
            ]
            for record in records
        ),
        footer="" if records else "no registry yet; imagewarden registry add NAME --url URL adds one",
    )


@registry.command("test")
def ask(name: Name, project: Project = None, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Ask a registry whether its address and credentials work."""

    async def work(session: Session) -> str:
        from imagewarden.identity.directory import find_project
        from imagewarden.inventory.registries import find_registry

        async with session.engine.connect() as connection:
            found = await find_project(connection, project)
            record = await find_registry(connection, found.id, name)
        return await _ask(session, record)

    say(f"{name}: {run(work, data_dir=data_dir, database_url=database_url)}")


@registry.command("remove")
def remove(name: Name, project: Project = None, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Remove a registry and all its images from the list; the registry itself is not touched."""

    async def work(session: Session) -> int:
        from imagewarden.identity.directory import find_project
        from imagewarden.inventory.registries import find_registry, remove_registry

        async with session.engine.begin() as connection:
            found = await find_project(connection, project)
            return await remove_registry(connection, await find_registry(connection, found.id, name))

    count = run(work, data_dir=data_dir, database_url=database_url)
    say(f"registry {name} is removed, with {count} images")
