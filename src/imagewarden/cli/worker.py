"""`imagewarden worker`: job workers alone, on as many machines as wanted."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from imagewarden.cli.options import DatabaseUrl, DataDir

if TYPE_CHECKING:
    from imagewarden.settings import Settings
    from imagewarden.storage.database import Database

__all__ = ["worker"]


def worker(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, max=64, metavar="N", help="Jobs at once.")
    ] = None,
) -> None:
    """Run the jobs of the queue, until stopped.

    The installation's key must be here too: the key file in the data folder, or IMAGEWARDEN_SECRET_KEY.
    """
    import signal

    from imagewarden.cli.lifeline import follow_parent
    from imagewarden.cli.session import opened_database, settings_from

    follow_parent(signal.SIGTERM)
    settings = settings_from(data_dir=data_dir, database_url=database_url, job_concurrency=concurrency)
    with opened_database(settings) as database:
        asyncio.run(_work(database, settings))


async def _work(database: "Database", settings: "Settings") -> None:
    """Run one worker over a database."""
    from imagewarden.identity.vault import open_vault
    from imagewarden.jobs.worker import run_worker

    vault = open_vault(settings.data_dir, settings.secret_key)
    # Each running synchronisation keeps one connection, its lock's, and needs others now and then.
    engine = database.engine(pool_size=max(settings.database_pool, settings.job_concurrency + 4))
    try:
        await run_worker(database, engine, vault, concurrency=settings.job_concurrency)
    finally:
        await engine.dispose()
