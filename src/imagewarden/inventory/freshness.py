"""The check that an answer may be given: what has been committed since this process last looked?

One statement for all requests that wait tells which projects' images changed, and whether identities did.
"""

import asyncio
import contextlib
import time
from collections import Counter

import psycopg

from imagewarden.inventory.coalesced import Coalesced
from imagewarden.inventory.errors import InventoryError
from imagewarden.inventory.feed import FeedPosition
from imagewarden.inventory.news import NewsReader

__all__ = ["DatabaseAway", "Freshness"]

_SECONDS = 2.0
"""A database that takes longer counts as away."""
_RETRY_SECONDS = 0.5
"""A database that was away is left alone for so long: requests are answered from what is there."""


class DatabaseAway(InventoryError):
    """The database does not say whether anything has changed."""


class Freshness:
    """What this process knows of the database's changes; one connection, for one event loop."""

    def __init__(self, conninfo: str) -> None:
        """Ask the database of `conninfo`; it is connected to when the first question comes."""
        self._conninfo = conninfo
        self._reader: NewsReader | None = None
        self._away_until = 0.0
        self._lock = asyncio.Lock()
        self._closed = False
        self._position: FeedPosition | None = None
        self._changes: Counter[str] = Counter()
        self._of_all = 0
        self._of_identities = 0
        self.check = Coalesced(self._check)

    @property
    def identities(self) -> int:
        """A number that has grown whenever a check found that users, roles, keys, projects or tokens changed."""
        return self._of_all + self._of_identities

    def changes(self, project_id: str) -> int:
        """Return a number that has grown whenever a check found that images of the project changed."""
        return self._of_all + self._changes[project_id]

    async def _check(self) -> None:
        """Note what was committed before the call; raises DatabaseAway."""
        if time.monotonic() < self._away_until:
            raise DatabaseAway("the database is away")
        try:
            async with self._lock, asyncio.timeout(_SECONDS):
                news = await (await self._connected()).read(self._position)
        except (psycopg.Error, OSError, TimeoutError):
            self._away_until = time.monotonic() + _RETRY_SECONDS
            await self._drop()
            raise DatabaseAway("the database is away") from None
        self._position = news.position
        self._of_all += news.everything
        self._of_identities += news.identities
        self._changes.update(news.project_ids)

    async def _connected(self) -> NewsReader:
        if self._closed:
            raise DatabaseAway("this process is ending")
        if self._reader is None or self._reader.closed:
            self._reader = await NewsReader.connected(self._conninfo)
        return self._reader

    async def _drop(self) -> None:
        """Close the connection, whatever state it is in."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await reader.close()

    async def close(self) -> None:
        """Close the connection, once the check that goes on has ended."""
        self._closed = True
        async with self._lock:
            await self._drop()
