"""What a stored image may be called."""

from __future__ import annotations

import unicodedata

from luxusbd.errors import InvalidArgumentError
from luxusbd.images.sidecar import MAX_NAME
from luxusbd.text import clean


def check_name(name: str) -> None:
    """Refuse a name that would have to be changed before it can be shown, or that names nothing.

    What a name becomes on a stick is another matter (`stick.text.sanitise_name`).

    Raises:
        InvalidArgumentError: it is empty, only dots, too long, a path, or has characters that cannot be shown.
    """
    shown = f"{clean(name, 40)!r}"
    if not name.strip():
        raise InvalidArgumentError("the image has no name; give it one, such as my-system.iso")
    if len(name) > MAX_NAME:
        raise InvalidArgumentError(
            f"the name of the image, which begins with {shown}, has {len(name)} characters and {MAX_NAME} are allowed;"
            " give it a shorter one"
        )
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name):
        raise InvalidArgumentError(
            f"the name of the image {shown} has a line break or another character that cannot be shown;"
            " give it a name without"
        )
    if not name.strip(". "):
        raise InvalidArgumentError(f"the name of the image {shown} is only dots; give it one, such as my-system.iso")
    if "/" in name:
        raise InvalidArgumentError(
            f"the name of the image {shown} is a path; give it the name alone, such as my-system.iso"
        )
