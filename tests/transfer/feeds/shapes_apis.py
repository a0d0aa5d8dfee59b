"""JSON and YAML documents."""

from __future__ import annotations

import json
from typing import Any

from tests.transfer.feeds.registry import Expected, key, shape, sidecars, signed
from tests.transfer.feeds.web import Page, bsd, framed, gnu, gnu512, listing, sha256, sha512


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
            feed,
            pages,
            ("", "amd64", "24.04.5.1", f"{base}series/ubuntu-24.04.5.1-{kind}-amd64.iso"),
            ("", "amd64", "26.04.1", f"{base}series/ubuntu-26.04.1-{kind}-amd64.iso"),
        )
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


def _fedora() -> None:
    root = "https://download.fedoraproject.org/pub/fedora/linux/releases/"
    kinds = {
        "fedora-workstation": (
            (
                "",
                "amd64",
                "Workstation/x86_64/iso/",
                "Fedora-Workstation-Live-{v}.x86_64.iso",
                "Fedora-Workstation-{v}-x86_64-CHECKSUM",
            ),
            (
                "",
                "arm64",
                "Workstation/aarch64/iso/",
                "Fedora-Workstation-Live-{v}.aarch64.iso",
                "Fedora-Workstation-{v}-aarch64-CHECKSUM",
            ),
        ),
        "fedora-kde": (
            (
                "",
                "amd64",
                "KDE/x86_64/iso/",
                "Fedora-KDE-Desktop-Live-{v}.x86_64.iso",
                "Fedora-KDE-{v}-x86_64-CHECKSUM",
            ),
        ),
        "fedora-server": (
            (
                "netinst",
                "amd64",
                "Server/x86_64/iso/",
                "Fedora-Server-netinst-x86_64-{v}.iso",
                "Fedora-Server-{v}-x86_64-CHECKSUM",
            ),
        ),
        "fedora-spins": (
            (
                "kinoite",
                "amd64",
                "Kinoite/x86_64/iso/",
                "Fedora-Kinoite-ostree-x86_64-{v}.iso",
                "Fedora-Kinoite-{v}-x86_64-CHECKSUM",
            ),
        ),
    }
    rows: list[dict[str, str]] = []
    expected: dict[str, list[Expected]] = {}
    pages: dict[str, dict[str, Page]] = {}
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
            "version": version,
            "release_date": version.replace(".", "-"),
            "available": available,
            "kernel_version": "7.1.2",
            "iso_url": f"/iso/{version}/{name}",
            "sha256_sum": sha256(name),
            "md5_sum": "0" * 32,
            "b2_sum": "1" * 128,
            "torrent": {"file_length": 1_608_286_208, "file_name": name},
        }

    releases = [record("2026.10.01", False), record("2026.09.01", True), record("2026.08.01", True)]
    shape(
        "arch",
        {
            "https://archlinux.org/releng/releases/json/": json.dumps(
                {"version": 1, "releases": releases, "latest_version": "2026.09.01"}
            )
        },
        ("", "amd64", "2026.09.01", "https://geo.mirror.pkgbuild.com/iso/2026.09.01/archlinux-2026.09.01-x86_64.iso"),
    )
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
        {
            "type": kind,
            "target-files": [
                {
                    "sha256": sha256(name.replace("iso", kind)),
                    "size": 2_031_644_672,
                    "url": root + name.replace("iso", kind),
                }
            ],
        }
        for kind in ("img", "iso")
    ]
    shape(
        "tails",
        {
            "https://tails.net/install/v2/Tails/amd64/stable/latest.json": json.dumps(
                {"installations": [{"version": "7.5", "installation-paths": paths}]}
            )
        },
        ("", "amd64", "7.5", root + name),
    )
    root = "https://github.com/rescuezilla/rescuezilla/releases/download/2.6.2/"
    assets = [
        {"name": name, "browser_download_url": root + name, "size": 1_594_339_328, "digest": "sha256:" + sha256(name)}
        for name in (
            "rescuezilla-2.6.2-64bit.noble.iso",
            "rescuezilla-2.6.2-64bit.resolute.iso",
            "rescuezilla_2.6.2-1_all.deb",
        )
    ]
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
                f'-\n  title: "{flavour}"\n  desc: |\n    Just enough: to start.\n    - no list\n'
                f"  branch: v3.24\n  arch: {name}\n"
                f"  version: 3.24.1\n  flavor: alpine-{flavour}\n  file: {file}\n  iso: {file}\n"
                f"  date: 2026-08-12\n  time: 10:11:12\n"
                f"  size: 387973120\n  sha256: {sha256(file)}\n  sha512: {sha512(file)}\n"
            )
        wanted = ("standard", "extended", "virt") if arch == "amd64" else ("standard", "virt")
        shape(
            feed,
            {root + "latest-releases.yaml": text},
            *((flavour, arch, "3.24.1", f"{root}alpine-{flavour}-3.24.1-{name}.iso") for flavour in wanted),
        )


def fill() -> None:
    """Put them into `SHAPES`."""
    for make in (
        _ubuntu,
        _fedora,
        _json,
        _yaml,
    ):
        make()
