"""Access keys: a public name and a secret that signs requests."""

import secrets
import string

import msgspec
import structlog
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity.caller import Caller
from imagewarden.identity.errors import NotAuthenticated, Refusal, UnknownIdentity
from imagewarden.identity.grants import caller_from, now_ms, select_user
from imagewarden.identity.lockout import Lockout
from imagewarden.identity.signature import RequestParts, parse_authorization, verify
from imagewarden.identity.tables import access_key, user_account
from imagewarden.identity.vault import Vault

__all__ = [
    "AccessKey",
    "AccessKeyInfo",
    "authenticate_signature",
    "create_access_key",
    "delete_access_key",
    "list_access_keys",
    "set_access_key_enabled",
]

_PUBLIC = string.ascii_uppercase + string.digits
_SECRET = string.ascii_letters + string.digits


class AccessKey(msgspec.Struct, frozen=True):
    """A new access key, at the one moment its secret is shown."""

    access: str
    """20 characters, public."""
    secret: str
    """40 characters (238 bits)."""


class AccessKeyInfo(msgspec.Struct, frozen=True):
    """What is told of an access key."""

    access: str
    """20 characters."""
    user_name: str
    """Whose it is."""
    description: str
    """What it is for."""
    enabled: bool
    """Whether it is accepted."""
    created_at: int
    """ms."""


_LOG = structlog.get_logger(__name__)
_LOCKOUT = Lockout()
_NOBODYS_SECRET = secrets.token_urlsafe(32)


def _place(access: str) -> str:
    """Return what a sealed secret is bound to."""
    return f"access_key:{access}"


async def create_access_key(
    connection: AsyncConnection, vault: Vault, user_id: str, description: str = ""
) -> AccessKey:
    """Store and return a new access key of a user."""
    made = AccessKey(
        "".join(secrets.choice(_PUBLIC) for _ in range(20)), "".join(secrets.choice(_SECRET) for _ in range(40))
    )
    await connection.execute(
        insert(access_key).values(
            access=made.access,
            user_id=user_id,
            secret_encrypted=vault.seal(made.secret, _place(made.access)),
            description=description,
            created_at=now_ms(),
        )
    )
    return made


async def authenticate_signature(connection: AsyncConnection, vault: Vault, parts: RequestParts, now: int) -> Caller:
    """Return who signed a request; raises NotAuthenticated, in the same words for an unknown key and a wrong one.

    `now` is in seconds since 1970 UTC.
    """
    values = [value for name, value in parts.headers if name.lower() == b"authorization"]
    claimed = parse_authorization(values[0].decode("latin-1") if len(values) == 1 else "")
    access = claimed.access
    if _LOCKOUT.is_locked(access):
        raise NotAuthenticated("AK access failed to reach the limit; try again in 5 minutes", Refusal.LOCKED)
    statement = (
        select_user(access_key.c.secret_encrypted)
        .join(access_key, access_key.c.user_id == user_account.c.id)
        .where(access_key.c.access == access, access_key.c.enabled, user_account.c.enabled)
    )
    row = (await connection.execute(statement)).one_or_none()
    # An unknown key takes the same steps as a known one, down to the opening of a sealed secret.
    sealed = vault.seal(_NOBODYS_SECRET, _place(access)) if row is None else row.secret_encrypted
    try:
        verify(parts, claimed, vault.open(sealed, _place(access)), now)
        if row is None:  # nobody can know that secret, but the code must not rest on it
            raise NotAuthenticated("verify aksk signature fail", Refusal.SIGNATURE)  # noqa: TRY301
    except NotAuthenticated as error:
        if error.reason is Refusal.SIGNATURE:
            _LOCKOUT.count(access)
        _LOG.info("signature refused", access_key=access, known=row is not None, reason=error.reason.value)
        raise
    _LOCKOUT.forget(access)
    return caller_from(row, None)


async def list_access_keys(connection: AsyncConnection, domain_id: str) -> list[AccessKeyInfo]:
    """Return the access keys of a domain's users, oldest first."""
    rows = await connection.execute(
        select(
            access_key.c.access,
            user_account.c.name,
            access_key.c.description,
            access_key.c.enabled,
            access_key.c.created_at,
        )
        .join_from(access_key, user_account)
        .where(user_account.c.domain_id == domain_id)
        .order_by(access_key.c.created_at, access_key.c.access)
    )
    return [AccessKeyInfo(*row) for row in rows]


async def set_access_key_enabled(connection: AsyncConnection, access: str, *, enabled: bool) -> None:
    """Accept a key again, or no longer; raises UnknownIdentity."""
    done = await connection.execute(update(access_key).where(access_key.c.access == access).values(enabled=enabled))
    if not done.rowcount:
        raise UnknownIdentity(f"there is no access key {access}; `imagewarden admin key list` shows them")


async def delete_access_key(connection: AsyncConnection, access: str) -> None:
    """Forget a key; raises UnknownIdentity."""
    done = await connection.execute(delete(access_key).where(access_key.c.access == access))
    if not done.rowcount:
        raise UnknownIdentity(f"there is no access key {access}; `imagewarden admin key list` shows them")
