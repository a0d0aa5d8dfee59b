"""Lists of hashes as makers of images publish them, in all their dialects.

These are GNU's (`hash  name`, `hash *name`), BSD's (`SHA256 (name) = hash`), lists with a heading over the lines of
each algorithm, and one hash alone; any of them may stand in the frame of a signature. The length of a hash does not
decide what it is where anything else says it: BLAKE3 is as long as SHA-256, and BLAKE2b as SHA-512.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError, VerificationError
from luxusbd.text import clean
from luxusbd.transfer.model import DIGESTS

MAX_SUMS = 4 * 1024 * 1024
"""Bytes of a list of hashes."""
ALGORITHMS = {"sha512": 128, "blake2b": 128, "sha384": 96, "sha256": 64}
"""What proves something, with the hex digits of each; the strongest first."""
_PLAIN = {64: "sha256", 96: "sha384", 128: "sha512"}
"""What a hash is where nothing says it."""
_WEAK = {32: "MD5", 40: "SHA-1", 56: "SHA-224"}
_KNOWN = {
    "sha256": "sha256",
    "sha2256": "sha256",
    "sha384": "sha384",
    "sha2384": "sha384",
    "sha512": "sha512",
    "sha2512": "sha512",
    "blake2b": "blake2b",
    "blake2b512": "blake2b",
    "blake2": "blake2b",
    "b2": "blake2b",
}
_OTHERS = re.compile(
    r"md5|sha1|sha2?224|sha3\d*|sha512(224|256)|shake\d*|blake2[bs]\d*|blake3|b3|whirlpool|sm3|crc32\w?"
)
"""Algorithms that are not used, so that their hashes are not taken for others of that length."""
# sha256sum(1): a backslash in front says that the name is escaped; the space or asterisk is the mode.
_GNU = re.compile(r"(\\?)([0-9a-fA-F]{32,128})(?: [ *]|[ \t]+)(\S.*)")
_BSD = re.compile(r"(\\?)([A-Za-z]+[0-9A-Za-z/-]*)\s?\((.+)\)\s?= ?([0-9a-fA-F]{32,128})")
_BARE = re.compile(r"[0-9a-fA-F]{32,128}")
_HEADING = re.compile(
    r"(#+\s*)?\[?([A-Za-z][0-9A-Za-z/-]{1,15}?)([-_ ]?(?:SUMS?|HASH(?:ES)?|CHECKSUMS?|DIGESTS?))?\]?\s*(:?)",
    re.IGNORECASE,
)
_IN_NAME = re.compile(r"blake2b|blake2|blake3|b[23](?=sum)|sha-?(?:256|384|512)|sha3-?\d+", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.)")
_SHOWN = 6
_OTHER = "other"


@dataclass(frozen=True)
class Sum:
    """What the hash of a file has to be."""

    name: str
    """As the list has it, without directories; empty for a hash alone."""
    algorithm: str
    """One of `ALGORITHMS`."""
    digest: str
    """Lower-case hex digits."""


def find_sums(text: str, names: Sequence[str], listed_as: str = "") -> tuple[Sum, ...]:
    """What a list of hashes says of a file, the strongest hash of each name; arguments and errors as `all_sums`."""
    entries = all_sums(text, names, listed_as)
    return tuple(
        next(
            entry for algorithm in ALGORITHMS for entry in entries if (entry.name, entry.algorithm) == (name, algorithm)
        )
        for name in dict.fromkeys(entry.name for entry in entries)
    )


def all_sums(text: str, names: Sequence[str], listed_as: str = "") -> tuple[Sum, ...]:
    """What a list of hashes says of a file, each hash of each name.

    Args:
        text: the list; lines that are none of it, such as the frame of a signature, are left out.
        names: under which the file may stand in it. When it stands in it under none of them, a list of one file is
            taken to be about this one.
        listed_as: the name of the list itself, such as SHA512SUMS or b2sums.txt, which says what its hashes are where
            the list does not.

    Raises:
        MalformedImageError: there is no hash in it that proves something.
        VerificationError: it does not name the file, or contradicts itself.
    """
    found = listed_sums(text, listed_as)
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
        wanted = list(found)
    unique = tuple(dict.fromkeys(wanted))
    for number, entry in enumerate(unique):
        if any((entry.name, entry.algorithm) == (other.name, other.algorithm) for other in unique[:number]):
            raise VerificationError(
                f"the list of hashes has more than one {entry.algorithm} for {clean(entry.name, 100) or 'the file'}"
            )
    return unique


def listed_sums(text: str, listed_as: str = "") -> tuple[Sum, ...]:
    """Everything that a list of hashes says, in its order; for lists that tell which files there are.

    Raises:
        MalformedImageError: there is no hash in it that proves something.
    """
    found, weak = _parse(text, listed_as)
    if not found:
        if weak:
            raise MalformedImageError(
                f"the list of hashes holds {' and '.join(sorted(weak))} alone, which prove nothing; take the one with"
                " SHA-256 or SHA-512"
            )
        raise MalformedImageError("the list of hashes holds no hash: is it the right file?")
    return tuple(found)


def hinted(listed_as: str) -> str:
    """The algorithm that the name of a list tells of, or empty; for guesses about lists that are not there yet."""
    words = _IN_NAME.findall(listed_as.rpartition("/")[2])
    found = _called(words[-1]) if words else ""
    return found if found in DIGESTS else ""


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


def _parse(text: str, listed_as: str) -> tuple[list[Sum], set[str]]:
    found: list[Sum] = []
    weak: set[str] = set()
    bare: list[tuple[str, str]] = []
    section = ""
    for line in text.splitlines():
        stripped = line.strip()
        if match := _BSD.fullmatch(stripped):
            escaped, name, digest = match[1], match[3], match[4]
            algorithm = _called(match[2]) or _OTHER
        elif match := _GNU.fullmatch(stripped):
            escaped, digest, name = match[1], match[2], match[3]
            algorithm = section
        elif _BARE.fullmatch(stripped):
            bare.append((stripped, section))
            continue
        else:
            section = _heading(stripped, section)
            continue
        if escaped:
            name = _ESCAPED.sub(lambda char: {"n": "\n", "r": "\r"}.get(char[1], char[1]), name)
        _keep(found, weak, name.rpartition("/")[2], digest, algorithm or _by_name(listed_as, digest))
    if not found and len(bare) == 1:
        digest, algorithm = bare[0]
        _keep(found, weak, "", digest, algorithm or _by_name(listed_as, digest))
    return found, weak


def _keep(found: list[Sum], weak: set[str], name: str, digest: str, algorithm: str) -> None:
    """Take an entry; an `algorithm` that does not give hashes of this length makes it none."""
    if kind := _WEAK.get(len(digest)):
        weak.add(kind)
        return
    algorithm = algorithm or _PLAIN.get(len(digest), "")
    if ALGORITHMS.get(algorithm) == len(digest):
        found.append(Sum(name, algorithm, digest.lower()))


def _called(word: str) -> str:
    """What an algorithm's name means: one of `ALGORITHMS`, `_OTHER`, or empty when it is no name of one."""
    plain = re.sub(r"[-_/]", "", word).lower()
    return _KNOWN.get(plain) or (_OTHER if _OTHERS.fullmatch(plain) else "")


def _heading(line: str, section: str) -> str:
    """The algorithm of the lines below `line`, which may be a heading or anything else."""
    match = _HEADING.fullmatch(line)
    if match is None or not (match[1] or match[4] or line.startswith("[")):
        return section
    # a heading of an algorithm that nobody here knows ends the section of the one before
    return _called(match[2]) or (_OTHER if match[3] else section)


def _by_name(listed_as: str, digest: str) -> str:
    """What the name of a list says of a hash in it; empty when it says nothing, or of another length."""
    for word in reversed(_IN_NAME.findall(listed_as)):
        algorithm = _called(word)
        if algorithm == _OTHER or ALGORITHMS.get(algorithm) == len(digest):
            return algorithm
    return ""
