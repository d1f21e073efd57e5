"""The database's schema: brought up to date by `init`, checked by everything else."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from imagewarden.storage.database import Database
from imagewarden.storage.errors import SchemaMissing, SchemaNewer, SchemaOlder

__all__ = ["check", "head", "upgrade"]

_LOCK = 0x696D6167  # "imag": one upgrade at a time


def _config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the revision this version of Imagewarden needs."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    if found is None:
        raise SchemaMissing("this installation holds no migrations; install it again")
    return found


def upgrade(database: Database) -> None:
    """Bring the schema up to date; two at once wait for each other. Raises SchemaNewer for a later schema."""
    engine = database.sync_engine()
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _refuse_newer(connection)
            command.upgrade(_config(connection), "head")
    finally:
        engine.dispose()


def _refuse_newer(connection: Connection) -> str | None:
    """Return the database's revision, None for an empty one; raises SchemaNewer for one we do not know."""
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise SchemaNewer(
            f"the database is at schema {current}, which a later version of Imagewarden made; install that version"
        )
    return current


def check(database: Database) -> None:
    """Return if the schema is this version's; raises SchemaMissing, SchemaOlder or SchemaNewer."""
    engine = database.sync_engine()
    try:
        with engine.connect() as connection:
            current = _refuse_newer(connection)
    finally:
        engine.dispose()
    if current is None:
        raise SchemaMissing("the database is empty; run `imagewarden init` with the same --data-dir or --database-url")
    if current != head():
        raise SchemaOlder(
            f"the database is at schema {current}, {head()} is needed; run `imagewarden init` to upgrade it"
        )
