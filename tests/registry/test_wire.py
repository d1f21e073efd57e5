"""What errors and logs say, and what they never say."""

import logging

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.model.errors import ImagewardenError
from imagewarden.registry import errors
from imagewarden.registry.answer import Answer, place_of
from imagewarden.registry.errors import Exchange, InvalidOption, RegistryError
from imagewarden.registry.guard import host_of, origin
from imagewarden.registry.options import Limits, TransportOptions
from imagewarden.registry.paging import next_page
from imagewarden.registry.transport import RegistryTransport, base_of
from imagewarden.registry.wire import redirect_target
from tests.support.facing import BLOB, WHOLE, facing, tags
from tests.support.hostile import Asked, Reply, json_reply, reply

SECRETS = ("pass-word", "dG9rZW4", "signature-of-it", "refresh-it")


@pytest.mark.anyio
async def test_nothing_secret_is_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def script(asked: Asked) -> Reply:
        if asked.path == "/token":
            return json_reply({"token": "dG9rZW4"})
        if "authorization" not in asked.headers:
            return reply(401, www_authenticate='Bearer realm="/token?account=pass-word"')
        if asked.path.startswith("/signed"):
            return reply(500 if "fail" in asked.path else 200, BLOB)
        place = "/signed" if "blobs" in asked.path else "/signed-fail"
        return reply(307, location=f"{place}?x=signature-of-it")

    given = {"username": "user", "password": "pass-word"}
    with structlog.testing.capture_logs() as logs:
        async with facing(script, **given) as (_, adapter):
            assert b"".join([chunk async for chunk in adapter.blob("x", WHOLE)]) == BLOB
            with pytest.raises(RegistryError) as caught:
                await tags(adapter)
    assert "/signed-fail answered 500" in str(caught.value)
    assert {entry["event"] for entry in logs} == {"registry.request", "registry.retry"}
    text = f"{logs} {caplog.text} {caught.value} {caught.value!r}"
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://user:secret@a.example.test:5000/v2/x?token=secret#secret", "https://a.example.test:5000/v2/x"),
        ("http://[::1]:5000/x", "http://[::1]:5000/x"),
        ("https://a.example.test/%0aFAKE%20LINE", "https://a.example.test/%0aFAKE%20LINE"),
        ("https://a.example.test/" + "x" * 5000, "https://a.example.test/" + "x" * 511),
    ],
)
def test_place_of_a_request(url: str, place: str) -> None:
    assert place_of(httpx.URL(url)) == place


_urls = st.one_of(
    st.text(max_size=60),
    st.from_regex(r"(https?|ftp|file)?://[^\x00]{0,30}"),
    st.from_regex(r"https?://[a-z0-9.\-\[\]:@%]{1,90}(:[0-9]{1,9})?/"),
)


@given(_urls)
def test_any_redirect_leads_to_a_web_address_or_is_refused(location: str) -> None:
    asked = httpx.Request("GET", "https://r.example.test/v2/")
    raw = location.encode("utf-8", "surrogatepass")
    try:
        target = redirect_target(httpx.Response(302, headers=[(b"location", raw)], request=asked))
    except RegistryError:
        return
    assert (target.scheme, target.userinfo) == ("https", b"")
    assert place_of(target).startswith("https://")
    assert host_of(target)


@given(_urls)
def test_any_link_stays_on_the_registry_or_is_refused(link: str) -> None:
    raw = link.encode("utf-8", "surrogatepass")
    headers = httpx.Headers([(b"link", b"<" + raw + b'>; rel="next"')])
    base = httpx.URL("https://r.example.test/v2/_catalog")
    try:
        target = next_page(Answer(Exchange("GET", ""), base, 200, headers, b""))
    except RegistryError:
        return
    assert target is not None
    assert origin(target) == origin(base)


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__ if name != "Exchange"]
    assert all(issubclass(kind, RegistryError) and issubclass(kind, ImagewardenError) for kind in kinds)
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_error_says_what_where_and_what_to_do() -> None:
    told = str(errors.RateLimited("TOOMANYREQUESTS", Exchange("GET", "https://r.example.test/v2/", 429)))
    assert told.startswith("GET https://r.example.test/v2/ answered 429: TOOMANYREQUESTS; lower the")


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://r.example.test", "https://r.example.test/"),
        ("https://r.example.test:5000/", "https://r.example.test:5000/"),
        (" https://R.example.test/v2/ ", "https://r.example.test/"),
        ("http://r.example.test/prefix/v2", "http://r.example.test/prefix"),
    ],
)
def test_addresses_of_registries(url: str, base: str) -> None:
    assert str(base_of(url)) == base
    transport = RegistryTransport(TransportOptions(url=url), httpx.MockTransport(lambda _: httpx.Response(200)))
    assert str(transport.url("/v2/a/b/tags/list", {"n": "5"})) == base.rstrip("/") + "/v2/a/b/tags/list?n=5"


@pytest.mark.parametrize(
    "url",
    ["", "r.example.test", "ftp://x", "https://", "https://u:p@x", "https://x?y", "https://x#y", "https://[::1", "\0"],
)
def test_addresses_that_are_no_registry(url: str) -> None:
    with pytest.raises(InvalidOption, match="registry's address"):
        base_of(url)


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"requests_per_second": -1},
        {"requests_per_second": float("nan")},
        {"token_hosts": ("[::1",)},
    ],
)
def test_options_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidOption):
        RegistryTransport(TransportOptions(url="https://r.example.test", **wrong))  # type: ignore[arg-type] # wrong


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match=name):
        Limits(**{name: 0})
