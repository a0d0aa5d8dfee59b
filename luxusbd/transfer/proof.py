"""What vouches for an image: a list of hashes that the user has, and who signed it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luxusbd.errors import InvalidArgumentError
from luxusbd.text import size_text
from luxusbd.transfer.openpgp import Wording, verify, verify_file
from luxusbd.transfer.sums import Sum, find_sums, signed_part

_IMAGE = Wording("the image", "; nothing was imported")


@dataclass(frozen=True)
class Proof:
    """What an image has to be, and on whose word."""

    sums: tuple[Sum, ...]
    """Empty where the image itself is signed."""
    fingerprint: str = ""
    """Of the primary key that signed, in full; empty when nobody did."""
    signing_key: str = ""
    """Fingerprint of the key, often a subkey, that made the signature."""


async def prove(
    sums: bytes, signature: bytes | None, keys: bytes | None, names: Sequence[str], listed_as: str = ""
) -> Proof:
    """Find an image in a list of hashes, after checking who signed that.

    Of a list with a signature in it only the signed text counts. Without `keys` no signature is looked at. `listed_as`
    is the name of the list, where it is known (see `all_sums`).

    Raises:
        InvalidArgumentError: a signature without keys.
        VerificationError: the signature is not good, or the list does not name the image.
        MalformedImageError: a file is not what it has to be.
        ToolMissingError: gpgv is not installed.
    """
    if keys is None:
        if signature is not None:
            raise InvalidArgumentError("a signature without a key proves nothing; give the key of its maker too")
        return Proof(find_sums(signed_part(text_of(sums)), names, listed_as))
    signed = await verify(sums, signature, keys)
    return Proof(find_sums(text_of(signed.data), names, listed_as), signed.fingerprint, signed.signing_key)


async def prove_image(fd: int, signature: bytes, keys: bytes) -> Proof:
    """Who signed the image behind `fd`, which is read in full; there is no list then, and no hash in the answer.

    Raises:
        VerificationError: the signature is not good.
        MalformedImageError: `keys` holds no key.
        ToolMissingError: gpgv is not installed.
    """
    signed = await verify_file(fd, signature, keys, pinned=None, wording=_IMAGE)
    return Proof((), signed.fingerprint, signed.signing_key)


def name_behind(fd: int) -> str:
    """The name of the file behind a descriptor, as far as this process is told; empty when it is not."""
    try:
        return Path(f"/proc/self/fd/{fd}").readlink().name
    except OSError:
        return ""


def read_small(fd: int, most: int, what: str) -> bytes:
    """All of a regular file of at most `most` bytes.

    Raises:
        InvalidArgumentError: it is no regular file, longer, or not open for reading.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError(f"{what} is no regular file; save it to one")
    try:
        data = os.pread(fd, most + 1, 0)
    except OSError as error:
        raise InvalidArgumentError(f"{what} cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise InvalidArgumentError(f"{what} has more than {size_text(most)}: is it the right file?")
    return data


def text_of(data: bytes) -> str:
    """A list of hashes as text, without the mark that editors of Windows put in front."""
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
