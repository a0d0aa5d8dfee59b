"""Images and trees for the tests."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from luxusbd.errors import MalformedImageError
from luxusbd.images.globs import path_regex
from luxusbd.images.match import Match
from luxusbd.images.recipes import Recipe

INSTALLER = Path("/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64")
MEMTEST = Path("/usr/lib/memtest86+/memtest86+x64.iso")
MEMTEST_32 = Path("/usr/lib/memtest86+/memtest86+ia32.iso")
GRUB_RESCUE = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")


class DictTree:
    """The `Tree` protocol over a dictionary of paths."""

    def __init__(
        self,
        files: Mapping[str, bytes | str],
        volume_id: str = "",
        uuid: str = "2024-10-24-13-58-33-00",
        udf: bool = False,
    ) -> None:
        self.files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self.volume_id = volume_id
        self.uuid = uuid
        self.udf = udf
        self._paths: dict[str, None] = {}
        for path in self.files:
            parts = path.split("/")
            for end in range(2, len(parts) + 1):
                self._paths["/".join(parts[:end])] = None

    def exists(self, path: str) -> bool:
        return path in self._paths

    def glob(self, pattern: str) -> Sequence[str]:
        regex = path_regex(pattern)
        return [path for path in self._paths if regex.fullmatch(path)]

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        if path not in self.files:
            raise MalformedImageError(f"the image has no file {path}")
        return self.files[path][offset : offset + limit]


def build_iso(target: Path, files: Mapping[str, bytes], *options: str, volume_id: str = "TEST") -> Path:
    """Make an ISO 9660 image with xorriso; `options` are those of mkisofs."""
    source = target.parent / f"{target.name}.d"
    for name, content in files.items():
        path = source / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    source.mkdir(exist_ok=True)
    run_mkisofs(target, *options, "-V", volume_id, str(source))
    return target


def run_mkisofs(target: Path, *arguments: str) -> None:
    subprocess.run(
        ["xorriso", "-as", "mkisofs", "-quiet", "-o", str(target), *arguments], check=True, capture_output=True
    )


def x86_kernel(*, bits: int = 64, signer: bytes = b"", sbat: str = "") -> bytes:
    """The first page of a bzImage with an EFI stub, SBAT levels, and a certificate table that names `signer`."""
    image = bytearray(4096)
    image[0:2] = b"MZ"
    struct.pack_into("<I", image, 0x3C, 0x80)
    image[0x80:0x84] = b"PE\0\0"
    struct.pack_into("<H", image, 0x84, 0x8664 if bits == 64 else 0x14C)
    struct.pack_into("<H", image, 0x98, 0x20B)
    struct.pack_into("<I", image, 0x98 + 108, 6)
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x20F)
    struct.pack_into("<H", image, 0x236, 1 if bits == 64 else 0)
    if sbat:
        struct.pack_into("<H", image, 0x86, 1)
        struct.pack_into("<H", image, 0x94, 240)
        struct.pack_into("<8sIIII", image, 0x98 + 240, b".sbat", len(sbat), 0, 512, len(image))
        image += sbat.encode().ljust(512, b"\0")
    if signer:
        table = struct.pack("<IHH", 8 + len(signer), 0x200, 2) + signer
        struct.pack_into("<II", image, 0x98 + 112 + 32, len(image), len(table))
        image += table
    return bytes(image)


def describe(found: Match | None) -> tuple[str, list[str]]:
    """Recipe id and the command lines of a match."""
    assert found is not None
    return found.recipe.id, [" ".join((entry.kernel, *entry.initrds, *entry.parameters)) for entry in found.entries]


def by_id(recipes: Sequence[Recipe]) -> dict[str, Recipe]:
    """Recipes by their id."""
    return {recipe.id: recipe for recipe in recipes}
