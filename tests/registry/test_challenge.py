"""Challenges as registries send them, and as they do not."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.registry.challenge import Challenge, parse_challenges

CASES: dict[str, list[tuple[str, dict[str, str]]]] = {
    'Bearer realm="https://auth.example.test/token",service="reg",scope="repository:a/b:pull,push"': [
        (
            "bearer",
            {"realm": "https://auth.example.test/token", "service": "reg", "scope": "repository:a/b:pull,push"},
        )
    ],
    'Basic realm="a, \\"quoted\\" realm"': [("basic", {"realm": 'a, "quoted" realm'})],
    "BASIC REALM=plain": [("basic", {"realm": "plain"})],
    'Bearer realm = "x" ,  error = "insufficient_scope"': [("bearer", {"realm": "x", "error": "insufficient_scope"})],
    'Negotiate, Basic realm="x", Bearer realm="y",service="z"': [
        ("negotiate", {}),
        ("basic", {"realm": "x"}),
        ("bearer", {"realm": "y", "service": "z"}),
    ],
    'Bearer realm="first",realm="second"': [("bearer", {"realm": "first"})],
    'realm="of no scheme"': [],
    "": [],
    ", ;;  ,": [],
}


@pytest.mark.parametrize("value", CASES)
def test_challenges_of_a_header(value: str) -> None:
    assert parse_challenges([value]) == tuple(Challenge(*expected) for expected in CASES[value])


def test_several_headers_are_one_list() -> None:
    assert [one.scheme for one in parse_challenges(["Basic realm=a", "Bearer realm=b"])] == ["basic", "bearer"]


@given(st.lists(st.text(max_size=200), max_size=4))
def test_any_text_is_parsed_or_skipped(values: list[str]) -> None:
    for one in parse_challenges(values):
        assert one.scheme
        assert one.scheme == one.scheme.lower()


_word = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)
_value = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)


@given(st.lists(st.tuples(_word, st.dictionaries(_word, _value, max_size=4)), max_size=4))
def test_what_is_written_properly_is_read_back(written: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in written
    )
    assert parse_challenges([text]) == tuple(Challenge(scheme, parameters) for scheme, parameters in written)


@pytest.mark.parametrize("piece", ['a="', 'a="\\', "a=", ", ", '"', 'Bearer a="x" '])
def test_header_made_to_be_slow_is_not(piece: str) -> None:
    started = time.perf_counter()
    parse_challenges([piece * 50_000])
    assert time.perf_counter() - started < 1
