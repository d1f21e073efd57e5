"""Credentials from docker's own configuration file."""

import base64
import binascii
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from imagewarden.registry.errors import RegistryError

__all__ = ["Credentials", "docker_credentials"]

_HELPER = re.compile(r"[a-zA-Z0-9._-]{1,64}")
_HUB = "https://index.docker.io/v1/"
_HELPER_SECONDS = 30


class Credentials(msgspec.Struct, frozen=True):
    """A way to authenticate at a registry."""

    username: str | None = None
    """User."""
    password: str | None = None
    """Its password."""
    identity_token: str | None = None
    """OAuth2 refresh token in place of both."""


def _names(host: str) -> tuple[str, ...]:
    """Return what docker may call a registry in its file."""
    names = (host, f"https://{host}", f"http://{host}", f"https://{host}/v2/", f"https://{host}/v1/")
    return (*names, _HUB) if host in ("registry-1.docker.io", "docker.io", "index.docker.io") else names


def _decoded(entry: dict[str, Any], path: Path) -> Credentials | None:
    """Return what an entry of `auths` holds."""
    if token := entry.get("identitytoken"):
        return Credentials(identity_token=str(token))
    if not entry.get("auth"):
        return None
    try:
        user, colon, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise RegistryError(f"{path} holds an entry that is not base64; log in again with docker") from None
    return Credentials(user, password.rstrip("\0")) if colon else None


def _from_helper(helper: str, server: str) -> Credentials | None:
    """Ask one of docker's credential helpers; raises RegistryError when it cannot be run."""
    if not _HELPER.fullmatch(helper):
        raise RegistryError(
            f"docker's configuration names a credential helper {helper[:80]!r}, which is no program name"
        )
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(  # noqa: S603 # a program of the user's own configuration
            [program, "get"], input=server.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        raise RegistryError(f"docker's credential helper {program} cannot be run; install it or log in again") from None
    if done.returncode:
        return None
    try:
        answer = msgspec.json.decode(done.stdout, type=dict[str, str])
    except msgspec.DecodeError:
        raise RegistryError(f"docker's credential helper {program} gives no usable answer") from None
    if answer.get("Username") == "<token>":
        return Credentials(identity_token=answer.get("Secret"))
    return Credentials(answer.get("Username"), answer.get("Secret"))


def docker_credentials(host: str, path: Path | None = None) -> Credentials | None:
    """Return the credentials that docker keeps for a registry (`host` or `host:port`), None if it keeps none.

    `path` is docker's config.json; by default that of DOCKER_CONFIG or of the home folder. Raises RegistryError for a
    file that cannot be read.
    """
    found = path or Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        config = msgspec.json.decode(found.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        if path is None:
            return None
        raise RegistryError(f"there is no file {found}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise RegistryError(f"docker's configuration {found} cannot be read: {error}") from None
    auths, helpers = config.get("auths") or {}, config.get("credHelpers") or {}
    for name in _names(host):
        if isinstance(helpers.get(name), str):
            return _from_helper(helpers[name], name)
    for name in _names(host):
        if isinstance(auths.get(name), dict) and (held := _decoded(auths[name], found)):
            return held
        if name in auths and isinstance(config.get("credsStore"), str):
            return _from_helper(config["credsStore"], name)
    return None
