"""Passwords: argon2id, off the event loop, a few at a time."""

import asyncio
import secrets
import string
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from imagewarden.identity.errors import InvalidIdentity, TooManyLogins

__all__ = ["check_rules", "generate_password", "hash_password", "is_outdated", "verify_password"]

_T = TypeVar("_T")

_HASHER = PasswordHasher()  # RFC 9106's second recommended parameters: argon2id, 64 MiB, 3 passes
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="argon2")
"""Bounds memory, since each hash takes 64 MiB, and leaves the event loop's own threads to everybody else."""
_PLACES = threading.BoundedSemaphore(64)
"""Passwords at work or waiting: about two seconds of work; more are turned away at once."""
_LONGEST = 128
_LETTERS = string.ascii_letters + string.digits


def generate_password() -> str:
    """Return a random password of 24 letters and digits (142 bits)."""
    return "".join(secrets.choice(_LETTERS) for _ in range(24))


def check_rules(password: str) -> None:
    """Raise InvalidIdentity for a password outside 8 to 128 characters, or with a control character."""
    if not 8 <= len(password) <= _LONGEST or not password.isprintable():
        raise InvalidIdentity("a password takes 8 to 128 printable characters")


async def _off_the_loop(work: Callable[[], _T]) -> _T:
    """Run `work` in one of a few threads; raises TooManyLogins when too many wait already."""
    if not _PLACES.acquire(blocking=False):
        raise TooManyLogins("too many logins wait for their passwords to be verified; try again shortly")
    try:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
    finally:
        _PLACES.release()


async def hash_password(password: str) -> str:
    """Return the hash to store; raises TooManyLogins."""
    return await _off_the_loop(lambda: _HASHER.hash(password))


def is_outdated(stored: str) -> bool:
    """Return whether a hash was made with other parameters than today's, and should be made anew."""
    return _HASHER.check_needs_rehash(stored)


@cache
def _nobodys_hash() -> str:
    """Return a hash that no password fits: an unknown user takes as long as a wrong password."""
    return _HASHER.hash(secrets.token_urlsafe(32))


def _fits(stored: str | None, password: str) -> bool:
    """Return whether the password is the stored one; never for None."""
    try:
        _HASHER.verify(stored or _nobodys_hash(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


async def verify_password(stored: str | None, password: str) -> bool:
    """Return whether a password fits a stored hash; None stands for an unknown user and takes as long.

    Raises TooManyLogins.
    """
    if len(password) > _LONGEST:
        return False
    return await _off_the_loop(lambda: _fits(stored, password))
