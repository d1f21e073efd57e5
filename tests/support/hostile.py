"""A scripted HTTP server on a real socket: it answers as no proper registry would."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["Asked", "Hostile", "Reply", "Script", "hostile", "json_reply", "reply"]


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    """GET, HEAD, ..."""
    target: str
    """As in the request line."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    """The body."""

    @property
    def path(self) -> str:
        """The target's path."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The target's query."""
        return parse_qs(urlsplit(self.target).query)


@dataclass(frozen=True)
class Reply:
    """Bytes to send, and how."""

    pieces: Iterable[bytes]
    """Sent one after the other; endless if it likes."""
    pause: float = 0.0
    """Seconds between pieces."""
    keep: bool = False
    """Whether the connection is kept for another request."""


Script = Callable[[Asked], Reply]


@dataclass
class Hostile:
    """A running server."""

    url: str
    """Its address."""
    script: Script
    """What it answers; may be replaced while it runs."""
    asked: list[Asked] = field(default_factory=list)
    """Every request so far."""
    connections: int = 0
    """Connections so far."""

    @property
    def port(self) -> int:
        """Its port."""
        return urlsplit(self.url).port or 0


def reply(status: int = 200, body: bytes = b"", *, keep: bool = False, **headers: str) -> Reply:
    """Return a proper answer; a header `content_type` is sent as Content-Type."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Reason", *(f"{name}: {value}" for name, value in named.items())]
    if "content-length" not in named and "transfer-encoding" not in named:
        lines.append(f"content-length: {len(body)}")
    return Reply([("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body], keep=keep)


def json_reply(content: Any, status: int = 200, *, keep: bool = False, **headers: str) -> Reply:
    """Return a proper answer that holds JSON."""
    return reply(status, json.dumps(content).encode(), keep=keep, content_type="application/json", **headers)


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    line, *rest = head.split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest if each)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body)


@asynccontextmanager
async def hostile(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Hostile]:
    """Run a server on loopback for the time of a block."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        try:
            while (asked := await _read(reader)) is not None:
                found.asked.append(asked)
                answer = found.script(asked)
                await _send(writer, answer, head_only=asked.method == "HEAD")
                if not answer.keep:
                    return
        except ConnectionError:
            return  # the client had enough: what these tests are about
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None]:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        return task

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    found = Hostile(f"{'https' if tls else 'http'}://127.0.0.1:{port}", script)
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(writer: asyncio.StreamWriter, answer: Reply, *, head_only: bool) -> None:
    for number, piece in enumerate(answer.pieces):
        if head_only and number:
            return
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(answer.pause)
