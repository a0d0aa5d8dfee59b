"""The boot menu of a stick as text: a pure function of its manifest.

Two copies of the menu, A and B, lie on the data partition; the stub on the ESP takes the newer complete one. It runs
each file with `lux_pass=probe` first, which only counts the lines. Every line of a menu file is a whole statement that
guards itself, so that in a file that is cut short, or has lost a block in its middle, nothing runs that should not:
GRUB goes on with the next line after a syntax error. The count is wrong then, and `lux_end` stays unset.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from luxusbd.errors import InternalError
from luxusbd.images.model import BootEntry
from luxusbd.stick import beside, menufont, theme
from luxusbd.stick.layout import MAXIMUM_TIMEOUT
from luxusbd.stick.menugroups import TRANSLATED, Group, grouped, letter_class
from luxusbd.stick.menulines import indent, notice, one_line
from luxusbd.stick.menuplatforms import Platform, identify, platforms
from luxusbd.stick.menustart import file_of, start
from luxusbd.stick.menutexts import ENGLISH, Texts
from luxusbd.stick.menutitles import title_word
from luxusbd.stick.menutools import GRUBENV, LARGE_FONT, tools
from luxusbd.stick.model import Manifest, ManifestImage, Theme
from luxusbd.stick.text import IMAGE_NAME, clean_title, quote

MENU_A = "/luxusb/menu-a.cfg"
MENU_B = "/luxusb/menu-b.cfg"

SERIAL = (
    "serial --unit=0 --speed=115200",
    "terminal_input serial console",
    "terminal_output serial console",
)
_MODES = "1024x768,1280x800,1280x720,800x600,1366x768,1280x1024,1440x900,1600x900,1680x1050,1920x1080,1920x1200,640x480"
"""GRUB cannot scale its font, and on 2.06 a frame buffer for 4K takes the memory that an initrd needs.

Where a screen has none of these, GRUB takes another, and no script can ask which; the tools have larger letters for it.
"""
_GRAPHICS = (
    'set lux_font="$prefix/fonts/unicode.pf2"',
    # under Secure Boot GRUB takes fonts from inside itself alone
    'if [ "$lockdown" = y -a -e (memdisk)/fonts/unicode.pf2 ]; then set lux_font=(memdisk)/fonts/unicode.pf2; fi',
    'if loadfont "$lux_font"; then',
    f"  set gfxterm_font={quote(theme.FONT)}",
    f'  if [ "$lux_large" = y -a "$lockdown" != y -a -e "{LARGE_FONT}" ]; then',
    f'    if loadfont "{LARGE_FONT}"; then set gfxterm_font={quote(menufont.NAME)}; set lux_size=-large; fi',
    "  fi",
    f"  set gfxmode={_MODES}",
    "  if terminal_output gfxterm; then set lux_graphics=y; fi",
    "fi",
    "export lux_graphics lux_size",
)
_THEME = "$prefix/themes/luxusb/theme${lux_size}.txt"
_BESIDE = "$prefix/$grub_cpu-$grub_platform"
_UUID = re.compile(r"[0-9a-fA-F-]{8,36}\Z")
_UNTRUSTED = '"${lux_untrusted}"'
"""Before the titles of entries whose key the shim of the stick does not have."""
_LOCKED = "(not with Secure Boot) "
_NOT_HERE = "(not with this firmware) "
_UNREADABLE = "Under Secure Boot the filesystem of this stick cannot be read. Switch Secure Boot off to start from it."


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
    texts = Texts(manifest.options.menu.language)
    groups = grouped(manifest.images)
    items = [_terminal(manifest, texts), _defaults(manifest, groups)]
    items += [_group(manifest, group, texts) for group in groups]
    if not manifest.images:
        empty = texts.word("This stick holds no images yet")
        items.append(notice(empty, [texts.word("Add images with LUXusb, then start from it again.")], texts.word))
    about = [f"{texts.word('Made by LUXusb')} {quote(manifest.luxusbd)}", quote(manifest.stick_id)]
    items.append(tools(texts.word, manifest.images, about, remember=manifest.options.menu.remember))
    return "".join(
        [
            f"lux_gen={manifest.generation}\n",
            *(_guard(one_line(item)) for item in items),
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


def stub(
    data_uuid: str,
    *,
    serial_console: bool = False,
    language: str = ENGLISH,
    hashes: bool = False,
    modules: Sequence[str] = (),
) -> str:
    """The constant grub.cfg of the ESP: find the data partition, run the newer complete menu, else explain.

    Args:
        data_uuid: filesystem UUID of the data partition.
        serial_console: say it on the first serial port too, when no menu can.
        language: of the texts.
        hashes: whether the GRUB for UEFI can compute hashes; that for BIOS always can.
        modules: what a signed GRUB has to load before it can read the data partition; in lockdown it cannot.
    """
    if not _UUID.match(data_uuid):
        raise InternalError(f"{data_uuid!r} is no filesystem UUID")
    word = Texts(language).ascii_word
    excuse = [
        f"echo {word('LUXusb: no complete boot menu was found on the data partition of this stick.')}",
        f"echo {word('Plug it into a computer with LUXusb and repair it (luxusb repair).')}",
        *notice(
            word("No complete boot menu on this stick"),
            [
                word("The data partition is missing or damaged. Plug the stick into a computer with"),
                word("LUXusb and repair it there (luxusb repair). The images on it may still be whole."),
            ],
            word,
        ),
    ]
    if modules:
        locked = [
            f"echo {word(_UNREADABLE)}",
            *notice(word("Switch Secure Boot off to start from this stick"), [word(_UNREADABLE)], word),
        ]
        excuse = ['if [ "$lockdown" = y ]; then', *indent(locked), "else", *indent(excuse), "fi"]
    return "\n".join(
        [
            # one that is built in already stays as it is
            *(f'if [ "$lockdown" != y ]; then insmod {module}; fi' for module in modules),
            f"set lux_can_hash={'y' if hashes else ''}",
            'if [ "$grub_platform" = pc ]; then set lux_can_hash=y; fi',
            # beside a signed GRUB lie modules of its build
            f'if [ "$lux_can_hash" != y -a "$lockdown" != y -a -e "{_BESIDE}/hashsum.mod" ]; then',
            "  if insmod gcry_sha256; then if insmod hashsum; then set lux_can_hash=y; fi; fi",
            "fi",
            "export lux_can_hash",
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
            *(f"  {line}" for line in excuse),
            *(f"  {line}" for line in tools(word)),
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


def _terminal(manifest: Manifest, texts: Texts) -> list[str]:
    options = manifest.options
    # the message of a failing rmmod is gone from the screen once the terminal is set up
    lines = ['if [ "$grub_platform" = efi ]; then rmmod tpm; fi', "set lux_graphics=", "set lux_size="]
    if options.serial_console:
        lines += SERIAL
    else:
        if options.menu.remember:
            # what the tools have just set counts more than what they noted
            lines.append(f'if [ -z "$lux_large" -a -s "{GRUBENV}" ]; then load_env -f "{GRUBENV}" lux_large; fi')
        lines += _GRAPHICS
    if options.menu.theme is Theme.LUXUSB and not options.serial_console:
        lines.append(f'if [ "$lux_graphics" = y -a -e "{_THEME}" ]; then set theme="{_THEME}"; export theme; fi')
    lines += ["export data", *identify(manifest.firmware)]
    able = "false" if options.serial_console else '[ "$lux_graphics" = y -o "$grub_platform" = efi ]'
    lines += texts.umlauts(able)
    if manifest.shim:
        # such an entry stays: whoever has enrolled its vendor's key with MokManager starts it
        lines += [
            "set lux_untrusted=",
            f'if [ "$lockdown" = y ]; then set lux_untrusted={texts.word(_LOCKED)}; fi',
            "export lux_untrusted",
        ]
    if manifest.companion_uuid:
        lines += [f"search --no-floppy --set=companion --fs-uuid {manifest.companion_uuid}", "export companion"]
    return lines


def _defaults(manifest: Manifest, groups: Sequence[Group]) -> list[str]:
    lines = [
        "set timeout_style=menu",
        f"set timeout={min(max(0, manifest.options.timeout), MAXIMUM_TIMEOUT)}",
        f"set lux_language={manifest.options.menu.language}",
    ]
    if manifest.options.menu.remember:
        # only this variable: whoever can write the file is not to set others
        lines += ["set lux_last=", f'if [ -s "{GRUBENV}" ]; then load_env -f "{GRUBENV}" lux_last; fi']
    remembered = []
    places = [(group, image) for image in manifest.images for group in groups if image in group.images]
    for platform in platforms(manifest.firmware):
        paths = [
            _path(group, image, entry, platform)
            for group in groups
            for image in group.images
            for entry in platform.entries(image.starts)
        ]
        trusted = [
            _path(group, image, entry, platform)
            for group, image in places
            for entry in platform.entries(image.starts)
            if platform.secure and entry.trusted_by(manifest.shim)
        ]
        for path in paths[:1]:
            lines.append(f"if [ {platform.test} ]; then set default={quote(path)}; fi")
        if not paths:
            # the first entry only says why nothing starts here: time to read it, and not a round without end
            lines.append(f"if [ {platform.test} ]; then set timeout=-1; fi")
        for path in trusted[:1]:
            lines.append(f'if [ {platform.test} -a "$lockdown" = y ]; then set default={quote(path)}; fi')
        if paths:
            known = " ".join(quote(path) for path in paths)
            again = 'if [ "$lux_last" = "$lux_path" ]; then set default="$lux_path"; fi'
            loop = f"for lux_path in {known}; do {again}; done"
            remembered.append(f'if [ -n "$lux_last" -a {platform.test} ]; then {loop}; fi')
    if manifest.options.menu.remember:
        lines += [*remembered, "export lux_last"]
    return lines


def _path(group: Group, image: ManifestImage, entry: BootEntry, platform: Platform) -> str:
    """An entry as GRUB's variable `default` names it."""
    names = [group.id] if group.id else []
    names.append(_image_id(image))
    if len(platform.entries(image.starts)) > 1:
        names.append(_entry_id(image, entry))
    return ">".join(names)


def _image_id(image: ManifestImage) -> str:
    return f"image-{image.sha256[:16]}"


def _entry_id(image: ManifestImage, entry: BootEntry) -> str:
    # the plain ones keep their names whether or not there is one that keeps changes
    number = image.entries.index(entry) if entry in image.entries else "kept"
    return f"{_image_id(image)}-{number}"


def _group(manifest: Manifest, group: Group, texts: Texts) -> list[str]:
    lines = [line for image in group.images for line in _image(manifest, group, image, texts)]
    if not group.name:
        return lines
    name = texts.word(group.name) if group.name in TRANSLATED else quote(group.name)
    return [
        f"submenu {name} --class {letter_class(group.name)} --id {quote(group.id)} {{",
        *indent(lines),
        "}",
    ]


def _image(manifest: Manifest, group: Group, image: ManifestImage, texts: Texts) -> list[str]:
    variants = platforms(manifest.firmware)
    lines = [f'if [ -e "{file_of(image)}" ]; then']
    if len({platform.entries(image.starts) for platform in variants}) == 1:
        lines += indent(_variant(manifest, group, image, variants[0], texts))
    else:
        for platform in variants:
            lines.append(f"  if [ {platform.test} ]; then")
            lines += indent(indent(_variant(manifest, group, image, platform, texts)))
            lines.append("  fi")
    return [*lines, "fi"]


def _variant(manifest: Manifest, group: Group, image: ManifestImage, platform: Platform, texts: Texts) -> list[str]:
    word = texts.word
    entries = platform.entries(image.starts)
    custom = f" {texts.shown('(custom)')}" if image.custom else ""
    title = clean_title(f"{image.title}{custom}", image.name)
    if not entries:
        return notice(
            word(_NOT_HERE) + quote(clean_title(image.title, image.name)[: 80 - len(texts.shown(_NOT_HERE))]),
            [word(platform.why_not(image.starts))],
            word,
        )
    mark = _UNTRUSTED if all(_untrusted(manifest, entry) for entry in entries) else ""
    icon = f"--class {letter_class(image.title)}"
    if len(entries) == 1:
        return [
            f"menuentry {mark}{quote(title)} {icon} --id {quote(_image_id(image))} {{",
            *indent(_remember(manifest, _path(group, image, entries[0], platform))),
            *indent(start(manifest, image, entries[0], word)),
            "}",
        ]
    lines = [f"submenu {mark}{quote(title)} {icon} --id {quote(_image_id(image))} {{"]
    for entry in entries:
        mark = _UNTRUSTED if _untrusted(manifest, entry) else ""
        shown = title_word(entry.title, title, texts)
        made = [f"menuentry {mark}{shown} {icon} --id {quote(_entry_id(image, entry))} {{"]
        made += indent(_remember(manifest, _path(group, image, entry, platform)))
        made += indent(start(manifest, image, entry, word))
        made.append("}")
        lines += indent(made if entry in image.entries else _where_kept(image, made))
    return [*lines, "}"]


def _where_kept(image: ManifestImage, lines: list[str]) -> list[str]:
    """Lines for an entry that keeps changes, where the room for them is still there."""
    if image.kept is None or not image.kept.directory:
        return lines
    return [f'if [ -e "(${image.partition})/{image.kept.directory}" ]; then', *indent(lines), "fi"]


def _remember(manifest: Manifest, path: str) -> list[str]:
    """Lines that note which entry is started, where the ESP has room for that; nothing is written when it is known."""
    if not manifest.options.menu.remember:
        return []
    return [
        f'if [ -s "{GRUBENV}" -a "$lux_last" != {quote(path)} ]; then',
        f"  set lux_last={quote(path)}",
        f'  save_env -f "{GRUBENV}" lux_last',
        "fi",
    ]


def _untrusted(manifest: Manifest, entry: BootEntry) -> bool:
    return manifest.shim != "" and not entry.own_menu and not entry.trusted_by(manifest.shim)


def _guard(line: str) -> str:
    return f'if [ "$lux_pass" = menu ]; then {line}; else lux_seen="${{lux_seen}}x"; fi\n'


def _end(generation: int, items: int) -> str:
    return f'if [ "$lux_seen" = {"x" * items} ]; then lux_end={generation}; fi\n'
