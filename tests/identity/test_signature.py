"""The rules of a signed request, one by one; what real clients send is in test_signature_clients.py."""

import gc
import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from imagewarden.identity.errors import NotAuthenticated, Refusal
from imagewarden.identity.signature import MAX_SKEW, RequestParts, parse_authorization, verify
from tests.support.signing import DATE, NOW, SECRET, check, refusal, signed


@given(
    st.builds(
        RequestParts,
        st.text(max_size=4),
        st.binary(max_size=40),
        st.binary(max_size=40),
        st.lists(st.tuples(st.sampled_from([b"host", b"X-Sdk-Date", b"a", b"\xff"]), st.binary(max_size=8))),
        st.binary(max_size=8),
    )
)
def test_no_request_breaks_the_verifier(parts: RequestParts) -> None:
    claimed = parse_authorization(f"SDK-HMAC-SHA256 Access=A, SignedHeaders=a;x-sdk-date, Signature={'0' * 64}")
    with pytest.raises(NotAuthenticated):
        verify(parts, claimed, SECRET, NOW)


def test_header_that_is_not_signed_may_be_added() -> None:
    """Terraform's client leaves Host unsigned and adds X-Project-Id after signing."""
    check(signed({"user-agent": "golangsdk/2.0.0", "region": "local"}, added=((b"X-Project-Id", b"p"),)))


PATHS = [
    ("/v5/p", "/v5/p/"),
    ("/v5/p/", "/v5/p/"),
    ("/a%2Fb", "/a/b/"),
    ("/a%252Fb", "/a%252Fb/"),
    ("/a%20b+c", "/a%20b%2Bc/"),
    ("/%c3%a9/%ff", "/%C3%A9/%FF/"),
    ("/%7Ea/%41*", "/~a/A%2A/"),
    ("/", "/"),
]


@pytest.mark.parametrize(("raw", "canonical"), PATHS)
def test_canonical_path(raw: str, canonical: str) -> None:
    check(signed(path=raw, canonical_path=canonical))


def test_spaces_around_a_header_value_are_not_signed() -> None:
    parts = signed({"region": "local"})
    headers = [(name, b" local\t" if name == b"region" else value) for name, value in parts.headers]
    check(replace(parts, headers=headers))


QUERIES = [
    (b"a=1&b=2", "a=1&b=2"),
    (b"b=2&a=1", "a=1&b=2"),
    (b"a=2&a=10&a=1", "a=1&a=10&a=2"),
    (b"a", "a="),
    (b"&a=1&&", "a=1"),
    (b"a=b+c", "a=b%20c"),
    (b"a=b%2Bc", "a=b%2Bc"),
    (b"a=%7e%2d", "a=~-"),
    (b"a=%c3%a9", "a=%C3%A9"),
    (b"a=%ff", "a=%FF"),
    (b"a=%", "a=%25"),
    (b"a=%zz", "a=%25zz"),
    (b"a=b=c", "a=b%3Dc"),
    (b"a=*", "a=%2A"),
    (b"B=1&a=2", "B=1&a=2"),
    (b"a=1;b=2", "a=1%3Bb%3D2"),
]


@pytest.mark.parametrize(("raw", "canonical"), QUERIES)
def test_canonical_query(raw: bytes, canonical: str) -> None:
    check(signed(query=raw, canonical_query=canonical))


def test_a_plus_signed_as_a_plus_cannot_become_a_space() -> None:
    """Handlers read `+` as a space: one signature for both would let a request be bent on its way."""
    assert refusal(signed(query=b"a=b+c", canonical_query="a=b%2Bc")) is Refusal.SIGNATURE


EMPTY = hashlib.sha256().hexdigest()
BODIES = [
    ("json body, hash declared", "application/json", b"{}", hashlib.sha256(b"{}").hexdigest(), None),
    ("upload, not signed", "application/octet-stream", b"xyz", "UNSIGNED-PAYLOAD", None),
    ("no type, not signed", None, b"xyz", "UNSIGNED-PAYLOAD", None),
    ("no body, text declared and signed", "text/plain", b"", "UNSIGNED-PAYLOAD", "UNSIGNED-PAYLOAD"),
    ("no body, text declared, hash of nothing signed", "text/plain", b"", "UNSIGNED-PAYLOAD", EMPTY),
    ("no body, json", "application/json", b"", "UNSIGNED-PAYLOAD", EMPTY),
    ("no body, hash declared", None, b"", EMPTY, EMPTY),
]


@pytest.mark.parametrize(
    ("kind", "body", "declared", "line"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_declared_body_hash(kind: str | None, body: bytes, declared: str, line: str | None) -> None:
    headers = {"X-Sdk-Content-Sha256": declared, **({"Content-Type": kind} if kind else {})}
    check(signed(headers, body=body, body_line=line or declared))


BAD_BODIES = [
    ("hash of another body", "application/json", b"{}", EMPTY),
    ("json body not signed", "application/json", b"{}", "UNSIGNED-PAYLOAD"),
    ("json body not signed, with a charset", "Application/JSON; charset=utf-8", b"{}", "UNSIGNED-PAYLOAD"),
    ("not a hash", "text/plain", b"{}", "unsigned-payload"),
    ("empty", "text/plain", b"{}", ""),
]


@pytest.mark.parametrize(
    ("kind", "body", "declared"), [row[1:] for row in BAD_BODIES], ids=[row[0] for row in BAD_BODIES]
)
def test_declared_body_hash_that_is_wrong(kind: str, body: bytes, declared: str) -> None:
    parts = signed({"X-Sdk-Content-Sha256": declared, "Content-Type": kind}, body=body, body_line=declared)
    assert refusal(parts) is Refusal.BODY


def test_body_hash_declared_twice() -> None:
    kind = (b"x-sdk-content-sha256", b"UNSIGNED-PAYLOAD")
    assert refusal(signed(added=(kind, kind), body=b"x")) is Refusal.BODY


@pytest.mark.parametrize("offset", [-MAX_SKEW, 0, MAX_SKEW])
def test_date_near_enough(offset: int) -> None:
    check(signed(), now=NOW + offset)


@pytest.mark.parametrize("offset", [-MAX_SKEW - 1, MAX_SKEW + 1, 10**9])
def test_date_too_far_off(offset: int) -> None:
    assert refusal(signed(), now=NOW + offset) is Refusal.DATE


FULL_WIDTH = DATE.replace("2", "\uff12")


@pytest.mark.parametrize("date", ["", "20260403", "20260403T010203", "20261303T010203Z", f"{DATE}Z", FULL_WIDTH])
def test_date_that_is_none(date: str) -> None:
    assert refusal(signed(date=date)) is Refusal.DATE


def test_date_must_be_signed() -> None:
    parts = signed()
    claimed = parse_authorization(f"SDK-HMAC-SHA256 Access=A, SignedHeaders=host, Signature={'0' * 64}")
    with pytest.raises(NotAuthenticated) as caught:
        verify(parts, claimed, SECRET, NOW)
    assert caught.value.reason is Refusal.DATE


def test_date_given_twice() -> None:
    assert refusal(signed(added=((b"X-SDK-Date", DATE.encode()),))) is Refusal.DATE


def test_signed_header_repeated() -> None:
    assert refusal(signed({"region": "local"}, added=((b"Region", b"other"),))) is Refusal.HEADER


def test_signed_header_missing() -> None:
    parts = signed({"region": "local"})
    assert refusal(replace(parts, headers=[each for each in parts.headers if each[0] != b"region"])) is Refusal.HEADER


S = "0" * 64
MALFORMED = [
    "",
    "SDK-HMAC-SHA256",
    f"SDK-HMAC-SHA256 Access=A,SignedHeaders=a, Signature={S}",
    f"SDK-HMAC-SHA256  Access=A, SignedHeaders=a, Signature={S}",
    f"SDK-HMAC-SHA256 Access=, SignedHeaders=a, Signature={S}",
    f"SDK-HMAC-SHA256 Access=A, SignedHeaders=, Signature={S}",
    f"SDK-HMAC-SHA256 Access=A, SignedHeaders=a;a, Signature={S}",
    f"SDK-HMAC-SHA256 Access=A, SignedHeaders=Host, Signature={S}",
    f"SDK-HMAC-SHA256 Access=A, SignedHeaders=a, Signature={S}0",
    f"SDK-HMAC-SHA256 Access=A, SignedHeaders=a, Signature={'A' * 64}",
    f"SDK-HMAC-SHA256 Access=A, SignedHeaders=a, Signature={S}\n",
    f"SDK-HMAC-SHA256 Access=\u00e9, SignedHeaders=a, Signature={S}",
    f"SDK-HMAC-SHA256 Access={'A' * 129}, SignedHeaders=a, Signature={S}",
    f"SDK-HMAC-SHA256 Access=A, SignedHeaders={'a' * 4097}, Signature={S}",
    "Basic QTpC",
]


@pytest.mark.parametrize("value", MALFORMED)
def test_malformed_header(value: str) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        parse_authorization(value)
    assert caught.value.reason is Refusal.MALFORMED


@pytest.mark.parametrize("algorithm", ["SDK-HMAC-SM3", "SDK-ECDSA-P256-SHA256", "SDK-SM2-SM3", "NONE"])
def test_algorithm_that_is_not_served(algorithm: str) -> None:
    with pytest.raises(NotAuthenticated, match="SDK-HMAC-SHA256") as caught:
        parse_authorization(f"{algorithm} Access=A, SignedHeaders=x-sdk-date, Signature={S}")
    assert caught.value.reason is Refusal.ALGORITHM


def test_thousands_of_signed_headers_cost_little() -> None:
    """Anybody can send these before they are known: the work must not grow with names times headers."""
    names = [f"{number:x}" for number in range(1000)]
    headers = [(name.encode(), b"") for name in (*names, *(f"z{number}" for number in range(10_000)))]
    parts = signed()
    parts = replace(parts, headers=[*parts.headers, *headers])
    claimed = parse_authorization(
        f"SDK-HMAC-SHA256 Access=A, SignedHeaders={';'.join([*names, 'x-sdk-date'])}, Signature={S}"
    )
    gc.collect()
    gc.disable()  # it would go through what all other tests left, and other threads would count too
    try:
        start = time.thread_time()
        with pytest.raises(NotAuthenticated) as caught:
            verify(parts, claimed, SECRET, NOW)
        took = time.thread_time() - start
    finally:
        gc.enable()
    assert took < 0.5
    assert caught.value.reason is Refusal.SIGNATURE
