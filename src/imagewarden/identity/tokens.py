"""Tokens: random, kept as a hash, expiring, revocable."""

import hashlib
import secrets
from typing import Any

import msgspec
import structlog
from sqlalchemy import ColumnElement, Row, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity.caller import Caller
from imagewarden.identity.errors import NotAuthenticated, Refusal, UnknownIdentity
from imagewarden.identity.grants import caller_from, now_ms, select_user
from imagewarden.identity.tables import token, user_account

__all__ = [
    "IssuedToken",
    "TokenCaller",
    "TokenInfo",
    "describe_token",
    "issue_token",
    "list_tokens",
    "prune_tokens",
    "revoke_listed_token",
    "revoke_token",
    "revoke_user_tokens",
    "token_hash",
]

_LOG = structlog.get_logger(__name__)
_KEPT_MS = 7 * 86_400_000


class IssuedToken(msgspec.Struct, frozen=True):
    """A token at the one moment its text is known."""

    text: str
    """The token; 43 characters, 256 bits."""
    issued_at: int
    """ms."""
    expires_at: int
    """ms."""


class TokenCaller(msgspec.Struct, frozen=True):
    """A token that is good, and whose it is."""

    caller: Caller
    """The user, limited to the token's scope."""
    methods: tuple[str, ...]
    """How the user authenticated."""
    issued_at: int
    """ms."""
    expires_at: int
    """ms."""


class TokenInfo(msgspec.Struct, frozen=True):
    """What is told of a good token; its text is not known any more."""

    id: str
    """16 hex digits: the start of its hash."""
    project_id: str | None
    """The project it is good for; None for the domain."""
    methods: tuple[str, ...]
    """How the user authenticated."""
    issued_at: int
    """ms."""
    expires_at: int
    """ms."""


def token_hash(text: str) -> bytes:
    """Return what is kept of a token; 256 random bits need no salt."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


async def issue_token(
    connection: AsyncConnection, user_id: str, project_id: str | None, lifetime: int, method: str = "password"
) -> IssuedToken:
    """Store and return a new token of a user, good for one project or, with None, for the domain.

    `lifetime` is in seconds.
    """
    now = now_ms()
    issued = IssuedToken(secrets.token_urlsafe(32), now, now + lifetime * 1000)
    await connection.execute(
        insert(token).values(
            token_hash=token_hash(issued.text),
            user_id=user_id,
            project_id=project_id,
            methods=[method],
            issued_at=issued.issued_at,
            expires_at=issued.expires_at,
        )
    )
    return issued


async def describe_token(connection: AsyncConnection, text: str) -> TokenCaller:
    """Return a good token's owner and life, in one statement; raises NotAuthenticated, always in the same words."""
    statement = (
        select_user(token.c.project_id, token.c.methods, token.c.issued_at, token.c.expires_at, token.c.revoked_at)
        .join(token, token.c.user_id == user_account.c.id)
        .where(token.c.token_hash == token_hash(text))
    )
    row = (await connection.execute(statement)).one_or_none()
    refusal = _refusal(row)
    if row is None or refusal is not None:
        _LOG.info("token refused", reason=refusal and refusal.value, user_id=row and row.user_id)
        raise NotAuthenticated(
            "the token is unknown, expired or revoked; get a new one at POST /v3/auth/tokens",
            refusal or Refusal.UNKNOWN,
        )
    return TokenCaller(caller_from(row, row.project_id), tuple(row.methods), row.issued_at, row.expires_at)


def _refusal(row: Row[Any] | None) -> Refusal | None:
    """Return why a stored token is not good, None if it is."""
    if row is None:
        return Refusal.UNKNOWN
    if row.revoked_at is not None:
        return Refusal.REVOKED
    if row.expires_at <= now_ms():
        return Refusal.EXPIRED
    return None if row.user_enabled else Refusal.DISABLED


async def revoke_token(connection: AsyncConnection, text: str) -> bool:
    """Make a token worthless from now on; returns whether it was good until now."""
    done = await connection.execute(
        update(token)
        .where(token.c.token_hash == token_hash(text), token.c.revoked_at.is_(None))
        .values(revoked_at=now_ms())
    )
    return done.rowcount > 0


async def revoke_user_tokens(connection: AsyncConnection, user_id: str) -> int:
    """Make all tokens of a user worthless; returns how many were good until now."""
    done = await connection.execute(
        update(token)
        .where(token.c.user_id == user_id, token.c.revoked_at.is_(None), token.c.expires_at > now_ms())
        .values(revoked_at=now_ms())
    )
    return done.rowcount


async def prune_tokens(connection: AsyncConnection) -> int:
    """Forget tokens that expired or were revoked a week ago or earlier; returns how many."""
    before = now_ms() - _KEPT_MS
    done = await connection.execute(delete(token).where(or_(token.c.expires_at < before, token.c.revoked_at < before)))
    return done.rowcount


def _listed_id() -> ColumnElement[str]:
    """Return the id that a token is listed by."""
    return func.left(func.encode(token.c.token_hash, "hex"), 16)


async def list_tokens(connection: AsyncConnection, user_id: str) -> list[TokenInfo]:
    """Return the good tokens of a user, oldest first."""
    rows = await connection.execute(
        select(_listed_id(), token.c.project_id, token.c.methods, token.c.issued_at, token.c.expires_at)
        .where(token.c.user_id == user_id, token.c.revoked_at.is_(None), token.c.expires_at > now_ms())
        .order_by(token.c.issued_at, token.c.token_hash)
    )
    return [TokenInfo(each, project, tuple(methods), issued, until) for each, project, methods, issued, until in rows]


async def revoke_listed_token(connection: AsyncConnection, user_id: str, listed_id: str) -> None:
    """Make a token of a user worthless, by the id it is listed by; raises UnknownIdentity."""
    done = await connection.execute(
        update(token)
        .where(token.c.user_id == user_id, _listed_id() == listed_id, token.c.revoked_at.is_(None))
        .values(revoked_at=now_ms())
    )
    if not done.rowcount:
        raise UnknownIdentity(f"the user has no token {listed_id}; `imagewarden admin token list` shows them")
