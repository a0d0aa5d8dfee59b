"""The history of a job: what was done when, a line each, without secrets."""

from __future__ import annotations

import time

from luxusbd.jobs.model import LogLine
from luxusbd.text import without_secrets

LINES = 200
"""Lines kept with a job."""
REPEATS = 12
"""Lines at the end among which the same note is not repeated: mirrors that take turns say the same."""

History = tuple[LogLine, ...]


def longer(lines: History, text: str) -> History:
    """The history with one line more."""
    return (*lines, LogLine(int(time.time()), without_secrets(text)))[-LINES:]


def noted(lines: History, text: str) -> History:
    """The same for a note; one that repeats itself, as while there is no network, stands there once."""
    said = without_secrets(text)
    kept = tuple(line for line in lines[-REPEATS:] if line.text != said)
    return longer((*lines[:-REPEATS], *kept), said)
