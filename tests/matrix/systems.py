"""The systems of the matrix as image files: made of packages of Debian's archive, laid out as their makers do.

What GRUB on the stick does not need to start them from a file (their own boot sectors) comes from grub-mkrescue.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from luxusbd.process import run
from tests.harness.images import installer
from tests.matrix import cpio
from tests.matrix.livetree import LiveParts, live_parts
from tests.matrix.ubuntu import CasperParts, casper_parts

FORMAT = 1
"""Counted up when a layout changes in a way that the inputs do not show."""

PACKAGED = {
    "memtest86plus": (Path("/usr/lib/memtest86+/memtest86+x64.iso"), "memtest86+"),
    "grub-rescue": (Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso"), "grub-rescue-pc"),
    "ipxe": (Path("/usr/lib/ipxe/ipxe.iso"), "ipxe"),
}
"""Image files that are in packages as they are: (file, package)."""
LIVE = ("debian-live", "dracut-live", "kiwi-live", "opensuse-live")

_DEBIAN_MENU = """\
if [ "${iso_path}" ]; then
  set loopback="findiso=${iso_path}"
  export loopback
fi
menuentry "Live system" {
  linux /live/vmlinuz-%(release)s boot=live components quiet ${loopback}
  initrd /live/initrd.img-%(release)s
}
"""
_DRACUT_MENU = """\
menuentry "Live system" {
  linux /images/pxeboot/vmlinuz root=live:CDLABEL=%(label)s rd.live.image quiet
  initrd /images/pxeboot/initrd.img
}
"""
_KIWI_MENU = """\
if [ "${iso_path}" ]; then
  set isoboot="iso-scan/filename=${iso_path}"
  export isoboot
fi
menuentry "Live system" {
  linux ($root)/boot/x86_64/loader/linux ${isoboot} root=live:CDLABEL=%(label)s rd.live.image quiet
  initrd ($root)/boot/x86_64/loader/initrd
}
"""
# The installer has no other way to say on a serial port how far it is: its entry names no console there.
_SYSLOG = "#!/bin/sh\ntail -n +1 -f /var/log/syslog >/dev/%s 2>/dev/null &\n"


async def make(wanted: frozenset[str], cache: Path) -> dict[str, Path]:
    """The image files of these systems by their ids; what has to be made is kept in `cache`.

    Raises:
        FileNotFoundError: a package is not installed; the text names it.
        RuntimeError: the live systems have to be made, and this is not root.
        ToolFailedError: the archive or a tool fails.
    """
    images: dict[str, Path] = {}
    for name, (path, package) in PACKAGED.items():
        if name in wanted:
            if not path.is_file():
                raise FileNotFoundError(f"{path} is not there; install the package {package}")
            images[name] = path
    if "debian-mini" in wanted:
        images["debian-mini"] = await _mini(cache)
    if wanted & set(LIVE):
        parts = await live_parts(cache)
        layouts = dict(zip(LIVE, (_debian, _dracut, _kiwi, _opensuse), strict=True))
        for name, layout in layouts.items():
            if name in wanted:
                label, files, texts = layout(parts)
                images[name] = await _master(cache, name, label, files, texts)
    if "ubuntu" in wanted:
        label, files, texts = _ubuntu(await casper_parts(cache))
        images["ubuntu"] = await _master(cache, "ubuntu", label, files, texts)
    return images


def _ubuntu(parts: CasperParts) -> tuple[str, dict[str, Path], dict[str, str]]:
    """As Ubuntu's desktops up to 22.10 and most of its flavours are laid out."""
    files = {
        "/casper/vmlinuz": parts.kernel,
        "/casper/initrd": parts.initrd,
        "/casper/filesystem.squashfs": parts.userland,
    }
    texts = {"/.disk/info": 'Ubuntu 24.04 LTS "Noble Numbat" - Release amd64 (20240424)\n'}
    return "Ubuntu 24.04 LTS amd64", files, texts


def _debian(parts: LiveParts) -> tuple[str, dict[str, Path], dict[str, str]]:
    """As live-build lays it out."""
    files = {
        f"/live/vmlinuz-{parts.release}": parts.kernel,
        f"/live/initrd.img-{parts.release}": parts.live_boot,
        "/live/filesystem.squashfs": parts.userland,
    }
    texts = {
        "/.disk/info": "Debian GNU/Linux Live 12 amd64\n",
        "/boot/grub/grub.cfg": _DEBIAN_MENU % {"release": parts.release},
        "/boot/grub/loopback.cfg": "source /boot/grub/grub.cfg\n",
    }
    return "d-live 12 mini amd64", files, texts


def _dracut(parts: LiveParts) -> tuple[str, dict[str, Path], dict[str, str]]:
    """As Fedora's images up to 41 are laid out."""
    label = "Dracut-Live-12"
    files = {
        "/images/pxeboot/vmlinuz": parts.kernel,
        "/images/pxeboot/initrd.img": parts.dracut,
        "/LiveOS/squashfs.img": parts.container,
    }
    return label, files, {"/boot/grub2/grub.cfg": _DRACUT_MENU % {"label": label}}


def _opensuse(parts: LiveParts) -> tuple[str, dict[str, Path], dict[str, str]]:
    """The same with the name by which openSUSE's are known, which keep changes in kiwi's way."""
    return _kiwi(parts, "openSUSE_Leap_12_Mini_Live")


def _kiwi(parts: LiveParts, label: str = "Kiwi_Live-12") -> tuple[str, dict[str, Path], dict[str, str]]:
    """As kiwi lays out openSUSE's live images and Fedora's from 42 on."""
    files = {
        "/boot/x86_64/loader/linux": parts.kernel,
        "/boot/x86_64/loader/initrd": parts.kiwi,
        "/LiveOS/squashfs.img": parts.container,
    }
    texts = {
        "/boot/grub2/grub.cfg": _KIWI_MENU % {"label": label},
        "/boot/grub2/loopback.cfg": "source /boot/grub2/grub.cfg\n",
    }
    return label, files, texts


async def _mini(cache: Path) -> Path:
    if (found := installer()) is None:
        raise FileNotFoundError("there is no installer; install a package debian-installer-*-netboot-amd64")
    return await mini(cache, *found)


async def mini(cache: Path, directory: Path, release: str, architecture: str = "amd64", port: str = "ttyS0") -> Path:
    """The network installer as Debian's mini.iso has it, with its log on the first serial port too.

    Raises:
        ToolFailedError: the image could not be made.
    """
    name = "debian-mini" if architecture == "amd64" else f"debian-mini-{architecture}"
    initrd = cache / f"{name.removeprefix('debian-')}-initrd.gz"
    cache.mkdir(parents=True, exist_ok=True)
    packed = (directory / "initrd.gz").read_bytes()
    # a second archive begins at a multiple of four
    padded = packed + bytes(-len(packed) % 4)
    initrd.write_bytes(
        padded + cpio.archive({"lib/debian-installer-startup.d/S99log-to-serial": (_SYSLOG % port).encode()})
    )
    return await _master(
        cache,
        name,
        "DEBIAN_MINI",
        {"/linux": directory / "linux", "/initrd.gz": initrd},
        {
            "/.disk/mini-info": f"Debian GNU/Linux {release} network installer, {architecture}\n",
            "/boot/grub/grub.cfg": "menuentry 'Install' {\n  linux /linux vga=788 --- quiet\n  initrd /initrd.gz\n}\n",
        },
    )


async def _master(cache: Path, name: str, label: str, files: Mapping[str, Path], texts: Mapping[str, str]) -> Path:
    """An ISO of these files; the one in `cache` when it was made of the same."""
    hashes = {path: _hash(source) for path, source in files.items()}
    made_of = json.dumps([FORMAT, label, hashes, texts], sort_keys=True)
    target, stamp = cache / f"{name}.iso", cache / f"{name}.made-of"
    if target.is_file() and stamp.is_file() and stamp.read_text() == made_of:
        return target
    tree = cache / f"{name}.tree"
    if tree.exists():
        shutil.rmtree(tree)
    for path, text in texts.items():
        file = tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    unfinished = cache / f"{name}.iso.part"
    await run(
        [
            *("grub-mkrescue", "--locales=", "--fonts=", "--themes=", "-o", str(unfinished), str(tree)),
            *(f"{path}={source}" for path, source in files.items()),
            *("--", "-volid", label),
        ],
        timeout=600,
    )
    stamp.unlink(missing_ok=True)
    unfinished.rename(target)
    stamp.write_text(made_of)
    shutil.rmtree(tree)
    return target


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
