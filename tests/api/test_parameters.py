"""The raw query string: what is taken, and what is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.api.errors import InvalidParameter
from imagewarden.api.parameters import Choice, Flag, Parameter, Text, Whole, parse_query

PARAMETERS = (
    Parameter("limit", Whole(1, 200), "rows", 10),
    Parameter("size", Whole(0, 2**63 - 1), "bytes"),
    Parameter("name", Text(1, 8), "name"),
    Parameter("free", Text(0, 8), "may be empty"),
    Parameter("risky", Flag(), "flag"),
    Parameter("dir", Choice(("asc", "desc")), "direction", "asc"),
)

TAKEN = [
    (b"", {"limit": 10, "dir": "asc", "size": None, "name": None, "risky": None, "free": None}),
    (b"limit=200", {"limit": 200}),
    (b"limit=1&name=a%20b", {"limit": 1, "name": "a b"}),
    (b"name=a+b", {"name": "a b"}),
    (b"name=%C3%A9", {"name": "\u00e9"}),
    (b"size=9223372036854775807", {"size": 2**63 - 1}),
    (b"risky=true", {"risky": True}),
    (b"risky=false", {"risky": False}),
    (b"dir=desc", {"dir": "desc"}),
    (b"free=", {"free": ""}),
    (b"n%61me=x", {"name": "x"}),
    (b"&&limit=5&", {"limit": 5}),
    (b"unknown=1&unknown=2&other=%FF", {"limit": 10}),
]

REFUSED = [
    ("limit", b"limit=0"),
    ("limit", b"limit=201"),
    ("limit", b"limit=5.0"),
    ("limit", b"limit=1e2"),
    ("limit", b"limit=%205"),
    ("limit", b"limit=5%20"),
    ("limit", b"limit=+5"),
    ("limit", b"limit=%2B5"),
    ("limit", b"limit=05"),
    ("limit", b"limit=-1"),
    ("limit", b"limit=0x10"),
    ("limit", b"limit=1_0"),
    ("limit", "limit=\u0665".encode()),
    ("limit", b"limit="),
    ("limit", b"limit"),
    ("limit", b"limit=5&limit=6"),
    ("limit", b"limit=5&limit=5"),
    ("limit", b"limit=5&l%69mit=5"),
    ("size", b"size=9223372036854775808"),
    ("size", b"size=" + b"9" * 400),
    ("name", b"name="),
    ("name", b"name=123456789"),
    ("name", b"name=a%00b"),
    ("name", b"name=%FF"),
    ("name", b"name=%C3"),
    ("name", b"name=%ED%A0%80"),
    ("name", b"name=%zz"),
    ("name", b"name=%4"),
    ("free", b"free=123456789"),
    ("risky", b"risky=True"),
    ("risky", b"risky=1"),
    ("risky", b"risky="),
    ("dir", b"dir=ASC"),
    ("dir", b"dir=asc%20"),
]


@pytest.mark.parametrize(("raw", "expected"), TAKEN, ids=[repr(raw) for raw, _ in TAKEN])
def test_taken(raw: bytes, expected: dict[str, object]) -> None:
    values = parse_query(raw, PARAMETERS)
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize(("name", "raw"), REFUSED, ids=[repr(raw) for _, raw in REFUSED])
def test_refused_by_name(name: str, raw: bytes) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_query(raw, PARAMETERS)
    assert refused.value.name == name
    assert f"parameter {name} " in refused.value.message
    assert (refused.value.status, refused.value.code) == (400, "HSS.0001")
    assert len(refused.value.message) < 300
    assert refused.value.message.isascii()
    assert refused.value.message.isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(raw: bytes) -> None:
    try:
        values = parse_query(raw, PARAMETERS)
    except InvalidParameter as refused:
        assert refused.name in {each.name for each in PARAMETERS}
    else:
        assert set(values) == {each.name for each in PARAMETERS}


@given(st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text))
def test_text_comes_back_as_it_was_sent(text: str) -> None:
    from urllib.parse import quote, quote_plus

    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        return
    for encode in (quote, quote_plus):
        assert parse_query(b"name=" + encode(text, safe="").encode(), PARAMETERS)["name"] == text
