"""The systems that users know, each with a tree as its maker lays it out and what has to come of it.

Names, labels, paths and parameters are written down here as they are in the images and in the boot documentation of the
families, and not taken from the recipes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.images.builders import x86_kernel

DEBIAN = b"Debian Secure Boot Signer 2022 - linux"
CANONICAL = b"Canonical Ltd. Secure Boot Signing (2021 v1)"
FEDORA = b"Fedora Secure Boot Signer"
RED_HAT = b"Red Hat Secure Boot Signing 501"
SUSE = b"SUSE Linux Enterprise Secure Boot Signkey"

K = x86_kernel()
ISO, DATA, UUID, LABEL = "{iso}", "{data_uuid}", "{iso_uuid}", "{volume_id}"


@dataclass(frozen=True)
class Row:
    """One system in one version."""

    name: str
    version: str
    label: str
    tree: Mapping[str, bytes | str]
    recipe: str
    kernel: str = ""
    """Empty when it is refused."""
    initrds: str = ""
    parameters: str = ""
    """Of the entry that this table describes: the first one, or with `entry` another."""
    filesystems: str = ""
    firmware: str = "bios uefi uefi-ia32"
    signer: str = ""
    """The vendor whose signature counts."""
    toram: str = ""
    """The words that run it from memory, `always`, or nothing."""
    persistence: str = ""
    """Where it keeps changes, and the words for that."""
    entry: int = 0
    method: str = "linux"
    reason: str = ""
    """A part of it."""
    architecture: str = "amd64"

    @property
    def id(self) -> str:
        """For the names of tests."""
        return f"{self.name} {self.version}".strip().replace(" ", "-").replace("/", "-")


def kernel(signer: bytes) -> bytes:
    return x86_kernel(signer=signer)


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


MX_WORDS = "fromiso={iso} from=hd,usb buuid={data_uuid} quiet splasht nosplash"


def antix_family() -> Iterator[Row]:
    for name, version, label, text, filesystems in (
        ("MX Linux", "21.3", "MX-Live", "MX-21.3_x64 Wildflower January 15, 2023", "ext4 fat32"),
        ("MX Linux", "23.4", "MX-Live", "MX-23.4_x64 Libretto September 15, 2024", "exfat ext4 fat32"),
        ("antiX", "23.1", "antiX-Live", "antiX-23.1_x64-full Arditi del Popolo 24 February 2024", "ext4 fat32"),
    ):
        yield Row(
            name,
            version,
            label,
            {"/antiX/linuxfs": "", "/antiX/vmlinuz": kernel(DEBIAN), "/antiX/initrd.gz": "", "/version": text},
            "antix-mx",
            "/antiX/vmlinuz",
            "/antiX/initrd.gz",
            MX_WORDS,
            filesystems,
            "bios uefi uefi-ia32 uefi-ia32-sb uefi-sb",
            "debian",
            "toram",
            "own persist_all",
        )


DRACUT_FS = "btrfs exfat ext4 fat32 xfs"
DRACUT_KEEPS = (
    "directory rd.live.overlay=UUID={data_uuid}:{persistence}/overlay rd.live.overlay.overlayfs=1"
    " rd.live.overlay.nouserconfirmprompt"
)
KIWI_KEEPS = (
    "own live_system.cow rd.live.overlay.persistent rd.live.overlay.cowfs=ext4 rd.live.cowfile.mbsize={persistence_mb}"
)
DRACUT_WORDS = "root=live:CDLABEL={volume_id} rd.live.image iso-scan/filename={iso}"


def dracut(
    name: str,
    version: str,
    label: str,
    *,
    kiwi: bool = False,
    signer: bytes = FEDORA,
    vendor: str = "fedora",
    keeps: str = DRACUT_KEEPS,
) -> Row:
    paths = ("/boot/x86_64/loader/linux", "/boot/x86_64/loader/initrd")
    if not kiwi:
        paths = ("/images/pxeboot/vmlinuz", "/images/pxeboot/initrd.img")
    return Row(
        name,
        version,
        label,
        {"/LiveOS/squashfs.img": "", paths[0]: kernel(signer), paths[1]: ""},
        "dracut-live",
        *paths,
        f"{DRACUT_WORDS} quiet",
        DRACUT_FS,
        signer=vendor,
        toram="rd.live.ram=1",
        persistence=keeps,
    )


def dracut_family() -> Iterator[Row]:
    yield dracut("Fedora Workstation", "41", "Fedora-WS-Live-41-1-4")
    yield dracut("Fedora Workstation", "42", "Fedora-WS-Live-42", kiwi=True)
    yield dracut("Fedora KDE Plasma Desktop", "42", "Fedora-KDE-Live-42", kiwi=True)
    yield dracut("Fedora Xfce", "39", "Fedora-Xfce-Live-39-1-5")
    yield dracut("Fedora Cinnamon", "39", "Fedora-Cinn-Live-39-1-5")
    yield dracut("Fedora LXQt", "40", "Fedora-LXQt-Live-40-1-14")
    yield dracut("Fedora MATE-Compiz", "40", "Fedora-MATE_Compiz-Live-40")
    yield dracut("Fedora Live", "39", "Fedora-i3-Live-39-1-5")
    yield dracut("Nobara", "41", "Nobara-41", signer=b"nobody", vendor="")
    yield dracut("Ultramarine Linux", "40", "ultramarine-flagship-40", signer=FEDORA)
    yield dracut("AlmaLinux Live", "9.3", "AlmaLinux-9.3-x86_64-Live", signer=b"AlmaLinux Secure Boot", vendor="")
    yield dracut("Rocky Linux Live", "9.3", "Rocky-9.3-Workstation", signer=b"Rocky Linux Secure Boot", vendor="")
    # laid out by kiwi, and nothing tells whose module is in its initramfs
    yield dracut("Acme", "3", "Acme-3", kiwi=True, signer=b"nobody", vendor="", keeps="")
    yield Row(
        "Acme_Kiwi",
        "3",
        "Acme_Kiwi-3",
        {
            "/LiveOS/squashfs.img": "",
            "/boot/x86_64/loader/linux": kernel(b"nobody"),
            "/boot/x86_64/loader/initrd": "",
            "/boot/grub2/grub.cfg": "linux ($root)/boot/x86_64/loader/linux ${isoboot} root=live:CDLABEL=Acme_Kiwi-3"
            " rd.live.image rd.live.overlay.persistent rd.live.overlay.cowfs=ext4\n",
        },
        "kiwi-live",
        "/boot/x86_64/loader/linux",
        "/boot/x86_64/loader/initrd",
        "root=live:CDLABEL=Acme_Kiwi-3 rd.live.image iso-scan/filename={iso}",
        DRACUT_FS,
        persistence=KIWI_KEEPS,
    )
    yield dracut("CentOS Stream Live", "9", "CentOS-Stream-Image-9-Live", signer=RED_HAT, vendor="redhat")
    for name, version, label in (
        ("openSUSE Tumbleweed Live", "", "openSUSE_Tumbleweed_KDE_Live"),
        ("openSUSE Leap Live", "15.5", "openSUSE_Leap_15.5_GNOME_Live"),
        ("GeckoLinux", "", "GeckoLinux_ROLLING"),
        ("Agama installer", "16.0", "Install-LEAP-16.0-x86_64"),
    ):
        yield Row(
            name,
            version,
            label,
            {
                "/LiveOS/squashfs.img": "",
                "/boot/x86_64/loader/linux": kernel(SUSE),
                "/boot/x86_64/loader/initrd": "",
                "/boot/grub2/loopback.cfg": "",
            },
            "opensuse-live",
            "/boot/x86_64/loader/linux",
            "/boot/x86_64/loader/initrd",
            DRACUT_WORDS,
            DRACUT_FS,
            signer="suse",
            persistence=KIWI_KEEPS,
        )
    for name, label, paths in (
        ("Bazzite", "bazzite-stable-42", ("/images/pxeboot/vmlinuz", "/images/pxeboot/initrd.img")),
        ("Bluefin", "bluefin-lts-42", ("/boot/vmlinuz", "/boot/initramfs.img")),
        ("Aurora", "aurora-stable-42", ("/boot/vmlinuz", "/boot/initramfs.img")),
        ("secureblue", "secureblue-42", ("/boot/vmlinuz", "/boot/initramfs.img")),
    ):
        yield Row(
            name,
            "42",
            label,
            {"/LiveOS/squashfs.img": "", paths[0]: kernel(FEDORA), paths[1]: ""},
            "ublue-live",
            *paths,
            "root=live:CDLABEL={volume_id} rd.live.image enforcing=0 iso-scan/filename={iso}",
            DRACUT_FS,
            signer="fedora",
            toram="rd.live.ram=1",
        )
    yield Row(
        "Void Linux",
        "",
        "VOID_LIVE",
        {"/LiveOS/squashfs.img": "", "/boot/vmlinuz": K, "/boot/initrd": ""},
        "void",
        "/boot/vmlinuz",
        "/boot/initrd",
        "root=live:CDLABEL={volume_id} ro init=/sbin/init rd.luks=0 rd.md=0 rd.dm=0 loglevel=4 vconsole.unicode=1"
        " vconsole.keymap=us locale.LANG=en_US.UTF-8 rd.live.overlay.overlayfs=1 iso-scan/filename={iso}",
        DRACUT_FS,
        toram="rd.live.ram",
    )
    yield Row(
        "Solus",
        "4.5",
        "SolusLiveBudgie-4.5",
        {"/LiveOS/squashfs.img": "", "/boot/kernel": K, "/boot/initrd.img": ""},
        "solus",
        "/boot/kernel",
        "/boot/initrd.img",
        f"{DRACUT_WORDS} rd.luks=0 rd.md=0 quiet splash --",
        DRACUT_FS,
        toram="rd.live.ram=1",
    )
    yield Row(
        "OpenMandriva Lx",
        "5.0",
        "OpenMandrivaLx.5.0",
        {"/LiveOS/squashfs.img": "", "/boot/vmlinuz0": K, "/boot/liveinitrd.img": ""},
        "openmandriva",
        "/boot/vmlinuz0",
        "/boot/liveinitrd.img",
        f"{DRACUT_WORDS} quiet",
        DRACUT_FS,
        toram="rd.live.ram=1",
    )
    yield Row(
        "Calculate Linux",
        "20240119",
        "CLDC-20240119",
        {"/livecd.squashfs": "", "/boot/vmlinuz": K, "/boot/initrd": ""},
        "calculate",
        "/boot/vmlinuz",
        "/boot/initrd",
        "root=live:LABEL={volume_id} init=/linuxrc rd.live.squashimg=livecd.squashfs nodevfs noresume"
        " iso-scan/filename={iso}",
        DRACUT_FS,
        toram="rd.live.ram=1",
    )
    gentoo = (
        "isoboot={iso} dokeymap looptype=squashfs loop=/image.squashfs cdroot root=live:CDLABEL={volume_id}"
        " rd.live.dir=/ rd.live.squashimg=image.squashfs iso-scan/filename={iso}"
    )
    for version, folder, filesystems in (
        ("20240609", "boot", "ext4 fat32"),
        ("20170101", "isolinux", "ext4 fat32"),
        ("20250105", "boot", DRACUT_FS),
    ):
        yield Row(
            "Gentoo",
            version,
            f"Gentoo-amd64-{version}",
            {"/image.squashfs": "", f"/{folder}/gentoo": K, f"/{folder}/gentoo.igz": ""},
            "gentoo",
            f"/{folder}/gentoo",
            f"/{folder}/gentoo.igz",
            gentoo,
            filesystems,
            toram="docache rd.live.ram=1",
        )


def anaconda_family() -> Iterator[Row]:
    for name, version, label, signer, vendor, filesystems in (
        ("Fedora Server", "41", "Fedora-S-dvd-x86_64-41", FEDORA, "fedora", "exfat ext4 fat32 xfs"),
        ("Fedora Everything", "41", "Fedora-E-dvd-x86_64-41", FEDORA, "fedora", "exfat ext4 fat32 xfs"),
        ("Fedora Silverblue", "41", "Fedora-SB-ostree-x86_64-41", FEDORA, "fedora", "exfat ext4 fat32 xfs"),
        ("Fedora Kinoite", "41", "Fedora-Knt-ostree-x86_64-41", FEDORA, "fedora", "exfat ext4 fat32 xfs"),
        ("Fedora IoT", "41", "Fedora-IoT-ostree-x86_64-41", FEDORA, "fedora", "exfat ext4 fat32 xfs"),
        ("Fedora", "41", "Fedora-Misc-x86_64-41", FEDORA, "fedora", "exfat ext4 fat32 xfs"),
        ("CentOS Stream", "9", "CentOS-Stream-9-BaseOS-x86_64", RED_HAT, "redhat", "exfat ext4 fat32 xfs"),
        ("Red Hat Enterprise Linux", "8.9", "RHEL-8-9-0-BaseOS-x86_64", RED_HAT, "redhat", "ext4 fat32 xfs"),
        ("Red Hat Enterprise Linux", "9.4", "RHEL-9-4-0-BaseOS-x86_64", RED_HAT, "redhat", "exfat ext4 fat32 xfs"),
        ("AlmaLinux", "9.4", "AlmaLinux-9-4-x86_64-dvd", b"AlmaLinux", "", "exfat ext4 fat32 xfs"),
        ("Rocky Linux", "9.3", "Rocky-9-3-x86_64-dvd", b"Rocky", "", "exfat ext4 fat32 xfs"),
        ("Oracle Linux", "9.3", "OL-9-3-0-BaseOS-x86_64", b"Oracle America", "", "exfat ext4 fat32 xfs"),
    ):
        yield Row(
            name,
            version,
            label,
            {
                "/.treeinfo": f"[general]\nfamily = {name}\nversion = {version}\narch = x86_64\n",
                "/.discinfo": "",
                "/images/install.img": "",
                "/images/pxeboot/vmlinuz": kernel(signer),
                "/images/pxeboot/initrd.img": "",
            },
            "anaconda",
            "/images/pxeboot/vmlinuz",
            "/images/pxeboot/initrd.img",
            "inst.stage2=hd:LABEL={volume_id} iso-scan/filename={iso} quiet",
            filesystems,
            signer=vendor,
        )
    for name, label in (
        ("CentOS Linux", "CentOS 7 x86_64"),
        ("Red Hat Enterprise Linux", "RHEL-7.9 Server.x86_64"),
        ("Oracle Linux", "OL-7.9 Server.x86_64"),
        ("Scientific Linux", "SL-7.9 x86_64"),
    ):
        yield Row(
            name,
            "7.9",
            label,
            {
                "/.treeinfo": "[general]\nversion = 7.9\narch = x86_64\n",
                "/LiveOS/squashfs.img": "",
                "/images/pxeboot/vmlinuz": kernel(RED_HAT),
                "/images/pxeboot/initrd.img": "",
            },
            "anaconda-7",
            "/images/pxeboot/vmlinuz",
            "/images/pxeboot/initrd.img",
            "inst.repo=hd:UUID={data_uuid}:{iso} quiet",
            "ext4 fat32 xfs",
            signer="redhat",
        )
    yield Row(
        "Red Hat Enterprise Linux or CentOS",
        "6.10",
        "CentOS_6.10_Final",
        {
            "/.treeinfo": "[general]\nversion = 6.10\narch = x86_64\n",
            "/images/install.img": "",
            "/images/pxeboot/vmlinuz": K,
            "/images/pxeboot/initrd.img": "",
        },
        "anaconda-7",
        reason="version 6 and earlier looks for its second stage on a disc",
    )
    for name, version, label, more in (
        ("openSUSE Leap", "15.5", "openSUSE-Leap-15.5-DVD-x86_64", {"/control.xml": ""}),
        ("openSUSE Tumbleweed", "", "openSUSE-Tumbleweed-DVD-x86_64", {"/media.1/media": ""}),
        ("SUSE Linux Enterprise", "15-SP5", "SLE-15-SP5-Full-x86_64", {"/media.1/media": ""}),
    ):
        yield Row(
            name,
            version,
            label,
            {"/boot/x86_64/loader/linux": kernel(SUSE), "/boot/x86_64/loader/initrd": "", **more},
            "suse-linuxrc",
            "/boot/x86_64/loader/linux",
            "/boot/x86_64/loader/initrd",
            "install=hd:{iso}?device=disk/by-uuid/{data_uuid} splash=silent",
            "ext4 fat32 ntfs",
            signer="suse",
        )


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


def single() -> Iterator[Row]:
    init = "/nix/store/0c5gnqs4mrmk0gajdgzblh3q8d9f1dq9-nixos-system-nixos-24.05/init"
    yield Row(
        "NixOS",
        "24.05",
        "nixos-24.05-x86_64",
        {
            "/nix-store.squashfs": "",
            "/version.txt": "24.05.1234",
            "/boot/bzImage": K,
            "/boot/initrd": "",
            "/boot/grub/loopback.cfg": "source /EFI/boot/grub.cfg",
            "/EFI/boot/grub.cfg": f"linux /boot/bzImage ${{isoboot}} init={init}  root=LABEL=nixos-24.05-x86_64 quiet",
        },
        "nixos",
        "/boot/bzImage",
        "/boot/initrd",
        f"findiso={{iso}} init={init} root=LABEL={{volume_id}}",
        "ext4 fat32",
        entry=1,
    )
    yield Row(
        "NixOS",
        "26.05",
        "nixos-minimal-26.05-x86_64",
        {"/nix-store.squashfs": "", "/boot/bzImage": K, "/boot/initrd": "", "/boot/grub/loopback.cfg": ""},
        "nixos",
        reason="NixOS 26.05 and later start with an initrd of systemd",
    )
    yield Row(
        "PCLinuxOS",
        "2024.02",
        "PCLinuxOS 2024.02",
        {"/livecd.sqfs": "", "/isolinux/vmlinuz": K, "/isolinux/initrd.gz": ""},
        "pclinuxos",
        "/isolinux/vmlinuz",
        "/isolinux/initrd.gz",
        "bootfromiso={iso} root=UUID={data_uuid} livecd=livecd",
        "ext4 fat32",
        toram="copy2ram",
    )
    yield Row(
        "Mageia network installer",
        "9",
        "Mageia-9-netinstall",
        {"/isolinux/x86_64/vmlinuz": K, "/isolinux/x86_64/all.rdz": ""},
        "mageia-netinstall",
        "/isolinux/x86_64/vmlinuz",
        "/isolinux/x86_64/all.rdz",
        "quiet",
        toram="always",
    )
    yield Row(
        "Mageia",
        "9",
        "Mageia-9-Live-Plasma-x86_64",
        {"/loopbacks/distrib-lzma.sqfs": "", "/boot/vmlinuz": K, "/boot/cdrom/initrd.gz": ""},
        "mageia",
        reason="look for a disc or a partition with their label",
    )
    yield Row("AerynOS", "2025.03", "AERYNOS_2025.03", {"/EFI/x": ""}, "aerynos", reason="in a second partition")
    yield Row(
        "Slackware Live",
        "15.0",
        "LIVESLAK",
        {"/liveslak/.isoversion": "15.0", "/boot/generic": K, "/boot/initrd.img": ""},
        "slackware-live",
        "/boot/generic",
        "/boot/initrd.img",
        "livemedia=/dev/disk/by-uuid/{data_uuid}:{iso} load_ramdisk=1 prompt_ramdisk=0 rw printk.time=0 kbd=us tz=UTC"
        " locale=en_US.utf8",
        "ext4 fat32 ntfs",
        toram="toram",
    )
    yield Row(
        "Slackware installer",
        "15.0",
        "SlackDVD",
        {"/kernels/huge.s/bzImage": K, "/isolinux/initrd.img": "", "/ANNOUNCE.15.0": ""},
        "slackware-install",
        "/kernels/huge.s/bzImage",
        "/isolinux/initrd.img",
        "load_ramdisk=1 prompt_ramdisk=0 rw printk.time=0 SLACK_KERNEL=huge.s",
    )
    slax = "from={iso} load_ramdisk=1 prompt_ramdisk=0 rw"
    slax_keeps = "directory slax.flags=perch perchdir={persistence}"
    yield Row(
        "Slax",
        "12.2.0",
        "Slax 12.2.0",
        {"/slax/boot/vmlinuz": K, "/slax/boot/initrfs.img": "", "/slax/01-core.sb": ""},
        "slax",
        "/slax/boot/vmlinuz",
        "/slax/boot/initrfs.img",
        slax,
        "ext4 fat32",
        toram="slax.flags=toram",
        persistence=slax_keeps,
    )
    yield Row(
        "MiniOS",
        "4.0.2",
        "MINIOS 4.0.2",
        {"/minios/boot/vmlinuz": K, "/minios/boot/initrfs.img": "", "/minios/00-core.sb": ""},
        "slax",
        "/minios/boot/vmlinuz",
        "/minios/boot/initrfs.img",
        slax,
        "ext4 fat32",
        toram="slax.flags=toram",
        persistence=slax_keeps,
    )
    for name, base, initrd in (("Porteus", "porteus", "initrd.xz"), ("PorteuX", "porteux", "initrd.zst")):
        yield Row(
            name,
            "5.01",
            f"{name} 5.01",
            {f"/{base}/base/000-kernel.xzm": "", "/boot/syslinux/vmlinuz": K, f"/boot/syslinux/{initrd}": ""},
            "porteus",
            "/boot/syslinux/vmlinuz",
            f"/boot/syslinux/{initrd}",
            "from={iso}",
            "ext4 fat32",
            toram="copy2ram",
            persistence="directory changes={persistence}",
        )
    for name, folder, files in (
        ("Tiny Core", "/cde", ("/boot/vmlinuz64", "/boot/corepure64.gz")),
        ("CorePlus", "/cde", ("/boot/vmlinuz", "/boot/core.gz")),
        ("Core", "", ("/boot/vmlinuz", "/boot/core.gz")),
    ):
        config = {"/boot/isolinux/isolinux.cfg": "LABEL CorePlus"} if name == "CorePlus" else {}
        yield Row(
            name,
            "15.0",
            name.replace(" ", ""),
            {
                files[0]: K,
                files[1]: "",
                "/boot/isolinux/boot.msg": f"{name} 15.0",
                **({f"{folder}/onboot.lst": ""} if folder else {}),
                **config,
            },
            "tinycore" if folder else "core",
            *files,
            "iso=UUID={data_uuid}{iso} loglevel=3 cde waitusb=5" if folder else "loglevel=3",
            "ext4 fat32" if folder else "",
            toram="always",
        )
    yield Row(
        "KNOPPIX",
        "9.1",
        "KNOPPIX_9.1",
        {"/KNOPPIX/KNOPPIX": "", "/boot/isolinux/linux64": K, "/boot/isolinux/minirt.gz": ""},
        "knoppix",
        "/boot/isolinux/linux64",
        "/boot/isolinux/minirt.gz",
        "bootfrom=/mnt-iso{iso} lang=en apm=power-off nomce",
        "ext4 fat32 ntfs",
        toram="toram",
    )
    yield Row(
        "Parted Magic",
        "2024_01_02",
        "PMAGIC",
        {
            "/pmagic/bzImage": K,
            "/pmagic/initrd.img": "",
            "/pmagic/fu.img": "",
            "/pmagic/m.img": "",
            "/pmagic/pmodules/PMAGIC_2024_01_02.SQFS": "",
        },
        "parted-magic",
        "/pmagic/bzImage",
        "/pmagic/initrd.img /pmagic/fu.img /pmagic/m.img",
        "uuid={data_uuid} iso_filename={iso} boot=live eject=no",
        "exfat ext4 fat32",
    )
    for name, label in (("iPXE", "iPXE"), ("netboot.xyz", "netboot.xyz")):
        yield Row(name, "", label, {"/ipxe.krn": K}, "ipxe", "/ipxe.krn", firmware="bios", method="linux16")
    yield Row(
        "FreeDOS",
        "13",
        "FD13LIVE",
        {"/isolinux/isolinux.bin": "", "/FREEDOS/BIN/COMMAND.COM": ""},
        "freedos",
        "/isolinux/isolinux.bin",
        firmware="bios",
        method="memdisk",
        toram="always",
        architecture="i386",
    )
    yield Row(
        "Memtest86+",
        "",
        "MT86PLUS_64",
        {"/EFI/BOOT/bootx64.efi": K, "/boot/floppy.img": K},
        "memtest86plus",
        "/boot/floppy.img",
        firmware="bios",
        method="linux16",
        toram="always",
    )
    yield Row(
        "GRUB rescue",
        "",
        "ISOIMAGE",
        {"/boot/grub/grub.cfg": "#\n# Sample GRUB configuration file\n#", "/boot/grub/i386-pc/eltorito.img": ""},
        "grub-rescue",
        "/boot/grub/grub.cfg",
        firmware="bios",
        method="configfile",
        architecture="i386",
    )
    yield Row(
        "Debian network installer",
        "12",
        "MINI",
        {"/linux": kernel(DEBIAN), "/initrd.gz": "", "/.disk/mini-info": "Debian 12"},
        "debian-netboot",
        "/linux",
        "/initrd.gz",
        "vga=788 --- quiet",
        firmware="bios uefi uefi-ia32 uefi-ia32-sb uefi-sb",
        signer="debian",
        toram="always",
    )
    yield Row(
        "Live system",
        "",
        "",
        {"/boot/grub/loopback.cfg": "menuentry x { echo }"},
        "loopback-cfg",
        "/boot/grub/loopback.cfg",
        filesystems="ext4 fat32",
        method="loopback-cfg",
        architecture="",
    )


def installers() -> Iterator[Row]:
    """Those whose own initrd looks for a disc alone."""
    for name, version, label, info, origin, suite, release, choice, signer in (
        (
            "Debian GNU/Linux",
            "12.5.0",
            "Debian 12.5.0 amd64 n",
            'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST with firmware 20240210-11:27',
            "Debian",
            "bookworm",
            "Suite: stable\nVersion: 12.5\n",
            "stable{blank}-{blank}12.5",
            "debian",
        ),
        (
            "Kali GNU/Linux",
            "2024.1",
            "Kali Linux amd64 n",
            'Kali GNU/Linux 2024.1rc4 "Kali-rolling" - Official amd64 NETINST 20240223-12:00',
            "Kali",
            "kali-rolling",
            "Suite: kali-last-snapshot\n",
            "kali-last-snapshot",
            "",
        ),
    ):
        yield Row(
            name,
            version,
            label,
            {
                "/.disk/info": info,
                "/.disk/cd_type": "not_complete",
                "/install.amd/vmlinuz": kernel(DEBIAN) if signer else K,
                "/install.amd/initrd.gz": "",
                f"/dists/{suite}/Release": f"Origin: {origin}\n{release}Codename: {suite}\n",
                "/pool/main": "",
            },
            f"{origin.lower()}-installer-cd",
            "/install.amd/vmlinuz",
            "/{fetched}/initrd.gz",
            "shared/ask_device=manual shared/enter_device=/dev/disk/by-uuid/{data_uuid}"
            f" iso-scan/ask_which_iso=[disk/by-uuid/{{data_uuid}}]{{blank}}{{iso}}{{blank}}({choice}) ---",
            filesystems="ext4 fat32",
            firmware="bios uefi uefi-ia32 uefi-ia32-sb uefi-sb" if signer else "bios uefi uefi-ia32",
            signer=signer,
        )


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


ROWS: tuple[Row, ...] = (
    *casper_family(),
    *live_family(),
    *antix_family(),
    *dracut_family(),
    *anaconda_family(),
    *arch_family(),
    *single(),
    *installers(),
    *refused(),
)
