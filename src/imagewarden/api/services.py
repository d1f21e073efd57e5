"""What the operations work with: the database, the read model, the vault and the settings of this process."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from imagewarden.api.callers import KnownCallers
from imagewarden.identity.vault import Vault
from imagewarden.inventory.freshness import Freshness
from imagewarden.inventory.lists import ImageLists
from imagewarden.settings import Settings

__all__ = ["Services"]


@dataclass(frozen=True)
class Services:
    """Shared by all requests of a process."""

    engine: AsyncEngine
    """For transactions that write."""
    reader: AsyncEngine
    """The same pool, each statement on its own: no round trips for a transaction around one read."""
    freshness: Freshness
    """What was committed since this process last looked."""
    images: ImageLists
    """The image lists."""
    callers: KnownCallers
    """Whose tokens were seen."""
    vault: Vault
    """Opens sealed secrets."""
    settings: Settings
    """The settings this process was started with."""
