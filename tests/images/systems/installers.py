"""Installers that find their packages in the image file: Anaconda, SUSE's linuxrc, and Debian's."""

from __future__ import annotations

from collections.abc import Iterator

from tests.images.systems.row import DEBIAN, FEDORA, RED_HAT, SUSE, K, Row, kernel


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


def debian_installers() -> Iterator[Row]:
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
