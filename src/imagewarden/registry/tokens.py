"""Bearer tokens: asked for at the registry's token service, kept until most of their life is over.

Facts: distribution-spec's companion "Docker Registry v2 authentication via central service" and its OAuth2 variant.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import httpx
import msgspec

from imagewarden.registry.answer import Answer, decode
from imagewarden.registry.credentials import Credential
from imagewarden.registry.errors import AuthenticationFailed, MalformedAnswer
from imagewarden.registry.options import MIB

__all__ = ["CLIENT_ID", "TokenKey", "TokenSource"]

CLIENT_ID = "imagewarden"
"""How the client names itself to an OAuth2 token service."""
MAX_TOKENS = 1024
"""Tokens kept; one a repository, the least recently used one goes first."""
MAX_ANSWER = MIB
"""Bytes of a token service's answer."""
DEFAULT_LIFE = 60.0
"""Seconds a token lives when its service does not say."""
MAX_LIFE = 3600.0
"""Seconds after which a token is renewed, whatever its service says."""
USED_LIFE = 0.8
"""Part of a token's life it is used for."""
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")  # visible ASCII: nothing that could end a header line


class TokenKey(msgspec.Struct, frozen=True):
    """What a token is good for, and in whose name."""

    realm: str
    """URL of the token service, as the challenge gave it and the guard let it pass."""
    service: str
    """Name of the registry at its token service; may be empty."""
    scope: str
    """Space-separated `type:name:actions`; may be empty."""
    credential: Credential
    """In whose name."""

    @property
    def query(self) -> dict[str, str | list[str]]:
        """The service and scopes, as a query's parameters."""
        found: dict[str, str | list[str]] = {"service": self.service, "scope": self.scope.split()}
        return {name: value for name, value in found.items() if value}


class _TokenAnswer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


class _Token:
    """A token, or the place where the first one who needs it is getting it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.text = ""
        self.good_until = 0.0


class TokenSource:
    """Gets tokens with `send`, one request a key however many ask at once."""

    def __init__(self, send: Callable[[httpx.Request, int], Awaitable[Answer]]) -> None:
        """`send` performs one request without authentication of its own and reads at most so many bytes."""
        self._send = send
        self._tokens: OrderedDict[TokenKey, _Token] = OrderedDict()

    async def get(self, key: TokenKey, refused: str = "") -> str:
        """Return a token; never `refused`, which the registry did not accept.

        Raises AuthenticationFailed when the service says no, MalformedAnswer when it gives no token.
        """
        entry = self._tokens.setdefault(key, _Token())
        self._tokens.move_to_end(key)
        while len(self._tokens) > MAX_TOKENS:
            self._tokens.popitem(last=False)
        async with entry.lock:
            clock = asyncio.get_running_loop().time
            if not entry.text or entry.text == refused or clock() >= entry.good_until:
                started = clock()
                entry.text, life = await self._fetch(key)
                entry.good_until = started + min(life, MAX_LIFE) * USED_LIFE
            return entry.text

    async def _fetch(self, key: TokenKey) -> tuple[str, float]:
        answer = await self._send(_request(key), MAX_ANSWER)
        if answer.status in (400, 401, 403):
            raise AuthenticationFailed("the token service refuses", answer.exchange)
        if answer.status != 200:
            raise MalformedAnswer("the token service gave no token", answer.exchange)
        found = decode(answer, _TokenAnswer)
        token = found.token or found.access_token or ""
        if not _TOKEN.fullmatch(token):
            raise MalformedAnswer("the token service gave no usable token", answer.exchange)
        life = found.expires_in
        return token, life if life is not None and life > 0 else DEFAULT_LIFE


def _request(key: TokenKey) -> httpx.Request:
    if key.credential.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": key.credential.identity_token,
            "client_id": CLIENT_ID,
            "service": key.service,
            "scope": key.scope,
        }
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return httpx.Request("POST", key.realm, content=urlencode(form).encode(), headers=kind)
    headers = {"Authorization": key.credential.basic} if key.credential.basic else {}
    url = httpx.URL(key.realm)
    return httpx.Request("GET", url.copy_with(params=url.params.merge(key.query)), headers=headers)
