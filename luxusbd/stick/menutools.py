"""The submenu of tools: what the boot menu offers besides images."""

from __future__ import annotations

from collections.abc import Iterable

from luxusbd.stick.menulines import Word, give_up, guarded, indent, notice
from luxusbd.stick.menuplatforms import MOK_MANAGERS
from luxusbd.stick.menustart import file_of
from luxusbd.stick.model import ManifestImage
from luxusbd.stick.sums import sums_path
from luxusbd.stick.text import clean_title, quote

MEMTEST_BIOS, MEMTEST_UEFI = "memtest.bin", "memtest.efi"
"""In the directory of grub.cfg."""
GRUBENV = "$prefix/grubenv"
"""What the menu remembers; there is none on a stick that is not to remember."""
LARGE_FONT = "$prefix/fonts/large.pf2"
_LOCKED_DOWN = "Under Secure Boot GRUB computes no hashes: its signed program has no command for it."
_NO_HASHES = "This GRUB computes no hashes: it has no command for it."
_ELSEWHERE = "Check the stick on a computer with LUXusb (luxusb verify)."


def tools(
    word: Word, images: Iterable[ManifestImage] = (), about: Iterable[str] = (), *, remember: bool = False
) -> list[str]:
    """The submenu as lines of GRUB script.

    Args:
        word: for the texts.
        images: what can be checked.
        about: words for the entry that says what this stick is.
        remember: whether what is chosen about the menu is noted on the stick.
    """
    lines = [
        f"submenu {word('Tools')} --class tools --id tools {{",
        *indent(_checks(tuple(images), word)),
        *indent(_letters(word, remember)),
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
        *(line for test, name in MOK_MANAGERS for line in indent(indent(_mok_manager(test, name, word)))),
        "  fi",
        *indent(_about(about, word)),
    ]
    return [*lines, "}"]


def _mok_manager(test: str, name: str, word: Word) -> list[str]:
    entry = _entry("Enrol keys for Secure Boot", "mok-manager", [f'chainloader "$cmdpath/{name}"'], word)
    return [f'if [ {test} -a -e "$cmdpath/{name}" ]; then', *indent(entry), "fi"]


def _entry(title: str, name: str, lines: Iterable[str], word: Word) -> list[str]:
    return [f"menuentry {word(title)} --class tools --id {name} {{", *indent(lines), "}"]


def _checks(images: tuple[ManifestImage, ...], word: Word) -> list[str]:
    """Entries in which GRUB compares an image with its hash, or one that says why it cannot."""
    if not images:
        return []
    title = word("Check an image")
    lines = ['if [ "$lux_can_hash" = y ]; then', f"  submenu {title} --class tools --id check {{"]
    for image in images:
        lines += indent(indent(_check(image, word)))
    lines += ["  }", 'elif [ "$lockdown" = y ]; then']
    # the signed GRUB has no such command, and in lockdown it loads none
    for reason in (_LOCKED_DOWN, _NO_HASHES):
        lines += indent(notice(title, [word(reason), word(_ELSEWHERE)], word))
        lines += ["else"] if reason is _LOCKED_DOWN else ["fi"]
    return lines


def _check(image: ManifestImage, word: Word) -> list[str]:
    file, sums = f'"{file_of(image)}"', f'"($data){sums_path(image)}"'
    return [
        f"if [ -e {file} ]; then",
        f"  menuentry {quote(clean_title(image.title, image.name))} --class disc {{",
        f"    echo {word('This image is compared with its SHA-256; this takes minutes:')}",
        f"    echo '{image.sha256}'",
        f"    if [ -s {sums} ]; then",
        f'      if hashsum --hash sha256 --prefix "(${image.partition})/iso" --check {sums}; then',
        f"        echo {word('OK: the image is whole.')}",
        "      else",
        f"        echo {word('DAMAGED: the image is not what it should be. Write it anew.')}",
        "      fi",
        "    else",
        # a stick that an older version wrote
        f"      hashsum --hash sha256 {file}",
        f"      echo {word('When the two differ, write the image anew.')}",
        "    fi",
        f"    echo {word('Press Esc to go back.')}",
        "    sleep --interruptible 600",
        "  }",
        "fi",
    ]


def _letters(word: Word, remember: bool) -> list[str]:
    """The other size of letters, where GRUB draws them; in lockdown it takes no font from a stick."""
    lines = [f'if [ "$lux_graphics" = y -a "$lockdown" != y -a -e "{LARGE_FONT}" ]; then']
    for test, title, large in (("!=", "Larger letters", "y"), ("=", "Smaller letters", "n")):
        commands = [
            f"set lux_large={large}",
            "export lux_large",
            *([f'if [ -s "{GRUBENV}" ]; then save_env -f "{GRUBENV}" lux_large; fi'] if remember else []),
            # a font is chosen when the graphics begin
            "terminal_output console",
            'configfile "$prefix/grub.cfg"',
        ]
        lines += [
            f'  if [ "$lux_size" {test} -large ]; then',
            *indent(indent(_entry(title, "letters", commands, word))),
        ]
        lines.append("  fi")
    return [*lines, "fi"]


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
