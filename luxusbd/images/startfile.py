"""A file that starts an image and is not in it: how it is described, and how that is written down.

The installer's own start file on a disc of Debian looks for a disc alone. Its maker publishes another one beside it,
from the same build, which looks for the image in files ("hd-media", Debian Installation Guide, section 4.3). The two
fit together when they are for the same kernel: their modules are, and those on the disc.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

PLACE = "/{fetched}/"
"""What the path of an initrd begins with that lies beside the image on the stick, in /iso."""
FAMILY = "fetched"
"""The family of such a file on a stick: it has no entry of its own, and goes with the last image that needs it."""
MAX_ARCHIVES = 8
MAX_KEYS = 16
MAX_SIZE = 1 << 30

_URL = re.compile(r"https?://[!-~]{1,400}")
_PATH = re.compile(r"[A-Za-z0-9._+*-]+(/[A-Za-z0-9._+*-]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


@dataclass(frozen=True)
class StartFile:
    """What has to be fetched for an image, and whose signature vouches for it."""

    archives: tuple[str, ...]
    """Addresses of the same archive, without a slash at the end."""
    release: str
    """Path of the signed list of lists in an archive, such as dists/bookworm/InRelease."""
    sums: str
    """Path of the lists of hashes beside it, with * for the version of the build."""
    kernel: str
    """How the list calls the kernel for which the file is."""
    kernel_sha256: str
    """That of the kernel in the image, in lower-case hex digits."""
    file: str
    """How the list calls the file."""
    keys: tuple[str, ...]
    """Full fingerprints of the keys of which one has to have signed."""
    size: int
    """Bytes, rounded: a hint for plans."""


def startfile_to_json(startfile: StartFile) -> dict[str, Any]:
    """A JSON object that `startfile_from_json` reads."""
    return {
        "archives": list(startfile.archives),
        "release": startfile.release,
        "sums": startfile.sums,
        "kernel": startfile.kernel,
        "kernel_sha256": startfile.kernel_sha256,
        "file": startfile.file,
        "keys": list(startfile.keys),
        "size": startfile.size,
    }


def startfile_from_json(value: object) -> StartFile:
    """Read what `startfile_to_json` wrote, as the words of a stranger: it leads to addresses and into a menu.

    Raises:
        ValueError: it is anything else; the text names the field.
    """
    if not isinstance(value, dict) or set(value) != set(StartFile.__dataclass_fields__):
        raise ValueError(f"expected exactly {', '.join(StartFile.__dataclass_fields__)}")
    size = value["size"]
    if type(size) is not int or not 0 < size <= MAX_SIZE:
        raise ValueError("size: expected a number of bytes")
    return StartFile(
        archives=_list(value, "archives", _URL, MAX_ARCHIVES),
        release=_text(value, "release", _PATH),
        sums=_text(value, "sums", _PATH),
        kernel=_text(value, "kernel", _PATH),
        kernel_sha256=_text(value, "kernel_sha256", _SHA256),
        file=_text(value, "file", _PATH),
        keys=_list(value, "keys", _FINGERPRINT, MAX_KEYS),
        size=size,
    )


def _text(value: dict[str, Any], name: str, regex: re.Pattern[str]) -> str:
    found = value[name]
    if not isinstance(found, str) or len(found) > 500 or not regex.fullmatch(found) or ".." in found.split("/"):
        raise ValueError(f"{name}: expected a text of the form {regex.pattern}")
    return found


def _list(value: dict[str, Any], name: str, regex: re.Pattern[str], most: int) -> tuple[str, ...]:
    found = value[name]
    if not isinstance(found, list) or not 0 < len(found) <= most:
        raise ValueError(f"{name}: expected a list of 1 to {most}")
    return tuple(_text({name: each}, name, regex) for each in found)
