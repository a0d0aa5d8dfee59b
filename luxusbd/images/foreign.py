"""Says what a file seems to be that is no image, by its first bytes.

Magic numbers: each format's own specification, as file(1) knows them too.
"""

from __future__ import annotations

import re

from luxusbd.images.bounded import BoundedReader

HEAD = 64 * 1024
"""Bytes that are looked at."""
SAMPLE = 4096
"""Bytes that have to be readable text in a text."""
SMALLEST = 40 * 1024
"""Bytes below which a file cannot be a disc image: system area, two descriptors and a directory."""

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"LZIP": "lzip",
    b"\x5d\0\0": "lzma",
}
_UNPACKED_ON_THE_WAY = ("gzip", "xz", "bzip2", "zstd", "lzma")
_ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf\x27\x1c": "7-zip",
    b"Rar!\x1a\x07": "RAR",
    b"MSCF\0\0\0\0": "cabinet",
}
_MACHINES = {
    b"QFI\xfb": "qcow2",
    b"KDMV": "VMDK",
    b"# Disk DescriptorFile": "VMDK",
    b"conectix": "VHD",
    b"vhdxfile": "VHDX",
    b"<<< Oracle VM VirtualBox": "VDI",
}
_OTHERS = {
    b"%PDF-": "a PDF document",
    b"\x89PNG\r\n": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"\x7fELF": "a Linux program",
    b"MZ": "a Windows or EFI program",
    b"!<arch>\ndebian-binary": "a Debian package",
    b"\xed\xab\xee\xdb": "an RPM package",
    b"hsqs": "a squashfs file system, which is only one part of a live system",
    b"MSWIM\0\0\0": "a Windows image file (WIM), which is only one part of a setup disc",
    b"ISc(": "an InstallShield cabinet",
    b"\xd0\xcf\x11\xe0": "an Office document or a Windows installer package",
}
_MARKUP = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body|script|meta|title)", re.IGNORECASE)
_XML = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<\?xml")
_SUMS = re.compile(rb"(?:#[^\n]*\n|\s)*(?:[0-9a-f]{32,128} [ *]\S|SHA\d+ \()", re.IGNORECASE)
_RAW_SECTOR = b"\0" + b"\xff" * 10 + b"\0"


def describe_foreign(reader: BoundedReader) -> str:
    """A sentence or two: what the file seems to be and what to do; never empty."""
    head = reader.read(0, min(HEAD, reader.size))
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            raw = ", or write that to a stick of its own: luxusb write-raw" if name in _UNPACKED_ON_THE_WAY else ""
            return f"the file is not an image but compressed with {name}; unpack it and take what is inside{raw}"
    for magic, name in _ARCHIVES.items():
        if head.startswith(magic):
            return f"the file is not an image but a {name} archive; unpack it and take the image inside, if any"
    for magic, name in _MACHINES.items():
        if head.startswith(magic):
            return (
                f"the file is a disk of a virtual machine ({name}), not an image;"
                " convert it with `qemu-img convert -O raw`"
            )
    if head[257:262] == b"ustar":
        return "the file is not an image but a tar archive; unpack it and take the image inside, if any"
    if head.startswith(_RAW_SECTOR):
        return "the file holds raw sectors of a disc (BIN, MDF or NRG); convert it to ISO, for example with bchunk"
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            return f"the file is not an image but {name}"
    text = _describe_text(head)
    if text:
        return text
    if not any(head):
        return "the file begins with zeros alone, as one whose download or copy never got further; fetch it again"
    if reader.size < SMALLEST:
        return f"the file is too short to be an image: {reader.size} bytes"
    return "the file is not an ISO 9660 or UDF image, nor one of a disk; nothing in it is known"


def _describe_text(head: bytes) -> str:
    if _MARKUP.match(head):
        return (
            "the file is a web page: the page was saved instead of the image."
            " Take the address of the image itself and fetch it again"
        )
    if head.startswith(b"version https://git-lfs"):
        return "the file is a pointer of git-lfs in the place of the image; fetch the image itself with `git lfs pull`"
    if head.startswith((b"d8:announce", b"d7:comment", b"d13:announce-list")):
        return "the file is a torrent, not the image; give it to a program for torrents, which fetches the image"
    if head.startswith(b"-----BEGIN PGP"):
        return "the file is a signature or a signed text, not the image that belongs to it"
    if _XML.match(head):
        if b"urn:ietf:params:xml:ns:metalink" in head or b"metalinker.org" in head:
            return "the file is a metalink, not the image; it lists the addresses from which the image can be fetched"
        return "the file is an XML text, not an image: perhaps the error message of a server; fetch it again"
    if _SUMS.match(head):
        return "the file is a list of checksums, not the image that belongs to it"
    sample = head[:SAMPLE]
    if b"\0" not in sample and sample and _is_text(sample):
        return "the file is a text, not an image; fetch it again, and look into it for what the server said"
    return ""


def _is_text(sample: bytes) -> bool:
    try:
        text = sample.decode("utf-8")
    except UnicodeDecodeError as error:
        # only where the sample ends may a character be cut in two
        if len(sample) < SAMPLE or error.start < len(sample) - 4:
            return False
        text = sample[: error.start].decode("utf-8")
    return all(char.isprintable() or char in "\t\r\n\f\x1b" for char in text)
