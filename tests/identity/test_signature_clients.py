"""What real clients sign: the published vectors, and the official signer over random requests."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from imagewarden.identity.errors import NotAuthenticated, Refusal
from imagewarden.identity.signature import RequestParts, canonical_requests, parse_authorization, verify
from tests.support.shared import shared_path
from tests.support.signing import ACCESS, DATE, NOW, SECRET, check, refusal


def vectors() -> list[dict[str, Any]]:
    found = json.loads(shared_path("contract/signing-vectors.json").read_text())
    return [each for each in found if each["algorithm"] == "SDK-HMAC-SHA256"]


def parts_of(vector: dict[str, Any]) -> RequestParts:
    path, _, query = vector["uri"].partition("?")
    headers = [(name.encode(), value.encode()) for name, value in vector["headers"].items()]
    return RequestParts(vector["method"], path.encode(), query.encode(), headers, vector["body"].encode())


@pytest.mark.parametrize("case", ["get", "post", "unsigned"])
def test_published_vector(case: str) -> None:
    vector = next(each for each in vectors() if each["case"] == case)
    parts = parts_of(vector)
    claimed = parse_authorization(vector["headers"]["Authorization"])
    assert claimed.access == vector["ak"]
    assert canonical_requests(parts, claimed.signed_headers) == (vector["canonical_request"].encode(),)
    check(parts, vector["sk"])
    assert refusal(parts, vector["sk"] + "x") is Refusal.SIGNATURE


def tampered(parts: RequestParts, signed_headers: tuple[str, ...]) -> list[RequestParts]:
    """Return the request with each byte of what is signed changed in turn."""

    def flips(text: bytes) -> list[bytes]:
        return [text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :] for at in range(len(text))]

    found = [replace(parts, method="PUT")]
    found += [replace(parts, raw_path=each) for each in flips(parts.raw_path)]
    found += [replace(parts, raw_query=each) for each in flips(parts.raw_query)]
    if b"UNSIGNED-PAYLOAD" not in dict(parts.headers).values():
        found += [replace(parts, body=each) for each in (*flips(parts.body), parts.body + b" ")]
    for at, (name, value) in enumerate(parts.headers):
        if name.decode().lower() in signed_headers:
            for each in (*flips(value), value + b"x"):
                headers = [*parts.headers[:at], (name, each), *parts.headers[at + 1 :]]
                found.append(replace(parts, headers=headers))
    return found


@pytest.mark.parametrize("case", ["get", "post", "unsigned"])
def test_every_changed_byte_is_refused(case: str) -> None:
    vector = next(each for each in vectors() if each["case"] == case)
    parts = parts_of(vector)
    claimed = parse_authorization(vector["headers"]["Authorization"])
    changed = tampered(parts, claimed.signed_headers)
    assert len(changed) > 60
    for each in changed:
        with pytest.raises(NotAuthenticated):
            verify(each, claimed, vector["sk"], NOW)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
HEADER_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)
SEGMENT = st.text(st.sampled_from("aZ0-_.~/%+ *é:@;,=&?#"), min_size=1, max_size=8)
VALUE = st.one_of(TEXT, st.booleans(), st.integers(-5, 2**63), st.lists(TEXT, min_size=1, max_size=3))
HEADERS = st.dictionaries(st.from_regex(r"X-[A-Za-z0-9-]{1,8}", fullmatch=True), HEADER_TEXT, max_size=3)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    segments=st.lists(SEGMENT, min_size=1, max_size=4),
    query=st.dictionaries(TEXT.filter(bool), VALUE, max_size=4),
    headers=HEADERS,
    kind=st.sampled_from([None, "application/json", "application/json;charset=UTF-8", "application/octet-stream"]),
    body=st.one_of(st.just(""), TEXT),
)
def test_official_signer(
    method: str, segments: list[str], query: dict[str, Any], headers: dict[str, str], kind: str | None, body: str
) -> None:
    """Whatever the official client signs and sends, verifies; and not with another secret or body."""
    names = {name.lower() for name in headers}
    if len(names) < len(headers) or names & {"x-sdk-date", "x-sdk-content-sha256"}:
        return
    request = SdkRequest(
        method, "https", "hss.example.test", "/" + "/".join(quote(each, safe="") for each in segments), "",
        list(query.items()), {**headers, "X-Sdk-Date": DATE, **({"Content-Type": kind} if kind else {})}, body,
    )  # fmt: skip
    made = Signer(BasicCredentials(ACCESS, SECRET, "p")).sign(request)
    path, _, raw_query = made.uri.partition("?")
    wire = [(name.encode(), value.encode("iso-8859-1")) for name, value in made.header_params.items()]
    parts = RequestParts(method, path.encode(), raw_query.encode(), wire, made.body or b"")
    check(parts)
    assert refusal(parts, "another") is Refusal.SIGNATURE
    if "X-Sdk-Content-Sha256" not in made.header_params:
        assert refusal(replace(parts, body=parts.body + b"x")) is Refusal.SIGNATURE
