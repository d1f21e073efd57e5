"""Which credentials are shown to whom."""

import base64
import itertools
from typing import Any

import pytest

from imagewarden.registry.authorization import least_scope
from imagewarden.registry.errors import (
    AccessDenied,
    AddressRefused,
    AuthenticationFailed,
    MalformedAnswer,
    RedirectRefused,
    RegistryError,
)
from tests.support.facing import always, facing, tags
from tests.support.hostile import Asked, Reply, Script, hostile, json_reply, reply

pytestmark = pytest.mark.anyio
USER = {"username": "user", "password": "pass-word"}
BASIC = "Basic " + base64.b64encode(b"user:pass-word").decode()


def challenging(challenge: str, tokens: Script) -> Script:
    """Return a registry that serves its own tokens at /token, and lists tags for those who show one."""

    def script(asked: Asked) -> Reply:
        if asked.path == "/token":
            return tokens(asked)
        if not asked.headers.get("authorization", "").startswith("Bearer good"):
            return reply(401, www_authenticate=challenge)
        return json_reply({"tags": ["v1"]})

    return script


OWN = 'Bearer realm="/token",service="reg",scope="repository:some/repository:pull"'


async def test_token_is_asked_for_with_basic_and_kept() -> None:
    script = challenging(OWN, always(json_reply({"access_token": "good-1"})))
    async with facing(script, **USER) as (server, adapter):
        for _ in range(3):
            assert await tags(adapter) == ["v1"]
        token = [asked for asked in server.asked if asked.path == "/token"]
        assert [asked.headers["authorization"] for asked in token] == [BASIC]
        assert token[0].query == {"service": ["reg"], "scope": ["repository:some/repository:pull"]}
        assert [asked.headers.get("authorization") for asked in server.asked if asked.path != "/token"] == [
            None, "Bearer good-1", "Bearer good-1", "Bearer good-1",
        ]  # fmt: skip


async def test_scope_the_registry_names_itself_is_asked_for_from_then_on_without_its_push() -> None:
    challenge = OWN.replace("some/repository:pull", "library/some:pull,push")
    script = challenging(challenge, always(json_reply({"token": "good", "expires_in": 1e-9})))
    async with facing(script) as (server, adapter):
        for _ in range(2):
            await tags(adapter)
        scopes = [asked.query["scope"] for asked in server.asked if asked.path == "/token"]
        assert scopes == [["repository:library/some:pull"]] * 2
        assert len(server.asked) == 5  # refused, token, tags; then token, tags


async def test_body_of_a_refusal_may_be_of_any_size() -> None:
    def script(asked: Asked) -> Reply:
        if "authorization" in asked.headers:
            return json_reply({"tags": ["v1"]})
        return reply(401, b"x" * 1_000_000, www_authenticate='Basic realm="x"')

    async with facing(script, **USER) as (_, adapter):
        assert await tags(adapter) == ["v1"]
        assert await tags(adapter) == ["v1"]


async def test_token_that_is_refused_is_renewed_once() -> None:
    numbers = itertools.count()
    script = challenging(OWN, lambda _: json_reply({"token": f"bad-{next(numbers)}"}))
    async with facing(script) as (server, adapter):
        for _ in range(2):
            with pytest.raises(AuthenticationFailed):
                await tags(adapter)
        shown = [asked.headers.get("authorization") for asked in server.asked if asked.path != "/token"]
        assert shown == [None, "Bearer bad-0", "Bearer bad-0", "Bearer bad-1"]


async def test_expired_token_is_replaced_without_a_failure() -> None:
    numbers = itertools.count()
    good: set[str] = set()

    def script(asked: Asked) -> Reply:
        if asked.path == "/token":
            good.clear()
            good.add(f"good-{next(numbers)}")
            return json_reply({"token": next(iter(good)), "expires_in": 3600})
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in good:
            return reply(401, www_authenticate=OWN)
        return json_reply({"tags": ["v1"]})

    async with facing(script) as (_, adapter):
        await tags(adapter)
        good.clear()  # the registry forgets it, long before its time
        assert await tags(adapter) == ["v1"]


async def test_identity_token_is_posted_as_a_form() -> None:
    script = challenging(OWN, always(json_reply({"access_token": "good"})))
    async with facing(script, identity_token="refresh+token/=") as (server, adapter):
        assert await tags(adapter) == ["v1"]
        asked = next(asked for asked in server.asked if asked.path == "/token")
        assert asked.method == "POST"
        assert b"grant_type=refresh_token&refresh_token=refresh%2Btoken%2F%3D&client_id=imagewarden" in asked.body
        assert "authorization" not in asked.headers


BAD_TOKENS: dict[str, tuple[Reply, type[RegistryError]]] = {
    "refused": (reply(401), AuthenticationFailed),
    "forbidden": (reply(403), AuthenticationFailed),
    "not found": (reply(404), MalformedAnswer),
    "redirected": (reply(302, location="http://elsewhere.example.test/"), MalformedAnswer),
    "no JSON": (reply(200, b"good"), MalformedAnswer),
    "none": (json_reply({}), MalformedAnswer),
    "a header in disguise": (json_reply({"token": "good\r\nX-Evil: 1"}), MalformedAnswer),
    "not ASCII": (json_reply({"token": "good\u00e9"}), MalformedAnswer),
    "of another type": (json_reply({"token": 5}), MalformedAnswer),
    "too large": (reply(200, b" " * (1024 * 1024 + 1)), MalformedAnswer),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
async def test_token_service_that_gives_none(case: str) -> None:
    answer, kind = BAD_TOKENS[case]
    async with facing(challenging(OWN, always(answer)), **USER) as (server, adapter):
        with pytest.raises(kind) as caught:
            await tags(adapter)
        assert "pass-word" not in str(caught.value)
        assert len(server.asked) == 2


async def test_password_does_not_go_to_plain_http_on_another_host() -> None:
    async with hostile(always(json_reply({"token": "good"}))) as service:
        realm = service.url.replace("127.0.0.1", "localhost")
        script = challenging(f'Bearer realm="{realm}/token"', always(reply(500)))
        async with facing(script, **USER) as (_, adapter):
            with pytest.raises(RedirectRefused, match="plain http"):
                await tags(adapter)
        assert service.asked == []
        async with facing(script, **USER, token_hosts=("localhost",)) as (_, adapter):
            assert await tags(adapter) == ["v1"]
        async with facing(script, **USER, token_hosts=(f"localhost:{service.port}",)) as (_, adapter):
            assert await tags(adapter) == ["v1"]
        assert {asked.headers["authorization"] for asked in service.asked} == {BASIC}


REALMS: dict[str, tuple[str, type[RegistryError]]] = {
    "another host": ("https://auth.example.test/token", RedirectRefused),
    "metadata": ("https://169.254.169.254/token", RedirectRefused),
    "no web address": ("ftp://127.0.0.1/token", MalformedAnswer),
    "with a user": ("https://user@127.0.0.1/", MalformedAnswer),
    "nonsense": ("https://[::1", MalformedAnswer),
    "nothing": ("", MalformedAnswer),
}


@pytest.mark.parametrize("case", REALMS)
async def test_realm_that_is_no_token_service(case: str) -> None:
    realm, kind = REALMS[case]
    async with facing(challenging(f'Bearer realm="{realm}"', always(reply(500))), **USER) as (_, adapter):
        with pytest.raises(kind):
            await tags(adapter)


@pytest.mark.parametrize("listed", [{"token_hosts": ("169.254.169.254",)}, {}])
async def test_metadata_is_not_asked_for_tokens_even_without_credentials(listed: dict[str, Any]) -> None:
    script = challenging('Bearer realm="https://169.254.169.254/token"', always(reply(500)))
    async with facing(script, **(USER if listed else {}), **listed) as (_, adapter):
        with pytest.raises(AddressRefused):
            await tags(adapter)


@pytest.mark.parametrize(
    ("challenge", "given", "kind", "text"),
    [
        ('Basic realm="x"', USER, AuthenticationFailed, "does not accept"),
        ('Basic realm="x"', {}, AuthenticationFailed, "none are stored"),
        ("Negotiate", USER, AuthenticationFailed, "does not accept"),
        ("", USER, AuthenticationFailed, "does not accept"),
        (OWN + ',error="insufficient_scope"', USER, AccessDenied, "this user"),
        (OWN + ',error="insufficient_scope"', {}, AccessDenied, "without credentials"),
    ],
)
async def test_refusal_says_what_is_missing(
    challenge: str, given: dict[str, str], kind: type[RegistryError], text: str
) -> None:
    script = challenging(challenge, always(json_reply({"token": "bad"})))
    async with facing(script, **given) as (server, adapter):
        with pytest.raises(kind, match=text):
            await tags(adapter)
        assert len(server.asked) <= 3


async def test_403_is_told_with_the_registrys_own_code() -> None:
    async with facing(always(json_reply({"errors": [{"code": "DENIED"}]}, 403))) as (_, adapter):
        with pytest.raises(AccessDenied, match="DENIED"):
            await tags(adapter)


async def test_bearer_is_preferred_and_basic_is_kept() -> None:
    both = 'Basic realm="x", ' + OWN
    async with facing(challenging(both, always(json_reply({"token": "good"}))), **USER) as (server, adapter):
        await tags(adapter)
        assert server.asked[-1].headers["authorization"] == "Bearer good"

    def basic(asked: Asked) -> Reply:
        if asked.headers.get("authorization") != BASIC:
            return reply(401, www_authenticate='Basic realm="x"')
        return json_reply({"tags": []})

    async with facing(basic, **USER) as (server, adapter):
        await tags(adapter)
        await tags(adapter)
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("challenged", "asked"),
    [
        ("repository:a/b:pull,push,delete", "repository:a/b:pull"),
        ("repository:host:5000/a:pull,push repository:c:*", "repository:host:5000/a:pull repository:c:pull"),
        ("registry:catalog:*", "registry:catalog:*"),
        ("aws", "aws"),
        ("", ""),
    ],
)
def test_no_more_than_pull_is_asked_for(challenged: str, asked: str) -> None:
    assert least_scope(challenged) == asked
