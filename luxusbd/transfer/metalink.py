"""Reads metalinks: version 4 (RFC 5854), and version 3 as Fedora's MirrorManager writes it, with its `mm0` alternates.

The XML is foreign, and what the file holds is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from luxusbd.errors import FailedError
from luxusbd.text import clean
from luxusbd.transfer.foreignxml import read_xml
from luxusbd.transfer.model import Digest, MirrorUrl, PieceHashes

MAX_METALINK = 8 * 1024 * 1024
"""Bytes of a metalink; the hashes of a hundred thousand pieces fit."""
MAX_ELEMENTS = 200_000
MAX_DEPTH = 16
MAX_FILES = 1000
MAX_URLS = 100
"""Addresses of one file that are kept, the best ones."""
MAX_TEXT = 4096
MAX_SIZE = 1 << 50
_V4 = "urn:ietf:params:xml:ns:metalink"
_ALGORITHMS = {"sha-256": "sha256", "sha256": "sha256", "sha-512": "sha512", "sha512": "sha512"}
_PIECES = {**_ALGORITHMS, "sha-1": "sha1", "sha1": "sha1", "md5": "md5"}
"""Even a weak hash of a piece finds a lying mirror; the hash of the whole file is what proves."""
_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_STRENGTH = ("md5", "sha1", "sha256", "sha512")
_HEX = re.compile(r"[0-9a-f]+")
_COUNTRY = re.compile(r"[A-Z]{2}")
_WORST = 999_999
"""The last priority (RFC 5854, section 4.2.16.1); what has none comes after it."""


@dataclass(frozen=True)
class Alternate:
    """An older version of the file that mirrors may still have."""

    size: int
    digests: tuple[Digest, ...]


@dataclass(frozen=True)
class MetaFile:
    """What a metalink says of one file."""

    name: str
    """As it stands there, directories included."""
    size: int = 0
    """0 when it is not told."""
    digests: tuple[Digest, ...] = ()
    pieces: PieceHashes | None = None
    """The strongest kind of those that it has."""
    urls: tuple[MirrorUrl, ...] = ()
    """http and https alone, best first, at most `MAX_URLS`."""
    alternates: tuple[Alternate, ...] = ()


def parse_metalink(data: bytes) -> tuple[MetaFile, ...]:
    """Read a metalink.

    Raises:
        FailedError: it is none, has a document type, or is larger than any real one.
    """
    if len(data) > MAX_METALINK:
        raise FailedError(f"the metalink has more than {MAX_METALINK >> 20} MiB")
    reader = _Reader()
    read_xml(data, reader, _fault)
    return reader.result()


def _fault(why: str) -> FailedError:
    return FailedError(f"the metalink {why}")


@dataclass
class _Pieces:
    algorithm: str
    length: int
    values: dict[int, str] = field(default_factory=dict)


@dataclass
class _File:
    name: str
    size: int = 0
    digests: list[Digest] = field(default_factory=list)
    pieces: list[_Pieces] = field(default_factory=list)
    urls: list[tuple[int, MirrorUrl]] = field(default_factory=list)
    alternates: list[tuple[int, list[Digest]]] = field(default_factory=list)


class _Reader:
    """Follows the elements; knows where it is by the local names on the way there."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._attributes: list[Mapping[str, str]] = []
        self._text: list[str] = []
        self._length = 0
        self._count = 0
        self._version = 0
        self._files: list[_File] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if not self._path:
            if local != "metalink":
                raise FailedError(f"the file is no metalink: it begins with {clean(local, 40)}")
            self._version = 4 if namespace == _V4 else 3
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._path) >= MAX_DEPTH:
            raise FailedError("the metalink has more elements, or deeper ones, than any real one")
        self._path.append(local)
        self._attributes.append({key.rpartition(" ")[2]: value for key, value in attributes.items()})
        self._text = []
        self._length = 0
        where = self._where()
        if where == "file":
            if len(self._files) >= MAX_FILES:
                raise FailedError(f"the metalink names more than {MAX_FILES} files")
            self._files.append(_File(self._attributes[-1].get("name", "")[:MAX_TEXT]))
        elif self._files and where in ("file/pieces", "file/verification/pieces"):
            given = self._attributes[-1]
            algorithm = _PIECES.get(given.get("type", "").lower(), "")
            self._files[-1].pieces.append(_Pieces(algorithm, _whole(given.get("length", ""))))
        elif self._files and where == "file/alternates/alternate":
            self._files[-1].alternates.append((0, []))

    def text(self, data: str) -> None:
        self._length += len(data)
        if self._length <= MAX_TEXT:
            self._text.append(data)

    def end(self, _name: str) -> None:
        where = self._where()
        attributes, text = self._attributes.pop(), "".join(self._text).strip()
        self._path.pop()
        self._text = []
        if not self._files or not where.startswith("file/"):
            return
        file = self._files[-1]
        kind = attributes.get("type", "").lower()
        if where == "file/size":
            file.size = _whole(text)
        elif where in ("file/hash", "file/verification/hash"):
            _add_digest(file.digests, kind, text)
        elif where in ("file/pieces/hash", "file/verification/pieces/hash"):
            values = file.pieces[-1].values
            number = _number(attributes["piece"]) if "piece" in attributes else len(values)
            values[number] = text.lower()
        elif where in ("file/url", "file/resources/url"):
            self._add_url(file, attributes, text)
        elif where == "file/alternates/alternate/size":
            file.alternates[-1] = (_whole(text), file.alternates[-1][1])
        elif where == "file/alternates/alternate/verification/hash":
            _add_digest(file.alternates[-1][1], kind, text)

    def result(self) -> tuple[MetaFile, ...]:
        return tuple(_finished(file) for file in self._files)

    def _where(self) -> str:
        path = self._path[1:]
        if self._version == 3 and path[:1] == ["files"]:
            path = path[1:]
        return "/".join(path)

    def _add_url(self, file: _File, attributes: Mapping[str, str], url: str) -> None:
        country = attributes.get("location", "").strip().upper()
        # version 4: 1 is the best; version 3: 100 is
        if self._version == 4:
            rank = _whole(attributes.get("priority", "")) or _WORST + 1
        else:
            rank = -_whole(attributes.get("preference", ""))
        if _is_sane(url):
            file.urls.append((rank, MirrorUrl(url, country if _COUNTRY.fullmatch(country) else "")))


def _finished(file: _File) -> MetaFile:
    best: dict[str, MirrorUrl] = {}
    for _rank, url in sorted(file.urls, key=lambda ranked: ranked[0]):
        best.setdefault(url.url, url)
    pieces = [found for given in file.pieces if (found := _pieces(given, file.size)) is not None]
    return MetaFile(
        name=file.name,
        size=file.size,
        digests=tuple(dict.fromkeys(file.digests)),
        pieces=max(pieces, key=lambda found: _STRENGTH.index(found.algorithm), default=None),
        urls=tuple(best.values())[:MAX_URLS],
        alternates=tuple(Alternate(size, tuple(digests)) for size, digests in file.alternates),
    )


def _pieces(given: _Pieces, size: int) -> PieceHashes | None:
    """The hashes of pieces, if there is one for each of them."""
    count = len(given.values)
    whole = given.algorithm and given.length and count and set(given.values) == set(range(count))
    if not whole or (size and -(-size // given.length) != count):
        return None
    values = tuple(given.values[number] for number in range(count))
    digits = _DIGITS[given.algorithm]
    if not all(len(value) == digits and _HEX.fullmatch(value) for value in values):
        return None
    return PieceHashes(given.algorithm, given.length, values)


def _add_digest(digests: list[Digest], kind: str, text: str) -> None:
    algorithm, value = _ALGORITHMS.get(kind, ""), text.lower()
    if algorithm and len(value) == _DIGITS[algorithm] and _HEX.fullmatch(value):
        digests.append(Digest(algorithm, value))


def _is_sane(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > 2000:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        return False


def _whole(text: str) -> int:
    """A positive number, 0 for anything else."""
    text = text.strip()
    return min(int(text), MAX_SIZE) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _number(text: str) -> int:
    return _whole(text) if text.strip().strip("0") else 0
