"""One resolver for the files that are not code: `data/`, `dbus/` and what lies in them.

They sit beside the package in a checkout, inside it in a wheel, and below /usr/share/luxusb in a distribution package.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from luxusbd.errors import InternalError

_PACKAGE = Path(__file__).resolve().parent
_CANDIDATES = (_PACKAGE.parent, _PACKAGE / "_share", Path("/usr/share/luxusb"))


@cache
def root() -> Path:
    """The directory that holds `data/` and `dbus/`.

    Raises:
        InternalError: the installation is incomplete.
    """
    for candidate in _CANDIDATES:
        if (candidate / "dbus" / "org.luxusb.Manager.xml").is_file():
            return candidate
    raise InternalError(f"the installation is incomplete: no dbus/org.luxusb.Manager.xml in {_PACKAGE.parent}")


def data(*parts: str) -> Path:
    """Path of a file or directory below `data/`."""
    return root().joinpath("data", *parts)


def dbus(*parts: str) -> Path:
    """Path of a file below `dbus/`."""
    return root().joinpath("dbus", *parts)


def import_root() -> Path:
    """The directory to put on a child interpreter's path so that it imports the same package."""
    return _PACKAGE.parent
