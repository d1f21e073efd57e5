"""Answering a registry's challenges: nothing, Basic, or Bearer, whichever it asks for."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import httpx

from imagewarden.registry.answer import Answer, place_of
from imagewarden.registry.challenge import Challenge
from imagewarden.registry.credentials import Credential, find_credential
from imagewarden.registry.errors import AccessDenied, AuthenticationFailed, Exchange, MalformedAnswer, RedirectRefused
from imagewarden.registry.options import TransportOptions
from imagewarden.registry.tokens import TokenKey, TokenSource

__all__ = ["Authorizer", "least_scope"]

_KNOWN_TOKEN_HOSTS = {
    "registry-1.docker.io": "auth.docker.io",
    "index.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}
"""Registries whose own token service is known to live on another host."""
MAX_SCOPES = 4096
"""Scopes whose challenge is remembered."""


def least_scope(scope: str) -> str:
    """Return a challenge's scope with no more than `pull` on repositories: nothing here ever writes."""
    parts = []
    for part in scope.split():
        kind, _, rest = part.partition(":")
        name, colon, _ = rest.rpartition(":")
        parts.append(f"{kind}:{name}:pull" if kind == "repository" and colon else part)
    return " ".join(parts)


class Authorizer:
    """Knows what one registry wants to be shown, learnt from its challenges."""

    def __init__(
        self,
        options: TransportOptions,
        base: httpx.URL,
        send: Callable[[httpx.Request, int], Awaitable[Answer]],
    ) -> None:
        """`send` performs one request without authentication of its own and reads at most so many bytes."""
        self._options = options
        self._base = base
        self._tokens = TokenSource(send)
        self._credential: Credential | None = None
        self._basic = False
        self._bearer: tuple[str, str] | None = None
        self._scopes: OrderedDict[str, str] = OrderedDict()

    async def header(self, scope: str) -> str:
        """Return the `Authorization` to send, by what is known so far; empty = none."""
        if self._bearer is not None:
            return "Bearer " + await self._tokens.get(await self._key(scope))
        return (await self._own()).basic if self._basic else ""

    async def answer(self, challenges: Sequence[Challenge], scope: str, sent: str, exchange: Exchange) -> str:
        """Return another `Authorization` after a 401 to `sent`.

        Raises AuthenticationFailed, or AccessDenied, when there is nothing better to show.
        """
        bearer = next((one for one in challenges if one.scheme == "bearer"), None)
        if bearer is not None:
            self._bearer = await self._realm(bearer, exchange), bearer.parameters.get("service", "")
            self._remember(scope, bearer.parameters.get("scope", ""))
            return "Bearer " + await self._tokens.get(await self._key(scope), refused=sent.removeprefix("Bearer "))
        if any(one.scheme == "basic" for one in challenges) and not sent:
            self._basic = True
            if header := (await self._own()).basic:
                return header
        raise await self.refusal(challenges, exchange)

    async def refusal(self, challenges: Sequence[Challenge], exchange: Exchange) -> AuthenticationFailed | AccessDenied:
        """Return the error for a 401 that nothing helps against."""
        anonymous = (await self._own()).is_anonymous
        if any(one.parameters.get("error") == "insufficient_scope" for one in challenges):
            who = "anyone without credentials" if anonymous else "this user"
            return AccessDenied(f"the registry does not allow this to {who}", exchange)
        if anonymous:
            return AuthenticationFailed("the registry wants credentials, and none are stored", exchange)
        return AuthenticationFailed("the registry does not accept the credentials", exchange)

    async def _own(self) -> Credential:
        if self._credential is None:
            self._credential = await find_credential(self._options, self._base.netloc.decode("ascii"))
        return self._credential

    async def _key(self, scope: str) -> TokenKey:
        realm, service = self._bearer or ("", "")
        return TokenKey(realm, service, self._scopes.get(scope, scope), await self._own())

    def _remember(self, scope: str, challenged: str) -> None:
        """Keep the scope that the registry itself names for what we call `scope`."""
        if challenged and least_scope(challenged) != scope:
            self._scopes[scope] = least_scope(challenged)
            while len(self._scopes) > MAX_SCOPES:
                self._scopes.popitem(last=False)

    async def _realm(self, challenge: Challenge, exchange: Exchange) -> str:
        """Return the token service's URL, if what we would show it may go there.

        Credentials go to the registry's own host, to its known token service, or to one that is listed in the options;
        a token for anybody is also asked for elsewhere. https never becomes http, unless that is listed.
        """
        text = challenge.parameters.get("realm", "")
        try:
            realm = self._base.join(text)
        except (httpx.InvalidURL, ValueError):
            realm = httpx.URL("")
        if not text or realm.scheme not in ("http", "https") or not realm.host or realm.userinfo:
            raise MalformedAnswer("the challenge names no usable token service", exchange)
        if {realm.host, realm.netloc.decode("ascii")} & set(self._options.token_hosts):
            return str(realm)
        is_own = realm.host == self._base.host or realm.host == _KNOWN_TOKEN_HOSTS.get(self._base.host)
        is_plain = realm.scheme == "http" and (self._base.scheme == "https" or realm.host != self._base.host)
        if is_plain or not (is_own or (await self._own()).is_anonymous):
            why = "is on plain http" if is_plain else "is on another host"
            raise RedirectRefused(
                f"the token service {place_of(realm)} {why}, where no credentials go; "
                f"if it is trusted, allow it with --token-host {realm.netloc.decode('ascii')}",
                exchange,
            )
        return str(realm)
