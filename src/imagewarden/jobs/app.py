"""The queue with its tasks, as a worker runs it."""

from procrastinate import App, PsycopgConnector
from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.identity.vault import Vault
from imagewarden.jobs import maintenance, sync
from imagewarden.storage.database import Database

__all__ = ["job_app"]


def job_app(database: Database, engine: AsyncEngine, vault: Vault) -> App:
    """Return the queue of a database with every task, not yet open; tasks work through `engine` and `vault`."""
    app = App(connector=PsycopgConnector(conninfo=database.conninfo, min_size=1, max_size=4, timeout=10.0))
    maintenance.register(app, engine)
    sync.register(app, engine, vault)
    return app
