"""How a command ends: exit codes, and one sentence for what went wrong."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

import typer

from imagewarden.model.errors import ImagewardenError

__all__ = ["BROKEN_PIPE", "FAILED", "CommandError", "reported"]

FAILED = 3
"""Exit code: the work failed; the message says what, where and what to do."""
BROKEN_PIPE = 141
"""Exit code: the reader of our output went away, as `head` does (128 + SIGPIPE)."""


class CommandError(ImagewardenError):
    """What only a command can run into: a port that is taken, work that ended with failures."""


def _say(message: str) -> None:
    """Write the one sentence to standard error."""
    sys.stderr.write(f"imagewarden: error: {message}\n")


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn whatever a command raises into its sentence and its exit code."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None
    except ImagewardenError as error:
        _say(str(error))
        raise typer.Exit(FAILED) from None
    except (typer.Exit, typer.Abort, typer.TyperException):
        raise
    except Exception as error:  # noqa: BLE001 # the last place where an error can be told in words
        if os.environ.get("IMAGEWARDEN_DEBUG"):
            traceback.print_exc()
        kind, said = type(error).__name__, " ".join(str(error).split())[:300]
        _say(f"unexpected {kind}: {said or 'no message'}; run with IMAGEWARDEN_DEBUG=1 for the traceback")
        raise typer.Exit(FAILED) from None
