"""What an HTTP caller is told when a request cannot be answered.

Codes HSS.* and APIGW.* are the product API's (contract, auth-and-errors, table c: every HSS code is HTTP 400, denials
included); IMAGEWARDEN.* are ours, for what that table has no code for.
"""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

__all__ = [
    "AccessDenied",
    "ApiError",
    "InvalidBody",
    "InvalidParameter",
    "MethodNotAllowed",
    "NoSuchApi",
    "RoleInsufficient",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "envelope",
]


class ApiError(Exception):
    """An answer other than success; its message reaches the caller and holds no secret, SQL or path of ours."""

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})

    status: int = 500
    """HTTP status."""
    code: str = "IMAGEWARDEN.0500"
    """The envelope's error_code."""


class InvalidParameter(ApiError):
    """A parameter of the path, the query or the body that is not usable; the message names it."""

    status, code = 400, "HSS.0001"

    def __init__(self, name: str, value: object, takes: str) -> None:
        shown = str(value).encode("unicode_escape").decode("ascii")
        shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
        super().__init__(f"parameter {name} is not usable: '{shown}'; it takes {takes}")
        self.name = name


class InvalidBody(ApiError):
    """A body that cannot be parsed."""

    status, code = 400, "HSS.0002"


class AccessDenied(ApiError):
    """The caller has nothing to do there; the same words whether the thing exists or not."""

    status, code = 400, "HSS.0010"


class RoleInsufficient(ApiError):
    """The caller may look, but not do this."""

    status, code = 400, "HSS.0013"


class Unauthenticated(ApiError):
    """No usable token or signature."""

    status, code = 401, "APIGW.0301"


class NoSuchApi(ApiError):
    """A path that is not served."""

    status, code = 404, "APIGW.0101"


class MethodNotAllowed(ApiError):
    """A served path, asked with another method."""

    status, code = 405, "IMAGEWARDEN.0405"


class TooLarge(ApiError):
    """A body (413), a path (414) or headers (431) beyond the limits."""

    code = "IMAGEWARDEN.0413"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, headers={"connection": "close"})
        self.status = status


class Unavailable(ApiError):
    """Something the answer needs is away for now."""

    status, code = 503, "IMAGEWARDEN.0503"


def envelope(error: ApiError, request_id: str, path: str = "") -> bytes:
    """Return the JSON body of an error: what the product's, the gateway's and, below /v3, identity's readers want."""
    body: dict[str, object] = {
        "error_code": error.code,
        "error_msg": error.message,
        "error_description": error.message,
        "request_id": request_id,
    }
    if path.startswith("/v3/"):
        title = HTTPStatus(error.status).phrase
        body["error"] = {"code": error.status, "message": error.message, "title": title}
    return msgspec.json.encode(body)
