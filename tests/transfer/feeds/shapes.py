"""For every packaged feed, documents of the shape that its maker publishes, with what stands there to mislead.

None of it is a copy: the names follow the makers' patterns, the hashes are those of the names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.transfer.feeds.web import Page, atom, bsd, feed_of, framed, gnu, gnu512, listing, rss, sha256, sha512

Expected = tuple[str, str, str, str]
"""Edition, architecture, version, address."""


@dataclass(frozen=True)
class Shape:
    """What a feed answers, and what it means."""

    feed: str
    pages: Mapping[str, Page]
    expected: tuple[Expected, ...]


SHAPES: dict[str, Shape] = {}


def shape(feed: str, pages: Mapping[str, Page], *expected: Expected) -> None:
    SHAPES[feed] = Shape(feed, pages, expected)


def key(feed: str) -> str:
    return sorted(feed_of(feed).signing.keys)[0]


def signature(feed: str) -> str:
    return f"signed by {key(feed)}\n"


def signed(feed: str, url: str, text: str, suffix: str) -> dict[str, Page]:
    """A list of hashes with its signature beside it."""
    return {url: text, url + suffix: signature(feed)}


def sidecars(suffix: str, *urls: str) -> dict[str, Page]:
    """A list of one hash beside each file."""
    pages: dict[str, Page] = {}
    for url in urls:
        behind = "/download" if url.endswith("/download") else ""
        plain = url.removesuffix("/download")
        pages[plain + suffix + behind] = gnu(plain.rpartition("/")[2])
    return pages


def _ubuntu() -> None:
    base = "https://releases.ubuntu.com/"
    for feed, kind, stream in (("ubuntu", "desktop", "ubuntu"), ("ubuntu-server", "live-server", "ubuntu-server")):
        products: dict[str, Any] = {}
        for series, point in (
            ("22.04", "22.04.5"),
            ("24.04", "24.04.5"),
            ("24.04", "24.04.5.1"),
            ("26.04", "26.04.1"),
            ("26.10", "26.10"),
        ):
            name = f"ubuntu-{point}-{kind}-amd64.iso"
            product = products.setdefault(
                f"com.ubuntu.releases:{stream}:{kind}:{series}:amd64", {"arch": "amd64", "os": "ubuntu", "versions": {}}
            )
            product["versions"][point] = {
                "items": {
                    "iso": {"ftype": "iso", "path": f"series/{name}", "sha256": sha256(name), "size": 6_000_000_000},
                    "list": {"ftype": "list", "path": f"series/{name}.list", "sha256": sha256("x"), "size": 5},
                }
            }
        document = {"content_id": f"com.ubuntu.releases:{stream}", "format": "products:1.0", "products": products}
        pages: dict[str, Page] = {f"{base}streams/v1/com.ubuntu.releases:{stream}.json": json.dumps(document)}
        for series, points in (("24.04", ("24.04.5", "24.04.5.1")), ("26.04", ("26.04.1",))):
            names = [f"ubuntu-{point}-{k}-amd64.iso" for point in points for k in ("desktop", "live-server")]
            pages |= signed(feed, f"{base}{series}/SHA256SUMS", gnu(*names, mark="*"), ".gpg")
        shape(
            feed, pages,
            ("", "amd64", "24.04.5.1", f"{base}series/ubuntu-24.04.5.1-{kind}-amd64.iso"),
            ("", "amd64", "26.04.1", f"{base}series/ubuntu-26.04.1-{kind}-amd64.iso"),
        )  # fmt: skip
    for flavour in ("kubuntu", "xubuntu", "lubuntu", "ubuntu-mate", "ubuntu-budgie"):
        root = f"https://cdimage.ubuntu.com/{flavour}/releases/"
        name = f"{flavour}-26.04.1-desktop-amd64.iso"
        shape(
            flavour,
            {
                root: listing("24.04.4/", "26.04/", "26.04.1/", "26.10/", "noble/", "resolute/"),
                **signed(flavour, f"{root}26.04.1/release/SHA256SUMS", gnu(name, mark="*"), ".gpg"),
            },
            ("", "amd64", "26.04.1", f"{root}26.04.1/release/{name}"),
        )


def _debian() -> None:
    for feed, arch in (("debian-netinst", "amd64"), ("debian-netinst-arm64", "arm64")):
        root = f"https://cdimage.debian.org/debian-cd/current/{arch}/iso-cd/"
        names = (
            f"debian-13.7.0-{arch}-netinst.iso",
            f"debian-edu-13.7.0-{arch}-netinst.iso",
            f"debian-mac-13.7.0-{arch}-netinst.iso",
        )
        shape(feed, signed(feed, root + "SHA512SUMS", gnu512(*names), ".sign"), ("", arch, "13.7.0", root + names[0]))
    root = "https://cdimage.debian.org/debian-cd/current-live/amd64/iso-hybrid/"
    names = tuple(f"debian-live-13.7.0-amd64-{edition}.iso" for edition in ("kde", "gnome", "standard"))
    shape(
        "debian-live",
        signed("debian-live", root + "SHA512SUMS", gnu512(*names, names[0] + ".contents"), ".sign"),
        *(("kde gnome standard".split()[n], "amd64", "13.7.0", root + names[n]) for n in range(3)),
    )


def _fedora() -> None:
    root = "https://download.fedoraproject.org/pub/fedora/linux/releases/"
    kinds = {
        "fedora-workstation": (("", "amd64", "Workstation/x86_64/iso/", "Fedora-Workstation-Live-{v}.x86_64.iso", "Fedora-Workstation-{v}-x86_64-CHECKSUM"),
                               ("", "arm64", "Workstation/aarch64/iso/", "Fedora-Workstation-Live-{v}.aarch64.iso", "Fedora-Workstation-{v}-aarch64-CHECKSUM")),
        "fedora-kde": (("", "amd64", "KDE/x86_64/iso/", "Fedora-KDE-Desktop-Live-{v}.x86_64.iso", "Fedora-KDE-{v}-x86_64-CHECKSUM"),),
        "fedora-server": (("netinst", "amd64", "Server/x86_64/iso/", "Fedora-Server-netinst-x86_64-{v}.iso", "Fedora-Server-{v}-x86_64-CHECKSUM"),),
        "fedora-spins": (("kinoite", "amd64", "Kinoite/x86_64/iso/", "Fedora-Kinoite-ostree-x86_64-{v}.iso", "Fedora-Kinoite-{v}-x86_64-CHECKSUM"),),
    }  # fmt: skip
    rows, expected, pages = [], {}, {}
    for feed, files in kinds.items():
        for edition, arch, way, name, sums in files:
            for version, token in (
                ("43", "43-1.6"),
                ("44", "44-1.7"),
                ("44", "44-1.2"),
                ("45 Beta", "45_Beta-1.1"),
                ("45 Beta", "45-1.1"),
            ):
                number = version.partition(" ")[0]
                link = f"{root}{number}/{way}{name.format(v=token)}"
                # a respin is a new line beside the old one, and sizes are texts
                rows.append(
                    {
                        "version": version,
                        "arch": "x86_64",
                        "link": link,
                        "sha256": sha256(link.rpartition("/")[2]),
                        "size": "2851612672",
                    }
                )
                rows.append(
                    {
                        "version": version,
                        "arch": "x86_64",
                        "link": link + ".ociarchive",
                        "sha256": sha256("x"),
                        "size": "1",
                    }
                )
                if token in ("43-1.6", "44-1.7"):
                    expected.setdefault(feed, []).append((edition, arch, token, link))
                    pages.setdefault(feed, {})[f"{root}{number}/{way}{sums.format(v=token)}"] = framed(
                        bsd(name.format(v=token)), key(feed)
                    )
    for feed in kinds:
        shape(feed, {"https://fedoraproject.org/releases.json": json.dumps(rows), **pages[feed]}, *expected[feed])


def _json() -> None:
    def record(version: str, available: bool) -> dict[str, Any]:
        name = f"archlinux-{version}-x86_64.iso"
        return {
            "version": version, "release_date": version.replace(".", "-"), "available": available, "kernel_version": "7.1.2",
            "iso_url": f"/iso/{version}/{name}", "sha256_sum": sha256(name), "md5_sum": "0" * 32, "b2_sum": "1" * 128,
            "torrent": {"file_length": 1_608_286_208, "file_name": name},
        }  # fmt: skip

    releases = [record("2026.10.01", False), record("2026.09.01", True), record("2026.08.01", True)]
    shape(
        "arch",
        {"https://archlinux.org/releng/releases/json/": json.dumps({"version": 1, "releases": releases, "latest_version": "2026.09.01"})},
        ("", "amd64", "2026.09.01", "https://geo.mirror.pkgbuild.com/iso/2026.09.01/archlinux-2026.09.01-x86_64.iso"),
    )  # fmt: skip
    for channel, build in (("generic", "28"), ("nvidia", "27")):
        name = f"pop-os_24.04_amd64_{channel}_{build}.iso"
        root = f"https://iso.pop-os.org/24.04/amd64/{channel}/{build}/"
        answer = {
            "version": "24.04",
            "channel": channel,
            "build": build,
            "url": root + name,
            "sha_sum": sha256(name),
            "size": 3_077_963_776,
        }
        feed = f"popos-{channel}"
        shape(
            feed,
            {
                # what does not exist yet is told with status 200
                f"https://api.pop-os.org/builds/26.10/{channel}?arch=amd64": json.dumps({"errors": ["not found"]}),
                f"https://api.pop-os.org/builds/24.04/{channel}?arch=amd64": json.dumps(answer),
                **signed(feed, root + "SHA256SUMS", gnu(name), ".gpg"),
            },
            (channel, "amd64", f"24.04-{build}", root + name),
        )
    leap = {
        "Leap": [
            {"name": "openSUSE Leap 16.1", "version": "16.1", "state": "RC"},
            {"version": "16.0", "state": "Stable"},
            {"version": "15.6", "state": "EOL"},
        ],
        "Tumbleweed": [],
    }
    pages: dict[str, Page] = {"https://get.opensuse.org/api/v0/distributions.json": json.dumps(leap)}
    expected = []
    for edition in ("offline", "online"):
        url = f"https://download.opensuse.org/distribution/leap/16.0/offline/Leap-16.0-{edition}-installer-x86_64.install.iso"
        listed = f"Leap-16.0-{edition}-installer-x86_64-Build171.1.install.iso"
        pages |= signed("opensuse-leap", url + ".sha512", gnu512(listed), ".asc")
        expected.append((edition, "amd64", "16.0", url))
    shape("opensuse-leap", pages, *expected)
    base = "https://download.manjaro.org/"

    def images(way: str, name: str) -> dict[str, str]:
        return {
            "image": base + way + name,
            "checksum": base + way + name + ".sha256",
            "signature": base + way + name + ".sig",
        }

    plasma = ("kde/26.1.1/", "manjaro-kde-26.1.1-260825-linux71.iso", "manjaro-kde-26.1.1-minimal-260825-linux71.iso")
    minimal = ("kde/26.1.1/", "manjaro-kde-minimal-26.1.1-260825-linux71.iso")
    document = {
        "official": {"plasma": {**images(*plasma[:2]), "minimal": images(*minimal)}},
        "community": {"sway": {"image": "https://elsewhere.example/manjaro-sway-26.1.1-260825-linux71.iso"}},
        "arm": {"generic": {"image": "http://download.manjaro.org/x.img.xz"}},
    }
    shape(
        "manjaro",
        {
            "https://gitlab.manjaro.org/web/iso-info/-/raw/master/file-info.json": json.dumps(document),
            **sidecars(".sha256", base + plasma[0] + plasma[1], base + minimal[0] + minimal[1]),
        },
        ("kde", "amd64", "26.1.1-260825-linux71", base + plasma[0] + plasma[1]),
        ("kde-minimal", "amd64", "26.1.1-260825-linux71", base + minimal[0] + minimal[1]),
    )
    name = "tails-amd64-7.5.iso"
    root = "https://download.tails.net/tails/stable/tails-amd64-7.5/"
    paths = [
        {"type": kind, "target-files": [{"sha256": sha256(name.replace("iso", kind)), "size": 2_031_644_672, "url": root + name.replace("iso", kind)}]}
        for kind in ("img", "iso")
    ]  # fmt: skip
    shape(
        "tails",
        {"https://tails.net/install/v2/Tails/amd64/stable/latest.json": json.dumps({"installations": [{"version": "7.5", "installation-paths": paths}]})},
        ("", "amd64", "7.5", root + name),
    )  # fmt: skip
    root = "https://github.com/rescuezilla/rescuezilla/releases/download/2.6.2/"
    assets = [
        {"name": name, "browser_download_url": root + name, "size": 1_594_339_328, "digest": "sha256:" + sha256(name)}
        for name in ("rescuezilla-2.6.2-64bit.noble.iso", "rescuezilla-2.6.2-64bit.resolute.iso", "rescuezilla_2.6.2-1_all.deb")
    ]  # fmt: skip
    shape(
        "rescuezilla",
        {
            "https://api.github.com/repos/rescuezilla/rescuezilla/releases/latest": json.dumps(
                {"tag_name": "2.6.2", "assets": assets}
            )
        },
        ("noble", "amd64", "2.6.2", root + "rescuezilla-2.6.2-64bit.noble.iso"),
        ("resolute", "amd64", "2.6.2", root + "rescuezilla-2.6.2-64bit.resolute.iso"),
    )


def _directories() -> None:
    root = "https://mirrors.edge.kernel.org/linuxmint/stable/"
    names = tuple(f"linuxmint-22.3-{edition}-64bit.iso" for edition in ("cinnamon", "mate", "xfce"))
    shape(
        "linuxmint",
        {root: listing("21.3/", "22/", "22.3/", "22.3-beta/"), **signed("linuxmint", root + "22.3/sha256sum.txt", gnu(*names, mark="*"), ".gpg")},
        *((name.split("-")[2], "amd64", "22.3", f"{root}22.3/{name}") for name in names),
    )  # fmt: skip
    root = "https://ftp.belnet.be/mirror/endeavouros/iso/"
    names = (
        "EndeavourOS_Mercury-Neo-2025.03.19.iso",
        "EndeavourOS_Titan-Neo-2026.04.27.iso",
        "EndeavourOS_Titan-2026.03.06.iso",
    )
    shape(
        "endeavouros",
        {root: listing(*names, *(name + ".sha512" for name in names), *(name + ".sig" for name in names)), root + names[1] + ".sha512": gnu512(names[1])},
        ("", "amd64", "2026.04.27", root + names[1]),
    )  # fmt: skip
    root = "https://cdimage.kali.org/"
    names = tuple(
        f"kali-linux-2026.2-{kind}"
        for kind in ("installer-amd64.iso", "installer-netinst-amd64.iso", "installer-netinst-arm64.iso", "live-amd64.iso", "live-amd64.iso.torrent")
    )  # fmt: skip
    shape(
        "kali",
        {
            root: listing("current/", "kali-2025.10/", "kali-2026.2/", "kali-2026.1/", "kali-weekly/", "project/"),
            **signed("kali", root + "kali-2026.2/SHA256SUMS", gnu(*names), ".gpg"),
        },
        ("installer", "amd64", "2026.2", f"{root}kali-2026.2/{names[0]}"),
        ("installer-netinst", "amd64", "2026.2", f"{root}kali-2026.2/{names[1]}"),
        ("installer-netinst", "arm64", "2026.2", f"{root}kali-2026.2/{names[2]}"),
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
        {root: listing("8/", "9/", "9.8/", "10/", "10.2/", "RPM-GPG-KEY-Rocky-10"), **signed("rocky", root + "10/isos/x86_64/CHECKSUM", bsd(*names, *latest), ".asc")},
        *((kind, "amd64", "10.2", f"{root}10/isos/x86_64/{name}") for kind, name in zip(("boot", "minimal", "dvd"), names, strict=True)),
    )  # fmt: skip
    root = "https://repo.almalinux.org/almalinux/"
    names = tuple(f"AlmaLinux-10.2-x86_64-{kind}.iso" for kind in ("boot", "minimal", "dvd"))
    shape(
        "almalinux",
        {root: listing("8/", "9/", "10/", "almalinux-release-latest-10.x86_64.rpm"), root + "10/isos/x86_64/CHECKSUM": framed(bsd(*names), key("almalinux"))},
        *((kind, "amd64", "10.2", f"{root}10/isos/x86_64/{name}") for kind, name in zip(("boot", "minimal", "dvd"), names, strict=True)),
    )  # fmt: skip
    root = "https://mirror.stream.centos.org/"
    way = root + "10-stream/BaseOS/x86_64/iso/"
    name = "CentOS-Stream-10-20260915.0-x86_64-boot.iso"
    shape(
        "centos-stream",
        {root: listing("9-stream/", "10-stream/", "SIGs/"), way: listing(name, name + ".SHA256SUM", "CentOS-Stream-10-latest-x86_64-boot.iso"), way + name + ".SHA256SUM": bsd(name)},
        ("boot", "amd64", "10-20260915.0", way + name),
    )  # fmt: skip
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
            {root: listing(name, name + ".CONTENTS.gz", name + ".DIGESTS", name + ".sha256"), root + name + ".sha256": framed(f"# SHA256 HASH\n{gnu(name)}", key(feed))},
            (edition, "amd64", "20260816T170110Z", root + name),
        )  # fmt: skip
    root = "https://ftp.qubes-os.org/iso/"
    names = ("Qubes-R4.2.4-x86_64.iso", "Qubes-R4.3.1-x86_64.iso", "Qubes-R4.4.0-rc1-x86_64.iso")
    shape(
        "qubes",
        {root: listing(*names, *(name + ".DIGESTS" for name in names)), **signed("qubes", root + names[1] + ".DIGESTS", gnu(names[1], mark="*") + gnu512(names[1]), ".asc")},
        ("", "amd64", "4.3.1", root + names[1]),
    )  # fmt: skip
    root = "https://mirrors.xcp-ng.org/isos/"
    names = ("xcp-ng-8.3.0-20250606.iso", "xcp-ng-8.3.0-20250606.2.iso", "xcp-ng-8.3.0-20250606.2-netinstall.iso")
    shape(
        "xcp-ng",
        {root: listing("8.2/", "8.3/", "drivers/"), **signed("xcp-ng", root + "8.3/SHA256SUMS", gnu(*names), ".asc")},
        ("", "amd64", "8.3.0-20250606.2", f"{root}8.3/{names[1]}"),
        ("netinstall", "amd64", "8.3.0-20250606.2", f"{root}8.3/{names[2]}"),
    )
    root = "https://download.freebsd.org/releases/amd64/amd64/ISO-IMAGES/"
    names = tuple(f"FreeBSD-15.1-RELEASE-amd64-{kind}.iso" for kind in ("bootonly", "disc1"))
    shape(
        "freebsd",
        {root: listing("14.4/", "15.1/"), root + "15.1/CHECKSUM.SHA256-FreeBSD-15.1-RELEASE-amd64": bsd(*names, names[0] + ".xz")},
        ("bootonly", "amd64", "15.1", f"{root}15.1/{names[0]}"),
        ("disc1", "amd64", "15.1", f"{root}15.1/{names[1]}"),
    )  # fmt: skip


def _sourceforge() -> None:
    def files(
        feed: str, project: str, path: str, names: tuple[str, ...], *expected: tuple[str, str, str], **pages: Page
    ) -> None:
        urls = {name: f"https://sourceforge.net/projects/{project}/files{name}/download" for name in names}
        wanted = tuple((edition, "amd64", version, urls[name]) for edition, version, name in expected)
        beside = sidecars(".sha256", *(url for *_rest, url in wanted)) if not pages else {}
        shape(
            feed,
            {f"https://sourceforge.net/projects/{project}/rss?path={path}": rss(project, *names), **beside, **pages},
            *wanted,
        )

    files(
        "mx", "mx-linux", "/Final",
        ("/Final/Xfce/MX-23.6_Xfce_x64.iso", "/Final/Xfce/MX-25.2_Xfce_x64.iso", "/Final/Xfce/MX-25.2_Xfce_ahs_x64.iso",
         "/Final/Xfce/MX-25.2_Xfce_x64.iso.sha256", "/Final/KDE/MX-25.2_KDE_x64.iso", "/Final/Xfce/MX-26_beta1_Xfce_x64.iso"),
        ("xfce", "25.2", "/Final/Xfce/MX-25.2_Xfce_x64.iso"), ("xfce_ahs", "25.2", "/Final/Xfce/MX-25.2_Xfce_ahs_x64.iso"),
        ("kde", "25.2", "/Final/KDE/MX-25.2_KDE_x64.iso"),
    )  # fmt: skip
    files(
        "antix", "antix-linux", "/Final",
        ("/Final/antiX-23.2/antiX-23.2_x64-full.iso", "/Final/antiX-26/antiX-26_x64-full.iso", "/Final/antiX-26/antiX-26_x64-full.iso.sig",
         "/Final/antiX-26/runit-antiX-26/antiX-26-runit_x64-full.iso", "/Final/antiX-26/antiX-26_386-full.iso"),
        ("full", "26", "/Final/antiX-26/antiX-26_x64-full.iso"),
    )  # fmt: skip
    files(
        "cachyos", "cachyos-arch", "/gui-installer",
        ("/gui-installer/desktop/260809/cachyos-desktop-linux-260809.iso", "/gui-installer/desktop/260628/cachyos-desktop-linux-260628.iso",
         "/gui-installer/handheld/250626/cachyos-handheld-linux-260426.iso"),
        ("desktop", "260809", "/gui-installer/desktop/260809/cachyos-desktop-linux-260809.iso"),
        ("handheld", "260426", "/gui-installer/handheld/250626/cachyos-handheld-linux-260426.iso"),
    )  # fmt: skip
    files(
        "garuda", "garuda-linux", "/garuda",
        ("/garuda/dr460nized/260819/garuda-dr460nized-linux-garuda-260819.iso", "/garuda/dr460nized-gaming/260701/garuda-dr460nized-gaming-linux-garuda-260701.iso",
         "/garuda/dr460nized/260819/garuda-dr460nized-linux-garuda-260819.iso.sha1"),
        ("dr460nized", "260819", "/garuda/dr460nized/260819/garuda-dr460nized-linux-garuda-260819.iso"),
        ("dr460nized-gaming", "260701", "/garuda/dr460nized-gaming/260701/garuda-dr460nized-gaming-linux-garuda-260701.iso"),
    )  # fmt: skip
    files(
        "openmediavault", "openmediavault", "/iso",
        ("/iso/8.0-12/openmediavault_8.0-12-amd64.iso", "/iso/8.3.1/openmediavault_8.3.1-amd64.iso"),
        ("", "8.3.1", "/iso/8.3.1/openmediavault_8.3.1-amd64.iso"),
    )  # fmt: skip
    for feed, project, way, name, version, sums in (
        ("clonezilla", "clonezilla", "/clonezilla_live_stable", "clonezilla-live-3.3.3-37-amd64.iso", "3.3.3-37", "https://clonezilla.org/downloads/stable/data/CHECKSUMS.TXT"),
        ("gparted", "gparted", "/gparted-live-stable", "gparted-live-1.8.1-6-amd64.iso", "1.8.1-6", "https://gparted.org/gparted-live/stable/CHECKSUMS.TXT"),
    ):  # fmt: skip
        others = (name.replace("amd64.iso", "amd64.zip"), name.replace("amd64", "i686"))
        # BLAKE3 has as many digits as SHA-256, and BLAKE2 as many as SHA-512: the headings decide
        text = (
            f"### SHA256SUMS:\n{gnu(name, *others)}\n### SHA512SUMS:\n{gnu512(name, *others)}\n### BLAKE2SUMS:\n{sha512('b2')}  {name}\n"
            f"\n### BLAKE3SUMS:\n{sha256('b3')}  {name}\n"
        )
        files(feed, project, way, (f"{way}/{version}/{name}", f"{way}/1.0.0-1/{name.replace(version, '1.0.0-1')}", f"{way}/{version}/{others[0]}"),
              ("", version, f"{way}/{version}/{name}"), **signed(feed, sums, text, ".gpg"))  # fmt: skip


def _links() -> None:
    pages: dict[str, Page] = {}
    expected = []
    for edition in ("DVD", "NET", "GNOME-Live", "KDE-Live", "XFCE-Live"):
        url = f"https://download.opensuse.org/tumbleweed/iso/openSUSE-Tumbleweed-{edition}-x86_64-Current.iso"
        pages |= signed(
            "opensuse-tumbleweed",
            url + ".sha256",
            gnu(f"openSUSE-Tumbleweed-{edition}-x86_64-Snapshot20260929-Media.iso"),
            ".asc",
        )
        expected.append((edition.lower(), "amd64", "Snapshot20260929", url))
    shape("opensuse-tumbleweed", pages, *expected)
    root = "https://channels.nixos.org/nixos-26.05/latest-nixos-"
    shape(
        "nixos",
        {f"{root}{edition}-x86_64-linux.iso.sha256": gnu(f"nixos-{edition}-26.05.8111.5880666fd9eb-x86_64-linux.iso") for edition in ("graphical", "minimal")},
        *((edition, "amd64", "26.05.8111.5880666fd9eb", f"{root}{edition}-x86_64-linux.iso") for edition in ("graphical", "minimal")),
    )  # fmt: skip
    for feed, version, titles, files in (
        ("bazzite", "44.20260820", ("testing-44.20260901: Testing", "44.20260820: Stable (F44.20260820)", "44.20260811"),
         {f"{edition}": f"https://download.bazzite.gg/bazzite-{edition + '-' if edition else ''}stable-amd64.iso" for edition in ("", "deck", "nvidia-open")}),
        ("bluefin", "20260818", ("stable-20260818: Stable", "stable-20260811"), {"": "https://download.projectbluefin.io/bluefin-stable-x86_64.iso"}),
        ("aurora", "20260819.1", ("latest-20260822", "stable-20260819.1"),
         {"": "https://dl.getaurora.dev/aurora-stable-webui-x86_64.iso", "nvidia-open": "https://dl.getaurora.dev/aurora-nvidia-open-stable-webui-x86_64.iso"}),
    ):  # fmt: skip
        shape(
            feed,
            {f"https://github.com/ublue-os/{feed}/releases.atom": atom(*titles), **sidecars("-CHECKSUM", *files.values())},
            *((edition, "amd64", version, url) for edition, url in files.items()),
        )  # fmt: skip
    root = "https://files.kde.org/neon/images/desktop/current/"
    shape(
        "kde-neon",
        {root + "neon-desktop-current.sha256sum": gnu("neon-desktop-20260707-0147.iso")},
        ("", "amd64", "20260707-0147", root + "neon-desktop-current.iso"),
    )


def _pages() -> None:
    base = "https://fastly-cdn.system-rescue.org/releases/13.02/"
    name = "systemrescue-13.02-amd64.iso"
    sums = f"https://www.system-rescue.org/releases/13.02/{name}.sha256"
    shape(
        "systemrescue",
        {
            "https://www.system-rescue.org/Download/": f'<html><a href="{base}{name}">{name}</a> <a href="/releases/13.02/{name}.sha256">sha256</a>'
            f' <a href="{base}systemrescue-13.02-i686.iso">x</a> <a href="https://evil.example/systemrescue-99.01-amd64.iso">x</a></html>',
            sums: sha256(name) + "\n",
        },
        ("", "amd64", "13.02", base + name),
    )  # fmt: skip
    root = "https://www.memtest.org/download/v8.10/"
    names = ("mt86plus_8.10_x86_64.iso.zip", "mt86plus_8.10_x86_64.grub.iso.zip")
    shape(
        "memtest86plus",
        {
            "https://www.memtest.org/": "<html>" + "".join(f"<a href='download/v8.10/{name}'>x</a><a href=download/v7.20/{name.replace('8.10', '7.20')}>y</a>" for name in names) + "</html>",
            root + "sha256sum.txt": "".join(f"{sha256(name)}  ./build/{name}\n" for name in names),
        },
        ("", "amd64", "8.10", root + names[0]),
        ("grub", "amd64", "8.10", root + names[1]),
    )  # fmt: skip
    root = "https://nobara-images.nobaraproject.org/"
    names = ("Nobara-44-Official-2026-09-02.iso", "Nobara-43-GNOME-2026-04-19.iso", "Nobara-43-GNOME-NV-2026-04-25.iso")
    shape(
        "nobara",
        {
            "https://nobaraproject.org/download-nobara/": "<html>" + "".join(f'<button data-url="{root}{name}">Download</button>' for name in names) + "</html>",
            **{root + name + ".sha256sum": f"{sha256(name)}  ./{name}\n" for name in names},
        },
        ("official", "amd64", "44-2026-09-02", root + names[0]),
        ("gnome", "amd64", "43-2026-04-19", root + names[1]),
    )  # fmt: skip
    root = "https://download.sys.truenas.net/"
    urls = [f"{root}TrueNAS-SCALE-Goldeye/{version}/TrueNAS-SCALE-{version}.iso" for version in ("25.10.6", "25.10.7")]
    shape(
        "truenas",
        {
            root: "<html>" + "".join(f'<a href="{url}">x</a>' for url in urls) + "</html>",
            **sidecars(".sha256", urls[1]),
        },
        ("", "amd64", "25.10.7", urls[1]),
    )


def _yaml() -> None:
    for feed, arch, name in (("alpine", "amd64", "x86_64"), ("alpine-arm64", "arm64", "aarch64")):
        root = f"https://dl-cdn.alpinelinux.org/alpine/latest-stable/releases/{name}/"
        flavours = (
            ("standard", "extended", "virt", "minirootfs", "xen") if arch == "amd64" else ("standard", "virt", "uboot")
        )
        text = "---\n"
        for flavour in flavours:
            file = f"alpine-{flavour}-3.24.1-{name}.iso"
            text += (
                f'-\n  title: "{flavour}"\n  desc: |\n    Just enough: to start.\n    - no list\n  branch: v3.24\n  arch: {name}\n'
                f"  version: 3.24.1\n  flavor: alpine-{flavour}\n  file: {file}\n  iso: {file}\n  date: 2026-08-12\n  time: 10:11:12\n"
                f"  size: 387973120\n  sha256: {sha256(file)}\n  sha512: {sha512(file)}\n"
            )
        wanted = ("standard", "extended", "virt") if arch == "amd64" else ("standard", "virt")
        shape(
            feed, {root + "latest-releases.yaml": text},
            *((flavour, arch, "3.24.1", f"{root}alpine-{flavour}-3.24.1-{name}.iso") for flavour in wanted),
        )  # fmt: skip


for make in (_ubuntu, _debian, _fedora, _json, _directories, _sourceforge, _links, _pages, _yaml):
    make()
