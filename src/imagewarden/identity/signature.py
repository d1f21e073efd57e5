"""Signed requests, algorithm `SDK-HMAC-SHA256` (contract: auth-and-errors, section b; vectors: signing-vectors.json).

A verifier goes by SignedHeaders and demands x-sdk-date alone: some clients do not sign Host, and add X-Project-Id
after signing. Everything here works on the bytes that were on the wire.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

import msgspec

from imagewarden.identity.errors import NotAuthenticated

__all__ = ["MAX_SKEW", "Authorization", "RequestParts", "canonical_request", "parse_authorization", "verify"]

MAX_SKEW = 15 * 60
"""Seconds that a request's date may differ from ours, either way."""

_GRAMMAR = re.compile(
    r"(?P<algorithm>[A-Z0-9-]{1,64}) Access=(?P<access>[\x21-\x2b\x2d-\x7e]{1,128}), "
    r"SignedHeaders=(?P<headers>[\x21-\x2b\x2d-\x7e]{1,4096}), Signature=(?P<signature>[0-9a-f]{64})"
)
_UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"
_BODY_HEADER = b"x-sdk-content-sha256"
_SIGNED_TYPES = (b"application/json", b"application/bson")


class RequestParts(msgspec.Struct, frozen=True):
    """A request as it was on the wire."""

    method: str
    """In upper case."""
    raw_path: bytes
    """Percent-encoded path, without the query."""
    raw_query: bytes
    """Query string as sent."""
    headers: list[tuple[bytes, bytes]]
    """Names and values as sent, order kept."""
    body: bytes
    """The whole body."""


class Authorization(msgspec.Struct, frozen=True):
    """A parsed Authorization header."""

    algorithm: str
    """Name of the algorithm."""
    access: str
    """The access key."""
    signed_headers: tuple[str, ...]
    """Names in the order the client gives them, lower case."""
    signature: str
    """64 hex digits, lower case."""


def _refuse(why: str) -> NotAuthenticated:
    return NotAuthenticated(f"verify aksk signature fail: {why}")


def parse_authorization(value: str) -> Authorization:
    """Parse the header; raises NotAuthenticated for another grammar or an algorithm that is not served."""
    found = _GRAMMAR.fullmatch(value)
    if not found:
        raise _refuse("the Authorization header is malformed")
    if found["algorithm"] not in _ALGORITHMS:
        raise _refuse(f"the algorithm is not one of {', '.join(_ALGORITHMS)}")
    names = tuple(found["headers"].split(";"))
    if len(set(names)) != len(names) or any(name != name.lower() for name in names):
        raise _refuse("SignedHeaders takes each name once, in lower case")
    return Authorization(found["algorithm"], found["access"], names, found["signature"])


def _encode(text: bytes) -> str:
    """Percent-encode bytes as the canonical form does: all but A-Z a-z 0-9 - _ . ~, upper-case hex."""
    return quote(text, safe="-_.~")


def _canonical_path(raw: bytes) -> str:
    """Return each segment decoded and encoded again, with a slash at the end."""
    path = "/".join(_encode(unquote_to_bytes(segment)) for segment in raw.split(b"/"))
    return path if path.endswith("/") else path + "/"


def _canonical_query(raw: bytes) -> str:
    """Return the pairs sorted by decoded name, then value; a name without a value gets an empty one."""
    pairs = []
    for pair in raw.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in sorted(pairs))


def _values(parts: RequestParts, name: str) -> list[bytes]:
    """Return the values of a header."""
    wanted = name.encode("latin-1")
    return [value for key, value in parts.headers if key.lower() == wanted]


def _body_hash(parts: RequestParts) -> bytes:
    """Return the canonical request's last line, having checked it against the body.

    A client may declare the hash in X-Sdk-Content-Sha256. `UNSIGNED-PAYLOAD` there is what the official clients send
    for bodies that are not JSON; for JSON it would leave a body that anyone on the way can change, and is refused.
    """
    actual = hashlib.sha256(parts.body).hexdigest().encode()
    declared = _values(parts, _BODY_HEADER.decode())
    if not declared:
        return actual
    if len(declared) > 1:
        raise _refuse("more than one X-Sdk-Content-Sha256")
    kind = b"".join(_values(parts, "content-type")[:1]).partition(b";")[0].strip().lower()
    if declared[0] == _UNSIGNED_PAYLOAD and kind not in _SIGNED_TYPES:
        return declared[0]
    if not hmac.compare_digest(declared[0].lower(), actual):
        raise _refuse("X-Sdk-Content-Sha256 is not the body's")
    return declared[0]


def canonical_request(parts: RequestParts, signed_headers: tuple[str, ...]) -> bytes:
    """Return the canonical request; raises NotAuthenticated for a signed header that is missing or repeated."""
    lines = []
    for name in sorted(signed_headers):
        values = _values(parts, name)
        if len(values) != 1:
            raise _refuse(f"the signed header {name} is {'repeated' if values else 'missing'}")
        lines.append(name.encode("latin-1") + b":" + values[0].strip() + b"\n")
    return b"\n".join(
        (
            parts.method.upper().encode(),
            _canonical_path(parts.raw_path).encode(),
            _canonical_query(parts.raw_query).encode(),
            b"".join(lines),
            ";".join(sorted(signed_headers)).encode("latin-1"),
            _body_hash(parts),
        )
    )


def _hmac_sha256(secret: str, date: str, canonical: bytes) -> str:
    """Return the signature of SDK-HMAC-SHA256: one round, no derived key."""
    text = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(canonical).hexdigest()}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


_ALGORITHMS: dict[str, Callable[[str, str, bytes], str]] = {"SDK-HMAC-SHA256": _hmac_sha256}


def _date(parts: RequestParts, now: int) -> str:
    """Return X-Sdk-Date, near enough to `now`."""
    values = _values(parts, "x-sdk-date")
    text = values[0].strip().decode("latin-1") if len(values) == 1 else ""
    try:
        if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", text, re.ASCII):
            raise ValueError(text)  # noqa: TRY301 # the same answer as for an impossible date
        sent = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _refuse("X-Sdk-Date is not one time of the form YYYYMMDDTHHMMSSZ") from None
    if abs(sent - now) > MAX_SKEW:
        here = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        raise _refuse(f"X-Sdk-Date differs from the server's {here} by more than 15 minutes; set the clock")
    return text


def verify(parts: RequestParts, claimed: Authorization, secret: str, now: int) -> None:
    """Return if the request was signed with `secret` and is recent; raises NotAuthenticated otherwise.

    `now` is in seconds since 1970 UTC. The comparison takes constant time.
    """
    if "x-sdk-date" not in claimed.signed_headers:
        raise _refuse("X-Sdk-Date is not among SignedHeaders")
    date = _date(parts, now)
    canonical = canonical_request(parts, claimed.signed_headers)
    expected = _ALGORITHMS[claimed.algorithm](secret, date, canonical)
    if not hmac.compare_digest(expected, claimed.signature):
        raise _refuse("the access key is unknown or the signature is not its")
