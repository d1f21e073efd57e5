"""From the options of `registry add` to a registry to store."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from imagewarden.inventory.registries import NewRegistry

__all__ = ["interval_seconds", "new_registry", "shown_interval"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LEAST, _MOST = 60, 31 * 86_400


def interval_seconds(text: str) -> int:
    """Return an interval such as 15m, 1h or 1d in seconds, 0 for never; raises a usage error."""
    if text in ("never", "0"):
        return 0
    found = re.fullmatch(r"([0-9]{1,7})([smhd])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not _LEAST <= seconds <= _MOST:
        raise typer.BadParameter(
            f"{text!r} is not usable; it takes 1m to 31d, such as 15m or 1h, or never", param_hint="--every"
        )
    return seconds


def shown_interval(seconds: int) -> str:
    """Return seconds as an interval in its greatest whole unit."""
    if not seconds:
        return "never"
    unit = next(name for name in reversed(_UNITS) if seconds % _UNITS[name] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


def _password(username: str | None, *, from_stdin: bool) -> str | None:
    """Return the user's password, asked for at the terminal unless it is piped in; None without a user."""
    from imagewarden.cli.secrets_in import prompted_password, stdin_password

    if username is None:
        if from_stdin:
            raise typer.BadParameter("a password needs a user; give --username too", param_hint="--password-stdin")
        return None
    return stdin_password() if from_stdin else prompted_password(f"Password of {username}")


def _file(text: str | None, option: str) -> str:
    """Return a file's absolute path, empty without one: workers start in other folders. Raises a usage error."""
    if not text:
        return ""
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise typer.BadParameter(f"{path} is not a file", param_hint=option)
    return str(path)


def _proxy(text: str | None) -> str:
    """Return a proxy's address; raises a usage error for one with a password, which would be stored unsealed."""
    if text and "@" in text:
        raise typer.BadParameter(
            "a proxy with a user name is not supported; put a proxy that needs none in between", param_hint="--proxy"
        )
    return text or ""


def new_registry(name: str, url: str, source: dict[str, Any]) -> "NewRegistry":
    """Return the registry that the options describe; raises a usage error, or RegistryError kinds."""
    import msgspec

    from imagewarden.inventory.registries import NewRegistry
    from imagewarden.model.registry_kind import RegistryType
    from imagewarden.registry.selection import Selection
    from imagewarden.sync.source import SourceOptions

    try:
        kind = RegistryType(source["type"])
    except ValueError:
        known = ", ".join(RegistryType)
        raise typer.BadParameter(f"{source['type']!r} is not one of {known}", param_hint="--type") from None
    selection = Selection(
        repositories=tuple(source["repository"] or ()),
        include=tuple(source["include"] or ()),
        exclude=tuple(source["exclude"] or ()),
        include_tags=tuple(source["include_tag"] or ()),
        exclude_tags=tuple(source["exclude_tag"] or ()),
        newest=source["newest"],
    )
    options = SourceOptions(
        insecure=source["insecure"],
        ca_file=_file(source["ca_file"], "--ca-file"),
        proxy=_proxy(source["proxy"]),
        docker_config=_file(source["docker_config"], "--docker-config"),
        token_hosts=tuple(source["token_host"] or ()),
        concurrency=source["concurrency"],
        requests_per_second=source["rate"],
        selection=selection,
    )
    return NewRegistry(
        name=name,
        type=kind,
        url=url,
        username=source["username"],
        password=_password(source["username"], from_stdin=source["password_stdin"]),
        enterprise_project_id=source["enterprise_project"],
        options=msgspec.to_builtins(options),
        sync_interval=interval_seconds(source["every"]),
    )
