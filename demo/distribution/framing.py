"""The body of one HTTP/1.1 request, read in pieces whatever its framing (RFC 9112, section 6)."""

import re
from collections.abc import Iterator
from email.message import Message
from io import BufferedIOBase

__all__ = ["PIECE", "BadFraming", "Body"]

PIECE = 1 << 20
"""Bytes read at a time."""
_LINE = 1024
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


class BadFraming(Exception):
    """A request that cannot be taken apart, or ended early: the connection is of no more use."""


class Body:
    """A request's body; at most once to be read."""

    def __init__(self, stream: BufferedIOBase, headers: Message) -> None:
        """Take the framing from `headers`; raises BadFraming where it is missing sense or ambiguous."""
        codings = headers.get_all("Transfer-Encoding", [])
        lengths = headers.get_all("Content-Length", [])
        if codings and (lengths or [coding.strip().lower() for coding in codings] != ["chunked"]):
            raise BadFraming("Transfer-Encoding must be `chunked` alone, without Content-Length")
        if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0].strip())):
            raise BadFraming("Content-Length must be one decimal number")
        self._stream = stream
        self._left = int(lengths[0]) if lengths else 0
        self._pieces = self._chunked() if codings else self._counted()
        self.ended = not codings and self._left == 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the body in pieces of at most 1 MiB; raises BadFraming when it ends early."""
        # Not `yield from`: a reader that stops half-way would close the inner generator, which drain() still needs.
        while (piece := next(self._pieces, None)) is not None:
            yield piece
        self.ended = True

    def drain(self, limit: int) -> bool:
        """Read and drop up to about `limit` bytes; says whether the body is over, so that the connection can go on."""
        while not self.ended and limit > 0:
            piece = next(self._pieces, None)
            if piece is None:
                self.ended = True
            else:
                limit -= len(piece)
        return self.ended

    def _exactly(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self._stream.read(min(count, PIECE))
            if not piece:
                raise BadFraming("the body ended before its announced length")
            count -= len(piece)
            yield piece

    def _counted(self) -> Iterator[bytes]:
        yield from self._exactly(self._left)

    def _chunked(self) -> Iterator[bytes]:
        while True:
            head = _CHUNK.fullmatch(self._stream.readline(_LINE))
            if head is None:
                raise BadFraming("a chunk must begin with its size in hexadecimal")
            size = int(head[1], 16)
            if size == 0:
                break
            yield from self._exactly(size)
            if self._stream.readline(_LINE) not in (b"\r\n", b"\n"):
                raise BadFraming("a chunk must end with an empty line")
        for _ in range(32):
            if self._stream.readline(_LINE) in (b"\r\n", b"\n"):
                return
        raise BadFraming("too many trailing fields")
