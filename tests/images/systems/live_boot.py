"""Debian Live and what is made of it: systems that start with live-boot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.images.systems.row import CANONICAL, DEBIAN, K, Row, kernel

LIVE_FS = "btrfs ext4 f2fs fat32 xfs"
LIVE_FS_EXFAT = "btrfs exfat ext4 f2fs fat32 xfs"
LIVE_WORDS = "boot=live components findiso={iso} noeject quiet splash"
LIVE_KEEPS = "partition persistence persistence persistence-storage=filesystem"


def live(
    name: str,
    version: str,
    info: str,
    label: str,
    *,
    kernel_name: str = "vmlinuz",
    initrd: str = "initrd.img",
    signer: bytes = DEBIAN,
    filesystems: str = LIVE_FS,
    more: Mapping[str, bytes | str] | None = None,
) -> Row:
    tree: dict[str, bytes | str] = {
        **({"/.disk/info": info} if info else {}),
        f"/live/{kernel_name}": kernel(signer) if signer else K,
        f"/live/{initrd}": "",
        "/live/filesystem.squashfs": "",
        **(more or {}),
    }
    own = signer == DEBIAN
    return Row(
        name,
        version,
        label,
        tree,
        "live-boot",
        f"/live/{kernel_name}",
        f"/live/{initrd}",
        LIVE_WORDS,
        filesystems,
        "bios uefi uefi-ia32 uefi-ia32-sb uefi-sb" if own else "bios uefi uefi-ia32",
        "debian" if own else "",
        "toram",
        LIVE_KEEPS,
    )


def live_family() -> Iterator[Row]:
    old = "6.1.0-18-amd64"
    yield live(
        "Debian GNU/Linux Live",
        "12.5.0",
        'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 LIVE/INSTALL Binary 20240210-11:27',
        "d-live 12.5.0 gn amd64",
        kernel_name=f"vmlinuz-{old}",
        initrd=f"initrd.img-{old}",
        more={
            "/.disk/cd_type": "live",
            "/install/vmlinuz": K,
            "/live/vmlinuz-6.1.0-9-amd64": K,
            "/live/initrd.img-6.1.0-9-amd64": "",
            "/boot/grub/loopback.cfg": "source /boot/grub/grub.cfg",
        },
    )
    yield live(
        "Debian GNU/Linux Live",
        "13.0.0",
        'Debian GNU/Linux 13.0.0 "Trixie" - Official amd64 LIVE Binary 20250809-11:20',
        "d-live 13.0.0 gn amd64",
        kernel_name="vmlinuz-6.12.41+deb13-amd64",
        initrd="initrd.img-6.12.41+deb13-amd64",
        filesystems=LIVE_FS_EXFAT,
    )
    yield live("LMDE", "6", 'LMDE 6 "Faye" - Release amd64 20230923', "LMDE 6 Cinnamon 64-bit", initrd="initrd.lz")
    yield live("Devuan", "5.0.0", "", "Devuan 5.0.0 amd64")
    yield live("Kali Linux", "2024.1", "Kali GNU/Linux 2024.1 live amd64", "Kali Live", signer=b"")
    yield live(
        "Kali Linux",
        "2025.2",
        "Kali GNU/Linux 2025.2 live amd64",
        "Kali Live",
        signer=b"",
        filesystems=LIVE_FS_EXFAT,
    )
    yield live("Parrot OS", "6.0", "", "Parrot security 6.0 amd64", signer=b"")
    yield live("PureOS", "10.3", 'PureOS 10.3 "Byzantium" - Live amd64', "PureOS 10.3")
    yield live("SparkyLinux", "7.3", 'SparkyLinux 7.3 "Orion Belt" amd64', "Sparky 7.3 x86_64")
    yield live("SparkyLinux", "8.0", 'SparkyLinux 8.0 "Seven Sisters"', "Sparky 8.0 x86_64", filesystems=LIVE_FS_EXFAT)
    yield live("Peppermint OS", "2024", "", "PeppermintOS 2024 amd64")
    yield live("Kicksecure", "17.2", "", "Kicksecure 17.2 amd64")
    yield live("Whonix", "17.2", "", "Whonix 17.2 amd64")
    yield live("Finnix", "125", 'Finnix 125 "Peterborough" - amd64', "FINNIX_125_AMD64")
    yield live("Finnix", "126", "Finnix 126 - amd64", "FINNIX_126_AMD64", filesystems=LIVE_FS_EXFAT)
    yield live("Voyager", "12.5", "", "Voyager 12.5 amd64")
    yield live("Q4OS", "5.5", 'Q4OS 5.5 "Aquarius" amd64', "Q4OS 5.5")
    yield live("BunsenLabs", "12", 'BunsenLabs 12 "Boron" amd64', "BunsenLabs Boron")
    yield live("Dr.Parted Live", "24.03.1", "", "Dr.Parted Live 24.03.1 amd64")
    base = "boot=live config findiso={iso} nopersistence noprompt timezone=Etc/UTC splash noautologin module=Tails"
    yield Row(
        "Tails",
        "6.0",
        "TAILS 6.0 - 20240226",
        {
            "/live/Tails.module": "",
            "/live/vmlinuz": kernel(DEBIAN),
            "/live/initrd.img": "",
            "/live/filesystem.squashfs": "",
        },
        "tails",
        "/live/vmlinuz",
        "/live/initrd.img",
        f"{base} slab_nomerge slub_debug=FZ mce=0 vsyscall=none init_on_free=1 mds=full,nosmt page_alloc.shuffle=1"
        " randomize_kstack_offset=on quiet",
        "ext4 fat32",
        "bios uefi uefi-ia32 uefi-ia32-sb uefi-sb",
        "debian",
        "toram",
    )
    for version, filesystems in (("1.6.0-1", LIVE_FS), ("1.6.0-10", LIVE_FS_EXFAT), ("1.7.0-8", LIVE_FS_EXFAT)):
        yield Row(
            "GParted Live",
            version,
            "GParted-live",
            {
                "/GParted-Live-Version": f"gparted-live-{version}-amd64",
                "/live/vmlinuz": kernel(DEBIAN),
                "/live/initrd.img": "",
                "/live/filesystem.squashfs": "",
            },
            "gparted-live",
            "/live/vmlinuz",
            "/live/initrd.img",
            "boot=live union=overlay username=user config components noswap noeject ip= net.ifnames=0 nosplash"
            " findiso={iso} toram=filesystem.squashfs",
            filesystems,
            "bios uefi uefi-ia32 uefi-ia32-sb uefi-sb",
            "debian",
            "always",
        )
    for version, signer, vendor, filesystems in (
        ("3.1.2-9", DEBIAN, "debian", LIVE_FS),
        ("3.1.3-16", DEBIAN, "debian", LIVE_FS_EXFAT),
        ("20240715", CANONICAL, "ubuntu", LIVE_FS_EXFAT),
    ):
        text = f"clonezilla-live-{version}-{'noble-' if vendor == 'ubuntu' else ''}amd64"
        yield Row(
            "Clonezilla live",
            version,
            "CZ-3.1",
            {
                "/Clonezilla-Live-Version": text,
                "/live/vmlinuz": kernel(signer),
                "/live/initrd.img": "",
                "/live/filesystem.squashfs": "",
            },
            "clonezilla",
            "/live/vmlinuz",
            "/live/initrd.img",
            "boot=live union=overlay username=user config components quiet loglevel=0 noswap edd=on enforcing=0"
            " locales= keyboard-layouts= ocs_live_run=ocs-live-general ocs_live_extra_param= ocs_live_batch=no"
            " net.ifnames=0 nosplash findiso={iso} toram=live,syslinux,EFI,boot,.disk,utils",
            filesystems,
            "bios uefi uefi-ia32 uefi-ia32-sb uefi-sb",
            vendor,
            "always",
        )
    yield Row(
        "Grml",
        "2024.02",
        "grml64-full 2024.02",
        {
            "/boot/grub/loopback.cfg": "",
            "/boot/grml64full/vmlinuz": kernel(DEBIAN),
            "/boot/grml64full/initrd.img": "",
            "/boot/grml32full/vmlinuz": kernel(DEBIAN),
            "/boot/grml32full/initrd.img": "",
            "/live/grml64-full/grml64-full.squashfs": "",
            "/live/grml32-full/grml32-full.squashfs": "",
        },
        "grml",
        "/boot/grml64full/vmlinuz",
        "/boot/grml64full/initrd.img",
        "apm=power-off boot=live findiso={iso} nomce live-media-path=/live/grml64-full",
        LIVE_FS,
        "bios uefi uefi-ia32 uefi-ia32-sb uefi-sb",
        "debian",
        "toram",
        entry=1,
    )
