"""Whose name a registry is asked in: given credentials, or those of docker's `config.json`."""

import asyncio
import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from imagewarden.registry.errors import AuthenticationFailed, InvalidOption
from imagewarden.registry.options import MIB, TransportOptions

__all__ = ["ANONYMOUS", "Credential", "docker_credential", "find_credential"]

HELPER_TIMEOUT = 20.0
"""Seconds a credential helper gets to answer."""
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOT_FOUND = b"credentials not found"


class Credential(msgspec.Struct, frozen=True):
    """A user name with a password, or an identity token that stands for both."""

    username: str = ""
    """User name; empty = anonymous, unless there is an identity token."""
    password: str = ""
    """Password or access token."""
    identity_token: str = ""
    """OAuth2 refresh token of the registry's token service."""

    @property
    def is_anonymous(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.username or self.identity_token)

    @property
    def basic(self) -> str:
        """The `Authorization` header of the Basic scheme (RFC 7617), in UTF-8; empty without a user name."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, ...)"


ANONYMOUS = Credential()


class _Entry(msgspec.Struct):
    """One registry of `auths`."""

    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _Config(msgspec.Struct, rename={"helpers": "credHelpers", "store": "credsStore"}):
    """What is used of docker's `config.json`."""

    auths: dict[str, _Entry] = {}
    helpers: dict[str, str] = {}
    store: str = ""


class _HelperAnswer(msgspec.Struct, rename={"username": "Username", "secret": "Secret"}):
    """What a credential helper's `get` prints."""

    username: str = ""
    secret: str = ""


async def find_credential(options: TransportOptions, authority: str) -> Credential:
    """Return the options' own credential, else docker's for `authority` (`host[:port]`), else the anonymous one."""
    if options.username or options.identity_token:
        return Credential(options.username or "", options.password or "", options.identity_token or "")
    if options.docker_config:
        return await docker_credential(Path(options.docker_config), authority)
    return ANONYMOUS


async def docker_credential(config: Path, authority: str) -> Credential:
    """Return what a docker `config.json` holds for `host[:port]`: the host's helper, the store, or `auths`.

    Raises InvalidOption for a file that is not such a config, AuthenticationFailed when a helper fails.
    """
    found = await asyncio.to_thread(_read, config)
    for key in _keys(found.helpers, authority):
        return await _ask_helper(found.helpers[key], key)
    if found.store:
        key = next(_keys(found.auths, authority), authority)
        stored = await _ask_helper(found.store, key)
        if not stored.is_anonymous:
            return stored
    for key in _keys(found.auths, authority):
        return _decode(found.auths[key], config, key)
    return ANONYMOUS


def _read(path: Path) -> _Config:
    try:
        with path.open("rb") as file:
            content = file.read(MIB + 1)
        if len(content) > MIB:
            raise InvalidOption(f"{path} is larger than 1 MiB; is it a docker config.json?")
        return msgspec.json.decode(content, type=_Config)
    except OSError as error:
        raise InvalidOption(
            f"{path} cannot be read: {error.strerror}; check docker_config and the file's mode"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOption(f"{path} is not a docker config.json: {error}") from error


def _keys(entries: dict[str, Any], authority: str) -> Iterator[str]:
    """Yield the keys that mean this registry: `host[:port]`, also written as a URL with any path."""
    wanted = authority.lower()
    for key in entries:
        host = key.lower().removeprefix("https://").removeprefix("http://").partition("/")[0]
        if host == wanted:
            yield key


def _decode(entry: _Entry, path: Path, key: str) -> Credential:
    if entry.identitytoken:
        return Credential(identity_token=entry.identitytoken)
    if not entry.auth:
        return Credential(entry.username, entry.password)
    try:
        username, colon, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise InvalidOption(f"{path}: the entry of {key} is not user:password in base64; log in to it again")
    return Credential(username, password.rstrip("\0"))


async def _ask_helper(name: str, server: str) -> Credential:
    """Run `docker-credential-NAME get`, the server's address on its standard input (docker-credential-helpers)."""
    if not _HELPER_NAME.fullmatch(name):
        raise InvalidOption(f"not the name of a docker credential helper: {name[:80]!r}")
    program = f"docker-credential-{name}"
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise AuthenticationFailed(f"{program} cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(HELPER_TIMEOUT):
            output, _ = await process.communicate(server.encode())
    except TimeoutError:
        raise AuthenticationFailed(f"{program} did not answer within {HELPER_TIMEOUT:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _helper_credential(program, process.returncode, output)


def _helper_credential(program: str, status: int | None, output: bytes) -> Credential:
    if status != 0:
        if _NOT_FOUND in output[:1024]:
            return ANONYMOUS
        raise AuthenticationFailed(f"{program} get failed with exit code {status}")
    try:
        answer = msgspec.json.decode(output, type=_HelperAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise AuthenticationFailed(f"{program} get did not print a credential") from None
    if answer.username == "<token>":
        return Credential(identity_token=answer.secret)
    return Credential(answer.username, answer.secret)
