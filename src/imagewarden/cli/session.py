"""What a command that reads or writes the database works with, opened and closed in one place."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from imagewarden.identity.vault import Vault
    from imagewarden.settings import Settings
    from imagewarden.storage.database import Database

__all__ = ["Session", "opened_database", "run", "settings_from"]

Result = TypeVar("Result")
_CONNECTIONS = 10
"""What `sync --wait` needs for four registries at once."""


@dataclass(frozen=True)
class Session:
    """An open installation, for the life of one command."""

    settings: "Settings"
    """The settings, flags included."""
    database: "Database"
    """The database, checked for its schema."""
    engine: "AsyncEngine"
    """Connections to it."""
    vault: "Vault"
    """Opens sealed secrets."""


def settings_from(*, log_level: str | None = None, **flags: Any) -> "Settings":
    """Return the settings with a command's flags, and send log lines to standard error from `log_level` on.

    A short command passes `warning`: its output is its result, not its log. Raises InvalidSetting.
    """
    from imagewarden import logs
    from imagewarden.settings import load_settings

    settings = load_settings(**flags)
    quiet = log_level if settings.log_level != "debug" else None
    logs.configure(quiet or settings.log_level, as_json=settings.log_json)
    return settings


@contextmanager
def opened_database(settings: "Settings") -> "Iterator[Database]":
    """Give the database the settings name, its schema and its queue checked; raises StorageError and JobError kinds."""
    from imagewarden.jobs import schema as queue
    from imagewarden.storage import schema
    from imagewarden.storage.database import open_database

    with open_database(settings.data_dir, settings.database_url) as database:
        schema.check(database)
        queue.check(database)
        yield database


def run(work: Callable[[Session], Awaitable[Result]], **flags: Any) -> Result:
    """Return what `work` returns over the installation that the flags `data_dir` and `database_url` name."""
    from imagewarden.identity.vault import open_vault

    settings = settings_from(log_level="warning", **flags)

    async def with_engine(database: "Database") -> Result:
        engine = database.engine(pool_size=max(settings.database_pool, _CONNECTIONS))
        try:
            return await work(Session(settings, database, engine, open_vault(settings.data_dir, settings.secret_key)))
        finally:
            await engine.dispose()

    with opened_database(settings) as database:
        return asyncio.run(with_engine(database))
