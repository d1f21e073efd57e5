"""What crosses the border between HTTP and the registry's endpoints: requests, responses, refusals."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

from demo.distribution.framing import Body

__all__ = ["FileSlice", "Refusal", "Request", "Response", "json_response"]


class Refusal(Exception):
    """A request that is answered with an error: status, the specification's error code, and one sentence.

    Source: distribution-spec, "Error Codes".
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})

    def response(self) -> "Response":
        """Return the refusal in the specification's error envelope."""
        error = {"code": self.code, "message": str(self), "detail": None}
        return json_response({"errors": [error]}, self.status, self.headers)


@dataclass(frozen=True)
class Request:
    """One request, its address already taken apart."""

    method: str
    """GET, HEAD, POST, PATCH, PUT or DELETE."""
    path: str
    """The path, percent-decoded; nothing about it has been checked."""
    query: Mapping[str, str]
    """The query's parameters; of a repeated one the last."""
    headers: Message
    """The header fields; names are compared without case."""
    body: Body
    """What the client sends; not read yet."""


@dataclass(frozen=True)
class FileSlice:
    """A part of a file, sent without ever being in memory as a whole."""

    path: Path
    """The file."""
    start: int
    """Offset of the first byte."""
    length: int
    """Number of bytes."""


@dataclass(frozen=True)
class Response:
    """One answer. For HEAD the same as for GET: the server keeps its content back."""

    status: int
    """HTTP status."""
    headers: dict[str, str] = field(default_factory=dict)
    """Header fields besides Content-Length."""
    content: bytes | FileSlice = b""
    """The body."""

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.length


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `document` as an answer in JSON."""
    return Response(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(document).encode())
