"""Lists of hashes as makers of images publish them: SHA256SUMS in the ways of GNU and BSD, or one hash alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError, VerificationError
from luxusbd.text import clean

MAX_SUMS = 4 * 1024 * 1024
"""Bytes of a list of hashes."""
_ALGORITHMS = {64: "sha256", 96: "sha384", 128: "sha512"}
_WEAK = {32: "MD5", 40: "SHA-1", 56: "SHA-224"}
# sha256sum(1): a backslash in front says that the name is escaped; the space or asterisk is the mode.
_GNU = re.compile(r"(\\?)([0-9a-fA-F]{32,128})(?: [ *]|[ \t]+)(\S.*)")
_BSD = re.compile(r"(\\?)[A-Za-z]+[0-9A-Za-z/-]*\s?\((.+)\)\s?= ?([0-9a-fA-F]{32,128})")
_BARE = re.compile(r"[0-9a-fA-F]{32,128}")
_ESCAPED = re.compile(r"\\(.)")
_SHOWN = 6


@dataclass(frozen=True)
class Sum:
    """What the hash of a file has to be."""

    name: str
    """As the list has it, without directories; empty for a hash alone."""
    algorithm: str
    """sha256, sha384 or sha512."""
    digest: str
    """Lower-case hex digits."""


def find_sums(text: str, names: Sequence[str]) -> tuple[Sum, ...]:
    """What a list of hashes says of a file, the strongest hash of each name.

    Args:
        text: the list; lines that are none of it, such as the frame of a signature, are left out.
        names: under which the file may stand in it. When it stands in it under none of them, a list of one file is
            taken to be about this one.

    Raises:
        MalformedImageError: there is no hash in it that proves something.
        VerificationError: it does not name the file, or contradicts itself.
    """
    found, weak = _parse(text)
    if not found:
        if weak:
            raise MalformedImageError(
                f"the list of hashes holds {' and '.join(sorted(weak))} alone, which prove nothing; take the one with"
                " SHA-256 or SHA-512"
            )
        raise MalformedImageError("the list of hashes holds no hash: is it the right file?")
    wanted = [entry for entry in found if entry.name in names]
    if not wanted:
        present = list(dict.fromkeys(entry.name for entry in found))
        if len(present) > 1:
            shown = ", ".join(clean(name, 100) for name in present[:_SHOWN])
            more = f" and {len(present) - _SHOWN} more" if len(present) > _SHOWN else ""
            raise VerificationError(
                f"the list of hashes does not name {clean(names[0], 100)}; it names {shown}{more}. Give the name that"
                " the file has there"
            )
        wanted = found
    return tuple(_strongest(wanted, name) for name in dict.fromkeys(entry.name for entry in wanted))


def signed_part(text: str) -> str:
    """What stands between the frame lines of a text with a signature in it (RFC 9580, section 7); all when it has none.

    This checks nothing; it serves where no key is given.
    """
    begin = text.find("-----BEGIN PGP SIGNED MESSAGE-----")
    if begin < 0:
        return text
    end = text.find("-----BEGIN PGP SIGNATURE-----", begin)
    body = text[begin : end if end >= 0 else len(text)]
    return re.sub(r"(?m)^- ", "", body)


def _parse(text: str) -> tuple[list[Sum], set[str]]:
    found: list[Sum] = []
    weak: set[str] = set()
    bare: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if match := _BSD.fullmatch(stripped):
            escaped, name, digest = match[1], match[2], match[3]
        elif match := _GNU.fullmatch(stripped):
            escaped, digest, name = match[1], match[2], match[3]
        elif _BARE.fullmatch(stripped):
            bare.append(stripped)
            continue
        else:
            continue
        if escaped:
            name = _ESCAPED.sub(lambda char: {"n": "\n", "r": "\r"}.get(char[1], char[1]), name)
        _keep(found, weak, name.rpartition("/")[2], digest)
    if not found and len(bare) == 1:
        _keep(found, weak, "", bare[0])
    return found, weak


def _keep(found: list[Sum], weak: set[str], name: str, digest: str) -> None:
    if algorithm := _ALGORITHMS.get(len(digest)):
        found.append(Sum(name, algorithm, digest.lower()))
    elif kind := _WEAK.get(len(digest)):
        weak.add(kind)


def _strongest(entries: Sequence[Sum], name: str) -> Sum:
    own = [entry for entry in entries if entry.name == name]
    best = max(entry.algorithm for entry in own)
    digests = {entry.digest for entry in own if entry.algorithm == best}
    if len(digests) > 1:
        raise VerificationError(f"the list of hashes has more than one {best} for {clean(name, 100) or 'the file'}")
    return Sum(name, best, digests.pop())
