"""Configs: what of them is believed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.artifact.config import ImageConfig, parse_config
from imagewarden.artifact.document import MalformedManifest
from imagewarden.model.platform import Platform


@pytest.mark.parametrize(
    ("created", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123),
        ("2023-11-14t22:13:20.9z", 1_700_000_000_900),
        ("2023-11-15T00:13:20.000001+02:00", 1_700_000_000_000),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("1969-12-31T23:59:59Z", None),
        ("2023-11-14T22:13:20", None),
        ("2023-11-14", None),
        ("2023-02-30T00:00:00Z", None),
        ("2023-01-01T25:00:00Z", None),
        ("20231114T221320Z", None),
        ("yesterday", None),
        ("", None),
        (1_700_000_000, None),
        (None, None),
        ([], None),
    ],
)
def test_time_of_building(created: Any, milliseconds: int | None) -> None:
    assert parse_config(json.dumps({"created": created}).encode()).created_at == milliseconds


@pytest.mark.parametrize(
    ("members", "platform"),
    [
        ({"os": "linux", "architecture": "arm64", "variant": "v8"}, Platform("linux", "arm64", "v8")),
        ({"os": "windows", "architecture": "amd64", "os.version": "10.0"}, Platform("windows", "amd64")),
        ({"os": "", "architecture": None}, Platform()),
        ({"os": 5, "architecture": ["amd64"], "variant": {"x": 1}}, Platform()),
        ({"os": "li\0nux", "architecture": "a" * 65, "variant": "v\u00b2"}, Platform()),
        ({"architecture": "amd64\n"}, Platform()),
        ({}, Platform()),
    ],
)
def test_platform(members: dict[str, Any], platform: Platform) -> None:
    raw = json.dumps({**members, "rootfs": {"diff_ids": []}, "config": {"Env": ["A=b"]}}).encode()
    assert parse_config(raw) == ImageConfig(platform, None)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"os":', b"\xff", b'{"x":' + b"[" * 100_000])
def test_what_is_no_object(raw: bytes) -> None:
    with pytest.raises(MalformedManifest, match="not a JSON object"):
        parse_config(raw)


@given(st.dictionaries(st.sampled_from(["os", "architecture", "variant", "created", "x"]), st.text() | st.integers()))
def test_any_object_is_a_config(members: dict[str, Any]) -> None:
    found = parse_config(json.dumps(members).encode())
    assert found.created_at is None or found.created_at >= 0
    assert "\0" not in str(found.platform)
