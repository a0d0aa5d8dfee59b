"""What the menu of LUXusb 0.6.3 does by itself: read from its grub.cfg, which that version wrote line by line. Pure.

Nothing is run. A value that only GRUB could work out is not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PATH = "/boot/grub/grub.cfg"
"""On the EFI partition."""
LIMIT = 256 * 1024
"""Bytes of the file that are read at most."""
_LINE = 4096
"""Characters of a line that are looked at; that version's are far shorter, and what is searched takes their square."""

_SET = re.compile(r"""(?:set\s+)?(timeout|default)=("?)([^"'`$]*?)\2\s*(?:#.*)?""")
_ENTRY = re.compile(r"""(?:menuentry|submenu)\s+(?:"([^"]*)"|'([^']*)')""")
_IMAGE = re.compile(r"""/isos/[^"'$;{}\\]+?\.(?:iso|img)(?=["';\s]|$)""", re.IGNORECASE)


@dataclass(frozen=True)
class OldMenu:
    """What can be told of it."""

    timeout: int | None
    """Seconds until the default entry starts, -1 for never; None where it is not said."""
    image: str
    """Path on the data partition of what the default entry starts; empty where that is no image."""


def read(text: str) -> OldMenu:
    """Look through the text of a grub.cfg."""
    values: dict[str, str] = {}
    titles: list[str] = []
    images: list[str] = []
    depth = 0
    for line in (each[:_LINE].strip() for each in text.splitlines()):
        if depth == 0:
            if found := _SET.fullmatch(line):
                values[found[1]] = found[3].strip()
            if found := _ENTRY.match(line):
                titles.append(found[1] if found[1] is not None else found[2])
                images.append("")
        if titles and not images[-1] and (path := _IMAGE.search(line)) and (depth or _ENTRY.match(line)):
            images[-1] = path[0]
        if line.startswith("}"):
            depth = max(0, depth - 1)
        if line.endswith("{"):
            depth += 1
    timeout = values.get("timeout", "")
    return OldMenu(int(timeout) if re.fullmatch(r"-1|[0-9]{1,6}", timeout) else None, _default(values, titles, images))


def _default(values: dict[str, str], titles: list[str], images: list[str]) -> str:
    # of an entry in a submenu GRUB has the way: the submenu's number or title first
    wanted = values.get("default", "0").split(">")[0]
    if wanted in titles:
        return images[titles.index(wanted)]
    number = int(wanted) if re.fullmatch(r"[0-9]{1,4}", wanted) else len(images)
    return images[number] if number < len(images) else ""
