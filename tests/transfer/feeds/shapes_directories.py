"""Listings and lists of hashes."""

from __future__ import annotations

from tests.transfer.feeds.registry import key, shape, signed
from tests.transfer.feeds.web import bsd, framed, gnu, gnu512, listing


def _debian() -> None:
    for feed, arch in (("debian-netinst", "amd64"), ("debian-netinst-arm64", "arm64")):
        root = f"https://cdimage.debian.org/debian-cd/current/{arch}/iso-cd/"
        names = (
            f"debian-13.7.0-{arch}-netinst.iso",
            f"debian-edu-13.7.0-{arch}-netinst.iso",
            f"debian-mac-13.7.0-{arch}-netinst.iso",
        )
        shape(feed, signed(feed, root + "SHA256SUMS", gnu(*names), ".sign"), ("", arch, "13.7.0", root + names[0]))
    root = "https://cdimage.debian.org/debian-cd/current-live/amd64/iso-hybrid/"
    live = tuple(f"debian-live-13.7.0-amd64-{edition}.iso" for edition in ("kde", "gnome", "standard"))
    shape(
        "debian-live",
        signed("debian-live", root + "SHA256SUMS", gnu(*live, live[0] + ".contents"), ".sign"),
        *((["kde", "gnome", "standard"][n], "amd64", "13.7.0", root + live[n]) for n in range(3)),
    )


def _directories() -> None:
    root = "https://mirrors.edge.kernel.org/linuxmint/stable/"
    names = tuple(f"linuxmint-22.3-{edition}-64bit.iso" for edition in ("cinnamon", "mate", "xfce"))
    shape(
        "linuxmint",
        {
            root: listing("21.3/", "22/", "22.3/", "22.3-beta/"),
            **signed("linuxmint", root + "22.3/sha256sum.txt", gnu(*names, mark="*"), ".gpg"),
        },
        *((name.split("-")[2], "amd64", "22.3", f"{root}22.3/{name}") for name in names),
    )
    root = "https://ftp.belnet.be/mirror/endeavouros/iso/"
    names = (
        "EndeavourOS_Mercury-Neo-2025.03.19.iso",
        "EndeavourOS_Titan-Neo-2026.04.27.iso",
        "EndeavourOS_Titan-2026.03.06.iso",
    )
    shape(
        "endeavouros",
        {
            root: listing(*names, *(name + ".sha512" for name in names), *(name + ".sig" for name in names)),
            root + names[1] + ".sha512": gnu512(names[1]),
        },
        ("", "amd64", "2026.04.27", root + names[1]),
    )
    root = "https://cdimage.kali.org/"
    names = tuple(
        f"kali-linux-2026.2-{kind}"
        for kind in (
            "installer-amd64.iso",
            "installer-netinst-amd64.iso",
            "installer-netinst-arm64.iso",
            "live-amd64.iso",
            "live-amd64.iso.torrent",
        )
    )
    shape(
        "kali",
        {
            root: listing("current/", "kali-2025.10/", "kali-2026.2/", "kali-2026.1/", "kali-weekly/", "project/"),
            **signed("kali", root + "kali-2026.2/SHA256SUMS", gnu(*names), ".gpg"),
        },
        ("installer", "amd64", "2026.2", f"{root}kali-2026.2/{names[0]}"),
        ("netinst", "amd64", "2026.2", f"{root}kali-2026.2/{names[1]}"),
        ("netinst", "arm64", "2026.2", f"{root}kali-2026.2/{names[2]}"),
    )
    root = "https://deb.parrot.sh/parrot/iso/"
    names = ("Parrot-security-7.3_amd64.iso", "Parrot-home-7.3_amd64.iso", "Parrot-home-7.3_amd64.ova")
    text = (
        "md5\n"
        + "".join(f"{'0' * 32} {n}\n" for n in names)
        + "\nsha256\n"
        + gnu(*names)
        + "\nsha512\n"
        + gnu512(*names)
    )
    shape(
        "parrot",
        {root: listing("6.4/", "7.3/", "testing/"), root + "7.3/signed-hashes.txt": framed(text, key("parrot"))},
        ("security", "amd64", "7.3", f"{root}7.3/{names[0]}"),
        ("home", "amd64", "7.3", f"{root}7.3/{names[1]}"),
    )
    root = "https://mirrors.edge.kernel.org/zorinos-isos/"
    names = (
        "Zorin-OS-18.1-Core-64-bit.iso",
        "Zorin-OS-18.1-Core-64-bit-r2.iso",
        "Zorin-OS-18-Core-64-bit-r3.iso",
        "Zorin-OS-18.1-Lite-64-bit.iso",
    )
    shape(
        "zorin",
        {root: listing("9/", "17/", "18/"), root + "18/SHA256SUMS.txt": gnu(*names)},
        ("core", "amd64", "18.1-r2", f"{root}18/{names[1]}"),
        ("lite", "amd64", "18.1", f"{root}18/{names[3]}"),
    )
    root = "https://download.rockylinux.org/pub/rocky/"
    names = tuple(f"Rocky-10.2-x86_64-{kind}.iso" for kind in ("boot", "minimal", "dvd1"))
    latest = tuple(name.replace("10.2", "latest") for name in names)
    shape(
        "rocky",
        {
            root: listing("8/", "9/", "9.8/", "10/", "10.2/", "RPM-GPG-KEY-Rocky-10"),
            **signed("rocky", root + "10/isos/x86_64/CHECKSUM", bsd(*names, *latest), ".asc"),
        },
        *(
            (kind, "amd64", "10.2", f"{root}10/isos/x86_64/{name}")
            for kind, name in zip(("boot", "minimal", "dvd"), names, strict=True)
        ),
    )
    root = "https://repo.almalinux.org/almalinux/"
    names = tuple(f"AlmaLinux-10.2-x86_64-{kind}.iso" for kind in ("boot", "minimal", "dvd"))
    shape(
        "almalinux",
        {
            root: listing("8/", "9/", "10/", "almalinux-release-latest-10.x86_64.rpm"),
            root + "10/isos/x86_64/CHECKSUM": framed(bsd(*names), key("almalinux")),
        },
        *(
            (kind, "amd64", "10.2", f"{root}10/isos/x86_64/{name}")
            for kind, name in zip(("boot", "minimal", "dvd"), names, strict=True)
        ),
    )
    root = "https://mirror.stream.centos.org/"
    way = root + "10-stream/BaseOS/x86_64/iso/"
    name = "CentOS-Stream-10-20260915.0-x86_64-boot.iso"
    shape(
        "centos-stream",
        {
            root: listing("9-stream/", "10-stream/", "SIGs/"),
            way: listing(name, name + ".SHA256SUM", "CentOS-Stream-10-latest-x86_64-boot.iso"),
            way + name + ".SHA256SUM": bsd(name),
        },
        ("boot", "amd64", "10-20260915.0", way + name),
    )
    root = "https://repo-default.voidlinux.org/live/current/"
    names = (
        "void-live-x86_64-20250202-base.iso",
        "void-live-x86_64-musl-20250202-base.iso",
        "void-live-aarch64-20250202-xfce.iso",
        "void-x86_64-ROOTFS-20250202.tar.xz",
    )
    shape(
        "void",
        {root + "sha256sum.txt": bsd(*names)},
        ("base", "amd64", "20250202", root + names[0]),
        ("xfce", "arm64", "20250202", root + names[2]),
    )
    for edition, file in (("minimal", "install-amd64-minimal"), ("livegui", "livegui-amd64")):
        root = f"https://distfiles.gentoo.org/releases/amd64/autobuilds/current-{file}/"
        name = f"{file}-20260816T170110Z.iso"
        feed = f"gentoo-{edition}"
        shape(
            feed,
            {
                root: listing(name, name + ".CONTENTS.gz", name + ".DIGESTS", name + ".sha256"),
                root + name + ".sha256": framed(f"# SHA256 HASH\n{gnu(name)}", key(feed)),
            },
            (edition, "amd64", "20260816T170110Z", root + name),
        )
    root = "https://ftp.qubes-os.org/iso/"
    names = ("Qubes-R4.2.4-x86_64.iso", "Qubes-R4.3.1-x86_64.iso", "Qubes-R4.4.0-rc1-x86_64.iso")
    shape(
        "qubes",
        {
            root: listing(*names, *(name + ".DIGESTS" for name in names)),
            **signed("qubes", root + names[1] + ".DIGESTS", gnu(names[1], mark="*") + gnu512(names[1]), ".asc"),
        },
        ("", "amd64", "4.3.1", root + names[1]),
    )
    root = "https://mirrors.xcp-ng.org/isos/"
    names = ("xcp-ng-8.3.0-20250606.iso", "xcp-ng-8.3.0-20250606.2.iso", "xcp-ng-8.3.0-20250606.2-netinstall.iso")
    shape(
        "xcp-ng",
        {root: listing("8.2/", "8.3/", "drivers/"), **signed("xcp-ng", root + "8.3/SHA256SUMS", gnu(*names), ".asc")},
        ("install", "amd64", "8.3.0-20250606.2", f"{root}8.3/{names[1]}"),
        ("netinstall", "amd64", "8.3.0-20250606.2", f"{root}8.3/{names[2]}"),
    )
    root = "https://download.freebsd.org/releases/amd64/amd64/ISO-IMAGES/"
    names = tuple(f"FreeBSD-15.1-RELEASE-amd64-{kind}.iso" for kind in ("bootonly", "disc1"))
    shape(
        "freebsd",
        {
            root: listing("14.4/", "15.1/"),
            root + "15.1/CHECKSUM.SHA256-FreeBSD-15.1-RELEASE-amd64": bsd(*names, names[0] + ".xz"),
        },
        ("bootonly", "amd64", "15.1", f"{root}15.1/{names[0]}"),
        ("disc1", "amd64", "15.1", f"{root}15.1/{names[1]}"),
    )


def fill() -> None:
    """Put them into `SHAPES`."""
    for make in (
        _debian,
        _directories,
    ):
        make()
