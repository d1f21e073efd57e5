"""Signed requests for tests: the clock they live by, and a signer of our own."""

import calendar
import hashlib
import hmac
import time

import pytest

from imagewarden.identity.errors import NotAuthenticated, Refusal
from imagewarden.identity.signature import RequestParts, parse_authorization, verify

__all__ = ["ACCESS", "DATE", "NOW", "SECRET", "check", "refusal", "signed"]

ACCESS, SECRET = "TESTAK0000000001", "testsk-0000000000000000000000001"
DATE = "20260403T010203Z"
NOW = calendar.timegm(time.strptime(DATE, "%Y%m%dT%H%M%SZ"))


def check(parts: RequestParts, secret: str = SECRET, now: int = NOW) -> None:
    """Verify a request as the server does."""
    given_header = [value for name, value in parts.headers if name.lower() == b"authorization"]
    verify(parts, parse_authorization(given_header[0].decode("latin-1")), secret, now)


def refusal(parts: RequestParts, secret: str = SECRET, now: int = NOW) -> Refusal:
    """Return why a request is refused; fails if it is not."""
    with pytest.raises(NotAuthenticated) as caught:
        check(parts, secret, now)
    assert secret not in str(caught.value)
    return caught.value.reason


def signed(
    headers: dict[str, str] | None = None,
    *,
    method: str = "POST",
    path: str = "/v5/p/images",
    query: bytes = b"",
    body: bytes = b"",
    body_line: str | None = None,
    canonical_path: str | None = None,
    canonical_query: str = "",
    added: tuple[tuple[bytes, bytes], ...] = (),
    date: str = DATE,
    keys: tuple[str, str] = (ACCESS, SECRET),
) -> RequestParts:
    """Sign by hand, after the description: what a client in another language does, independent of our code."""
    names = {name.lower(): value for name, value in {"X-Sdk-Date": date, **(headers or {})}.items()}
    line = body_line if body_line is not None else hashlib.sha256(body).hexdigest()
    canonical = "\n".join(
        (
            method,
            canonical_path or f"{path}/",
            canonical_query,
            "".join(f"{name}:{names[name]}\n" for name in sorted(names)),
            ";".join(sorted(names)),
            line,
        )
    )
    text = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(keys[1].encode(), text.encode(), hashlib.sha256).hexdigest()
    value = f"SDK-HMAC-SHA256 Access={keys[0]}, SignedHeaders={';'.join(sorted(names))}, Signature={signature}"
    wire = [(name.encode(), text.encode()) for name, text in names.items()]
    return RequestParts(
        method, path.encode(), query, [*wire, *added, (b"Host", b"h"), (b"Authorization", value.encode())], body
    )
