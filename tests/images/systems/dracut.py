"""Fedora, openSUSE and others whose live systems start with dracut."""

from __future__ import annotations

from collections.abc import Iterator

from tests.images.systems.row import FEDORA, RED_HAT, SUSE, K, Row, kernel

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
