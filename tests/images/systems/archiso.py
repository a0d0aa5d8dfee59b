"""Arch Linux and what is made of it: systems that start with archiso or an initramfs that grew out of it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.images.systems.row import K, Row

ARCH_FS = "btrfs exfat ext4 f2fs fat32 ntfs"
ARCH_KEEPS = "directory cow_device=UUID={data_uuid} cow_directory={persistence}"


def arch(
    name: str, version: str, label: str, *, flavour: str = "linux", base: str = "arch", ucode: bool = False
) -> Row:
    folder = f"/{base}/boot/x86_64"
    own = "" if label.startswith("ARCH_") else f"archisolabel={label} "
    ucodes = (f"/{base}/boot/intel-ucode.img", f"/{base}/boot/amd-ucode.img") if ucode else ()
    initrds = (*ucodes, f"{folder}/initramfs-{flavour}.img")
    return Row(
        name,
        version,
        label,
        {
            f"{folder}/vmlinuz-{flavour}": K,
            f"/{base}/x86_64/airootfs.sfs": "",
            **dict.fromkeys(initrds, ""),
            **({"/arch/version": version} if name == "Arch Linux" else {}),
        },
        "archiso",
        f"{folder}/vmlinuz-{flavour}",
        " ".join(initrds),
        f"archisobasedir={base} {own}img_dev=UUID={{data_uuid}} img_loop={{iso}}",
        ARCH_FS,
        toram="copytoram",
        persistence=ARCH_KEEPS,
    )


def arch_family() -> Iterator[Row]:
    yield arch("Arch Linux", "2024.06.01", "ARCH_202406")
    yield arch("Arch Linux", "2022.06.01", "ARCH_202206", ucode=True)
    yield arch("EndeavourOS", "202404", "EOS_202404", ucode=True)
    yield arch("CachyOS", "202403", "COS_202403", flavour="linux-cachyos")
    yield arch("Garuda Linux", "202403", "GARUDA_202403", flavour="linux-zen")
    yield arch("BlackArch", "202306", "BLACKARCH_202306", base="blackarch")
    yield arch("ArcoLinux", "202403", "ARCOLINUXL_202403")
    yield arch("Athena OS", "202311", "ATHENA_202311", flavour="linux-lts")
    yield arch("ArchBang", "202406", "ARCHBANG_202406")
    yield arch("Bluestar Linux", "202404", "BLUESTAR_202404")
    yield arch("RebornOS", "202403", "REBORN_202403", flavour="linux-lts")
    yield arch("Archcraft", "202404", "ARCHCRAFT_202404")
    yield Row(
        "SystemRescue",
        "11.01",
        "RESCUE1101",
        {
            "/sysresccd/boot/x86_64/vmlinuz": K,
            "/sysresccd/boot/x86_64/sysresccd.img": "",
            "/sysresccd/boot/intel_ucode.img": "",
            "/sysresccd/boot/amd_ucode.img": "",
            "/sysresccd/x86_64/airootfs.sfs": "",
            "/sysresccd/VERSION": "11.01",
            "/boot/grub/loopback.cfg": "",
        },
        "systemrescue",
        "/sysresccd/boot/x86_64/vmlinuz",
        "/sysresccd/boot/intel_ucode.img /sysresccd/boot/amd_ucode.img /sysresccd/boot/x86_64/sysresccd.img",
        "archisobasedir=sysresccd archisolabel={volume_id} img_dev=/dev/disk/by-uuid/{data_uuid} img_loop={iso}",
        "btrfs exfat ext4 fat32 ntfs",
        toram="copytoram",
        persistence=ARCH_KEEPS,
    )
    yield Row(
        "SystemRescueCd",
        "5.3.2",
        "sysrcd-5.3.2",
        {"/sysrcd.dat": "", "/isolinux/rescue64": K, "/isolinux/rescue32": K, "/isolinux/initram.igz": ""},
        "systemrescue-5",
        "/isolinux/rescue64",
        "/isolinux/initram.igz",
        "isoloop={iso}",
        "ext4 fat32",
        toram="docache",
    )
    for name, version, label, base in (
        ("Manjaro", "2401", "MANJARO_KDE_2401", "manjaro"),
        ("Mabox Linux", "2403", "MABOX_2403", "manjaro"),
        ("Garuda Linux", "240428", "GARUDA_KDELITE_240428", "garuda"),
    ):
        yield Row(
            name,
            version,
            label,
            {
                f"/{base}/x86_64/rootfs.sfs": "",
                "/.miso": "",
                "/boot/vmlinuz-x86_64": K,
                "/boot/intel_ucode.img": "",
                "/boot/amd_ucode.img": "",
                "/boot/initramfs-x86_64.img": "",
                "/boot/grub/loopback.cfg": "",
            },
            "manjaro",
            "/boot/vmlinuz-x86_64",
            "/boot/intel_ucode.img /boot/amd_ucode.img /boot/initramfs-x86_64.img",
            f"misobasedir={base} misolabel={{volume_id}} img_dev=/dev/disk/by-uuid/{{data_uuid}} img_loop={{iso}}"
            " driver=free nouveau.modeset=1 i915.modeset=1 radeon.modeset=1",
            "exfat ext4 fat32",
            toram="copytoram",
            persistence=ARCH_KEEPS,
        )
    artix = "img_dev=/dev/disk/by-uuid/{data_uuid} img_loop={iso} lang=en_US keytable=us tz=UTC"
    for version, more, words in (
        ("20230814", {"/LiveOS/livefs.img": ""}, f"overlay=livefs {artix}"),
        ("20230710", {}, artix),
    ):
        yield Row(
            "Artix Linux",
            version,
            f"ARTIX_{version}",
            {
                "/LiveOS/rootfs.img": "",
                "/boot/vmlinuz-x86_64": K,
                "/boot/intel-ucode.img": "",
                "/boot/amd-ucode.img": "",
                "/boot/initramfs-x86_64.img": "",
                **more,
            },
            "artix",
            "/boot/vmlinuz-x86_64",
            "/boot/intel-ucode.img /boot/amd-ucode.img /boot/initramfs-x86_64.img",
            words,
            "ext4 fat32",
        )
    yield Row(
        "KaOS",
        "202404",
        "KAOS_202404",
        {"/kdeos/boot/x86_64/kdeosiso": K, "/kdeos/boot/x86_64/kdeosiso.img": "", "/kdeos/x86_64/root-image.sqfs": ""},
        "kaos",
        "/kdeos/boot/x86_64/kdeosiso",
        "/kdeos/boot/x86_64/kdeosiso.img",
        "img_dev=/dev/disk/by-uuid/{data_uuid} img_loop={iso} kdeosisobasedir=kdeos kdeosisolabel={volume_id}",
        "exfat ext4 fat32",
    )
