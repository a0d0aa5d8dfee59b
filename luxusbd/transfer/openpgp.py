"""Signatures of lists of hashes, catalogues and images, checked by gpgv(1) against exactly the keys that were given.

gpgv has no home here, and gets everything but an image as files in memory (memfd_create(2)): what is checked is what is
read afterwards, and a process without privileges needs no place to write to.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum

from luxusbd.errors import MalformedImageError, ToolFailedError, VerificationError
from luxusbd.process import run
from luxusbd.text import clean
from luxusbd.transfer.sums import MAX_SUMS

MAX_SIGNATURE = 256 * 1024
MAX_KEY = 4 * 1024 * 1024
"""Bytes of a signature, and of a file of keys."""
TIMEOUT = 60.0
SLOWEST = 20 * 1024 * 1024
"""Bytes per second that an image is read and hashed with at least."""
CLEARSIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
_ARMOR = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


class Fault(StrEnum):
    """Why a signature proves nothing."""

    UNSIGNED = "unsigned"
    UNREADABLE = "unreadable"
    BAD = "bad"
    """It is one of other bytes."""
    REVOKED = "revoked"
    EXPIRED = "expired"
    """Be it the key or the signature. When it was made is told by whoever had the key, so that it does not count."""
    OTHER_KEY = "other-key"
    """None of the keys made it."""


class SignatureError(VerificationError):
    """What was signed cannot be taken for signed."""

    def __init__(self, text: str, fault: Fault = Fault.UNREADABLE) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass(frozen=True)
class Wording:
    """How the errors of a check call what was signed, and what they end with."""

    signed: str
    end: str


_IMPORT = Wording("the list of hashes", "; nothing was imported")
_FILE = Wording("the file", "")


@dataclass(frozen=True)
class Signed:
    """Bytes that somebody signed."""

    data: bytes
    """What the signature is for, and nothing else."""
    fingerprint: str
    """Of the primary key, in full: 40 or 64 upper-case hex digits."""
    signing_key: str
    """Fingerprint of the key, often a subkey, that made the signature."""
    made: int = 0
    """When it was signed, as the signer says; Unix seconds, 0 when not told."""


async def verify(
    sums: bytes,
    signature: bytes | None,
    keys: bytes,
    *,
    pinned: frozenset[str] | None = None,
    wording: Wording = _IMPORT,
) -> Signed:
    """Check a list of hashes, or another document.

    Args:
        sums: the list; without `signature` it has to hold one itself ("clearsigned").
        signature: a detached signature, binary or armored.
        keys: OpenPGP public keys, binary or armored: any of them may have signed.
        pinned: fingerprints of the primary keys of which one has to have signed; None for any of `keys`.
        wording: for the errors.

    Raises:
        SignatureError: it is not signed, not by one of these keys, or the key has expired or was revoked.
        MalformedImageError: `keys` holds no key.
        ToolMissingError: gpgv is not installed.
        ToolFailedError: gpgv did not end.
    """
    if signature is None and CLEARSIGNED not in sums:
        raise SignatureError(
            f"{wording.signed} is not signed, so that the key has nothing to check; give its signature too"
            f"{wording.end}",
            Fault.UNSIGNED,
        )
    with ExitStack() as stack:
        signed = stack.enter_context(in_memory("sums", sums))
        if signature is not None:
            return Signed(sums, *await _gpgv(signed, signature, keys, pinned, wording, TIMEOUT))
        output = stack.enter_context(in_memory("text", b""))
        found = await _gpgv(signed, None, keys, pinned, wording, TIMEOUT, output)
        return Signed(os.pread(output, MAX_SUMS, 0), *found)


async def verify_file(
    fd: int, signature: bytes, keys: bytes, *, pinned: frozenset[str] | None, wording: Wording = _FILE
) -> Signed:
    """Check the detached signature of a large file; the answer holds no bytes of it. Arguments and errors as `verify`.

    Nobody else may move the position of `fd` meanwhile.
    """
    os.lseek(fd, 0, os.SEEK_SET)
    patience = TIMEOUT + os.fstat(fd).st_size / SLOWEST
    return Signed(b"", *await _gpgv(fd, signature, keys, pinned, wording, patience))


async def _gpgv(
    signed: int,
    signature: bytes | None,
    keys: bytes,
    pinned: frozenset[str] | None,
    wording: Wording,
    patience: float,
    output: int | None = None,
) -> tuple[str, str, int]:
    """Fingerprints of primary key and signing key, and the time. With `output` the signed text goes there."""
    with ExitStack() as stack:
        keyring = stack.enter_context(in_memory("keys", binary_keys(keys)))
        descriptors = [keyring, signed]
        files = [_path(signed)]
        if signature is not None:
            detached = stack.enter_context(in_memory("signature", signature))
            descriptors.append(detached)
            # by number it is not opened anew, as a path below /proc would be: an image may be readable and yet not open
            # to this process
            files = [_path(detached), f"-&{signed}"]
        if output is not None:
            descriptors.append(output)
            files = ["--output", _path(output), *files]
        done = await run(
            [
                *("gpgv", "--homedir", "/nonexistent", "--enable-special-filenames", "--status-fd", "1"),
                *("--keyring", _path(keyring), *files),
            ],
            timeout=patience,
            check=False,
            pass_fds=descriptors,
        )
        said = done.stdout.decode("utf-8", "replace").splitlines()
        if done.returncode >= 126:
            # a shell's way to say that a program could not be started; gpgv itself ends with 0 to 2
            raise ToolFailedError(f"gpgv could not be run: {clean(done.stderr, 300)}")
        return _judge(said, done.returncode, pinned, wording)


def binary_keys(data: bytes) -> bytes:
    """Keys as gpgv reads them: what is armored (RFC 9580, section 6.2) is decoded, all blocks of it.

    Raises:
        MalformedImageError: there is no key in it.
    """
    blocks = list(_ARMOR.finditer(data))
    if not blocks:
        # the first packet of a key ring is a public key (tag 6), or the file is a keybox of gpg
        if data[:1] in (b"\x98", b"\x99", b"\x9a", b"\xc6") or data[8:12] == b"KBXf":
            return data
        raise MalformedImageError("the key file holds no OpenPGP public key: is it the right file?")
    found = b""
    for block in blocks:
        lines = [line.strip() for line in block[1].splitlines()]
        # headers, such as Version:, end with an empty line; the checksum at the end begins with =
        if b"" in lines:
            lines = lines[lines.index(b"") + 1 :]
        lines = [line for line in lines if not line.startswith(b"=")]
        try:
            found += base64.b64decode(b"".join(lines), validate=True)
        except binascii.Error as error:
            raise MalformedImageError(f"the key file is damaged: {error}") from error
    return found


def _judge(
    lines: Sequence[str], returncode: int, pinned: frozenset[str] | None, wording: Wording
) -> tuple[str, str, int]:
    """Fingerprints of primary key and signing key, and the time, from gpgv's status lines (doc/DETAILS of GnuPG).

    Several may have signed: one good signature is enough, and a single one that does not fit is too much.
    """
    signatures: list[dict[str, list[str]]] = [{}]
    for line in lines:
        words = line.removeprefix("[GNUPG:] ").split()
        if not line.startswith("[GNUPG:] ") or not words:
            continue
        if words[0] == "NEWSIG":
            signatures.append({})
        signatures[-1].setdefault(words[0], words[1:])
    for status in signatures:
        if "BADSIG" in status:
            raise SignatureError(
                f"the signature does not fit {wording.signed}: one of the two was changed, or they do not belong"
                f" together (key {_key(status['BADSIG'])}){wording.end}",
                Fault.BAD,
            )
    good = [
        (valid[9], valid[0], int(valid[2]) if valid[2].isdecimal() else 0)
        for status in signatures
        if "GOODSIG" in status and len(valid := status.get("VALIDSIG", [])) >= 10 and _FINGERPRINT.fullmatch(valid[9])
    ]
    for found in good:
        if pinned is None or found[0] in pinned:
            return found
    if good:
        raise SignatureError(
            f"the signature was made by the key {good[0][0]}, which is not one of those that may sign{wording.end}",
            Fault.OTHER_KEY,
        )
    for status in signatures:
        valid = status.get("VALIDSIG", [])
        for word, fault, before, what in (
            ("REVKEYSIG", Fault.REVOKED, "the key", "that signed was revoked by its owner"),
            ("EXPKEYSIG", Fault.EXPIRED, "the key", "that signed has expired; look for a newer copy of it"),
            ("EXPSIG", Fault.EXPIRED, "the signature by the key", "has expired"),
        ):
            if word in status:
                key = valid[9] if len(valid) >= 10 else _key(status[word])
                raise SignatureError(f"{before} {key} {what}{wording.end}", fault)
    for status in signatures:
        if "ERRSIG" in status:
            raise SignatureError(
                f"the signature was made by the key {_key(status['ERRSIG'])}, which is not among the keys given, or"
                f" cannot be used{wording.end}",
                Fault.OTHER_KEY,
            )
    raise SignatureError(f"there is no signature that could be checked (gpgv ended with {returncode}){wording.end}")


def _key(words: Sequence[str]) -> str:
    """The name of a key in a status line: its fingerprint where the line has one."""
    full = [word for word in words if _FINGERPRINT.fullmatch(word)]
    return clean((full or list(words) or ["unknown"])[0], 64)


@contextmanager
def in_memory(name: str, data: bytes) -> Iterator[int]:
    """A descriptor of a file that is in memory alone; `name` is for those who look at the process."""
    fd = os.memfd_create(name)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"
