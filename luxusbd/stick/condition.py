"""What the data partition of a stick is like, as a repair needs to know it; nothing is written here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from luxusbd.errors import DeviceDamagedError, MalformedImageError, NewerStickError
from luxusbd.stick import beside, menu, planned, reader, sums
from luxusbd.stick import manifest as manifests
from luxusbd.stick.filesystem import DataFilesystem, Kind
from luxusbd.stick.isofiles import PARTIAL, PENDING
from luxusbd.stick.menutexts import LANGUAGES
from luxusbd.stick.model import Manifest, MenuStyle, StickOptions, Theme
from luxusbd.stick.text import IMAGE_NAME

_LANGUAGE = re.compile(r"set lux_language=([a-z]{2});")
_TIMEOUT = re.compile(r"set timeout=([0-9]{1,2});")


@dataclass(frozen=True)
class Condition:
    """The data partition as it is on the medium."""

    manifest: Manifest | None
    broken: str
    """Why there is no manifest, or what is wrong with it."""
    planned: Manifest | None
    kind: Kind
    uuid: str
    label: str
    directories: bool
    """Whether /iso and /luxusb are there."""
    leftovers: tuple[str, ...]
    missing: bool
    """Whether an image of the manifest has no file."""
    menus: reader.Menus
    broken_menus: bool
    wrong_lists: bool
    """Whether a list by which GRUB compares an image is rotten or missing."""
    menu: str
    """Text of the newest complete menu, or empty."""

    def needs_work(self) -> bool:
        """Whether anything has to be written."""
        found = self.manifest
        if found is None or self.broken or self.planned is not None or self.leftovers or not self.directories:
            return True
        stale = self.menus.newest < found.generation or found.data_uuid != self.uuid
        return stale or self.broken_menus or self.wrong_lists


def examine(filesystem: DataFilesystem) -> Condition:
    """Look at everything but the contents of the images.

    Raises:
        NewerStickError: a newer version of this program has written the stick.
        MalformedImageError: the filesystem is inconsistent.
    """
    found: Manifest | None = None
    broken = ""
    try:
        found = reader.load_manifest(filesystem)
        broken = "" if _is_whole(filesystem, manifests.PATH) else "the list of images was broken"
        if broken and not _is_there(filesystem, manifests.PATH):
            # what a job leaves that is cut at the very end
            broken = ""
    except NewerStickError:
        raise
    except DeviceDamagedError as error:
        broken = str(error).split(";")[0]
    here, inside = filesystem.list("/iso"), filesystem.list("/luxusb")
    leftovers = [name for name in here if name.endswith(PARTIAL) and IMAGE_NAME.match(name)]
    leftovers += [name for name in (_name(PENDING), _name(manifests.NEW_PATH)) if name in inside]
    menus = reader.load_menus(filesystem)
    broken_menus = [
        path
        for path, generation in ((menu.MENU_A, menus.a), (menu.MENU_B, menus.b))
        if generation is None and _is_there(filesystem, path)
    ]
    text = newest_menu(filesystem, menus)
    shown = beside.shown(found.images) if found is not None else ()
    return Condition(
        manifest=found,
        broken=broken,
        planned=planned.load(filesystem),
        kind=filesystem.kind,
        uuid=filesystem.uuid,
        label=filesystem.label,
        directories=all(_is_there(filesystem, path) for path in ("/iso", "/luxusb")),
        leftovers=tuple(leftovers),
        missing=found is not None and any(not _is_there(filesystem, f"/iso/{image.name}") for image in found.images),
        menus=menus,
        broken_menus=bool(broken_menus),
        wrong_lists=bool(sums.wrong(filesystem, shown, text)),
        menu=text,
    )


def newest_menu(filesystem: DataFilesystem, menus: reader.Menus) -> str:
    """Text of the newest complete menu, or empty."""
    newest = menu.MENU_A if menus.inactive == menu.MENU_B else menu.MENU_B
    text = filesystem.read_file(newest, reader.MENU_LIMIT) if menus.newest else b""
    return (text or b"").decode("utf-8", "replace")


def _is_there(filesystem: DataFilesystem, path: str) -> bool:
    return filesystem.lookup(path) is not None


def _is_whole(filesystem: DataFilesystem, path: str) -> bool:
    try:
        data = filesystem.read_file(path, manifests.LIMIT)
        return data is not None and bool(manifests.decode(data))
    except (DeviceDamagedError, MalformedImageError):
        return False


def options_of(look: Condition) -> StickOptions:
    """What can still be told of what the user chose."""
    usual = StickOptions()
    timeout = _TIMEOUT.search(look.menu)
    return StickOptions(
        filesystem=look.kind,
        label=look.label or usual.label,
        timeout=int(timeout.group(1)) if timeout else usual.timeout,
        serial_console=menu.SERIAL[0] in look.menu,
        menu=style_of(look.menu),
    )


def style_of(text: str) -> MenuStyle:
    """What the text of a menu says of its style; the usual one for no menu."""
    if not text:
        return MenuStyle()
    language = _LANGUAGE.search(text)
    known = language is not None and language.group(1) in LANGUAGES
    # a serial console hides the theme
    plain = language is not None and menu.SERIAL[0] not in text and "set theme=" not in text
    return MenuStyle(
        theme=Theme.NONE if plain else Theme.LUXUSB,
        # a menu of an older version says nothing of the three
        remember="load_env" in text or language is None,
        language=language.group(1) if language is not None and known else MenuStyle().language,
    )


def _name(path: str) -> str:
    return path.rsplit("/", 1)[1]
