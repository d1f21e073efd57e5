"""`imagewarden init`: the database, the key file, and the first project, administrator and access key."""

import asyncio
from typing import TYPE_CHECKING

from imagewarden.cli.options import AsJson, DatabaseUrl, DataDir

if TYPE_CHECKING:
    from imagewarden.identity.bootstrap import Credentials
    from imagewarden.identity.directory import Project
    from imagewarden.settings import Settings
    from imagewarden.storage.database import Database

__all__ = ["init"]

_LOCK = 0x696E6974  # "init": one at a time


def init(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Set up a new installation, or upgrade an existing one.

    A new one gets its database, a project, an administrator and an access key, whose secrets are printed this once.
    An existing one gets the schema of this version.
    """
    from imagewarden.cli.session import settings_from
    from imagewarden.jobs import schema as queue
    from imagewarden.storage import schema
    from imagewarden.storage.database import open_database
    from imagewarden.storage.place import ensure_data_dir

    settings = settings_from(log_level="warning", data_dir=data_dir, database_url=database_url)
    ensure_data_dir(settings.data_dir)
    with open_database(settings.data_dir, settings.database_url) as database:
        schema.upgrade(database)
        queue.upgrade(database)
        credentials, project = asyncio.run(_bootstrap(database, settings))
    _report(settings, credentials, project, as_json=as_json)


async def _bootstrap(database: "Database", settings: "Settings") -> "tuple[Credentials | None, Project]":
    """Create the first of everything in a new installation; returns what it holds already of an existing one.

    A key file is only ever made together with a new installation: a second machine on the same database needs the
    first one's key, and says so.
    """
    from sqlalchemy import text

    from imagewarden.identity.bootstrap import bootstrap
    from imagewarden.identity.directory import find_project, list_projects
    from imagewarden.identity.vault import open_vault

    engine = database.engine(pool_size=1)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            is_new = not await list_projects(connection)
            vault = open_vault(settings.data_dir, settings.secret_key, create=is_new)
            credentials = await bootstrap(connection, vault, settings.region) if is_new else None
            return credentials, await find_project(connection)
    finally:
        await engine.dispose()


def _report(settings: "Settings", credentials: "Credentials | None", project: "Project", *, as_json: bool) -> None:
    """Print what was made; secrets only here and only now."""
    import msgspec

    from imagewarden.cli.output import note, print_facts, print_json, say

    place = "the database of the URL" if settings.database_url else str(settings.data_dir.expanduser().absolute())
    if credentials is None:
        known = {"project_id": project.id, "project": project.name, "domain_id": project.domain_id}
        if as_json:
            print_json({"created": False, **known})
            return
        say(f"Imagewarden exists already in {place}; its schema is up to date.")
        print_facts(known)
        return
    facts = msgspec.to_builtins(credentials)
    if as_json:
        print_json({"created": True, **facts})
        return
    print_facts(facts)
    note(
        f"\nImagewarden is set up in {place}. The password and the secret key are shown this once: keep them.\n"
        "Next: imagewarden registry add NAME --type Other --url URL, imagewarden sync --wait, imagewarden serve"
    )
