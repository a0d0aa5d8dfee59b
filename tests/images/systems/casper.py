"""Ubuntu and what is made of it: systems that start with casper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.images.systems.row import CANONICAL, K, Row, kernel

CASPER_FS = "btrfs ext4 fat32 ntfs xfs"
CASPER_WORDS = "boot=casper iso-scan/filename={iso} fsck.mode=skip noprompt quiet splash ---"
WRITABLE = "partition writable persistent"


def casper(
    name: str,
    version: str,
    info: str,
    label: str,
    *,
    layer: str = "",
    more: Mapping[str, bytes | str] | None = None,
    words: str = CASPER_WORDS,
    names: tuple[str, str] = ("vmlinuz", "initrd"),
    signer: bytes = CANONICAL,
    filesystems: str = CASPER_FS,
) -> Row:
    tree: dict[str, bytes | str] = {
        "/.disk/info": info,
        f"/casper/{names[0]}": kernel(signer),
        f"/casper/{names[1]}": "",
        f"/casper/{layer or 'filesystem.squashfs'}": "",
        **(more or {}),
    }
    own = signer == CANONICAL
    return Row(
        name,
        version,
        label,
        tree,
        "casper",
        f"/casper/{names[0]}",
        f"/casper/{names[1]}",
        words,
        filesystems,
        "bios uefi uefi-ia32 uefi-ia32-sb uefi-sb" if own else "bios uefi uefi-ia32",
        "ubuntu" if own else "",
        "toram",
        WRITABLE,
    )


def ubuntu(name: str, dashed: str, version: str = "24.04.1") -> Row:
    info = f'{dashed} {version} LTS "Noble Numbat" - Release amd64 (20240827.1)'
    return casper(name, version, info, f"{dashed} {version} LTS amd64"[:32])


def casper_family() -> Iterator[Row]:
    yield casper(
        "Ubuntu",
        "24.04.1",
        'Ubuntu 24.04.1 LTS "Noble Numbat" - Release amd64 (20240827.1)',
        "Ubuntu 24.04.1 LTS amd64",
        layer="minimal.standard.live.squashfs",
        more={
            "/boot/grub/grub.cfg": "linux /casper/vmlinuz layerfs-path=minimal.standard.live.squashfs --- quiet splash",
            "/boot/grub/loopback.cfg": "menuentry x { linux /casper/vmlinuz iso-scan/filename=${iso_path} }",
            "/casper/install-sources.yaml": "",
        },
        words="boot=casper iso-scan/filename={iso} layerfs-path=minimal.standard.live.squashfs fsck.mode=skip noprompt"
        " quiet splash ---",
    )
    yield casper(
        "Ubuntu",
        "20.04.6",
        'Ubuntu 20.04.6 LTS "Focal Fossa" - Release amd64 (20230316)',
        "Ubuntu 20.04.6 LTS amd64",
        names=("vmlinuz", "initrd"),
    )
    yield casper(
        "Ubuntu",
        "16.04.7",
        'Ubuntu 16.04.7 LTS "Xenial Xerus" - Release amd64 (20200806)',
        "Ubuntu 16.04.7 LTS amd64",
        names=("vmlinuz.efi", "initrd.lz"),
    )
    yield casper(
        "Ubuntu Server",
        "22.04.4",
        'Ubuntu-Server 22.04.4 LTS "Jammy Jellyfish" - Release amd64 (20240216.1)',
        "Ubuntu-Server 22.04.4 LTS amd64",
        layer="ubuntu-server-minimal.squashfs",
        names=("hwe-vmlinuz", "hwe-initrd"),
    )
    yield ubuntu("Kubuntu", "Kubuntu")
    yield ubuntu("Xubuntu", "Xubuntu")
    yield ubuntu("Lubuntu", "Lubuntu")
    yield ubuntu("Ubuntu MATE", "Ubuntu-MATE")
    yield ubuntu("Ubuntu Budgie", "Ubuntu-Budgie")
    yield ubuntu("Ubuntu Studio", "Ubuntu-Studio")
    yield ubuntu("Ubuntu Cinnamon", "Ubuntu-Cinnamon")
    yield ubuntu("Ubuntu Unity", "Ubuntu-Unity")
    yield ubuntu("Ubuntu Kylin", "Ubuntu-Kylin")
    yield ubuntu("Edubuntu", "Edubuntu")
    mint = {"/preseed/linuxmint.seed": "", "/boot/grub/loopback.cfg": ""}
    mint_words = (
        "boot=casper iso-scan/filename={iso} file=/cdrom/preseed/linuxmint.seed fsck.mode=skip noprompt"
        " quiet splash ---"
    )
    yield casper(
        "Linux Mint",
        "21.3",
        'Linux Mint 21.3 "Virginia" - Release amd64 20240109',
        "Linux Mint 21.3 Cinnamon 64-bit",
        more=mint,
        words=mint_words,
        names=("vmlinuz", "initrd.lz"),
    )
    yield casper(
        "Linux Mint",
        "22",
        'Linux Mint 22 "Wilma" - Release amd64 20240722',
        "Linux Mint 22 Cinnamon 64-bit",
        more=mint,
        words=mint_words,
        names=("vmlinuz", "initrd.gz"),
    )
    yield casper("Zorin OS", "17.1", 'Zorin OS 17.1 "Core" - Release amd64 (20240220)', "Zorin OS 17.1 Core 64bit")
    yield casper("elementary OS", "7.1", 'elementary OS 7.1 "Horus" - Stable amd64 (20230926)', "elementary OS 7.1")
    yield casper("KDE neon", "20240229-0716", 'KDE neon "User Edition" - Release amd64', "neon user 20240229-0716")
    yield casper("Bodhi Linux", "7.0.0", 'Bodhi 7.0.0 "Standard" - Release amd64 (20230821)', "Bodhi 7.0.0")
    yield casper("Linux Lite", "6.6", 'Linux Lite 6.6 "Fluorite" - Release amd64', "Linux Lite 6.6 64-bit")
    yield casper("LXLE", "18.04.3", 'LXLE 18.04.3 "Focal" - Release amd64', "LXLE 18.04.3")
    yield casper("Rescuezilla", "2.5", 'Rescuezilla 2.5 "Jammy" - Release amd64', "Rescuezilla")
    yield casper("Feren OS", "2023.04", 'feren OS 2023.04 "Snapshot" - Release amd64', "feren OS")
    yield casper("Trisquel", "11.0", 'Trisquel 11.0 "Aramo" - Release amd64', "Trisquel 11.0 amd64", signer=b"FSF")
    yield casper(
        "TUXEDO OS",
        "2",
        'TUXEDO OS 2 "Jammy" - Release amd64',
        "TUXEDO OS 2",
        signer=b"TUXEDO Computers Secure Boot",
        filesystems="btrfs exfat ext4 fat32 ntfs xfs",
    )
    media = "/casper_pop-os_22.04_amd64_nvidia_debug_39"
    yield Row(
        "Pop!_OS",
        "22.04",
        "Pop_OS 22.04 amd64 Nvidia",
        {f"{media}/vmlinuz.efi": K, f"{media}/initrd.gz": "", f"{media}/filesystem.squashfs": ""},
        "pop-os",
        f"{media}/vmlinuz.efi",
        f"{media}/initrd.gz",
        f"boot=casper live-media-path={media} hostname=pop-os username=pop-os noprompt iso-scan/filename={{iso}} ---",
        CASPER_FS,
        toram="toram",
        persistence=WRITABLE,
    )
