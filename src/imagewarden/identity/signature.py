"""Signed requests, algorithm `SDK-HMAC-SHA256` (contract: auth-and-errors, section b; vectors: signing-vectors.json).

A verifier goes by SignedHeaders and demands x-sdk-date alone: some clients do not sign Host, and add X-Project-Id
after signing. Everything here works on the bytes that were on the wire, and reads them as the handlers do: a form
that two different requests shared would let one signature serve for both.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

import msgspec

from imagewarden.identity.errors import NotAuthenticated, Refusal

__all__ = ["MAX_SKEW", "Authorization", "RequestParts", "canonical_requests", "parse_authorization", "verify"]

MAX_SKEW = 15 * 60
"""Seconds that a request's date may differ from ours, either way."""

_GRAMMAR = re.compile(
    r"(?P<algorithm>[A-Z0-9-]{1,64}) Access=(?P<access>[\x21-\x2b\x2d-\x7e]{1,128}), "
    r"SignedHeaders=(?P<headers>[\x21-\x2b\x2d-\x7e]{1,4096}), Signature=(?P<signature>[0-9a-f]{64})"
)
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"
_EMPTY_HASH = hashlib.sha256().hexdigest().encode()
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


def _refuse(reason: Refusal, why: str) -> NotAuthenticated:
    return NotAuthenticated(f"verify aksk signature fail: {why}", reason)


def parse_authorization(value: str) -> Authorization:
    """Parse the header; raises NotAuthenticated for another grammar or an algorithm that is not served."""
    found = _GRAMMAR.fullmatch(value)
    if not found:
        raise _refuse(Refusal.MALFORMED, "the Authorization header is malformed")
    if found["algorithm"] not in _ALGORITHMS:
        raise _refuse(Refusal.ALGORITHM, f"the algorithm is not one of {', '.join(_ALGORITHMS)}")
    names = tuple(found["headers"].split(";"))
    if len(set(names)) != len(names) or any(name != name.lower() for name in names):
        raise _refuse(Refusal.MALFORMED, "SignedHeaders takes each name once, in lower case")
    return Authorization(found["algorithm"], found["access"], names, found["signature"])


def _encode(text: bytes) -> str:
    """Percent-encode bytes as the canonical form does: all but A-Z a-z 0-9 - _ . ~, upper-case hex."""
    return quote(text, safe="-_.~")


def _canonical_path(raw: bytes) -> str:
    """Return the path decoded, each segment encoded again, with a slash at the end.

    Clients decode before they split, so an encoded slash is signed as a plain one.
    """
    path = "/".join(_encode(segment) for segment in unquote_to_bytes(raw).split(b"/"))
    return path if path.endswith("/") else path + "/"


def _canonical_query(raw: bytes) -> str:
    """Return the pairs sorted by decoded name, then value; a plus is a space, a lone name has an empty value."""
    pairs = []
    for pair in raw.replace(b"+", b"%20").split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in sorted(pairs))


def _by_name(parts: RequestParts) -> dict[bytes, list[bytes]]:
    """Return the values of each header, by its name in lower case."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in parts.headers:
        found.setdefault(name.lower(), []).append(value.strip())
    return found


def _body_lines(body: bytes, headers: Mapping[bytes, list[bytes]]) -> tuple[bytes, ...]:
    """Return what the canonical request's last line may be, having checked a declared hash against the body.

    A client may declare the hash in X-Sdk-Content-Sha256. `UNSIGNED-PAYLOAD` there is what the official clients send
    for bodies that are not JSON; for JSON it would leave a body that anyone on the way can change, and is refused.
    Without a body some clients sign the declared text and others the hash of nothing: either will do.
    """
    declared = headers.get(b"x-sdk-content-sha256", [])
    actual = hashlib.sha256(body).hexdigest().encode()
    if not declared:
        return (actual,)
    if len(declared) > 1:
        raise _refuse(Refusal.BODY, "more than one X-Sdk-Content-Sha256")
    kind = b"".join(headers.get(b"content-type", [])[:1]).partition(b";")[0].strip().lower()
    unsigned = declared[0] == _UNSIGNED_PAYLOAD and (not body or kind not in _SIGNED_TYPES)
    if not unsigned and not hmac.compare_digest(declared[0].lower(), actual):
        raise _refuse(Refusal.BODY, "X-Sdk-Content-Sha256 is not the body's")
    return (declared[0],) if body else (declared[0], _EMPTY_HASH)


def _canonical_head(
    parts: RequestParts, headers: Mapping[bytes, list[bytes]], signed_headers: tuple[str, ...]
) -> bytes:
    """Return the canonical request but for its last line."""
    names = sorted(signed_headers)
    lines = []
    for name in names:
        values = headers.get(name.encode("ascii"), [])
        if len(values) != 1:
            raise _refuse(Refusal.HEADER, f"the signed header {name} is {'repeated' if values else 'missing'}")
        lines.append(name.encode("ascii") + b":" + values[0] + b"\n")
    return b"\n".join(
        (
            parts.method.encode(),
            _canonical_path(parts.raw_path).encode(),
            _canonical_query(parts.raw_query).encode(),
            b"".join(lines),
            ";".join(names).encode("ascii"),
            b"",
        )
    )


def canonical_requests(parts: RequestParts, signed_headers: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the canonical forms a client may have signed: one, or two for a body hash declared of no body.

    Raises NotAuthenticated for a signed header that is missing or repeated, and for a declared hash that is wrong.
    """
    headers = _by_name(parts)
    head = _canonical_head(parts, headers, signed_headers)
    return tuple(head + line for line in _body_lines(parts.body, headers))


def _hmac_sha256(secret: str, date: str, canonical: bytes) -> str:
    """Return the signature of SDK-HMAC-SHA256: one round, no derived key."""
    text = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(canonical).hexdigest()}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


_ALGORITHMS: dict[str, Callable[[str, str, bytes], str]] = {"SDK-HMAC-SHA256": _hmac_sha256}


def _date(parts: RequestParts, now: int) -> str:
    """Return X-Sdk-Date, near enough to `now`."""
    values = _by_name(parts).get(b"x-sdk-date", [])
    text = values[0].decode("latin-1") if len(values) == 1 else ""
    try:
        if not _DATE.fullmatch(text):
            raise ValueError(text)  # noqa: TRY301 # the same answer as for an impossible date
        sent = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _refuse(Refusal.DATE, "X-Sdk-Date is not one time of the form YYYYMMDDTHHMMSSZ") from None
    if abs(sent - now) > MAX_SKEW:
        here = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        raise _refuse(
            Refusal.DATE, f"X-Sdk-Date differs from the server's {here} by more than 15 minutes; set the clock"
        )
    return text


def verify(parts: RequestParts, claimed: Authorization, secret: str, now: int) -> None:
    """Return if the request was signed with `secret` and is recent; raises NotAuthenticated otherwise.

    `now` is in seconds since 1970 UTC. The comparison takes constant time.
    """
    if "x-sdk-date" not in claimed.signed_headers:
        raise _refuse(Refusal.DATE, "X-Sdk-Date is not among SignedHeaders")
    date = _date(parts, now)
    sign = _ALGORITHMS[claimed.algorithm]
    expected = [sign(secret, date, canonical) for canonical in canonical_requests(parts, claimed.signed_headers)]
    if not any([hmac.compare_digest(each, claimed.signature) for each in expected]):  # noqa: C419 # all, in equal time
        raise _refuse(Refusal.SIGNATURE, "the access key is unknown or the signature is not its")
