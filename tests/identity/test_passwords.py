"""Passwords: their rules, their hashes, and how many are worked on at once."""

import asyncio
import threading
from typing import Literal

import pytest
from argon2 import PasswordHasher

from imagewarden.identity import passwords
from imagewarden.identity.errors import InvalidIdentity, TooManyLogins
from imagewarden.identity.passwords import check_rules, generate_password, hash_password, is_outdated, verify_password

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("password", ["12345678", "x" * 128, "correct horse battery", "p\u00e4ssw\u00f6rt"])
def test_password_within_the_rules(password: str) -> None:
    check_rules(password)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, "with\nnewline", "with\0nul", "with\ud800surrogate"])
def test_password_outside_the_rules(password: str) -> None:
    with pytest.raises(InvalidIdentity, match="8 to 128 printable characters") as caught:
        check_rules(password)
    assert len(password) < 4 or password not in str(caught.value)


def test_generated_passwords_fit_the_rules_and_differ() -> None:
    made = {generate_password() for _ in range(100)}
    assert len(made) == 100
    for each in made:
        check_rules(each)


async def test_hash_is_argon2id_and_fits_its_password_alone() -> None:
    stored = await hash_password("correct horse")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert "correct" not in stored
    assert await verify_password(stored, "correct horse")
    assert not await verify_password(stored, "Correct horse")
    assert not await verify_password(stored, "")


async def test_nobody_has_no_password() -> None:
    assert not await verify_password(None, "correct horse")


@pytest.mark.parametrize("stored", ["", "plain", "$argon2id$v=19$m=65536,t=3,p=4$broken"])
async def test_stored_text_that_is_no_hash(stored: str) -> None:
    assert not await verify_password(stored, "plain")


async def test_endless_password_is_not_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(passwords, "_off_the_loop")
    assert not await verify_password(None, "x" * 129)


async def test_unknown_user_takes_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Hasher(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            seen.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "_HASHER", Hasher())
    stored = await hash_password("correct horse")
    await verify_password(stored, "wrong horse")
    await verify_password(None, "wrong horse")
    parameters = {each.rpartition("p=4")[0] for each in seen}
    assert len(seen) == 2
    assert len(parameters) == 1


async def test_hash_of_older_parameters_is_outdated() -> None:
    assert is_outdated(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("correct horse"))
    assert not is_outdated(await hash_password("correct horse"))


async def test_flood_of_logins_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_PLACES", threading.BoundedSemaphore(2))
    stored = await hash_password("correct horse")
    asked = [verify_password(stored, "correct horse") for _ in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(each).__name__ for each in answers) == ["TooManyLogins"] * 3 + ["bool"] * 2
    assert await verify_password(stored, "correct horse")


async def test_given_up_login_leaves_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_PLACES", threading.BoundedSemaphore(1))
    task = asyncio.ensure_future(hash_password("correct horse"))
    await asyncio.sleep(0)
    with pytest.raises(TooManyLogins):
        await hash_password("correct horse")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await hash_password("correct horse")
