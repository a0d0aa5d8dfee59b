"""Entries that are worked out from an image's own menus."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luxusbd.images.derive import READ_BY_ALL, TITLE, derive
from luxusbd.images.menus import (
    MAX_ENTRIES,
    MAX_FILES,
    MAX_WORD,
    UNKNOWN,
    bls_entries,
    grub_entries,
    read_menus,
    syslinux_entries,
)
from luxusbd.images.model import BootMethod, Firmware
from luxusbd.images.recognise import inspect, recognise
from tests.images.builders import DictTree, build_iso, describe, x86_kernel

K = x86_kernel()
FILES = {"/k/vmlinuz": K, "/k/initrd.img": b"i"}


def menu(words: str, file: str = "/boot/grub/grub.cfg", label: str = "LABEL") -> DictTree:
    text = f"menuentry 'Start me' {{\n  linux /k/vmlinuz {words}\n  initrd /k/initrd.img\n}}\n"
    return DictTree({**FILES, file: text}, label)


@pytest.mark.parametrize(
    ("words", "expected", "family"),
    [
        (
            "boot=casper iso-scan/filename=${iso_path} quiet --- splash",
            "boot=casper quiet iso-scan/filename={iso} --- splash",
            "casper",
        ),
        ("boot=live components findiso=$iso_path quiet", "boot=live components quiet findiso={iso}", "debian-live"),
        (
            "root=live:CDLABEL=Some-Live-1 rd.live.image",
            "root=live:CDLABEL=Some-Live-1 rd.live.image iso-scan/filename={iso}",
            "dracut-live",
        ),
        (
            r"root=live:CDLABEL=Some\x20Live rd.live.image",
            "root=live:UUID={iso_uuid} rd.live.image iso-scan/filename={iso}",
            "dracut-live",
        ),
        (
            "inst.stage2=hd:LABEL='Some Label' quiet",
            "inst.stage2=hd:UUID={iso_uuid} quiet iso-scan/filename={iso}",
            "anaconda",
        ),
        (
            "archisobasedir=x archisosearchuuid=2024 archisodevice=UUID=1",
            "archisobasedir=x img_dev=UUID={data_uuid} img_loop={iso}",
            "arch",
        ),
        (
            "misobasedir=x misolabel=X driver=free",
            "misobasedir=x misolabel=X driver=free img_dev=/dev/disk/by-uuid/{data_uuid} img_loop={iso}",
            "arch",
        ),
        ("init=/nix/store/abc-nixos/init", "init=/nix/store/abc-nixos/init findiso={iso}", "nixos"),
        ("cdroot looptype=squashfs", "cdroot looptype=squashfs isoboot={iso}", "gentoo"),
    ],
)
def test_each_kind_of_initramfs_gets_its_own_words(words: str, expected: str, family: str) -> None:
    found = derive(menu(words)).match
    assert found is not None
    assert describe(found) == (
        "derived",
        [
            f"/k/vmlinuz /k/initrd.img {expected}",
            "/k/vmlinuz /k/initrd.img "
            + (
                f"{expected.partition(' ---')[0]} nomodeset --- splash"
                if "---" in expected
                else f"{expected} nomodeset"
            ),
        ],
    )
    assert found.recipe.family == family
    assert found.filesystems == READ_BY_ALL
    assert found.entries[0].title == f"LABEL ({TITLE})"


def test_menus_of_syslinux_and_of_the_boot_loader_specification() -> None:
    isolinux = (
        "DEFAULT live\nLABEL live\n  MENU LABEL ^Start\n  KERNEL vmlinuz\n"
        "  APPEND initrd=/k/ucode.img,initrd.img boot=live quiet\n"
    )
    (entry,) = syslinux_entries("/k/isolinux.cfg", isolinux)
    assert (entry.title, entry.kernel) == ("Start", "/k/vmlinuz")
    assert (entry.initrds, entry.words) == (("/k/ucode.img", "/k/initrd.img"), ("boot=live", "quiet"))
    conf = "title Start\nlinux /k/vmlinuz\ninitrd /k/initrd.img\noptions archisobasedir=x\noptions quiet\n"
    (entry,) = bls_entries("/loader/entries/a.conf", conf)
    assert (entry.title, entry.words) == ("Start", ("archisobasedir=x", "quiet"))
    assert derive(DictTree({**FILES, "/loader/entries/a.conf": conf})).match is not None


def test_variables_are_put_in_and_the_device_is_taken_off() -> None:
    text = (
        "set dir=/k\nopts=\"boot=live 'quoted'\"\n# linux /no\n"
        'menuentry "A $dir" --class x {\n'
        "if [ -e /x ]; then linux ($root)${dir}/vmlinuz $opts a=${unknown} b\\\n=1; fi\n"
        "initrd (loop)$dir/initrd.img }\n"
        "linuxefi /k/other x\n"
    )
    first, second = grub_entries("/f", text)
    assert (first.title, first.kernel, first.initrds) == ("A /k", "/k/vmlinuz", ("/k/initrd.img",))
    assert first.words == ("boot=live", "'quoted'", f"a={UNKNOWN}", "b=1")
    assert (second.kernel, second.initrds) == ("/k/other", ())


def test_what_could_become_a_command_never_gets_through() -> None:
    found = derive(menu("boot=live 'a b' \"x'y\" $(reboot) `reboot` c=\\\\d {iso} {data_uuid} good=1 \u202eevil")).match
    assert found is not None
    assert all(not set(word) & set("'\"\\`$ ") for word in found.entries[0].parameters)
    assert "good=1" in found.entries[0].parameters
    assert [word for word in found.entries[0].parameters if "{" in word] == ["findiso={iso}"]
    assert all(word.isascii() for word in found.entries[0].parameters)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (DictTree({"/k/vmlinuz": K}), "It has no menu of GRUB or isolinux"),
        (menu("quiet splash"), "nothing in them tells in which way"),
        (DictTree({"/boot/grub/grub.cfg": "menuentry 'x' { reboot }"}), "no line in them starts a kernel"),
        (
            DictTree({"/boot/grub/grub.cfg": "linux /k/vmlinuz boot=live\ninitrd /k/initrd.img"}),
            "that they name for /k/vmlinuz is not there",
        ),
        (DictTree({**FILES, "/boot/grub/grub.cfg": "linux /k boot=live\ninitrd /k/initrd.img"}), "for /k is not there"),
        (
            DictTree({**FILES, "/boot/grub/grub.cfg": "linux /k/../k/vmlinuz boot=live\ninitrd /k/initrd.img"}),
            "is not there",
        ),
    ],
)
def test_a_refusal_says_why(tree: DictTree, reason: str) -> None:
    found = derive(tree)
    assert found.match is None
    assert reason in found.reason


def test_everything_is_bounded() -> None:
    many = DictTree({f"/boot/grub/{number}.cfg": "linux /k/vmlinuz boot=live\n" * 100 for number in range(50)})
    files, entries = read_menus(many)
    assert (len(files), len(entries)) == (MAX_FILES, MAX_ENTRIES)
    doubled = "set a=0123456789\n" + "set a=$a$a\n" * 40 + "linux /k $a\n"
    (entry,) = grub_entries("/f", doubled)
    assert all(len(word) <= MAX_WORD for word in entry.words)


def test_an_unknown_image_starts_by_its_own_menu_or_says_why_not(tmp_path: Path) -> None:
    config = b"menuentry 'Go' {\n linux /k/vmlinuz boot=live quiet\n initrd /k/initrd.img\n}\n"
    files = {"k/vmlinuz": x86_kernel(signer=b"Debian Secure Boot Signer"), "k/initrd.img": b"i"}
    fd = os.open(build_iso(tmp_path / "a.iso", {**files, "boot/grub/grub.cfg": config}, volume_id="MINE"), os.O_RDONLY)
    try:
        found = inspect(fd)
    finally:
        os.close(fd)
    assert (found.recognition.recipe, found.recognition.family, found.recognition.system) == (
        "derived",
        "debian-live",
        "MINE",
    )
    assert found.recognition.bootable
    assert found.recognition.entries[0].signer == "debian"
    assert Firmware.UEFI_SECURE_BOOT in found.recognition.firmware
    assert found.details.recipe_version == 0
    files["boot/grub/grub.cfg"] = b"menuentry 'Go' {\n linux /k/vmlinuz quiet\n initrd /k/initrd.img\n}\n"
    files["boot.img"] = bytes(2048)
    path = build_iso(tmp_path / "b.iso", files, "-b", "boot.img", "-no-emul-boot")
    fd = os.open(path, os.O_RDONLY)
    try:
        refused = recognise(fd)
    finally:
        os.close(fd)
    assert not refused.bootable
    assert "Its own menus (/boot/grub/grub.cfg) were read, but nothing in them" in refused.reason


def test_the_own_loopback_cfg_comes_before_what_was_derived(tmp_path: Path) -> None:
    config = b"linux /k/vmlinuz boot=live findiso=${iso_path}\ninitrd /k/initrd.img\n"
    files = {"k/vmlinuz": K, "k/initrd.img": b"i", "boot/grub/loopback.cfg": config}
    fd = os.open(build_iso(tmp_path / "a.iso", files), os.O_RDONLY)
    try:
        found = recognise(fd)
    finally:
        os.close(fd)
    assert found.recipe == "loopback-cfg"
    assert [entry.method for entry in found.entries][:2] == [BootMethod.LOOPBACK_CFG, BootMethod.LINUX]
    assert TITLE in found.entries[1].title
