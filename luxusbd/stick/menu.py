"""The boot menu of a stick as text: a pure function of its manifest.

Two copies of the menu, A and B, lie on the data partition; the stub on the ESP takes the newer complete one. It runs
each file with `lux_pass=probe` first, which only counts the lines. Every line of a menu file is a whole statement that
guards itself, so that in a file that is cut short, or has lost a block in its middle, nothing runs that should not:
GRUB goes on with the next line after a syntax error. The count is wrong then, and `lux_end` stays unset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from luxusbd.errors import InternalError
from luxusbd.images.companion import PLACE
from luxusbd.images.model import BootEntry, BootMethod, Firmware
from luxusbd.stick import beside
from luxusbd.stick.layout import MAXIMUM_TIMEOUT
from luxusbd.stick.model import MIB, Manifest, ManifestImage
from luxusbd.stick.text import IMAGE_NAME, clean_title, quote

MENU_A = "/luxusb/menu-a.cfg"
MENU_B = "/luxusb/menu-b.cfg"

SERIAL = (
    "serial --unit=0 --speed=115200",
    "terminal_input serial console",
    "terminal_output serial console",
)
_GRAPHICS = (
    'set lux_font="$prefix/fonts/unicode.pf2"',
    # under Secure Boot GRUB takes fonts from inside itself alone
    'if [ "$lockdown" = y -a -e (memdisk)/fonts/unicode.pf2 ]; then set lux_font=(memdisk)/fonts/unicode.pf2; fi',
    'if loadfont "$lux_font"; then',
    "  set gfxmode=1024x768,auto",
    "  terminal_output gfxterm",
    "fi",
)
_PLACEHOLDER = re.compile(r"\{(iso|data_uuid|iso_uuid|volume_id|persistence|persistence_mb)\}")
_UUID = re.compile(r"[0-9a-fA-F-]{8,36}\Z")
_UNTRUSTED = '"${lux_untrusted}"'
"""Before the titles of entries whose key the shim of the stick does not have."""
_PLATFORMS = (
    ("pc", frozenset({Firmware.BIOS})),
    ("efi", frozenset({Firmware.UEFI, Firmware.UEFI_SECURE_BOOT})),
)


def menu_path(generation: int) -> str:
    """Which of the two menus belongs to a generation; the other one is then the fallback."""
    return MENU_A if generation % 2 else MENU_B


def render(manifest: Manifest) -> str:
    """The whole menu file for a manifest.

    Raises:
        InternalError: the manifest holds a name or UUID that its schema forbids.
    """
    _check(manifest)
    manifest = replace(manifest, images=beside.shown(manifest.images))
    items = [_terminal(manifest), _defaults(manifest)]
    items += [_image(manifest, image) for image in manifest.images]
    if not manifest.images:
        items.append(_notice("This stick holds no images yet", "Add images with LUXusb, then start from it again."))
    items.append(_tools())
    return "".join(
        [
            f"lux_gen={manifest.generation}\n",
            *(f'if [ "$lux_pass" = menu ]; then {_line(item)}; else lux_seen="${{lux_seen}}x"; fi\n' for item in items),
            _end(manifest.generation, len(items)),
        ]
    )


def generation_of(data: bytes | None) -> int | None:
    """Generation of a menu file as `render` writes them, or None when it is incomplete or none."""
    if data is None or b"\0" in data:
        return None
    match = re.match(rb"lux_gen=([1-9][0-9]{0,9})\n", data)
    if match is None:
        return None
    generation = int(match.group(1))
    return generation if data.endswith(b"\n" + _end(generation, data.count(b"\n") - 2).encode()) else None


def stub(data_uuid: str, *, serial_console: bool = False) -> str:
    """The constant grub.cfg of the ESP: find the data partition, run the newer complete menu, else explain.

    Args:
        data_uuid: filesystem UUID of the data partition.
        serial_console: say it on the first serial port too, when no menu can.
    """
    if not _UUID.match(data_uuid):
        raise InternalError(f"{data_uuid!r} is no filesystem UUID")
    return "\n".join(
        [
            "set lux_pick=",
            f"if search --no-floppy --set=data --fs-uuid {data_uuid}; then",
            *(f"  {line}" for line in chooser("($data)" + MENU_A, "($data)" + MENU_B)),
            "fi",
            'if [ -n "$lux_pick" ]; then',
            "  lux_pass=menu",
            '  source "$lux_pick"',
            "else",
            *(f"  {line}" for line in (SERIAL if serial_console else ())),
            "  set timeout=-1",
            "  echo 'LUXusb: no complete boot menu was found on the data partition of this stick.'",
            "  echo 'Plug it into a computer with LUXusb and repair it (luxusb repair).'",
            *(
                f"  {line}"
                for line in _notice(
                    "No complete boot menu on this stick",
                    "The data partition is missing or damaged. Plug the stick into a computer with LUXusb and",
                    "repair it there (luxusb repair). The images on it may still be whole.",
                )
            ),
            *(f"  {line}" for line in _tools()),
            "fi",
            "",
        ]
    )


def chooser(first: str, second: str) -> tuple[str, ...]:
    """Lines of GRUB script that set `lux_pick` to the newer complete one of two menu files, or to nothing."""
    lines: list[str] = ["set lux_pick=", "set lux_best=0", "lux_pass=probe"]
    for path in (first, second):
        lines += [
            "lux_gen=",
            "lux_end=",
            "lux_seen=",
            f'if [ -s "{path}" ]; then source "{path}"; fi',
            'if [ -n "$lux_end" -a "$lux_gen" = "$lux_end" ]; then',
            '  if [ "$lux_gen" -gt "$lux_best" ]; then',
            f'    set lux_pick="{path}"',
            '    set lux_best="$lux_gen"',
            "  fi",
            "fi",
        ]
    return tuple(lines)


def _check(manifest: Manifest) -> None:
    for image in manifest.images:
        if not IMAGE_NAME.match(image.name):
            raise InternalError(f"{image.name!r} cannot be the name of an image on a stick")
    for uuid in (manifest.data_uuid, *([manifest.companion_uuid] if manifest.companion_uuid else [])):
        if not _UUID.match(uuid):
            raise InternalError(f"{uuid!r} is no filesystem UUID")


def _file(image: ManifestImage) -> str:
    return f"(${image.partition})/iso/{image.name}"


def _terminal(manifest: Manifest) -> list[str]:
    # the message of a failing rmmod is gone from the screen once the terminal is set up
    lines = ['if [ "$grub_platform" = efi ]; then rmmod tpm; fi']
    lines += SERIAL if manifest.options.serial_console else _GRAPHICS
    lines.append("export data")
    if manifest.shim:
        # such an entry stays: whoever has enrolled its vendor's key with MokManager starts it
        lines += [
            "set lux_untrusted=",
            "if [ \"$lockdown\" = y ]; then set lux_untrusted='(not with Secure Boot) '; fi",
            "export lux_untrusted",
        ]
    if manifest.companion_uuid:
        lines += [f"search --no-floppy --set=companion --fs-uuid {manifest.companion_uuid}", "export companion"]
    return lines


def _defaults(manifest: Manifest) -> list[str]:
    lines = [
        "set timeout_style=menu",
        f"set timeout={min(max(0, manifest.options.timeout), MAXIMUM_TIMEOUT)}",
    ]
    for platform, firmware in _PLATFORMS:
        for image in manifest.images:
            if entries := _entries(image, firmware):
                path = _path(image, entries[0], firmware)
                lines.append(f'if [ "$grub_platform" = {platform} ]; then set default={quote(path)}; fi')
                break
    trusted = ((image, entry) for image in manifest.images for entry in image.starts if entry.trusted_by(manifest.shim))
    if first := next(trusted, None):
        lines.append(f'if [ "$lockdown" = y ]; then set default={quote(_path(*first, _PLATFORMS[1][1]))}; fi')
    return lines


def _path(image: ManifestImage, entry: BootEntry, firmware: frozenset[Firmware]) -> str:
    """An entry as GRUB's variable `default` names it."""
    alone = len(_entries(image, firmware)) == 1
    return _image_id(image) if alone else f"{_image_id(image)}>{_entry_id(image, entry)}"


def _entries(image: ManifestImage, firmware: frozenset[Firmware]) -> tuple[BootEntry, ...]:
    return tuple(entry for entry in image.starts if entry.firmware & firmware)


def _image_id(image: ManifestImage) -> str:
    return f"image-{image.sha256[:16]}"


def _entry_id(image: ManifestImage, entry: BootEntry) -> str:
    # the plain ones keep their names whether or not there is one that keeps changes
    number = image.entries.index(entry) if entry in image.entries else "kept"
    return f"{_image_id(image)}-{number}"


def _image(manifest: Manifest, image: ManifestImage) -> list[str]:
    variants = [(platform, _entries(image, firmware)) for platform, firmware in _PLATFORMS]
    lines = [f'if [ -e "{_file(image)}" ]; then']
    if variants[0][1] == variants[1][1]:
        lines += _indent(_variant(manifest, image, variants[0][1]))
    else:
        for platform, entries in variants:
            lines.append(f'  if [ "$grub_platform" = {platform} ]; then')
            lines += _indent(_indent(_variant(manifest, image, entries)))
            lines.append("  fi")
    return [*lines, "fi"]


def _variant(manifest: Manifest, image: ManifestImage, entries: tuple[BootEntry, ...]) -> list[str]:
    title = clean_title(f"{image.title} (custom)" if image.custom else image.title, image.name)
    if not entries:
        return _notice(
            clean_title(f"(not with this firmware) {title}", image.name),
            "This image cannot be started in this mode of the firmware (BIOS or UEFI). Try the other one.",
        )
    mark = _UNTRUSTED if all(_untrusted(manifest, entry) for entry in entries) else ""
    if len(entries) == 1:
        return [
            f"menuentry {mark}{quote(title)} --id {quote(_image_id(image))} {{",
            *_indent(_start(manifest, image, entries[0])),
            "}",
        ]
    lines = [f"submenu {mark}{quote(title)} --id {quote(_image_id(image))} {{"]
    for entry in entries:
        mark = _UNTRUSTED if _untrusted(manifest, entry) else ""
        shown = quote(clean_title(entry.title, title))
        made = [f"menuentry {mark}{shown} --id {quote(_entry_id(image, entry))} {{"]
        made += _indent(_start(manifest, image, entry))
        made.append("}")
        lines += _indent(_where_kept(image, made) if entry not in image.entries else made)
    return [*lines, "}"]


def _where_kept(image: ManifestImage, lines: list[str]) -> list[str]:
    """Lines for an entry that keeps changes, where the room for them is still there."""
    if image.kept is None or not image.kept.directory:
        return lines
    return [f'if [ -e "(${image.partition})/{image.kept.directory}" ]; then', *_indent(lines), "fi"]


def _untrusted(manifest: Manifest, entry: BootEntry) -> bool:
    return manifest.shim != "" and not entry.own_menu and not entry.trusted_by(manifest.shim)


def _start(manifest: Manifest, image: ManifestImage, entry: BootEntry) -> list[str]:
    file = f'"{_file(image)}"'
    kernel = _inside(entry.kernel)
    lines = [
        "if [ -e (loop) ]; then loopback -d loop; fi",
        f"if loopback loop {file}; then",
    ]
    match entry.method:
        case BootMethod.LINUX:
            words = "".join(f" {quote(_substitute(word, manifest, image))}" for word in entry.parameters)
            lines += _indent(_linux(f"linux {kernel}{words}", entry.initrds))
        case BootMethod.LINUX16:
            words = "".join(f" {quote(_substitute(word, manifest, image))}" for word in entry.parameters)
            lines += _indent(_guarded(f"linux16 {kernel}{words}", "GRUB could not load the program of this image."))
        case BootMethod.MEMDISK:
            lines += _indent(_memdisk(file))
        case BootMethod.EFI:
            lines += _indent(
                _guarded(
                    f"chainloader {kernel}",
                    "The firmware refused the EFI program of this image; with Secure Boot on, switch that off.",
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
        *_indent(_give_up("GRUB could not open the image file.")),
        "fi",
    ]


def _linux(command: str, initrds: tuple[str, ...]) -> list[str]:
    refused = "GRUB could not load the kernel; with Secure Boot on, its signature may be unknown here."
    if not initrds:
        return _guarded(command, refused)
    load = "initrd " + " ".join(_inside(item) for item in initrds)
    return [
        f"if {command}; then",
        # without this GRUB starts the kernel although its initrd is missing, and that ends in a panic
        *_indent(_guarded(load, "GRUB could not load the initrd of this image: too little memory, or a broken file.")),
        "else",
        *_indent(_give_up(refused)),
        "fi",
    ]


def _memdisk(file: str) -> list[str]:
    return [
        'if [ -e "$prefix/memdisk" ]; then',
        '  if linux16 "$prefix/memdisk" iso raw; then',
        *_indent(_indent(_guarded(f"initrd16 {file}", "GRUB could not load the image into memory: it is too large."))),
        "  else",
        *_indent(_indent(_give_up("GRUB could not load memdisk."))),
        "  fi",
        "else",
        *_indent(_give_up("This stick has no memdisk: install syslinux-common where it is made, and refresh it.")),
        "fi",
    ]


def _guarded(command: str, message: str) -> list[str]:
    return [f"if {command}; then", "  true", "else", *_indent(_give_up(message)), "fi"]


def _give_up(message: str) -> list[str]:
    # a menu entry that ends with a kernel loaded is booted, so that the only way back is a new menu
    return [
        f"echo {quote(message)}",
        "echo 'Back to the menu in 30 seconds, or at once with Esc.'",
        "sleep --interruptible 30",
        'configfile "$prefix/grub.cfg"',
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
    }
    # one pass, so that a placeholder inside a value stays what it is
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], word)


def _notice(title: str, *text: str) -> list[str]:
    return [
        f"menuentry {quote(title)} {{",
        *(f"  echo {quote(line)}" for line in text),
        "  echo 'Press Esc to go back.'",
        "  sleep --interruptible 60",
        "}",
    ]


def _tools() -> list[str]:
    return [
        "submenu 'Tools' --id tools {",
        "  menuentry 'Restart' --id reboot {",
        "    reboot",
        "  }",
        "  menuentry 'Power off' --id poweroff {",
        "    halt",
        "  }",
        '  if [ "$grub_platform" = efi ]; then',
        "    menuentry 'Firmware setup' --id firmware-setup {",
        "      fwsetup",
        "    }",
        '    if [ -e "$cmdpath/mmx64.efi" ]; then',
        "      menuentry 'Enrol keys for Secure Boot' --id mok-manager {",
        '        chainloader "$cmdpath/mmx64.efi"',
        "      }",
        "    fi",
        "  fi",
        "}",
    ]


def _indent(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _line(commands: Iterable[str]) -> str:
    text = ""
    for command in commands:
        separator = " " if text.endswith(("{", " then", " else")) or text in ("", "else") else "; "
        text += separator + command.strip()
    return text.strip()


def _end(generation: int, items: int) -> str:
    return f'if [ "$lux_seen" = {"x" * items} ]; then lux_end={generation}; fi\n'
