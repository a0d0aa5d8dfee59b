"""The installer's own way from a stick: the image, and beside it the initrd that looks for it: `make boot-installer`.

Kernel, initrd and modules are those of one build of Debian's installer, taken from its packages. The search for the
image is written here after the Installation Guide (6.3.1.5, "Looking for the Debian Installer ISO Image"): a mirror may
carry the modules of the installer and not iso-scan, which does it in the maker's hd-media initrd.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from luxusbd.images.model import Firmware
from luxusbd.process import run
from luxusbd.resources import data
from tests.harness.images import installer
from tests.harness.maker import Maker
from tests.harness.service import ROOT, Service, ServiceError
from tests.harness.tls import make_authority
from tests.images.builders import build_iso
from tests.matrix import boots, cpio
from tests.matrix.cases import FILESYSTEMS, Filesystem, Result, Row, System, expected
from tests.transfer.keys import Keys
from tests.vm.image import archive

HERE = ROOT / "build" / "matrix" / "installer"
SIZE = 512 * 1024**2
BUILD = "20230607"
IMAGES = f"dists/{{suite}}/main/installer-amd64/{BUILD}/images"
STARTING = ("cdrom-core", "isofs", "loop", "fat", "ext4")
"""Modules that the installer's hd-media initrd has for this (its pkg-lists/hd-media), besides those of USB sticks."""
INSIDE = "md"
"""Modules in the image's pool, from which the started installer loads one: they are not in the initrd."""
MODULE = "kernel/drivers/md/dm-mod.ko"

SIGN = r"installer: Linux \S+ found /iso/\S+\.iso on (?:ext4|vfat), its disc is Debian .*, dm_mod is loaded from it"
SEARCH = """\
#!/bin/sh
look() {
    for module in loop isofs vfat ext4; do modprobe $module; done
    mkdir -p /hd-media /cdrom
    while :; do
        while read -r major minor blocks name; do
            case $name in *[0-9]) ;; *) continue ;; esac
            for kind in ext4 vfat; do
                mount -t $kind -o ro "/dev/$name" /hd-media && try "$kind" && return
            done
        done </proc/partitions
        sleep 1
    done
}
try() {
    for image in /hd-media/*.iso /hd-media/*/*.iso; do
        [ -e "$image" ] || continue
        mount -t iso9660 -o loop,ro,exec "$image" /cdrom || continue
        [ -e /cdrom/.disk/info ] && say "$image" "$1" && return 0
        umount /cdrom
    done
    umount /hd-media
    return 1
}
say() {
    udpkg --unpack /cdrom/pool/main/l/linux/*.udeb
    depmod
    modprobe dm-mod
    loaded=$(grep -o '^dm_mod ' /proc/modules)
    printf '\\r\\ninstaller: Linux %s found %s on %s, its disc is %s, %sis loaded from it\\r\\n' \\
        "$(uname -r)" "${1#/hd-media}" "$2" "$(cat /cdrom/.disk/info)" "$loaded" >/dev/ttyS0
}
depmod
look >/tmp/look.log 2>&1 &
"""


@dataclass(frozen=True)
class Parts:
    """One build of the installer."""

    suite: str
    kernel: bytes
    initrd: bytes
    """That of the network installer, with what hd-media has besides."""
    inside: tuple[str, bytes]
    """A package of modules for the pool of the image: name, content."""


def main() -> int:
    """Start it from each filesystem; 0 when the installer finds its image in every one."""
    parser = argparse.ArgumentParser(prog="make boot-installer", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of filesystems: ext4, fat32")
    only = parser.parse_args().only
    places = [place for place in FILESYSTEMS if "exfat" not in place.holds and (not only or place.name in only)]
    try:
        return asyncio.run(_run(places))
    except (FileNotFoundError, RuntimeError, ServiceError) as error:
        print(f"boot-installer: {error}", file=sys.stderr)
        return 1


async def _run(places: list[Filesystem]) -> int:
    HERE.mkdir(parents=True, exist_ok=True)
    parts = await _parts()
    image = _image(parts)
    failed = 0
    for place in places:
        began = time.monotonic()
        seen = await _start(parts, image, place)
        failed += seen.result is not Result.BOOTED
        print(
            f"debian-installer / bios / {place.name}: {seen.result} ({time.monotonic() - began:.0f} s):"
            f" {seen.evidence}",
            flush=True,
        )
    return 1 if failed else 0


async def _start(parts: Parts, image: Path, place: Filesystem) -> boots.Seen:
    stick = HERE / "installer.img"
    stick.unlink(missing_ok=True)
    state = HERE / f"state-{os.getpid()}"
    keys = Keys(HERE / "gnupg")
    if keys.home.exists():
        shutil.rmtree(keys.home)
    keys.home.mkdir(mode=0o700)
    authority = make_authority(HERE)
    os.environ["SSL_CERT_FILE"] = str(authority.file)
    signer = keys.make("archive")
    try:
        async with Maker(authority.good) as maker:
            _publish(maker, parts, keys, signer)
            _trust(state, maker.url, signer, keys.export(signer, armor=True))
            async with Service(state, catalogue=None, log=HERE / "luxusbd.log") as service:
                await service.ask(
                    *("create", "--image-file", str(stick), "--size", str(SIZE), "--yes", "--serial-console"),
                    *(*place.options, str(image)),
                    timeout=600,
                )
                shown = (await service.ask("contents", "--image-file", str(stick)))["images"]
        system = System("debian-installer", "Debian installer", "debian-installer-cd", SIGN, frozenset(Firmware))
        row = Row(system, Firmware.BIOS, place, expected(system, Firmware.BIOS, place))
        return await boots.start(stick, str(shown[0]["title"]), row, HERE)
    finally:
        keys.gpg("--list-keys")
        subprocess.run(["gpgconf", "--homedir", keys.home, "--kill", "all"], check=True, capture_output=True)
        shutil.rmtree(state, ignore_errors=True)


def _publish(maker: Maker, parts: Parts, keys: Keys, signer: str) -> None:
    """What an archive has of a build: the list that is signed, the list of hashes in it, and the initrd."""
    images = IMAGES.format(suite=parts.suite)
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  ./hd-media/{name}\n"
        for name, content in (("initrd.gz", parts.initrd), ("vmlinuz", parts.kernel))
    ).encode()
    listed = f"{images.split('/', 2)[2]}/SHA256SUMS"
    release = f"Origin: Debian\nSHA256:\n {hashlib.sha256(sums).hexdigest()} {len(sums)} {listed}\n".encode()
    maker.put(f"dists/{parts.suite}/InRelease", keys.clearsign(release, signer))
    maker.put(f"{images}/SHA256SUMS", sums)
    maker.put(f"{images}/hd-media/initrd.gz", parts.initrd)


def _trust(state: Path, url: str, signer: str, key: bytes) -> None:
    """The packaged recipe, with that archive and its key in place of Debian's."""
    recipe = json.loads(data("recipes", "debian-installer-cd.json").read_text("utf-8"))
    recipe["version"] += 1
    recipe["variants"][0]["fetch"] |= {"archives": [url], "keys": [signer]}
    for name, file, content in (
        ("recipes.d", "debian-installer-cd.json", json.dumps(recipe).encode()),
        ("keys.d", f"{signer}.asc", key),
    ):
        (state / name).mkdir(parents=True)
        (state / name / file).write_bytes(content)


def _image(parts: Parts) -> Path:
    name, content = parts.inside
    files = {
        "/.disk/info": b'Debian GNU/Linux 12 "Bookworm" - amd64 NETINST',
        "/.disk/cd_type": b"not_complete",
        "/install.amd/vmlinuz": parts.kernel,
        f"/dists/{parts.suite}/Release": f"Origin: Debian\nCodename: {parts.suite}\n".encode(),
        f"/pool/main/l/linux/{name}": content,
    }
    tree = HERE / "debian-installer.iso.d"
    if tree.exists():
        shutil.rmtree(tree)
    return build_iso(HERE / "debian-installer.iso", files, "-R", volume_id="Debian 12 amd64 n")


async def _parts() -> Parts:
    """The network installer's kernel and initrd, and the modules of the same kernel from the archive.

    Raises:
        FileNotFoundError: the package of the installer is not installed.
        RuntimeError: the archive has no modules for its kernel.
        ToolFailedError: apt or dpkg-deb fails.
    """
    if (found := installer()) is None:
        raise FileNotFoundError("there is no installer; install a package debian-installer-*-netboot-amd64")
    directory = found[0]
    kernel = (directory / "linux").read_bytes()
    release = _release(kernel)
    source = await archive()
    names = [f"{name}-modules-{release}-di" for name in (*STARTING, INSIDE)]
    packages = await _download(source.mirror, source.suite, names)
    files: dict[str, bytes] = {}
    for name in STARTING:
        files |= await _content(packages[f"{name}-modules-{release}-di"])
    inside = packages[f"{INSIDE}-modules-{release}-di"]
    if not any(path.endswith(MODULE) for path in await _content(inside)):
        raise RuntimeError(f"{inside.name} has no {MODULE}")
    files["lib/debian-installer-startup.d/S99look-for-the-image"] = SEARCH.encode()
    packed = (directory / "initrd.gz").read_bytes()
    # a second archive begins at a multiple of four
    initrd = packed + bytes(-len(packed) % 4) + cpio.archive(_with_directories(files))
    return Parts(source.suite, kernel, initrd, (inside.name, inside.read_bytes()))


def _release(kernel: bytes) -> str:
    """What `uname -r` says of an x86 kernel (Documentation/arch/x86/boot.rst, kernel_version)."""
    start = int.from_bytes(kernel[0x20E:0x210], "little") + 0x200
    return kernel[start:].split(b" ", 1)[0].decode("ascii")


def _with_directories(files: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    """The same with the directories that hold them in front: the initrd before has not all of them."""
    parents = {str(parent) for path in files for parent in Path(path).parents} - {"."}
    return {**dict.fromkeys(sorted(parents)), **files}


async def _download(mirror: str, suite: str, names: list[str]) -> dict[str, Path]:
    """Packages of the installer's own section of the archive, which this machine's apt does not list."""
    place = HERE / "apt"
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (place / name).mkdir(parents=True, exist_ok=True)
    (place / "sources.list").write_text(f"deb {mirror} {suite} main/debian-installer\n")
    conf = place / "apt.conf"
    conf.write_text(
        f'Dir::Etc::sourcelist "{place}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State::lists "{place}/lists";\nDir::Cache "{place}/cache";\n'
        # apt's own user may not reach what lies below a home
        'APT::Sandbox::User "root";\n'
    )
    apt = ["env", f"APT_CONFIG={conf}", "apt-get", "-q"]
    await run([*apt, "update"], timeout=600)
    await run(["env", f"--chdir={place / 'packages'}", *apt[1:], "download", *names], timeout=600)
    found = {name: sorted((place / "packages").glob(f"{name}_*.udeb")) for name in names}
    if missing := [name for name, files in found.items() if not files]:
        raise RuntimeError(f"the archive has no {', '.join(missing)}")
    return {name: files[-1] for name, files in found.items()}


async def _content(package: Path) -> dict[str, bytes]:
    """The files of a package, by path without the slash in front."""
    tree = HERE / "unpacked"
    if tree.exists():
        shutil.rmtree(tree)
    await run(["dpkg-deb", "-x", str(package), str(tree)])
    return {str(file.relative_to(tree)): file.read_bytes() for file in tree.rglob("*") if file.is_file()}


if __name__ == "__main__":
    sys.exit(main())
