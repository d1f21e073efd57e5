"""Every setting, typed: from `imagewarden.toml`, then `IMAGEWARDEN_*`, then flags, the later winning."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from imagewarden.model.errors import ImagewardenError

__all__ = ["InvalidSetting", "Settings", "load_settings"]


class InvalidSetting(ImagewardenError):
    """A setting of the wrong type or out of its range; the message names it and where it came from."""


def _default_data_dir() -> Path:
    """Return the data folder of the XDG base directory specification, `/var/lib/imagewarden` for root."""
    if os.geteuid() == 0:
        return Path("/var/lib/imagewarden/data")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "imagewarden"


class Settings(BaseSettings):
    """What can be configured; each name is also `IMAGEWARDEN_NAME` in the environment."""

    model_config = SettingsConfigDict(env_prefix="IMAGEWARDEN_", extra="forbid", frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(default_factory=_default_data_dir)
    """Folder of the embedded database, the key file and everything else kept on disk."""
    database_url: str | None = Field(default=None, repr=False)
    """`postgresql://user:password@host/name` of a server of version 15 or newer; absent = the embedded one."""
    secret_key: str | None = Field(default=None, repr=False)
    """32 bytes in base64 that seal registry passwords and secret keys; absent = `secret.key` in the data folder."""
    host: str = "127.0.0.1"
    """Address that `serve` listens on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port that `serve` listens on; 0 takes a free one."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that answer the API."""
    read_model_bytes: Annotated[int, Field(ge=2**20)] = 4 * 2**30
    """Bytes of all read models' columns on this machine; beyond it the models of idle projects are dropped."""
    region: Annotated[str, Field(min_length=1, max_length=64)] = "local"
    """Region name shown in the service catalogue, and the project name clients look up by region."""
    token_lifetime: Annotated[int, Field(ge=60, le=30 * 86400)] = 86400
    """Seconds an API token lives."""
    database_pool: Annotated[int, Field(ge=1, le=200)] = 10
    """Database connections a process holds at most."""
    job_concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """Jobs a worker runs at once."""
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """Least severe log line written."""
    log_json: bool = False
    """Whether log lines are JSON objects."""

    @property
    def read_model_dir(self) -> Path:
        """Folder of the read models of this machine."""
        return self.data_dir.expanduser().absolute() / "read-model"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # the base class's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_config_file())


def _config_file() -> Path | None:
    """Return the file `IMAGEWARDEN_CONFIG` names, else `imagewarden.toml` of the working folder or of /etc."""
    named = os.environ.get("IMAGEWARDEN_CONFIG")
    if named:
        if not Path(named).is_file():
            raise InvalidSetting(
                f"IMAGEWARDEN_CONFIG names {named}, which is not a file; create it or unset the variable"
            )
        return Path(named)
    places = (Path("imagewarden.toml"), Path("/etc/imagewarden/imagewarden.toml"))
    return next((place for place in places if place.is_file()), None)


def load_settings(**flags: Any) -> Settings:
    """Return the settings; `flags` that are None count as not given. Raises InvalidSetting."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidSetting(
            f"setting {name} is not usable: {first['msg']}; "
            f"see IMAGEWARDEN_{name.upper()}, imagewarden.toml or the flag of that name"
        ) from None
    except ValueError as error:  # a configuration file that is not TOML
        raise InvalidSetting(f"{_config_file()} cannot be read: {error}") from None
