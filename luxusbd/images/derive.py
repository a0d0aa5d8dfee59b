"""Boot entries for an image that no recipe knows, worked out from its own menus. Pure.

The words by which a system finds itself on a disc tell which initramfs it has, and each of those has its own words for
finding the image in a file. The entry that comes out is a guess, and is called so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from luxusbd.errors import MalformedImageError
from luxusbd.images.kernel import SIGNERS
from luxusbd.images.match import Match, Tree, apply
from luxusbd.images.menus import UNKNOWN, MenuEntry, read_menus
from luxusbd.images.model import BootMethod, Firmware
from luxusbd.images.recipes import DERIVED, Choice, Condition, Extra, Recipe, Rule, Source, Variant
from luxusbd.text import clean

TITLE = "derived from its own menu, untested"
READ_BY_ALL = frozenset({"ext4", "fat32"})
"""The filesystems that every known initramfs reads."""
MAX_PARAMETERS = 64

_WORD = re.compile(r"[!#%&(-~]+")
"""What GRUB passes on as it is: no quotes, blanks, backslashes or variables."""
_UNSAFE = re.compile(r"[\\{}`$\"'\s]|" + UNKNOWN)
_PATH = re.compile(r"(/[!-.0-~]+)+")


@dataclass(frozen=True)
class Style:
    """How one kind of initramfs is told where the image lies."""

    family: str
    sign: re.Pattern[str]
    """A word of the command line that only this kind has."""
    drops: re.Pattern[str]
    """Words that would lead it elsewhere, or that are put in anew."""
    adds: tuple[str, ...]
    root: re.Pattern[str] | None = None
    """A word that names the image by its label, which is replaced by `by_uuid` where GRUB would spoil the label."""
    by_uuid: str = ""


def _style(family: str, sign: str, drops: str, *adds: str, root: str = "", by_uuid: str = "") -> Style:
    return Style(family, re.compile(sign), re.compile(drops), adds, re.compile(root) if root else None, by_uuid)


STYLES = (
    _style("casper", r"boot=casper", r"iso-scan/filename=.*", "iso-scan/filename={iso}"),
    _style("debian-live", r"boot=live", r"(?:findiso|fromiso)=.*", "findiso={iso}"),
    _style(
        "dracut-live",
        r"root=live:.*",
        r"iso-scan/filename=.*",
        "iso-scan/filename={iso}",
        root=r"root=live:(?:CD)?LABEL=.*",
        by_uuid="root=live:UUID={iso_uuid}",
    ),
    _style(
        "anaconda",
        r"inst\.stage2=hd:.*",
        r"iso-scan/filename=.*",
        "iso-scan/filename={iso}",
        root=r"inst\.stage2=hd:LABEL=.*",
        by_uuid="inst.stage2=hd:UUID={iso_uuid}",
    ),
    _style(
        "arch",
        r"archisobasedir=.*",
        r"(?:archisodevice|archisosearchuuid|archisosearchfilename|img_dev|img_loop)(?:=.*)?",
        "img_dev=UUID={data_uuid}",
        "img_loop={iso}",
    ),
    _style(
        "arch",
        r"(?:miso|kdeosiso)basedir=.*",
        r"(?:misodevice|kdeosisodevice|img_dev|img_loop)=.*",
        "img_dev=/dev/disk/by-uuid/{data_uuid}",
        "img_loop={iso}",
    ),
    _style("nixos", r"init=/nix/store/.*", r"findiso=.*", "findiso={iso}"),
    _style("gentoo", r"looptype=.*", r"isoboot=.*", "isoboot={iso}"),
)
"""The first with a sign counts; sources are those of the recipes of the same families."""


@dataclass(frozen=True)
class Derivation:
    """What the menus gave: a match, or why there is none."""

    match: Match | None
    reason: str = ""


def derive(tree: Tree) -> Derivation:
    """Read the image's own menus and work out an entry.

    Raises:
        MalformedImageError: the image is damaged.
    """
    files, entries = read_menus(tree)
    if not files:
        return Derivation(None, "It has no menu of GRUB or isolinux from which its start could be worked out.")
    told = f"Its own menus ({', '.join(files[:3])}{' and others' if len(files) > 3 else ''}) were read, but "
    missing = ""
    for entry in entries:
        style = _style_of(entry)
        if style is None:
            continue
        if not _usable(tree, entry):
            missing = missing or entry.kernel
            continue
        found = apply(tree, _recipe(tree, entry, style))
        if found.entries:
            return Derivation(found)
        missing = missing or entry.kernel
    if missing:
        return Derivation(None, f"{told}the kernel or an initrd that they name for {clean(missing, 80)} is not there.")
    if entries:
        return Derivation(None, f"{told}nothing in them tells in which way this system would find itself in a file.")
    return Derivation(None, f"{told}no line in them starts a kernel.")


def _style_of(entry: MenuEntry) -> Style | None:
    return next((style for style in STYLES if any(style.sign.fullmatch(word) for word in entry.words)), None)


def _usable(tree: Tree, entry: MenuEntry) -> bool:
    return bool(entry.initrds) and all(_is_file(tree, path) for path in (entry.kernel, *entry.initrds))


def _is_file(tree: Tree, path: str) -> bool:
    if not _PATH.fullmatch(path) or ".." in path.split("/") or not tree.exists(path):
        return False
    try:
        tree.read(path, 1)
    except MalformedImageError:
        return False  # a directory: that its menu is wrong makes the image no worse
    return True


def _recipe(tree: Tree, entry: MenuEntry, style: Style) -> Recipe:
    """A recipe for this image alone."""
    words: list[str] = []
    added = False
    for found in entry.words[:MAX_PARAMETERS]:
        names_label = style.root is not None and style.root.fullmatch(found)
        word = style.by_uuid if names_label and _UNSAFE.search(found) else found
        if style.drops.fullmatch(word) or (word is found and (_UNSAFE.search(word) or not _WORD.fullmatch(word))):
            continue
        if word in ("--", "---") and not added:
            # what comes behind is for the installed system
            words += style.adds
            added = True
        words.append(word)
    if not added:
        words += style.adds
    variant = Variant(
        id="main",
        title=TITLE,
        method=BootMethod.LINUX,
        firmware=frozenset({Firmware.BIOS, Firmware.UEFI}),
        vendors=frozenset(SIGNERS),
        kernel=(_literal(entry.kernel),),
        initrds=tuple(Choice((_literal(path),), required=True) for path in entry.initrds[:8]),
        parameters=tuple(Choice((word,), required=word in style.adds or word == style.by_uuid) for word in words),
    )
    system = clean(tree.volume_id, 80) or clean(entry.title.replace(UNKNOWN, ""), 80) or "Unknown system"
    return Recipe(
        id=DERIVED,
        version=0,
        family=style.family,
        priority=1,
        system=system,
        condition=Condition(),
        identify={
            "architecture": (Rule(Source.VOLUME_ID, regex=re.compile(r"(?i)amd64|x86_64|i[3-6]86|arm64|aarch64")),)
        },
        captures={},
        filesystems=READ_BY_ALL,
        variants=(variant,),
        extras=(Extra("main", f"safe graphics, {TITLE}", ("nomodeset",)),),
    )


def _literal(path: str) -> str:
    """A pattern that matches the path alone."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)
