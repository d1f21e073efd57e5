"""Processes that end with the one that started them, even when that is killed without a word."""

import ctypes
import os
import signal
import sys

__all__ = ["PARENT", "follow_parent"]

PARENT = "_IMAGEWARDEN_PARENT"
"""Environment variable: process id of the `serve` that a process belongs to."""

_PR_SET_PDEATHSIG = 1  # prctl(2)


def follow_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its `serve` is gone; nothing where it has none.

    Ends the process at once if `serve` was gone before it could ask.
    """
    parent = os.environ.get(PARENT)
    if not parent:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(0)
