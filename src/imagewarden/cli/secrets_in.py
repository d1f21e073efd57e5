"""Passwords that come in: hidden at a terminal, or one line of standard input; never an argument others can see."""

import sys

from imagewarden.cli.errors import CommandError

__all__ = ["prompted_password", "stdin_password"]

_LONGEST = 64 * 1024


def stdin_password() -> str:
    """Return standard input without its last line end; raises CommandError when it is empty or far too long."""
    text = sys.stdin.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise CommandError(f"standard input holds more than {_LONGEST // 1024} KiB; give it the password alone")
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise CommandError("standard input holds no password; pipe it in, or leave --password-stdin out")
    return password


def prompted_password(prompt: str) -> str:
    """Ask at the terminal, without an echo; raises CommandError where there is none."""
    import getpass

    if not sys.stdin.isatty():
        raise CommandError("a password is needed and there is no terminal to ask at; give --password-stdin")
    return getpass.getpass(f"{prompt}: ")
