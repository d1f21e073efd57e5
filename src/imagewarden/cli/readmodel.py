"""`imagewarden read-model`: the process of `serve` that builds and refreshes the read models; started by it alone."""

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from imagewarden.cli.options import DatabaseUrl, DataDir

if TYPE_CHECKING:
    from imagewarden.settings import Settings
    from imagewarden.storage.database import Database

__all__ = ["read_model"]


def read_model(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Build and refresh the read model that the API processes of this machine answer from, until stopped."""
    from imagewarden.cli.lifeline import follow_parent
    from imagewarden.cli.session import opened_database, settings_from
    from imagewarden.inventory.builder import claim_models

    follow_parent(signal.SIGTERM)
    settings = settings_from(data_dir=data_dir, database_url=database_url)
    with opened_database(settings) as database, claim_models(settings.read_model_dir):
        asyncio.run(_build(database, settings))


async def _build(database: "Database", settings: "Settings") -> None:
    """Serve requests until SIGTERM."""
    from imagewarden.api.v5.image_rows import ENCODING
    from imagewarden.inventory.builder import Builder

    builder = Builder(settings.read_model_dir, database.conninfo, ENCODING, settings.read_model_bytes)
    serving = asyncio.ensure_future(builder.serve())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving
