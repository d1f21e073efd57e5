"""Bearer tokens of a registry's token service (distribution token authentication specification)."""

import time

import msgspec

from imagewarden.registry.errors import MalformedAnswer

__all__ = ["Token", "TokenCache", "parse_token"]

_DEFAULT_LIFE = 60.0
_LONGEST_LIFE = 3600.0
_REFRESH_AT = 0.8
_KEPT = 4096


class _TokenAnswer(msgspec.Struct):
    """What a token service answers."""

    token: str = ""
    access_token: str = ""
    expires_in: float | None = None


class Token(msgspec.Struct, frozen=True):
    """A token and how long to use it."""

    text: str
    """The token."""
    use_until: float
    """On the monotonic clock: 80 % of its life."""


def parse_token(body: bytes) -> Token:
    """Return the token in a token service's answer; raises MalformedAnswer. Without expires_in it lives 60 s."""
    try:
        answer = msgspec.json.decode(body, type=_TokenAnswer, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedAnswer("the token service's answer is not the JSON of a token") from None
    text = answer.token or answer.access_token
    if not text or not text.isascii() or not text.isprintable() or len(text) > 65536:
        raise MalformedAnswer("the token service's answer holds no usable token")
    life = _DEFAULT_LIFE if not answer.expires_in or answer.expires_in <= 0 else min(answer.expires_in, _LONGEST_LIFE)
    return Token(text, time.monotonic() + life * _REFRESH_AT)


class TokenCache:
    """Tokens by (realm, service, scope), for the one credential of a transport."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str, str], Token] = {}

    def get(self, key: tuple[str, str, str]) -> str | None:
        """Return a token that is still to be used."""
        found = self._tokens.get(key)
        return found.text if found and found.use_until > time.monotonic() else None

    def put(self, key: tuple[str, str, str], token: Token) -> None:
        """Keep a token; the old ones go when there are many."""
        if len(self._tokens) >= _KEPT:
            self._tokens.clear()
        self._tokens[key] = token

    def drop(self, key: tuple[str, str, str]) -> None:
        """Forget a token that was refused."""
        self._tokens.pop(key, None)
