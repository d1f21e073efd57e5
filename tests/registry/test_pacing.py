"""Waiting: as asked, at random within bounds, and between requests."""

import asyncio
import itertools
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.registry.options import Limits, TransportOptions
from imagewarden.registry.pacing import Pace, parse_retry_after

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, 999999999.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thursday, 01-Jan-26 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 13:00:30 +0100", 30.0),
        ("Thu, 01 Jan 2026 12:00:30", 30.0),
        ("Thu, 01 Jan 2020 12:00:00 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_seconds_or_none(value: str) -> None:
    found = parse_retry_after(value)
    assert found is None or found >= 0


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the list of waits, none of which takes any time."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("imagewarden.registry.pacing.asyncio.sleep", sleep)
    return found


def pace(**options: float) -> Pace:
    limits = Limits(backoff_seconds=1, longest_wait_seconds=8)
    return Pace(TransportOptions(url="", limits=limits, **options))  # type: ignore[arg-type] # a test's mix


@pytest.mark.anyio
async def test_bound_doubles_up_to_the_longest_wait_and_waits_spread(waits: list[float]) -> None:
    found = pace()
    for failures, bound in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (5000, 8)):
        waits.clear()
        for _ in range(200):
            await found.back_off(failures, None)
        assert 0 <= min(waits) < bound / 4
        assert bound * 3 / 4 < max(waits) <= bound


@pytest.mark.anyio
@pytest.mark.parametrize(("asked", "least", "most"), [(2.0, 2, 3), (3600.0, 8, 9), (0.0, 0, 1)])
async def test_wait_that_was_asked_for_is_kept_and_capped(
    waits: list[float], asked: float, least: float, most: float
) -> None:
    await pace().back_off(1, asked)
    assert least <= waits[0] <= most


@pytest.mark.anyio
async def test_rate_spaces_requests_of_all_slots() -> None:
    found = pace(requests_per_second=50, concurrency=10)
    starts = []

    async def request() -> None:
        async with found.slot():
            starts.append(time.monotonic())

    await asyncio.gather(*(request() for _ in range(8)))
    assert min(later - earlier for earlier, later in itertools.pairwise(starts)) > 0.015
