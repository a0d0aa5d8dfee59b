"""RSS, addresses that stay, and pages."""

from __future__ import annotations

from tests.transfer.feeds.registry import shape, sidecars, signed
from tests.transfer.feeds.web import Page, atom, gnu, gnu512, rss, sha256, sha512


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
        "mx",
        "mx-linux",
        "/Final",
        (
            "/Final/Xfce/MX-23.6_Xfce_x64.iso",
            "/Final/Xfce/MX-25.2_Xfce_x64.iso",
            "/Final/Xfce/MX-25.2_Xfce_ahs_x64.iso",
            "/Final/Xfce/MX-25.2_Xfce_x64.iso.sha256",
            "/Final/KDE/MX-25.2_KDE_x64.iso",
            "/Final/Xfce/MX-26_beta1_Xfce_x64.iso",
        ),
        ("xfce", "25.2", "/Final/Xfce/MX-25.2_Xfce_x64.iso"),
        ("xfce-ahs", "25.2", "/Final/Xfce/MX-25.2_Xfce_ahs_x64.iso"),
        ("kde", "25.2", "/Final/KDE/MX-25.2_KDE_x64.iso"),
    )
    files(
        "antix",
        "antix-linux",
        "/Final",
        (
            "/Final/antiX-23.2/antiX-23.2_x64-full.iso",
            "/Final/antiX-26/antiX-26_x64-full.iso",
            "/Final/antiX-26/antiX-26_x64-full.iso.sig",
            "/Final/antiX-26/runit-antiX-26/antiX-26-runit_x64-full.iso",
            "/Final/antiX-26/antiX-26_386-full.iso",
        ),
        ("full", "26", "/Final/antiX-26/antiX-26_x64-full.iso"),
    )
    files(
        "cachyos",
        "cachyos-arch",
        "/gui-installer",
        (
            "/gui-installer/desktop/260809/cachyos-desktop-linux-260809.iso",
            "/gui-installer/desktop/260628/cachyos-desktop-linux-260628.iso",
            "/gui-installer/handheld/250626/cachyos-handheld-linux-260426.iso",
        ),
        ("desktop", "260809", "/gui-installer/desktop/260809/cachyos-desktop-linux-260809.iso"),
        ("handheld", "260426", "/gui-installer/handheld/250626/cachyos-handheld-linux-260426.iso"),
    )
    files(
        "garuda",
        "garuda-linux",
        "/garuda",
        (
            "/garuda/dr460nized/260819/garuda-dr460nized-linux-garuda-260819.iso",
            "/garuda/dr460nized-gaming/260701/garuda-dr460nized-gaming-linux-garuda-260701.iso",
            "/garuda/dr460nized/260819/garuda-dr460nized-linux-garuda-260819.iso.sha1",
        ),
        ("dr460nized", "260819", "/garuda/dr460nized/260819/garuda-dr460nized-linux-garuda-260819.iso"),
        (
            "dr460nized-gaming",
            "260701",
            "/garuda/dr460nized-gaming/260701/garuda-dr460nized-gaming-linux-garuda-260701.iso",
        ),
    )
    files(
        "openmediavault",
        "openmediavault",
        "/iso",
        ("/iso/8.0-12/openmediavault_8.0-12-amd64.iso", "/iso/8.3.1/openmediavault_8.3.1-amd64.iso"),
        ("", "8.3.1", "/iso/8.3.1/openmediavault_8.3.1-amd64.iso"),
    )
    for feed, project, way, name, version, sums in (
        (
            "clonezilla",
            "clonezilla",
            "/clonezilla_live_stable",
            "clonezilla-live-3.3.3-37-amd64.iso",
            "3.3.3-37",
            "https://clonezilla.org/downloads/stable/data/CHECKSUMS.TXT",
        ),
        (
            "gparted",
            "gparted",
            "/gparted-live-stable",
            "gparted-live-1.8.1-6-amd64.iso",
            "1.8.1-6",
            "https://gparted.org/gparted-live/stable/CHECKSUMS.TXT",
        ),
    ):
        others = (name.replace("amd64.iso", "amd64.zip"), name.replace("amd64", "i686"))
        # BLAKE3 has as many digits as SHA-256, and BLAKE2 as many as SHA-512: the headings decide
        text = (
            f"### SHA256SUMS:\n{gnu(name, *others)}\n### SHA512SUMS:\n{gnu512(name, *others)}"
            f"\n### BLAKE2SUMS:\n{sha512('b2')}  {name}\n"
            f"\n### BLAKE3SUMS:\n{sha256('b3')}  {name}\n"
        )
        files(
            feed,
            project,
            way,
            (
                f"{way}/{version}/{name}",
                f"{way}/1.0.0-1/{name.replace(version, '1.0.0-1')}",
                f"{way}/{version}/{others[0]}",
            ),
            ("", version, f"{way}/{version}/{name}"),
            **signed(feed, sums, text, ".gpg"),
        )


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
        {
            f"{root}{edition}-x86_64-linux.iso.sha256": gnu(f"nixos-{edition}-26.05.8111.5880666fd9eb-x86_64-linux.iso")
            for edition in ("graphical", "minimal")
        },
        *(
            (edition, "amd64", "26.05.8111.5880666fd9eb", f"{root}{edition}-x86_64-linux.iso")
            for edition in ("graphical", "minimal")
        ),
    )
    for feed, version, titles, files in (
        (
            "bazzite",
            "44.20260820",
            ("testing-44.20260901: Testing", "44.20260820: Stable (F44.20260820)", "44.20260811"),
            {
                edition
                or "desktop": f"https://download.bazzite.gg/bazzite-{edition + '-' if edition else ''}stable-amd64.iso"
                for edition in ("", "deck", "nvidia-open")
            },
        ),
        (
            "bluefin",
            "stable-20260818",
            ("stable-20260818: Stable", "stable-20260811"),
            {"": "https://download.projectbluefin.io/bluefin-stable-x86_64.iso"},
        ),
        (
            "aurora",
            "stable-20260819.1",
            ("latest-20260822", "stable-20260819.1"),
            {
                "stable": "https://dl.getaurora.dev/aurora-stable-webui-x86_64.iso",
                "nvidia-open": "https://dl.getaurora.dev/aurora-nvidia-open-stable-webui-x86_64.iso",
            },
        ),
    ):
        shape(
            feed,
            {
                f"https://github.com/ublue-os/{feed}/releases.atom": atom(*titles),
                **sidecars("-CHECKSUM", *files.values()),
            },
            *((edition, "amd64", version, url) for edition, url in files.items()),
        )
    root = "https://files.kde.org/neon/images/desktop/current/"
    shape(
        "kde-neon",
        {root + "neon-desktop-current.sha256sum": gnu("neon-desktop-20260707-0147.iso")},
        ("desktop", "amd64", "20260707-0147", root + "neon-desktop-current.iso"),
    )


def _pages() -> None:
    base = "https://fastly-cdn.system-rescue.org/releases/13.02/"
    name = "systemrescue-13.02-amd64.iso"
    sums = f"https://www.system-rescue.org/releases/13.02/{name}.sha256"
    shape(
        "systemrescue",
        {
            "https://www.system-rescue.org/Download/": f'<html><a href="{base}{name}">{name}</a>'
            f' <a href="/releases/13.02/{name}.sha256">sha256</a>'
            f' <a href="{base}systemrescue-13.02-i686.iso">x</a> <a href="https://evil.example/systemrescue-99.01-amd64.iso">x</a></html>',
            sums: sha256(name) + "\n",
        },
        ("", "amd64", "13.02", base + name),
    )
    root = "https://www.memtest.org/download/v8.10/"
    names = ("mt86plus_8.10_x86_64.iso.zip", "mt86plus_8.10_x86_64.grub.iso.zip")
    shape(
        "memtest86plus",
        {
            "https://www.memtest.org/": "<html>"
            + "".join(
                f"<a href='download/v8.10/{name}'>x</a><a href=download/v7.20/{name.replace('8.10', '7.20')}>y</a>"
                for name in names
            )
            + "</html>",
            root + "sha256sum.txt": "".join(f"{sha256(name)}  ./build/{name}\n" for name in names),
        },
        ("", "amd64", "8.10", root + names[0]),
        ("grub", "amd64", "8.10", root + names[1]),
    )
    root = "https://nobara-images.nobaraproject.org/"
    images = (
        "Nobara-44-Official-2026-09-02.iso",
        "Nobara-43-GNOME-2026-04-19.iso",
        "Nobara-43-GNOME-NV-2026-04-25.iso",
        "Nobara-43-Other-2026-04-25.iso",
    )
    shape(
        "nobara",
        {
            "https://nobaraproject.org/download-nobara/": "<html>"
            + "".join(f'<button data-url="{root}{name}">Download</button>' for name in images)
            + "</html>",
            **{root + name + ".sha256sum": f"{sha256(name)}  ./{name}\n" for name in images},
        },
        ("official", "amd64", "44-2026-09-02", root + images[0]),
        ("gnome", "amd64", "43-2026-04-19", root + images[1]),
        ("gnome-nv", "amd64", "43-2026-04-25", root + images[2]),
    )
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


def fill() -> None:
    """Put them into `SHAPES`."""
    for make in (
        _sourceforge,
        _links,
        _pages,
    ):
        make()
