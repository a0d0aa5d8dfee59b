"""Standard streams that are closed, full, or whose reader has gone."""

from __future__ import annotations

import os
import sys


def fill_closed() -> None:
    """Put /dev/null in place of closed streams.

    The connection to the bus would get their numbers otherwise, and what is meant for people would go there; and Python
    prints what is meant for a closed standard error on standard output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number, which is this one
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - stays open to the end
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def drop_unwritable() -> None:
    """Let the interpreter's own flush at exit not complain of streams that cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
