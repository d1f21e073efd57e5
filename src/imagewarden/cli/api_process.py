"""What each API process of `imagewarden serve` loads."""

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar.types import ASGIApp

__all__ = ["application"]


def application() -> "ASGIApp":
    """Return the API with the settings of the environment; the process ends when `serve` does."""
    from imagewarden import logs
    from imagewarden.api.app import create_from_environment
    from imagewarden.cli.lifeline import follow_parent
    from imagewarden.settings import load_settings

    # Nothing of a request outlives the connection: the database rolls back what was under way.
    follow_parent(signal.SIGKILL)
    settings = load_settings()
    logs.configure(settings.log_level, as_json=settings.log_json)
    return create_from_environment()
