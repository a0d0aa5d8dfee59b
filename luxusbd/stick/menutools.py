"""The submenu of tools: what the boot menu offers besides images."""

from __future__ import annotations

from collections.abc import Iterable

from luxusbd.stick.menulines import Word, give_up, guarded, indent, notice
from luxusbd.stick.menustart import file_of
from luxusbd.stick.model import ManifestImage
from luxusbd.stick.text import clean_title, quote

MEMTEST_BIOS, MEMTEST_UEFI = "memtest.bin", "memtest.efi"
"""In the directory of grub.cfg."""


def tools(word: Word, images: Iterable[ManifestImage] = (), about: Iterable[str] = ()) -> list[str]:
    """The submenu as lines of GRUB script.

    Args:
        word: for the texts.
        images: what can be checked.
        about: words for the entry that says what this stick is.
    """
    lines = [
        f"submenu {word('Tools')} --class tools --id tools {{",
        *indent(_checks(tuple(images), word)),
        *indent(_memory_test(word)),
        *indent(_next_disk(word)),
        *indent(_entry("Restart", "reboot", ["reboot"], word)),
        *indent(_entry("Power off", "poweroff", ["halt"], word)),
        '  if [ "$grub_platform" = efi ]; then',
        *indent(
            indent(
                _entry(
                    "Firmware setup",
                    "firmware-setup",
                    guarded("fwsetup", "This firmware has no setup that can be started from here.", word),
                    word,
                )
            )
        ),
        '    if [ -e "$cmdpath/mmx64.efi" ]; then',
        *indent(
            indent(
                indent(
                    _entry("Enrol keys for Secure Boot", "mok-manager", ['chainloader "$cmdpath/mmx64.efi"'], word),
                )
            )
        ),
        "    fi",
        "  fi",
        *indent(_about(about, word)),
    ]
    return [*lines, "}"]


def _entry(title: str, name: str, lines: Iterable[str], word: Word) -> list[str]:
    return [f"menuentry {word(title)} --class tools --id {name} {{", *indent(lines), "}"]


def _checks(images: tuple[ManifestImage, ...], word: Word) -> list[str]:
    """Entries that show what an image should be and what it is: GRUB can compute a hash, but not compare it."""
    if not images:
        return []
    lines = [
        # the signed GRUB has no such command, and loads none; see `esp`
        'if [ "$lux_can_hash" = y ]; then',
        f"  submenu {word('Check an image')} --class tools --id check {{",
    ]
    for image in images:
        file = f'"{file_of(image)}"'
        made = [
            f"menuentry {quote(clean_title(image.title, image.name))} --class disc {{",
            f"  echo {word('The SHA-256 of this image, as it should be and as it is; this takes minutes:')}",
            f"  echo '{image.sha256}'",
            f"  hashsum --hash sha256 {file}",
            f"  echo {word('When the two differ, write the image anew.')}",
            f"  echo {word('Press Esc to go back.')}",
            "  sleep --interruptible 600",
            "}",
        ]
        lines += indent(indent([f"if [ -e {file} ]; then", *indent(made), "fi"]))
    return [*lines, "  }", "fi"]


def _memory_test(word: Word) -> list[str]:
    failed = "GRUB could not start the memory test."
    bios = _entry("Test the memory", "memtest", guarded(f'linux16 "$prefix/{MEMTEST_BIOS}"', failed, word), word)
    uefi = _entry("Test the memory", "memtest", guarded(f'chainloader "$prefix/{MEMTEST_UEFI}"', failed, word), word)
    return [
        f'if [ "$grub_platform" = pc -a -e "$prefix/{MEMTEST_BIOS}" ]; then',
        *indent(bios),
        "fi",
        # no shim knows who signed it
        f'if [ "$grub_platform" = efi -a "$lockdown" != y -a -e "$prefix/{MEMTEST_UEFI}" ]; then',
        *indent(uefi),
        "fi",
    ]


def _next_disk(word: Word) -> list[str]:
    failed = "The next disk has nothing that starts."
    return [
        'if [ "$grub_platform" = efi ]; then',
        *indent(_entry("Go on with the next disk", "next-disk", ["exit"], word)),
        "else",
        *indent(
            _entry(
                "Go on with the next disk",
                "next-disk",
                [
                    "set lux_disk=hd0",
                    "set lux_next=hd1",
                    "regexp --set=1:lux_disk '(hd[0-9]+)' \"$prefix\"",
                    'if [ "$lux_disk" != hd0 ]; then set lux_next=hd0; fi',
                    # the boot code of a disk looks for the rest of its system on the first one
                    "set root=$lux_next",
                    'if chainloader "($lux_next)+1"; then',
                    '  if [ "$lux_next" != hd0 ]; then drivemap -s hd0 "$lux_next"; fi',
                    "else",
                    *indent(give_up(failed, word)),
                    "fi",
                ],
                word,
            )
        ),
        "fi",
    ]


def _about(about: Iterable[str], word: Word) -> list[str]:
    facts = [
        f'{word("Firmware:")} "${{grub_cpu}}-${{grub_platform}}"',
        f'{word("Prefix:")} "${{prefix}}"',
    ]
    shown = notice(word("About this stick and computer"), [*about, *facts, '"$lux_secure"'], word)
    return [
        *(
            f'if [ "$lockdown" {test} y ]; then set lux_secure={word(text)}; fi'
            for test, text in (("=", "Secure Boot is on."), ("!=", "Secure Boot is off, or there is none."))
        ),
        "export lux_secure",
        *shown,
    ]
