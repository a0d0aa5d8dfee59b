from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luxusbd import resources
from luxusbd.errors import CatalogError
from luxusbd.images.globs import has_wildcard, path_regex
from luxusbd.images.match import LINE_LIMIT, apply, match, matching
from luxusbd.images.model import BootMethod, Firmware
from luxusbd.images.recipes import load_recipes, packaged_recipes, parse_recipe, placeholders
from luxusbd.text import natural_key
from tests.images.builders import DictTree, by_id, describe, x86_kernel

K = x86_kernel()
SIGNED = x86_kernel(signer=b"..Debian Secure Boot Signer 2022..")
LOOPBACK = {"/boot/grub/loopback.cfg": "source /boot/grub/grub.cfg"}

TREES: dict[str, DictTree] = {
    "memtest86plus": DictTree({"/EFI/BOOT/bootx64.efi": K, "/boot/floppy.img": K}, "MT86PLUS_64"),
    "grub-rescue": DictTree(
        {"/boot/grub/grub.cfg": "#\n# Sample GRUB configuration file\n#", "/boot/grub/i386-pc/eltorito.img": ""},
        "ISOIMAGE",
    ),
    "debian-netboot": DictTree({"/linux": SIGNED, "/initrd.gz": "", "/.disk/mini-info": "Debian 12"}, "MINI"),
    "loopback-cfg": DictTree({**LOOPBACK, "/some/store.squashfs": ""}, "some-24.05-x86_64"),
    "live-boot": DictTree(
        {
            **LOOPBACK,
            "/.disk/info": 'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 LIVE/INSTALL Binary 20240210-11:27',
            "/.disk/cd_type": "live",
            "/install/vmlinuz": K,
            "/live/filesystem.squashfs": "",
            "/live/vmlinuz-6.1.0-9-amd64": K,
            "/live/vmlinuz-6.1.0-18-amd64": SIGNED,
            "/live/initrd.img-6.1.0-9-amd64": "",
            "/live/initrd.img-6.1.0-18-amd64": "",
        },
        "d-live 12.5.0 gn amd64",
    ),
    "tails": DictTree(
        {"/live/Tails.module": "", "/live/vmlinuz": K, "/live/initrd.img": "", "/live/filesystem.squashfs": ""},
        "TAILS 6.0",
    ),
    "gparted-live": DictTree(
        {
            "/GParted-Live-Version": "gparted-live-1.6.0-10-amd64",
            "/live/vmlinuz": K,
            "/live/initrd.img": "",
            "/live/filesystem.squashfs": "",
        },
        "GParted-live",
    ),
    "clonezilla": DictTree(
        {
            "/Clonezilla-Live-Version": "clonezilla-live-3.1.3-16-amd64",
            "/live/vmlinuz": K,
            "/live/initrd.img": "",
            "/live/filesystem.squashfs": "",
        }
    ),
    "casper": DictTree(
        {
            **LOOPBACK,
            "/.disk/info": 'Ubuntu 24.04.1 LTS "Noble Numbat" - Release amd64 (20240827.1)',
            "/.disk/cd_type": "full_cd/single",
            "/boot/grub/grub.cfg": "linux /casper/vmlinuz layerfs-path=minimal.standard.live.squashfs --- quiet splash",
            "/casper/vmlinuz": K,
            "/casper/initrd": "",
            "/casper/minimal.standard.live.squashfs": "",
        },
        "Ubuntu 24.04.1 LTS amd64",
    ),
    "pop-os": DictTree(
        {
            "/casper_pop-os_22.04_amd64_intel_debug_39/vmlinuz.efi": K,
            "/casper_pop-os_22.04_amd64_intel_debug_39/initrd.gz": "",
        },
        "Pop_OS 22.04 amd64 Intel",
    ),
    "dracut-live": DictTree(
        {"/LiveOS/squashfs.img": "", "/images/pxeboot/vmlinuz": K, "/images/pxeboot/initrd.img": ""},
        "Fedora-WS-Live-41-1-4",
    ),
    "anaconda": DictTree(
        {
            "/.treeinfo": "[general]\nfamily = Red Hat Enterprise Linux\nversion = 9.4\narch = x86_64\n",
            "/images/install.img": "",
            "/images/pxeboot/vmlinuz": K,
            "/images/pxeboot/initrd.img": "",
        },
        "RHEL-9-4-0-BaseOS-x86_64",
    ),
    "archiso": DictTree(
        {
            **LOOPBACK,
            "/arch/version": "2024.06.01",
            "/arch/boot/x86_64/vmlinuz-linux": K,
            "/arch/boot/x86_64/initramfs-linux.img": "",
        },
        "ARCH_202406",
    ),
    "systemrescue": DictTree(
        {
            "/sysresccd/boot/x86_64/vmlinuz": K,
            "/sysresccd/boot/x86_64/sysresccd.img": "",
            "/sysresccd/boot/amd_ucode.img": "",
            "/sysresccd/VERSION": "11.01",
        },
        "RESCUE1101",
    ),
    "manjaro": DictTree(
        {"/manjaro/x86_64/rootfs.sfs": "", "/boot/vmlinuz-x86_64": K, "/boot/initramfs-x86_64.img": ""},
        "MANJARO_KDE_2401",
    ),
    "antix-mx": DictTree(
        {"/antiX/linuxfs": "", "/antiX/vmlinuz": K, "/antiX/initrd.gz": "", "/version": "MX-23.4_x64 December"},
        "MX-Live",
    ),
    "debian-installer-cd": DictTree(
        {
            "/.disk/info": 'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST 20240210-11:27',
            "/.disk/cd_type": "not_complete",
            "/install.amd/vmlinuz": K,
            "/install.amd/initrd.gz": "",
            "/dists/bookworm/Release": "Origin: Debian\nCodename: bookworm\n",
            "/pool/main": "",
        }
    ),
    "alpine": DictTree(
        {"/.alpine-release": "alpine-std 3.19.1", "/apks/x": "", "/boot/vmlinuz-lts": K}, "alpine-std 3.19"
    ),
    "windows": DictTree({"/sources/boot.wim": "", "/bootmgr": "", "/boot/bcd": ""}, "CCCOMA_X64FRE"),
    "windows-udf": DictTree({"/README.TXT": "UDF"}, "CCCOMA_X64FRE", udf=True),
    "bsd": DictTree({"/boot/kernel/kernel": "", "/boot/loader": ""}, "14_0_RELEASE_AMD64_CD"),
    "xen-installer": DictTree(
        {
            "/images/pxeboot/xen.gz": "",
            "/images/install.img": "",
            "/images/pxeboot/vmlinuz": K,
            "/images/pxeboot/initrd.img": "",
        },
        "QUBES-R4-2-0-X86-64",
    ),
    "puppy": DictTree({"/puppy_fossapup64_9.5.sfs": "", "/vmlinuz": K, "/initrd.gz": ""}),
}

LINES = {
    "debian-netboot": ["/linux /initrd.gz vga=788 --- quiet", "/linux /initrd.gz vga=788 nomodeset --- quiet"],
    "live-boot": [
        (
            "/live/vmlinuz-6.1.0-18-amd64 /live/initrd.img-6.1.0-18-amd64"
            " boot=live components findiso={iso} noeject quiet splash"
        ),
        (
            "/live/vmlinuz-6.1.0-18-amd64 /live/initrd.img-6.1.0-18-amd64"
            " boot=live components findiso={iso} noeject quiet splash nomodeset"
        ),
        (
            "/live/vmlinuz-6.1.0-18-amd64 /live/initrd.img-6.1.0-18-amd64"
            " boot=live components findiso={iso} noeject quiet splash toram"
        ),
        "/boot/grub/loopback.cfg",
    ],
    "casper": [
        (
            "/casper/vmlinuz /casper/initrd boot=casper iso-scan/filename={iso}"
            " layerfs-path=minimal.standard.live.squashfs fsck.mode=skip noprompt quiet splash ---"
        ),
        (
            "/casper/vmlinuz /casper/initrd boot=casper iso-scan/filename={iso}"
            " layerfs-path=minimal.standard.live.squashfs fsck.mode=skip noprompt quiet splash nomodeset ---"
        ),
        (
            "/casper/vmlinuz /casper/initrd boot=casper iso-scan/filename={iso}"
            " layerfs-path=minimal.standard.live.squashfs fsck.mode=skip noprompt quiet splash toram ---"
        ),
        "/boot/grub/loopback.cfg",
    ],
    "pop-os": [
        "/casper_pop-os_22.04_amd64_intel_debug_39/vmlinuz.efi /casper_pop-os_22.04_amd64_intel_debug_39/initrd.gz"
        " boot=casper live-media-path=/casper_pop-os_22.04_amd64_intel_debug_39 hostname=pop-os username=pop-os"
        f" noprompt iso-scan/filename={{iso}}{extra} ---"
        for extra in ("", " nomodeset", " toram")
    ],
    "dracut-live": [
        "/images/pxeboot/vmlinuz /images/pxeboot/initrd.img"
        f" root=live:CDLABEL={{volume_id}} rd.live.image iso-scan/filename={{iso}} quiet{extra}"
        for extra in ("", " nomodeset", " rd.live.ram=1")
    ],
    "archiso": [
        "/arch/boot/x86_64/vmlinuz-linux /arch/boot/x86_64/initramfs-linux.img"
        f" archisobasedir=arch img_dev=UUID={{data_uuid}} img_loop={{iso}}{extra}"
        for extra in ("", " nomodeset", " copytoram")
    ]
    + ["/boot/grub/loopback.cfg"],
    "systemrescue": [
        "/sysresccd/boot/x86_64/vmlinuz /sysresccd/boot/amd_ucode.img /sysresccd/boot/x86_64/sysresccd.img"
        " archisobasedir=sysresccd archisolabel={volume_id} img_dev=/dev/disk/by-uuid/{data_uuid} img_loop={iso}"
        + extra
        for extra in ("", " nomodeset", " copytoram")
    ],
}

SYSTEMS = {
    "live-boot": ("Debian GNU/Linux Live", "12.5.0", "amd64"),
    "casper": ("Ubuntu", "24.04.1", "amd64"),
    "pop-os": ("Pop!_OS", "22.04", "amd64"),
    "dracut-live": ("Fedora Workstation", "41", "amd64"),
    "anaconda": ("Red Hat Enterprise Linux", "9.4", "amd64"),
    "archiso": ("Arch Linux", "2024.06.01", "amd64"),
    "systemrescue": ("SystemRescue", "11.01", "amd64"),
    "gparted-live": ("GParted Live", "1.6.0-10", "amd64"),
    "tails": ("Tails", "6.0", "amd64"),
    "debian-installer-cd": ("Debian GNU/Linux", "12.5.0", "amd64"),
    "alpine": ("Alpine Linux", "3.19.1", ""),
}


@pytest.mark.parametrize("name", sorted(TREES))
def test_exactly_one_recipe_matches(name: str) -> None:
    found = [recipe.id for recipe in matching(TREES[name], packaged_recipes())]
    assert found[0] == name
    # the image's own loopback.cfg is what comes after the recipe, by the order of trust
    assert found[1:] == (
        ["loopback-cfg"] if "/boot/grub/loopback.cfg" in TREES[name].files and name != "loopback-cfg" else []
    )
    result = match(TREES[name], packaged_recipes())
    assert result is not None
    assert result.recipe.id == name
    assert bool(result.entries) != bool(result.reason)
    assert bool(result.reason) == bool(result.advice)


@pytest.mark.parametrize("name", sorted(LINES))
def test_command_lines(name: str) -> None:
    assert describe(match(TREES[name], packaged_recipes())) == (name, LINES[name])


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_names_and_versions(name: str) -> None:
    found = match(TREES[name], packaged_recipes())
    assert found is not None
    assert (found.system, found.version, found.architecture) == SYSTEMS[name]


@pytest.mark.parametrize("name", sorted(TREES))
def test_secure_boot_only_with_the_vendors_signature(name: str) -> None:
    found = match(TREES[name], packaged_recipes())
    assert found is not None
    signed = {entry.kernel for entry in found.entries if Firmware.UEFI_SECURE_BOOT in entry.firmware}
    expected = {"live-boot": {"/live/vmlinuz-6.1.0-18-amd64"}, "debian-netboot": {"/linux"}}
    assert signed == expected.get(name, set())


def test_a_32_bit_kernel_is_for_bios_and_32_bit_uefi() -> None:
    tree = DictTree(
        {"/live/vmlinuz": x86_kernel(bits=32), "/live/initrd.img": "", "/live/filesystem.squashfs": ""}, "old i386"
    )
    found = match(tree, packaged_recipes())
    assert found is not None
    assert found.architecture == "i386"
    assert {entry.firmware for entry in found.entries} == {frozenset({Firmware.BIOS, Firmware.UEFI_IA32})}


def test_an_arm_kernel_is_for_uefi_of_arm_alone() -> None:
    kernel = bytearray(4096)
    kernel[56:60] = b"ARM\x64"
    tree = DictTree({"/live/vmlinuz": bytes(kernel), "/live/initrd.img": "", "/live/filesystem.squashfs": ""})
    found = match(tree, packaged_recipes())
    assert found is not None
    assert found.architecture == "arm64"
    assert {entry.firmware for entry in found.entries} == {frozenset({Firmware.UEFI_ARM64})}


@pytest.mark.parametrize("recipe", ["dracut-live", "kiwi-live"])
def test_the_kernel_itself_says_who_signed_it(recipe: str) -> None:
    """Whoever builds such an image may take Debian's kernel, of which the recipe of the family knows nothing."""
    kernel = x86_kernel(signer=b"Debian Secure Boot Signer 2022 - linux")
    trees: dict[str, dict[str, bytes | str]] = {
        "dracut-live": {
            "/LiveOS/squashfs.img": "",
            "/images/pxeboot/vmlinuz": kernel,
            "/images/pxeboot/initrd.img": "",
        },
        "kiwi-live": {
            "/LiveOS/squashfs.img": "",
            "/boot/x86_64/loader/linux": kernel,
            "/boot/x86_64/loader/initrd": "",
        },
    }
    found = match(DictTree(trees[recipe], "own"), packaged_recipes())
    assert found is not None
    assert {entry.signer for entry in found.entries} == {"debian"}
    assert all(entry.trusted_by("debian") and not entry.trusted_by("ubuntu") for entry in found.entries)


def test_label_that_a_command_line_cannot_carry_gives_way_to_the_uuid() -> None:
    files = TREES["dracut-live"].files
    found = match(DictTree(files, "Fedora WS Live"), packaged_recipes())
    assert found is not None
    assert found.entries[0].parameters[0] == "root=live:UUID={iso_uuid}"
    own: dict[str, bytes | str] = {**files, "/boot/grub2/grub.cfg": "linux x root=live:CDLABEL=Own-Label rd.live.image"}
    found = match(DictTree(own, "Fedora WS Live"), packaged_recipes())
    assert found is not None
    assert found.entries[0].parameters[0] == "root=live:CDLABEL=Own-Label"
    assert describe(match(DictTree(files, "Fedora WS Live", uuid=""), packaged_recipes())) == ("dracut-live", [])


def test_kiwi_is_given_its_label() -> None:
    """Its parser knows no UUID, so that an entry with one could only fail."""
    files: dict[str, bytes | str] = {
        "/LiveOS/squashfs.img": "",
        "/boot/x86_64/loader/linux": K,
        "/boot/x86_64/loader/initrd": "",
    }
    # where no command line can carry the label, its own menu has to do
    found = match(DictTree({**files, "/boot/grub2/loopback.cfg": ""}, "openSUSE Leap Live"), packaged_recipes())
    assert found is not None
    assert [entry.kernel for entry in found.entries] == ["/boot/grub2/loopback.cfg"]
    found = match(DictTree(files, "openSUSE_Leap_Live"), packaged_recipes())
    assert found is not None
    assert {entry.parameters[0] for entry in found.entries} == {"root=live:CDLABEL={volume_id}"}


def test_hostile_values_never_reach_the_command_line() -> None:
    files: dict[str, bytes | str] = {
        **TREES["casper"].files,
        "/boot/grub/grub.cfg": b"layerfs-path=$(reboot);'x' y",
        "/casper/vmlinuz-9'; reboot": K,
        "/.disk/info": b"Ub\x1b[31m\xe2\x80\xaeuntu\x07 99.1 x",
    }
    files.pop("/casper/vmlinuz")
    files["/casper/vmlinuz-8"] = K
    found = match(DictTree(files), packaged_recipes())
    assert found is not None
    assert found.entries[0].kernel == "/casper/vmlinuz-8"
    assert not any("reboot" in word for word in found.entries[0].parameters)
    assert found.system.isprintable()
    assert "\u202e" not in found.system


def test_only_the_beginning_of_a_long_line_is_searched() -> None:
    files = {**TREES["casper"].files, "/.disk/info": b"Ubuntu" + b" " * LINE_LIMIT + b"24.04"}
    found = match(DictTree(files), packaged_recipes())
    assert found is not None
    assert found.version == ""


def test_kernel_and_initrd_belong_together() -> None:
    files: dict[str, bytes | str] = {
        "/arch/boot/x86_64/vmlinuz-linux-lts": K,
        "/arch/boot/x86_64/initramfs-linux-lts.img": "",
        "/arch/boot/x86_64/initramfs-linux-zen.img": "",
    }
    found = match(DictTree(files, "EOS_2024"), packaged_recipes())
    assert found is not None
    assert found.entries[0].initrds == ("/arch/boot/x86_64/initramfs-linux-lts.img",)
    assert found.entries[0].parameters[1] == "archisolabel=EOS_2024"


def test_recipe_without_its_kernel_yields_to_the_own_menu_and_else_says_so() -> None:
    files: dict[str, bytes] = {"/live/vmlinuz": K, "/live/filesystem.squashfs": b""}
    found = match(DictTree(files), packaged_recipes())
    assert found is not None
    assert not found.entries
    assert "live-boot" in found.reason
    found = match(DictTree({**files, "/boot/grub/loopback.cfg": b""}), packaged_recipes())
    assert found is not None
    assert [entry.method for entry in found.entries] == [BootMethod.LOOPBACK_CFG]


def test_nothing_matches_a_plain_data_disc() -> None:
    assert match(DictTree({"/photos/a.jpg": ""}, "PHOTOS"), packaged_recipes()) is None


def test_natural_order() -> None:
    names = ["6.1.0-9", "6.1.0-18", "5.10", "6.1.0-10-rt"]
    assert sorted(names, key=natural_key) == ["5.10", "6.1.0-9", "6.1.0-10-rt", "6.1.0-18"]


def test_globs() -> None:
    assert path_regex("/live/vmlinuz-*").fullmatch("/live/vmlinuz-1")
    assert not path_regex("/live/*").fullmatch("/live/a/b")
    assert path_regex("/[!a]?.x").fullmatch("/bc.x")
    assert not path_regex("/[!a]?.x").fullmatch("/acxx")
    assert not has_wildcard("/plain.path+x")
    with pytest.raises(ValueError, match="bracket"):
        path_regex("/[abc")
    assert placeholders("a={iso}{x_1}") == ("iso", "x_1")


def minimal(**changes: Any) -> dict[str, Any]:
    recipe: dict[str, Any] = {
        "id": "mine",
        "version": 1,
        "family": "mine",
        "priority": 50,
        "system": "Mine",
        "match": {"all": ["/kernel"]},
        "variants": [{"id": "main", "method": "linux", "firmware": ["bios"], "kernel": ["/kernel"]}],
    }
    recipe.update(changes)
    return {key: value for key, value in recipe.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"priority": 500}, r"mine.json: \$\.priority: expected a whole number from 1 to 100"),
        ({"surprise": 1}, "surprise"),
        ({"match": {}}, r"\$\.match"),
        ({"match": {"all": ["relative"]}}, r"\$\.match\.all\[0\]"),
        ({"match": {"volume_id": "("}}, "pattern is malformed"),
        ({"match": {"all": ["/[x"]}}, "unclosed bracket"),
        ({"refuse": {"reason": "no", "advice": "no"}}, r"\$"),
        ({"variants": None}, r"\$"),
        ({"extras": [{"of": "other", "title": "x", "add": ["y"]}]}, "expected one of main"),
        ({"capture": {"iso": [{"text": "x"}]}}, "placeholder of its own"),
    ],
)
def test_faults_in_recipes_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(CatalogError, match=text):
        parse_recipe(minimal(**changes), "mine.json")


def test_unknown_placeholder_is_a_fault() -> None:
    variant = {"id": "main", "method": "linux", "firmware": ["bios"], "kernel": ["/k"], "parameters": ["a={isoo}"]}
    with pytest.raises(CatalogError, match=r"isoo.*expected one of blank, data_uuid, iso"):
        parse_recipe(minimal(variants=[variant]), "mine.json")


def test_the_higher_version_of_a_recipe_wins(tmp_path: Path) -> None:
    for name, version, system in (("a", 2, "New"), ("b", 1, "Old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.json").write_text(json.dumps(minimal(version=version, system=system)))
    for order in (("a", "b"), ("b", "a")):
        assert by_id(load_recipes(tmp_path / name for name in order))["mine"].system == "New"
    (tmp_path / "a" / "other.json").write_text(json.dumps(minimal()))
    with pytest.raises(CatalogError, match="name of the file"):
        load_recipes([tmp_path / "a"])
    (tmp_path / "a" / "other.json").write_text("{")
    with pytest.raises(CatalogError, match="not valid JSON"):
        load_recipes([tmp_path / "a"])


def test_a_minimal_recipe_works() -> None:
    found = apply(DictTree({"/kernel": ""}), parse_recipe(minimal(), "mine.json"))
    assert [entry.title for entry in found.entries] == ["Mine"]


def test_recipe_files_are_sorted_by_priority() -> None:
    priorities = [recipe.priority for recipe in packaged_recipes()]
    assert priorities == sorted(priorities, reverse=True)
    assert len(priorities) == len(list(resources.data("recipes").glob("*.json")))
