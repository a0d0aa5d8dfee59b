"""How an entry of the boot menu starts its image, as GRUB script."""

from __future__ import annotations

import re

from luxusbd.errors import InternalError
from luxusbd.images.model import BootEntry, BootMethod
from luxusbd.images.startfile import PLACE
from luxusbd.stick.menulines import Word, give_up, guarded, indent
from luxusbd.stick.model import MIB, Manifest, ManifestImage
from luxusbd.stick.text import IMAGE_NAME, quote

_NO_INITRD = "GRUB could not load the initrd of this image: too little memory, or a broken file."
_TOO_LARGE = "GRUB could not load the image into memory: it is too large."
_PLACEHOLDER = re.compile(r"\{(iso|data_uuid|iso_uuid|volume_id|blank|persistence|persistence_mb)\}")


def file_of(image: ManifestImage) -> str:
    """The file of an image as GRUB names it."""
    return f"(${image.partition})/iso/{image.name}"


def start(manifest: Manifest, image: ManifestImage, entry: BootEntry, word: Word) -> list[str]:
    """The lines inside the `menuentry` of an entry."""
    file = f'"{file_of(image)}"'
    kernel = _inside(entry.kernel)
    lines = [
        "if [ -e (loop) ]; then loopback -d loop; fi",
        f"if loopback loop {file}; then",
    ]
    match entry.method:
        case BootMethod.LINUX:
            words = "".join(f" {quote(_substitute(item, manifest, image))}" for item in entry.parameters)
            lines += indent(_linux(f"linux {kernel}{words}", entry.initrds, word))
        case BootMethod.LINUX16:
            words = "".join(f" {quote(_substitute(item, manifest, image))}" for item in entry.parameters)
            lines += indent(guarded(f"linux16 {kernel}{words}", "GRUB could not load the program of this image.", word))
        case BootMethod.MEMDISK:
            lines += indent(_memdisk(file, word))
        case BootMethod.EFI:
            lines += indent(
                guarded(
                    f"chainloader {kernel}",
                    "The firmware refused the EFI program of this image; with Secure Boot on, switch that off.",
                    word,
                )
            )
        case BootMethod.CONFIGFILE | BootMethod.LOOPBACK_CFG:
            lines += [
                f"  set iso_path='/iso/{image.name}'",
                f"  set isofile='/iso/{image.name}'",
                f"  set rootuuid='{manifest.uuid_of(image)}'",
                "  set loopback=loop",
                "  export iso_path isofile rootuuid loopback",
                "  set root=(loop)",
                f"  configfile {kernel}",
            ]
    return [
        *lines,
        "else",
        *indent(give_up("GRUB could not open the image file.", word)),
        "fi",
    ]


def _linux(command: str, initrds: tuple[str, ...], word: Word) -> list[str]:
    refused = "GRUB could not load the kernel; with Secure Boot on, its signature may be unknown here."
    if not initrds:
        return guarded(command, refused, word)
    load = "initrd " + " ".join(_inside(item) for item in initrds)
    return [
        f"if {command}; then",
        # without this GRUB starts the kernel although its initrd is missing, and that ends in a panic
        *indent(
            guarded(load, "GRUB could not load the initrd of this image: too little memory, or a broken file.", word)
        ),
        "else",
        *indent(give_up(refused, word)),
        "fi",
    ]


def _memdisk(file: str, word: Word) -> list[str]:
    return [
        'if [ -e "$prefix/memdisk" ]; then',
        '  if linux16 "$prefix/memdisk" iso raw; then',
        *indent(
            indent(guarded(f"initrd16 {file}", "GRUB could not load the image into memory: it is too large.", word))
        ),
        "  else",
        *indent(indent(give_up("GRUB could not load memdisk.", word))),
        "  fi",
        "else",
        *indent(give_up("This stick has no memdisk: install syslinux-common where it is made, and refresh it.", word)),
        "fi",
    ]


def _inside(path: str) -> str:
    if path.startswith(PLACE):
        name = path.removeprefix(PLACE)
        if not IMAGE_NAME.match(name):
            raise InternalError(f"{name!r} cannot be the name of a file on a stick")
        return f'"($data)/iso/{name}"'
    return quote("(loop)/" + path.lstrip("/"))


def _substitute(word: str, manifest: Manifest, image: ManifestImage) -> str:
    kept = image.kept
    values = {
        "persistence": f"/{kept.directory}" if kept is not None else "",
        "persistence_mb": str(kept.size // MIB) if kept is not None else "",
        "iso": f"/iso/{image.name}",
        "data_uuid": manifest.uuid_of(image),
        "iso_uuid": image.iso_uuid,
        "volume_id": image.volume_id,
        "blank": " ",
    }
    # one pass, so that a placeholder inside a value stays what it is
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], word)
