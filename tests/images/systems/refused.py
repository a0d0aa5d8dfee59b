"""Systems that do not start from a file, and why."""

from __future__ import annotations

from collections.abc import Iterator

from tests.images.systems.row import K, Row


def refused() -> Iterator[Row]:
    info = 'Ubuntu-Server 18.04.6 LTS "Bionic Beaver" - Release amd64 (20210915)'
    yield Row(
        "Ubuntu-Server",
        "18.04.6",
        "Ubuntu-Server 18.04.6 LTS amd64",
        {"/.disk/info": info, "/.disk/cd_type": "full_cd/single", "/install/vmlinuz": K, "/pool/main": ""},
        "foreign-installer-cd",
        reason="looks for a CD only",
    )
    yield Row(
        "Alpine Linux",
        "3.19.1",
        "alpine-std 3.19.1 x86_64",
        {"/.alpine-release": "alpine-std-3.19.1", "/apks/x": "", "/boot/vmlinuz-lts": K},
        "alpine",
        reason="on partitions only",
    )
    yield Row("FREEBSD", "14_0", "FREEBSD_14_0_AMD64", {"/boot/kernel/kernel": ""}, "bsd", reason="root filesystem")
    yield Row(
        "Puppy Linux",
        "9.5",
        "",
        {"/puppy_fossapup64_9.5.sfs": "", "/vmlinuz": K, "/initrd.gz": ""},
        "puppy",
        reason="on partitions only",
        architecture="",
    )
    yield Row(
        "QUBES",
        "4-2-0",
        "QUBES-R4-2-0-X86-64",
        {
            "/images/pxeboot/xen.gz": "",
            "/images/install.img": "",
            "/images/pxeboot/vmlinuz": K,
            "/images/pxeboot/initrd.img": "",
        },
        "xen-installer",
        reason="multiboot2",
    )
    yield Row("Windows", "", "CCCOMA_X64FRE_EN", {"/sources/boot.wim": "", "/bootmgr": ""}, "windows", reason="setup")
    for name, version, label, path in (
        ("Proxmox", "8.1", "PVE-8.1", "/pve-base.squashfs"),
        ("VMware ESXi", "8.0-21203435", "ESXI-8.0-21203435-STANDARD", "/efi/boot/crypto64.efi"),
        ("TrueNAS", "24.04", "TRUENAS-24.04", "/TrueNAS-SCALE.update"),
    ):
        yield Row(name, version, label, {path: ""}, "hypervisors", reason="and not in an image file", architecture="")
