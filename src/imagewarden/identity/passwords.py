"""Passwords: argon2id, off the event loop, a few at a time."""

import asyncio
import secrets
import string
import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from imagewarden.identity.errors import InvalidIdentity

__all__ = ["check_rules", "generate_password", "hash_password", "verify_password"]

_HASHER = PasswordHasher()  # RFC 9106's second recommended parameters: argon2id, 64 MiB, 3 passes
_AT_ONCE = threading.BoundedSemaphore(4)
"""Bounds memory: each hash takes 64 MiB."""
_LETTERS = string.ascii_letters + string.digits


def generate_password() -> str:
    """Return a random password of 24 letters and digits (142 bits)."""
    return "".join(secrets.choice(_LETTERS) for _ in range(24))


def check_rules(password: str) -> None:
    """Raise InvalidIdentity for a password outside 8 to 128 characters, or with a control character."""
    if not 8 <= len(password) <= 128 or not password.isprintable():
        raise InvalidIdentity("a password takes 8 to 128 printable characters")


def hash_password(password: str) -> str:
    """Return the hash to store; raises InvalidIdentity for a password outside the rules."""
    check_rules(password)
    return _HASHER.hash(password)


@cache
def _nobodys_hash() -> str:
    """Return a hash that no password fits: an unknown user takes as long as a wrong password."""
    return _HASHER.hash(secrets.token_urlsafe(32))


def _fits(stored: str | None, password: str) -> bool:
    """Return whether the password is the stored one; never for None."""
    try:
        with _AT_ONCE:
            _HASHER.verify(stored or _nobodys_hash(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


async def verify_password(stored: str | None, password: str) -> bool:
    """Return whether a password fits a stored hash; None stands for an unknown user and takes as long."""
    if len(password) > 128:
        return False
    return await asyncio.to_thread(_fits, stored, password)
