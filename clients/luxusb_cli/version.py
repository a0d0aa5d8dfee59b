"""The version of this program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """The version of the installed package, or of the checkout this runs from."""
    try:
        return version("luxusbd")
    except PackageNotFoundError:
        from luxusbd import __version__

        return __version__
