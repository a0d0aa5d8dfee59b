"""Untrusted text made harmless for a GRUB menu and for file names: pure functions.

GRUB takes everything between single quotes literally (GRUB manual 2.06, "Quoting"), newlines included, so that only
the single quote itself and characters that disturb the screen need care.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

TITLE_LIMIT = 80
NAME_LIMIT = 200

IMAGE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}\Z")
"""What an image on a stick may be called: initramfs scripts split the kernel command line at blanks, and other bytes
arrive there differently from GRUB to GRUB."""

# controls, formats (the bidi ones among them), surrogates, private use, unassigned, line and paragraph separators
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def strip_hidden(text: str) -> str:
    """`text` without characters that are not shown, or that change how others are shown."""
    return "".join(char for char in text if unicodedata.category(char) not in _HIDDEN)


def clean_title(text: str, fallback: str) -> str:
    """A title of 1 to 80 visible characters that does not begin with '-', which GRUB would take for an option."""
    spaced = "".join(" " if char.isspace() else char for char in text)
    title = " ".join(strip_hidden(spaced).split())
    title = title.lstrip("- ")[:TITLE_LIMIT].rstrip()
    return title or fallback


def quote(text: str) -> str:
    """`text` as one literal word of a GRUB script."""
    return "'" + strip_hidden(text).replace("'", "'\\''") + "'"


def sanitise_name(name: str, taken: Collection[str] = ()) -> str:
    """A file name for an image: of [A-Za-z0-9._+-], at most 200 long, with the suffix .iso, and not in `taken`.

    Names are compared without case, since FAT and people do so too.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = plain.replace("\\", "/").rsplit("/", 1)[-1]
    stem = re.sub(r"[^A-Za-z0-9._+-]+", "-", re.sub(r"(?i)\.(iso|img)\Z", "", plain.strip()))
    stem = re.sub(r"-{2,}", "-", stem).strip("-+.")[: NAME_LIMIT - len(".iso")].rstrip("-+.") or "image"
    used = {other.lower() for other in taken}
    candidate = f"{stem}.iso"
    number = 2
    while candidate.lower() in used:
        ending = f"-{number}.iso"
        candidate = stem[: NAME_LIMIT - len(ending)] + ending
        number += 1
    return candidate
