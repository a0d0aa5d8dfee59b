"""The documents of all feeds."""

from __future__ import annotations

from tests.transfer.feeds import shapes_apis, shapes_directories, shapes_links
from tests.transfer.feeds.registry import SHAPES, Shape

for _room in (shapes_apis, shapes_directories, shapes_links):
    _room.fill()

__all__ = ["SHAPES", "Shape"]
