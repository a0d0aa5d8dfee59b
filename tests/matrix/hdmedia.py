"""The initrd with which Debian's installer looks for its image in files, put together out of Debian's packages.

Its lists are those of hd-media in the source of debian-installer (build/pkg-lists/hd-media): what the network
installer's initrd lacks of them is added, and what loads components over the network is taken away, so that they can
come from the image alone. The scripts that search (iso-scan) and load (load-iso, cdrom-retriever) are Debian's own.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luxusbd.process import run
from tests.harness.images import installer
from tests.matrix import cpio
from tests.vm.image import archive

MODULES = ("cdrom-core", "isofs", "loop", "fat", "ext4")
"""Modules of hd-media, besides those of USB sticks, which the network installer has."""
SCRIPTS = ("iso-scan", "load-iso", "cdrom-retriever")
AWAY = frozenset({"download-installer", "net-retriever", "network-preseed"})
INSIDE = "md"
"""Modules that the test's image holds and its initrd does not (hd-media's has them, too): the installer loads them."""
STATUS = "var/lib/dpkg/status"

_PRESEED = b"""\
d-i debian-installer/locale string en_US.UTF-8
d-i keyboard-configuration/xkb-keymap select us
"""
"""The two questions that come before the search; what the search asks is left to it."""
_TELL = """\
#!/bin/sh
depmod
tail -n +1 -f /var/log/syslog >/dev/ttyS0 2>/dev/null &
tell() {
    until grep -q '^Package: %(inside)s$' /var/lib/dpkg/status; do sleep 2; done
    sleep 5
    depmod
    until modprobe dm-mod; do sleep 2; done
    chosen=$(sed -n 's/.*iso-scan: Selected ISO: //p' /var/log/syslog | tail -n 1)
    found=$(sed -n "s/.*iso-scan: ISOS_FOUND='\\(.*\\)'/\\1/p" /var/log/syslog | tail -n 1 | sed 's/\\[[^]]*\\] //g')
    disc=$(sed 's/ - .*//' /cdrom/.disk/info)
    loaded=$(sed -n 's/^\\(dm_mod\\) .*/\\1/p' /proc/modules)
    printf '\\r\\ninstaller: Linux %%s, iso-scan took %%s of %%s, %%s came from its disc %%s\\r\\n' \\
        "$(uname -r)" "$chosen" "$found" "$loaded" "$disc" >/dev/ttyS0
}
tell >/dev/null 2>&1 &
"""


@dataclass(frozen=True)
class Udeb:
    """A package of the installer."""

    file: Path
    control: str
    """Its control file."""

    @property
    def name(self) -> str:
        """Of the package."""
        match = re.search(r"^Package: (\S+)$", self.control, re.MULTILINE)
        assert match is not None, self.control
        return match[1]


@dataclass(frozen=True)
class Parts:
    """One build of the installer."""

    suite: str
    kernel: bytes
    initrd: bytes
    inside: Udeb
    """For the pool of an image."""


async def parts(work: Path) -> Parts:
    """The network installer's kernel and initrd, and the packages that hd-media has besides.

    Raises:
        FileNotFoundError: the package of the installer is not installed.
        RuntimeError: the archive lacks a package.
        ToolFailedError: apt or dpkg-deb fails.
    """
    if (found := installer()) is None:
        raise FileNotFoundError("there is no installer; install a package debian-installer-*-netboot-amd64")
    directory = found[0]
    kernel = (directory / "linux").read_bytes()
    modules = [f"{name}-modules-{_release(kernel)}-di" for name in (*MODULES, INSIDE)]
    source = await archive()
    # an archive that was thinned out may keep scripts that belong to no kernel for its newest release alone
    suites = dict.fromkeys((source.suite, "stable"))
    packages = await _download(work, source.mirror, list(suites), [*modules, *SCRIPTS])
    inside = packages.pop(modules[-1])
    packed = (directory / "initrd.gz").read_bytes()
    status = _without(cpio.member(gzip.decompress(packed), STATUS).decode(), AWAY)
    files: dict[str, bytes] = {
        "preseed.cfg": _PRESEED,
        "lib/debian-installer-startup.d/S99tell": (_TELL % {"inside": inside.name}).encode(),
    }
    for package in packages.values():
        files |= await _content(work, package)
        status += f"{_installed(package.control)}\n\n"
    files[STATUS] = status.encode()
    # a second archive begins at a multiple of four
    initrd = packed + bytes(-len(packed) % 4) + cpio.archive(_with_directories(files))
    return Parts(source.suite, kernel, initrd, inside)


def _release(kernel: bytes) -> str:
    """What `uname -r` says of an x86 kernel (Documentation/arch/x86/boot.rst, kernel_version)."""
    start = int.from_bytes(kernel[0x20E:0x210], "little") + 0x200
    return kernel[start:].split(b" ", 1)[0].decode("ascii")


def _without(status: str, names: Iterable[str]) -> str:
    """The list of installed packages without some of them."""
    kept = [
        part for part in status.strip().split("\n\n") if part.split("\n", 1)[0].removeprefix("Package: ") not in names
    ]
    return "".join(f"{part}\n\n" for part in kept)


def _installed(control: str) -> str:
    """How the list of installed packages has one that the initrd begins with."""
    first, rest = control.strip().split("\n", 1)
    return f"{first}\nStatus: install ok unpacked\n{rest}"


def _with_directories(files: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    """The same with the directories that hold them in front: the initrd before has not all of them."""
    parents = {str(parent) for path in files for parent in Path(path).parents} - {"."}
    return {**dict.fromkeys(sorted(parents)), **files}


async def _download(work: Path, mirror: str, suites: Sequence[str], names: Sequence[str]) -> dict[str, Udeb]:
    """Packages of the installer's own section of the archive, which this machine's apt does not list."""
    place = work / "apt"
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (place / name).mkdir(parents=True, exist_ok=True)
    lists = "".join(f"deb {mirror} {suite} main/debian-installer\n" for suite in suites)
    (place / "sources.list").write_text(lists)
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
    return {name: await _udeb(files[-1]) for name, files in found.items()}


async def _udeb(file: Path) -> Udeb:
    return Udeb(file, (await run(["dpkg-deb", "--field", str(file)])).stdout.decode())


async def _content(work: Path, package: Udeb) -> dict[str, bytes]:
    """What unpacking it brings: its files, and its scripts and texts where the installer keeps those."""
    tree = work / "unpacked"
    if tree.exists():
        shutil.rmtree(tree)
    await run(["dpkg-deb", "--raw-extract", str(package.file), str(tree)])
    files = {str(file.relative_to(tree)): file.read_bytes() for file in tree.rglob("*") if file.is_file()}
    scripts = {name.removeprefix("DEBIAN/"): files.pop(name) for name in list(files) if name.startswith("DEBIAN/")}
    del scripts["control"]
    return files | {f"var/lib/dpkg/info/{package.name}.{name}": content for name, content in scripts.items()}


def disc(parts: Parts, version: str) -> dict[str, bytes]:
    """What a disc of the installer has at least, of a release with this number, by path."""
    udeb = parts.inside
    content = udeb.file.read_bytes()
    pool = f"pool/main/l/linux/{udeb.file.name}"
    listed = (
        f"{udeb.control.strip()}\nFilename: {pool}\nSize: {len(content)}\n"
        f"MD5sum: {hashlib.md5(content, usedforsecurity=False).hexdigest()}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n\n"
    ).encode()
    packages = "main/debian-installer/binary-amd64/Packages"
    release = (
        f"Origin: Debian\nSuite: stable\nVersion: {version}\nCodename: {parts.suite}\nArchitectures: amd64\n"
        f"Components: main\nSHA256:\n {hashlib.sha256(listed).hexdigest()} {len(listed)} {packages}\n"
    )
    place = f"/dists/{parts.suite}"
    return {
        "/.disk/info": f'Debian GNU/Linux {version} "{parts.suite.title()}" - amd64 NETINST'.encode(),
        "/.disk/cd_type": b"not_complete",
        "/.disk/udeb_include": f"{udeb.name}\n".encode(),
        "/install.amd/vmlinuz": parts.kernel,
        f"{place}/Release": release.encode(),
        f"{place}/{packages}": listed,
        f"/{pool}": content,
    }
