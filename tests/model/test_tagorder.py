"""Order of tags: a table of chains, and total for any text."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.model.tagorder import tag_order_key

CHAINS = [
    line.split()
    for line in (Path(__file__).parent / "tag_order.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
_tags = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,30}", fullmatch=True),
    st.from_regex(r"v?[0-9]{1,3}(\.[0-9]{1,3}){0,3}(-?(rc|beta|alpine|r|slim)[0-9]{0,2})?", fullmatch=True),
)


@pytest.mark.parametrize("chain", CHAINS, ids=" ".join)
def test_each_tag_is_below_the_next(chain: list[str]) -> None:
    for lower, higher in itertools.combinations(chain, 2):
        assert tag_order_key(lower) < tag_order_key(higher), f"{lower} < {higher}"


@given(_tags, _tags, _tags)
def test_order_is_total_and_the_same_every_time(one: str, two: str, three: str) -> None:
    first, second, third = map(tag_order_key, (one, two, three))
    assert (first == second) == (one == two)
    assert (first < second) + (second < first) + (first == second) == 1
    if first < second < third:
        assert first < third
    assert tag_order_key(one) == first
    assert first[-1] == one


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers_compare_as_numbers(one: int, two: int) -> None:
    lower, higher = sorted((one, two))
    if lower != higher:
        assert tag_order_key(f"v1.{lower}.0") < tag_order_key(f"v1.{higher}.0")


def test_numbers_of_any_length_are_compared() -> None:
    assert tag_order_key("9" * 5000) < tag_order_key("1" + "0" * 5000)
    assert tag_order_key("1." * 50_000) < tag_order_key("2")
