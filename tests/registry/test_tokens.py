"""How long tokens are kept, and how often they are asked for."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from imagewarden.registry import tokens
from imagewarden.registry.answer import Answer
from imagewarden.registry.credentials import ANONYMOUS, Credential
from imagewarden.registry.errors import Exchange
from imagewarden.registry.tokens import TokenKey, TokenSource

pytestmark = pytest.mark.anyio


class Service:
    """A token service that counts."""

    def __init__(self, **more: Any) -> None:
        self.asked: list[httpx.Request] = []
        self.more = more

    async def __call__(self, request: httpx.Request, limit: int) -> Answer:
        """Answer with a new token."""
        self.asked.append(request)
        await asyncio.sleep(0.01)
        content = msgspec.json.encode({"token": f"t{len(self.asked)}", **self.more})
        return Answer(Exchange("GET", ""), request.url, 200, httpx.Headers(), content[:limit])


def key(scope: str = "repository:a:pull", credential: Credential = ANONYMOUS) -> TokenKey:
    return TokenKey("https://auth.example.test/token?account=x", "reg", scope, credential)


async def test_many_at_once_ask_once() -> None:
    service = Service()
    source = TokenSource(service)
    assert set(await asyncio.gather(*(source.get(key()) for _ in range(20)))) == {"t1"}
    assert str(service.asked[0].url).endswith("?account=x&service=reg&scope=repository%3Aa%3Apull")


async def test_keys_do_not_share_tokens() -> None:
    source = TokenSource(Service())
    user = Credential("user", "one")
    keys = [key(), key("registry:catalog:*"), key(credential=user), key(credential=Credential("user", "two"))]
    assert len({await source.get(one) for one in keys}) == 4


@pytest.mark.parametrize("life", [{"expires_in": 0.2}, {}])
async def test_token_is_used_for_four_fifths_of_its_life(
    life: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tokens.DEFAULT_LIFE == 60
    monkeypatch.setattr(tokens, "DEFAULT_LIFE", 0.2)
    source = TokenSource(Service(**life))
    assert await source.get(key()) == "t1"
    await asyncio.sleep(0.08)
    assert await source.get(key()) == "t1"
    await asyncio.sleep(0.1)
    assert await source.get(key()) == "t2"


@pytest.mark.parametrize("life", [0, -5, None, 1e300])
async def test_odd_lives_are_bounded(life: float | None) -> None:
    source = TokenSource(Service(expires_in=life))
    assert await source.get(key()) == await source.get(key()) == "t1"
    assert next(iter(source._tokens.values())).good_until < asyncio.get_running_loop().time() + tokens.MAX_LIFE


async def test_refused_token_is_replaced_once_for_all() -> None:
    source = TokenSource(Service())
    assert await source.get(key()) == "t1"
    assert set(await asyncio.gather(*(source.get(key(), refused="t1") for _ in range(5)))) == {"t2"}
    assert await source.get(key(), refused="t1") == "t2"


async def test_number_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 3)
    source = TokenSource(Service())
    for number in range(10):
        await source.get(key(f"repository:r{number}:pull"))
    assert len(source._tokens) == 3
