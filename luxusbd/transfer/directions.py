"""Takes from a metalink what serves a download whose hash is known, and nothing that contradicts it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from luxusbd.errors import FailedError, NetworkError
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.metalink import MAX_METALINK, MetaFile, parse_metalink
from luxusbd.transfer.model import Digest, Directions, MirrorUrl, PieceHashes
from luxusbd.transfer.small import SmallFiles

MIN_PIECE = 16 * 1024
"""Bytes below which hashes of pieces cost more than they find."""


async def find_directions(files: SmallFiles, url: str, name: str, digests: Sequence[Digest], size: int) -> Directions:
    """What the metalink at `url` says of a file. Never fails: what is of no use is told in `Directions.note`.

    Args:
        files: fetches it.
        url: where it is.
        name: of the file, without directories.
        digests: what the file has to be.
        size: bytes of the file, 0 when unknown.
    """
    host = clean(without_secrets(url), 200)
    try:
        found = parse_metalink((await files.get(url, MAX_METALINK)).data)
        return directions(found, name, digests, size)
    except (NetworkError, FailedError) as error:
        return Directions(note=f"the metalink {host} is of no use: {error}")


def directions(found: Sequence[MetaFile], name: str, digests: Sequence[Digest], size: int) -> Directions:
    """What one file of a metalink adds; as `find_directions`.

    Raises:
        FailedError: it says nothing of the file, or contradicts what is known of it.
    """
    file = _chosen(found, name)
    agreed = _agrees(file, digests)
    if agreed and size and file.size and file.size != size:
        raise FailedError(f"it gives the file {file.size} bytes, the catalogue {size}")
    if not agreed and size and file.size != size:
        raise FailedError("it gives no hash of the file, and another size or none")
    total = size or (file.size if agreed else 0)
    return Directions(
        mirrors=tuple(url for url in file.urls if _is_fetchable(url)),
        size=total,
        pieces=_usable(file.pieces, total) if agreed else None,
        older=tuple(sorted({one.size for one in file.alternates} - {0, total})),
    )


def _chosen(found: Sequence[MetaFile], name: str) -> MetaFile:
    named = [file for file in found if file.name.rpartition("/")[2] == name]
    if len(named) != 1:
        raise FailedError(f"it names {len(named) or 'no'} files {clean(name, 100)}")
    return named[0]


def _agrees(file: MetaFile, digests: Sequence[Digest]) -> bool:
    """Whether a hash of the file is the known one.

    Raises:
        FailedError: one of them is another.
    """
    known = {digest.algorithm: digest.value for digest in digests}
    common = [digest for digest in file.digests if digest.algorithm in known]
    if any(digest.value != known[digest.algorithm] for digest in common):
        if any(digest.value == known.get(digest.algorithm) for one in file.alternates for digest in one.digests):
            raise FailedError("its maker has published a newer version of the file, the catalogue is out of date")
        raise FailedError("it gives another hash of the file than the catalogue")
    return bool(common)


def _usable(pieces: PieceHashes | None, total: int) -> PieceHashes | None:
    if pieces is None or not total or pieces.length < MIN_PIECE:
        return None
    return pieces if len(pieces.values) == -(-total // pieces.length) else None


def _is_fetchable(url: MirrorUrl) -> bool:
    # what ends like this is another description of the file, or a page
    return not urlsplit(url.url).path.endswith(("/", ".meta4", ".metalink", ".torrent"))
