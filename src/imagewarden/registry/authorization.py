"""What goes into the Authorization header of one registry's requests."""

import base64
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

import httpx

from imagewarden.registry.challenge import Challenge
from imagewarden.registry.errors import AddressRefused, AuthenticationFailed
from imagewarden.registry.options import TransportOptions
from imagewarden.registry.tokens import TokenCache, parse_token

__all__ = ["Authorization", "SendToken", "refused"]

SendToken = Callable[[str, httpx.URL, dict[str, str], bytes], Awaitable[bytes]]
"""Sends a request (method, address, headers, body) to a token service and returns the answer's body."""

_KNOWN_TOKEN_HOSTS = {"registry-1.docker.io": "auth.docker.io", "index.docker.io": "auth.docker.io"}
"""Registries whose token service is known to live on another host."""


class Authorization:
    """The credentials of one registry, and what it has asked for so far."""

    def __init__(self, options: TransportOptions, send: SendToken) -> None:
        self._options = options
        self._send = send
        self._tokens = TokenCache()
        self._bearer: tuple[str, str] | None = None
        self._basic = False

    async def header(self, scope: str) -> str | None:
        """Return the header's value for a scope; None before the registry has asked for anything."""
        if self._bearer:
            return "Bearer " + await self._token((*self._bearer, scope))
        return self._basic_value() if self._basic else None

    async def answer(self, challenges: list[Challenge], scope: str) -> bool:
        """Take up what a 401 asks for; returns whether trying again makes sense. Raises AuthenticationFailed."""
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                self._bearer = (challenge.parameters["realm"], challenge.parameters.get("service", ""))
                self._tokens.drop((*self._bearer, scope))
                return True
        if any(challenge.scheme == "basic" for challenge in challenges) and self._options.username and not self._basic:
            self._basic, self._bearer = True, None
            return True
        return False

    def _basic_value(self) -> str:
        """Return the value for Basic authentication (RFC 7617, UTF-8)."""
        pair = f"{self._options.username or ''}:{self._options.password or ''}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _may_see_credentials(self, realm: httpx.URL) -> bool:
        """Return whether a token service may be given the credentials: same host, or one that is known or named."""
        registry = urlsplit(self._options.url)
        allowed = {registry.hostname, _KNOWN_TOKEN_HOSTS.get(registry.hostname or ""), *self._options.token_hosts}
        secure = realm.scheme == "https" or registry.scheme == "http"
        return realm.host in allowed and secure

    async def _token(self, key: tuple[str, str, str]) -> str:
        """Return a token, from the cache or the token service."""
        known = self._tokens.get(key)
        if known:
            return known
        realm, service, scope = key
        try:
            url = httpx.URL(realm)
        except httpx.InvalidURL:
            raise AddressRefused("the registry names a token service whose address cannot be read") from None
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise AddressRefused("the registry names a token service that is not at an HTTP address")
        has_credentials = bool(self._options.username or self._options.identity_token)
        if has_credentials and not self._may_see_credentials(url):
            raise AddressRefused(
                f"the registry wants the credentials sent to {url.scheme}://{url.host}; "
                f"if that is its token service, allow it with --token-host {url.host}"
            )
        token = parse_token(await self._ask(url, service, scope))
        self._tokens.put(key, token)
        return token.text

    async def _ask(self, url: httpx.URL, service: str, scope: str) -> bytes:
        """Ask the token service: by GET with Basic credentials, by POST with a refresh token."""
        asked = {"service": service, "scope": scope}
        if self._options.identity_token:
            form = {**asked, "grant_type": "refresh_token", "client_id": "imagewarden",
                    "refresh_token": self._options.identity_token}  # fmt: skip
            headers = {"content-type": "application/x-www-form-urlencoded"}
            return await self._send("POST", url, headers, urlencode(form).encode())
        headers = {"authorization": self._basic_value()} if self._options.username else {}
        pairs = [*url.params.multi_items(), *((name, value) for name, value in asked.items() if value)]
        return await self._send("GET", url.copy_with(query=urlencode(pairs).encode()), headers, b"")


def refused(options: TransportOptions) -> AuthenticationFailed:
    """Return the error for credentials, or their absence, that the registry does not take."""
    if options.username or options.identity_token:
        return AuthenticationFailed(f"{options.url} refuses the user name or password; check them")
    return AuthenticationFailed(f"{options.url} wants credentials; give a user name and a password")
