"""The queue's own tables: what Procrastinate ships, brought up to date by `init` and checked by everything else.

Its objects live in the same schema as ours, told apart by their prefix `procrastinate_`: a schema of their own would
need a search path on every connection that enqueues, which connection poolers drop. The last of Procrastinate's
migrations that a database holds is recorded as a comment on its table of jobs; a file's name, unlike a version
number, says exactly which files are still to be applied.
"""

from pathlib import Path

import psycopg
from procrastinate.schema import SchemaManager
from psycopg import sql

from imagewarden.jobs.errors import ForeignQueue, QueueMissing, QueueNewer, QueueOlder
from imagewarden.storage.database import Database

__all__ = ["PREFIX", "check", "migrations", "upgrade"]

PREFIX = "procrastinate_"
"""What the names of the queue's tables, types and functions begin with."""

_LOCK = 0x6A6F6273  # "jobs": one upgrade at a time
_TABLE = "procrastinate_jobs"
_MARK = "imagewarden: up to "


def migrations() -> list[Path]:
    """Return the migration files of the installed Procrastinate, in the order they are applied."""
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))


def _recorded(connection: psycopg.Connection) -> str | None:
    """Return the name of the last migration a database holds, None without a queue; raises ForeignQueue."""
    row = connection.execute(
        "SELECT to_regclass(%(table)s) IS NOT NULL, obj_description(to_regclass(%(table)s), 'pg_class')",
        {"table": _TABLE},
    ).fetchone()
    if row is None or not row[0]:
        return None
    mark = str(row[1] or "")
    if not mark.startswith(_MARK):
        raise ForeignQueue(
            f"the database holds a table {_TABLE} that Imagewarden did not make; give Imagewarden a database of its own"
        )
    return mark.removeprefix(_MARK)


def _pending(connection: psycopg.Connection) -> list[Path] | None:
    """Return the files still to be applied, None without a queue; raises QueueNewer, ForeignQueue."""
    recorded = _recorded(connection)
    if recorded is None:
        return None
    files = migrations()
    names = [file.name for file in files]
    if recorded not in names:
        raise QueueNewer(
            f"the job queue in the database is at {recorded}, which a later version of Imagewarden made; "
            "install that version"
        )
    return files[names.index(recorded) + 1 :]


def upgrade(database: Database) -> None:
    """Bring the queue's tables up to date, in one transaction; two at once wait for each other.

    Raises QueueNewer for a later queue and ForeignQueue for another program's.
    """
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        pending = _pending(connection)
        if pending is None:
            connection.execute(SchemaManager.get_schema())
        for file in pending or ():
            connection.execute(file.read_bytes())
        connection.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(
                sql.Identifier(_TABLE), sql.Literal(_MARK + migrations()[-1].name)
            )
        )


def check(database: Database) -> None:
    """Return if the queue is this version's; raises QueueMissing, QueueOlder, QueueNewer or ForeignQueue."""
    with psycopg.connect(database.conninfo) as connection:
        pending = _pending(connection)
    if pending is None:
        raise QueueMissing("the database holds no job queue yet; run `imagewarden init`")
    if pending:
        raise QueueOlder(
            f"the job queue in the database lacks {len(pending)} of its library's migrations; "
            "run `imagewarden init` to upgrade it"
        )
