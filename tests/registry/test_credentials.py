"""Credentials from docker's config.json."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from imagewarden.registry import credentials
from imagewarden.registry.credentials import ANONYMOUS, Credential, docker_credential, find_credential
from imagewarden.registry.errors import AuthenticationFailed, InvalidOption
from imagewarden.registry.options import TransportOptions

pytestmark = pytest.mark.anyio
HOST = "registry.example.test:5000"
AUTH = {"auth": base64.b64encode(b"user:pass:word").decode()}
FOUND = Credential("user", "pass:word")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give the place of a configuration."""
    return tmp_path / "config.json"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the place of the credential helper `test`, which is on the path."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "docker-credential-test"


def write(config: Path, content: Any) -> None:
    config.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def install(helper: Path, script: str) -> None:
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o755)


@pytest.mark.parametrize(
    ("auths", "expected"),
    [
        ({HOST: AUTH}, FOUND),
        ({f"https://{HOST}": AUTH}, FOUND),
        ({f"https://{HOST}/v1/": AUTH}, FOUND),
        ({f"http://{HOST.upper()}/v2/": AUTH}, FOUND),
        ({"registry.example.test": AUTH}, ANONYMOUS),
        ({"other.example.test:5000": AUTH}, ANONYMOUS),
        ({HOST: {"username": "user", "password": "pass:word"}}, FOUND),
        ({HOST: {**AUTH, "identitytoken": "refresh"}}, Credential(identity_token="refresh")),
        ({HOST: {}}, ANONYMOUS),
        ({}, ANONYMOUS),
    ],
)
async def test_entries_of_auths(config: Path, auths: dict[str, Any], expected: Credential) -> None:
    write(config, {"auths": auths, "HttpHeaders": {"X": "y"}, "psFormat": "z"})
    assert await docker_credential(config, HOST) == expected


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"auths": []}', '{"auths": {"x": 1}}', '{"credsStore": {}}', "[" * 100_000, '{"auths": {"\udcff'],
)
async def test_file_that_is_no_configuration(config: Path, text: str) -> None:
    write(config, text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidOption, match=r"config\.json"):
        await docker_credential(config, HOST)


async def test_file_that_cannot_be_read(config: Path) -> None:
    with pytest.raises(InvalidOption, match="cannot be read"):
        await docker_credential(config, HOST)
    write(config, b" " * (1024 * 1024 + 1))
    with pytest.raises(InvalidOption, match="larger"):
        await docker_credential(config, HOST)


@pytest.mark.parametrize("auth", ["not base64!", base64.b64encode(b"no colon").decode()])
async def test_entry_that_is_no_credential(config: Path, auth: str) -> None:
    write(config, {"auths": {HOST: {"auth": auth}}})
    with pytest.raises(InvalidOption, match="log in") as caught:
        await docker_credential(config, HOST)
    assert auth not in str(caught.value)


@pytest.mark.parametrize("found", [{"credHelpers": {HOST: "test"}}, {"credsStore": "test"}])
async def test_helper_is_asked_for_the_host(config: Path, helper: Path, found: dict[str, Any]) -> None:
    write(config, found)
    install(helper, 'read server; printf \'{"ServerURL":"%s","Username":"user","Secret":"of %s"}\' "$server" "$server"')
    assert await docker_credential(config, HOST) == Credential("user", f"of {HOST}")
    install(helper, 'printf \'{"Username":"<token>","Secret":"refresh"}\'')
    assert await docker_credential(config, HOST) == Credential(identity_token="refresh")


async def test_store_that_knows_nothing_leaves_it_to_auths(config: Path, helper: Path) -> None:
    write(config, {"credsStore": "test", "auths": {HOST: AUTH}})
    install(helper, "echo credentials not found in native keychain; exit 1")
    assert await docker_credential(config, HOST) == FOUND


@pytest.mark.parametrize(
    ("script", "why"), [("exit 3", "exit code 3"), ("echo secret-word", "did not print"), ("exec sleep 60", "within")]
)
async def test_helper_that_fails(
    config: Path, helper: Path, script: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "HELPER_TIMEOUT", 0.5)
    write(config, {"credsStore": "test"})
    install(helper, script)
    with pytest.raises(AuthenticationFailed, match=why) as caught:
        await docker_credential(config, HOST)
    assert "secret-word" not in str(caught.value)


async def test_helper_that_is_not_there_and_name_that_is_a_path(config: Path) -> None:
    write(config, {"credsStore": "absent"})
    with pytest.raises(AuthenticationFailed, match="cannot be run"):
        await docker_credential(config, HOST)
    write(config, {"credsStore": "../../bin/sh"})
    with pytest.raises(InvalidOption, match="not the name"):
        await docker_credential(config, HOST)


async def test_given_credentials_come_before_docker(config: Path) -> None:
    write(config, {"auths": {HOST: AUTH}})
    options = TransportOptions(url=f"https://{HOST}", docker_config=str(config))
    assert await find_credential(options, HOST) == FOUND
    given = msgspec.structs.replace(options, username="own", password="x")
    assert await find_credential(given, HOST) == Credential("own", "x")
    assert await find_credential(msgspec.structs.replace(options, docker_config=None), HOST) == ANONYMOUS


def test_nothing_secret_is_shown() -> None:
    options = TransportOptions(url="https://x.example.test", username="user", password="pass", identity_token="token")
    assert "pass" not in repr(options)
    assert "token" not in repr(options)
    assert "pass" not in repr(Credential("user", "pass"))


def test_basic_is_utf8() -> None:
    assert Credential("u", "pä").basic == "Basic " + base64.b64encode("u:pä".encode()).decode()
