"""Signatures, made by the gpg of whoever runs this and checked by gpgv(1) against exactly one key."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from luxusb_cli.errors import LUXUSB, CliError
from luxusb_cli.i18n import N_, _

TIMEOUT = 60.0
SLOWEST = 20 * 1024 * 1024
"""Bytes per second that an image is read and hashed with at least."""
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
_STATUS = "[GNUPG:] "
_REASONS = {
    "BADSIG": N_("the signature is one of other bytes"),
    "REVKEYSIG": N_("the key was revoked"),
    "EXPKEYSIG": N_("the key has expired"),
    "EXPSIG": N_("the signature has expired"),
    "ERRSIG": N_("another key made the signature"),
}
"""By the words of gpgv (doc/DETAILS of GnuPG), the worst first."""


class BadSignatureError(Exception):
    """A signature that proves nothing; the text says why."""


@dataclass(frozen=True)
class Signed:
    """What was signed."""

    fingerprint: str
    """Of the primary key, in full."""
    text: bytes
    """Of a signature that is around what it signs, that; else nothing."""


def verify(data: bytes, signature: bytes, key: bytes) -> Signed:
    """Check a document.

    Args:
        data: the document; where `signature` is empty, with the signature around it.
        signature: a detached one, or empty.
        key: OpenPGP public keys, in binary.

    Raises:
        BadSignatureError: none of the keys made it, it has expired, and the like.
        CliError: gpgv is not installed.
    """
    with ExitStack() as stack:
        return _checked(_held(stack, data), signature, key, TIMEOUT)


def verify_file(fd: int, signature: bytes, key: bytes) -> Signed:
    """Check the detached signature of a large file. Raises as `verify`."""
    os.lseek(fd, 0, os.SEEK_SET)
    return _checked(fd, signature, key, TIMEOUT + os.fstat(fd).st_size / SLOWEST)


def sign(data: bytes, fingerprint: str) -> bytes:
    """A detached signature, armored.

    Raises:
        CliError: gpg refused, or is not installed.
    """
    from luxusb_cli.signing import gpg

    return gpg("--armor", "--local-user", fingerprint, "--detach-sign", data=data)


def public_key(fingerprint: str) -> bytes:
    """The public key in binary. Raises as `sign`."""
    from luxusb_cli.signing import gpg

    return gpg("--export", fingerprint)


def _held(stack: ExitStack, data: bytes) -> int:
    fd = os.memfd_create("file", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _checked(fd: int, signature: bytes, key: bytes, patience: float) -> Signed:
    with ExitStack() as stack:
        ring = _held(stack, key)
        fds = [fd, ring]
        named = [f"/proc/self/fd/{fd}"]
        output = _held(stack, b"")
        if signature:
            fds.append(_held(stack, signature))
            named.insert(0, f"/proc/self/fd/{fds[-1]}")
        else:
            fds.append(output)
            named = ["--output", f"/proc/self/fd/{output}", *named]
        command = [
            "gpgv",
            "--homedir",
            "/nonexistent",
            "--status-fd",
            "1",
            "--keyring",
            f"/proc/self/fd/{ring}",
            *named,
        ]
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=patience,
                pass_fds=fds,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
            )
        except FileNotFoundError:
            raise CliError(
                _("{program} is not installed").format(program="gpgv"),
                todo=_("Install the package {package}.").format(package="gpgv"),
                name=LUXUSB + "ToolMissing",
            ) from None
        except subprocess.TimeoutExpired:
            raise BadSignatureError(_("gpgv did not end")) from None
        fingerprint = _judge(ended.stdout.decode("utf-8", "replace").splitlines())
        text = b"" if signature else os.pread(output, os.fstat(output).st_size, 0)
        return Signed(fingerprint, text)


def _judge(lines: Sequence[str]) -> str:
    """The fingerprint of the primary key, from gpgv's status lines.

    Several may have signed: one good signature is enough, and a single one that does not fit is too much.
    """
    signatures: list[dict[str, list[str]]] = [{}]
    for line in lines:
        words = line.removeprefix(_STATUS).split()
        if not line.startswith(_STATUS) or not words:
            continue
        if words[0] == "NEWSIG":
            signatures.append({})
        signatures[-1].setdefault(words[0], words[1:])
    if not any("BADSIG" in status for status in signatures):
        for status in signatures:
            valid = status.get("VALIDSIG", [])
            if "GOODSIG" in status and len(valid) >= 10 and _FINGERPRINT.fullmatch(valid[9]):
                return valid[9]
    for word, reason in _REASONS.items():
        if any(word in status for status in signatures):
            raise BadSignatureError(_(reason))
    raise BadSignatureError(_("there is no signature that could be checked"))
