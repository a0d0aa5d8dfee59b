"""Finds the file that starts an installer's image (`luxusbd.images.startfile`) by what the maker of its archive signed.

The archive's signed Release file has the hash of every list of hashes, and these have those of the files, as apt has it
(Debian's DebianRepository/Format). A build whose kernel is the very one of the image is the right one: there are
several of them in an archive, and `current` is the newest.

It is read twice: by the process with the network, and once more from a transcript by one without, whose word counts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate

from luxusbd.errors import InterruptedJobError, NetworkError, NotBootableError, VerificationError
from luxusbd.images.startfile import StartFile
from luxusbd.text import clean
from luxusbd.transfer.openpgp import Wording, verify
from luxusbd.transfer.proof import text_of
from luxusbd.transfer.smallmodel import NotThereError, SmallSource, Version
from luxusbd.transfer.sums import MAX_SUMS

MAX_BUILDS = 16
"""Lists of hashes that are looked through; an archive has two to six for an architecture."""
_WORDING = Wording("the archive's Release file", "")
_ROW = re.compile(r"^ ([0-9a-f]{64}) +[0-9]+ (\S+)$", re.MULTILINE)
_SUM = re.compile(r"^([0-9a-f]{64})  ?\*?(?:\./)?(\S+)$", re.MULTILINE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


@dataclass(frozen=True)
class FoundStartFile:
    """The file, as its maker vouches for it."""

    path: str
    """Below every archive."""
    sha256: str
    fingerprint: str
    """Of the primary key that signed, in full."""


async def find_startfile(source: SmallSource, wanted: StartFile, keys: bytes) -> FoundStartFile:
    """Look in one archive after the other.

    Args:
        source: the network, or a transcript of it.
        wanted: what is looked for.
        keys: copies of the keys of `wanted`.

    Raises:
        NotBootableError: an archive has no build with the kernel of the image.
        VerificationError: the Release file is not signed by one of the keys, or a list is not the one in it.
        NetworkError: no archive answers.
    """
    failed: NetworkError | VerificationError | None = None
    for archive in wanted.archives:
        try:
            return await _in(source, archive, wanted, keys)
        except (NetworkError, VerificationError) as error:
            failed = failed or error
    assert failed is not None
    raise failed


async def _in(source: SmallSource, archive: str, wanted: StartFile, keys: bytes) -> FoundStartFile:
    release = await _get(source, f"{archive}/{wanted.release}")
    signed = await verify(release, None, keys, pinned=frozenset(wanted.keys), wording=_WORDING)
    base = wanted.release.rpartition("/")[0]
    pattern = re.compile(translate(wanted.sums))
    lists: dict[str, str] = {}
    for sha256, path in _ROW.findall(text_of(signed.data)):
        if pattern.match(path) and path.count("/") == wanted.sums.count("/"):
            lists.setdefault(sha256, path)
    if not lists:
        raise NotBootableError(
            f"{wanted.release} of {archive} names no build of the installer ({wanted.sums}): the system of this image"
            " may be too old"
        )
    for sha256, path in list(lists.items())[:MAX_BUILDS]:
        try:
            data = await _get(source, f"{archive}/{base}/{path}")
        except NotThereError:
            continue  # a mirror may have dropped an old build that the Release file still names
        if hashlib.sha256(data).hexdigest() != sha256:
            raise VerificationError(f"{archive}/{base}/{path} is not the list of hashes that {wanted.release} names")
        sums = {name: found for found, name in _SUM.findall(text_of(data))}
        if sums.get(wanted.kernel) == wanted.kernel_sha256 and wanted.file in sums:
            return FoundStartFile(
                f"{base}/{path.rpartition('/')[0]}/{wanted.file}", sums[wanted.file], signed.fingerprint
            )
    versions = ", ".join(path.split("/")[2] for path in lists.values() if path.count("/") > 2)
    raise NotBootableError(
        f"no build of the installer in {archive} ({clean(versions, 200)}) has the kernel of this image, so that their"
        " modules would not fit: take a newer image"
    )


async def _get(source: SmallSource, url: str) -> bytes:
    found = await source.get_if_changed(url, MAX_SUMS, Version())
    if found is None:
        raise NetworkError(f"{url} answered 304 to a question for any version")
    return found.data


def found_from_json(value: object) -> FoundStartFile:
    """Read what a `FoundStartFile` became as JSON, as the words of a stranger.

    Raises:
        InterruptedJobError: it is anything else.
    """
    if isinstance(value, Mapping):
        path, sha256, fingerprint = (value.get(key) for key in ("path", "sha256", "fingerprint"))
        if (
            isinstance(path, str)
            and re.fullmatch(r"[A-Za-z0-9._+/-]{1,500}", path)
            and ".." not in path.split("/")
            and isinstance(sha256, str)
            and _SHA256.fullmatch(sha256)
            and isinstance(fingerprint, str)
            and _FINGERPRINT.fullmatch(fingerprint)
        ):
            return FoundStartFile(path, sha256, fingerprint)
    raise InterruptedJobError("the process that checks signatures sent nonsense")
