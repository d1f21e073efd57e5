"""Callers that are remembered."""

import pytest

from imagewarden.api import callers
from imagewarden.api.callers import KnownCallers
from imagewarden.identity.caller import Caller
from imagewarden.identity.tokens import TokenCaller


def caller(number: int, expires_at: int = 100) -> TokenCaller:
    return TokenCaller(Caller(f"u{number}", "name", "d", "domain", ()), ("password",), 0, expires_at)


@pytest.fixture
def known() -> KnownCallers:
    found = KnownCallers()
    assert found.find("t", 7, 1) is None
    found.add("t", 7, caller(1))
    return found


def test_a_caller_is_known_while_nothing_changes(known: KnownCallers) -> None:
    assert known.find("t", 7, 99) == caller(1)
    assert known.find("other", 7, 99) is None


def test_nobody_is_known_after_a_change(known: KnownCallers) -> None:
    assert known.find("t", 8, 1) is None
    assert known.find("t", 8, 1) is None


def test_a_token_expires(known: KnownCallers) -> None:
    assert known.find("t", 7, 100) is None


def test_while_the_database_is_away_what_was_true_goes_on(known: KnownCallers) -> None:
    assert known.find("t", None, 99) == caller(1)
    assert known.find("t", None, 100) is None


def test_what_was_read_before_a_change_is_not_remembered(known: KnownCallers) -> None:
    known.find("t", 8, 1)
    known.add("late", 7, caller(2))
    assert known.find("late", 8, 1) is None


def test_the_one_not_used_for_longest_is_forgotten(known: KnownCallers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_MOST", 2)
    known.add("b", 7, caller(2))
    known.find("t", 7, 1)
    known.add("c", 7, caller(3))
    assert [known.find(text, 7, 1) is not None for text in ("t", "b", "c")] == [True, False, True]
