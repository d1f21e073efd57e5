"""Asking the machine's builder for a refresh."""

import asyncio
import time
from pathlib import Path

import msgspec

from imagewarden.inventory.builder import Refreshed, RefreshRequest, socket_address
from imagewarden.inventory.errors import ModelUnavailable

__all__ = ["BuilderClient"]

_REPLACED_SECONDS = 10.0
"""Time in which a builder that died has been replaced."""
_RETRY_SECONDS = 0.1


class BuilderClient:
    """One process's connections to the builder; for one event loop."""

    def __init__(self, models: Path) -> None:
        """Ask the builder of a folder of models."""
        self._models = models
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def refresh(self, project_id: str, *, damaged: bool = False) -> Refreshed:
        """Have a model show all that was committed before the call, built anew if it is damaged; returns how it went.

        A builder that dies is asked again once it was replaced. Raises ModelUnavailable where none answers.
        """
        request = msgspec.json.encode(RefreshRequest(project_id, damaged)) + b"\n"
        deadline = time.monotonic() + _REPLACED_SECONDS
        while True:
            try:
                return await self._ask(request)
            except (OSError, EOFError, ValueError) as error:
                if time.monotonic() > deadline:
                    raise ModelUnavailable(
                        "the process that builds the read model does not answer; `imagewarden serve` starts it"
                    ) from error
                await asyncio.sleep(_RETRY_SECONDS)

    async def _ask(self, request: bytes) -> Refreshed:
        """Ask over a connection of its own: answers come when they are ready, not in the order of the questions."""
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        try:
            writer.write(request)
            line = await reader.readuntil(b"\n")
            answer = msgspec.json.decode(line, type=Refreshed)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with socket_address(self._models) as address:
            return await asyncio.open_unix_connection(address)

    async def close(self) -> None:
        """Close all connections."""
        while self._idle:
            self._idle.pop()[1].close()
