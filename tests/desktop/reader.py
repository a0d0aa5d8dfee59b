"""A screen reader: starts the app and reads all its pages over AT-SPI, on a session bus of its own.

Usage: python -m tests.desktop.reader. Prints, as JSON, what can be operated as [role, name].
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gi

gi.require_version("Atspi", "2.0")

from gi.repository import Atspi  # noqa: E402  # the version comes first

OPERATED = {
    "push button",
    "toggle button",
    "check box",
    "radio button",
    "combo box",
    "entry",
    "text",
    "switch",
    "slider",
    "spin button",
}
PATIENCE = 30.0
T = TypeVar("T")


def children(item: Any) -> Iterator[Any]:
    """What a screen reader can go to from an item, in order."""
    for at in range(item.get_child_count()):
        child = item.get_child_at_index(at)
        if child is not None:
            yield child


def below(item: Any) -> Iterator[Any]:
    """All that is below an item; GTK shows the pages that are covered, too."""
    for child in children(item):
        yield child
        yield from below(child)


def until(look: Callable[[], T], what: str) -> T:
    """Wait for something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"no {what}")


def main() -> int:
    """Read the pages."""
    Atspi.init()
    app = subprocess.Popen([sys.executable, "-m", "tests.desktop.opened"])
    try:
        desktop = Atspi.get_desktop(0)
        window = until(lambda: next((one for top in children(desktop) for one in children(top)), None), "window")

        def operated() -> list[tuple[str, str]]:
            found = [item for item in below(window) if item.get_role_name() in OPERATED]
            return [(item.get_role_name(), item.get_name()) for item in found]

        until(lambda: any(role == "check box" for role, _name in operated()), "systems")
        until(lambda: any(name.startswith("Write it all") for _role, name in operated()), "pages of a disk")
        print(json.dumps(operated()))
    finally:
        app.terminate()
        app.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
