"""The parts that the live images share: a kernel, an initrd for each way of booting, and one small userland.

They come out of one tree of Debian, made by debootstrap from the archive that this machine uses, and are kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from luxusbd.process import run
from tests.vm.image import archive

FORMAT = 1
"""Counted up when what is done to the tree changes in a way that the inputs do not show."""

PACKAGES = ("systemd-sysv", "udev", "kmod", "zstd", "linux-image-amd64", "live-boot", "live-boot-initramfs-tools")
SECOND_PACKAGES = ("dracut", "dracut-live", "dracut-network", "kiwi-dracut-live", "dbus", "iproute2")
"""Installed once the initrd of live-boot is made: Debian has either initramfs-tools or dracut."""

EVIDENCE = "userland:"
"""What the line begins with that the started system writes to its first serial port."""

# Only the image file can have brought what the loop device is made of: its path is part of the evidence.
_SAY = f"""\
#!/bin/sh
. /etc/os-release
from=$(cat /sys/block/loop*/loop/backing_file | grep '/iso/' | sed 's,.*/iso/,/iso/,' | head -n 1)
printf '\\r\\n{EVIDENCE} %s, Linux %s, root on %s, from %s\\r\\n' \\
    "$PRETTY_NAME" "$(uname -r)" "$(findmnt -n -o FSTYPE /)" "$from" >/dev/ttyS0
"""
_UNIT = """\
[Unit]
Description=Tells the first serial port which system has started
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/say-what-runs
[Install]
WantedBy=multi-user.target
"""
_IDLE = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer")
_LEFT_OUT = ("boot", "var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
"""What no started system here looks at. The modules of the kernel too: those that matter are in the initrds."""


@dataclass(frozen=True)
class LiveParts:
    """Files of which live images are put together."""

    kernel: Path
    release: str
    """Of the kernel, as `uname -r` says it."""
    live_boot: Path
    """initrd of Debian's live-boot."""
    dracut: Path
    """initrd with dracut's dmsquash-live, as Fedora has it."""
    kiwi: Path
    """initrd with kiwi-live, as openSUSE has it."""
    userland: Path
    """squashfs of the root directory."""
    container: Path
    """squashfs that holds the root directory as an ext4 image LiveOS/rootfs.img."""


async def live_parts(directory: Path) -> LiveParts:
    """The parts in `directory`, made there when they are missing or their inputs have changed; takes minutes then.

    Raises:
        RuntimeError: this is not root, which debootstrap needs.
        ToolFailedError: the archive or a tool fails.
    """
    source = await archive()
    inputs = json.dumps([FORMAT, source.suite, PACKAGES, SECOND_PACKAGES, _SAY, _UNIT, _IDLE, _LEFT_OUT])
    place = directory / f"live-{source.suite}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}"
    if not (place / "complete").exists():
        if os.geteuid() != 0:
            raise RuntimeError("making the live images takes root (debootstrap); use sudo make boot-matrix")
        if place.exists():
            await asyncio.to_thread(shutil.rmtree, place)
        place.mkdir(parents=True)
        await _make(place, source.suite, source.mirror)
    return LiveParts(
        kernel=place / "vmlinuz",
        release=(place / "complete").read_text().strip(),
        live_boot=place / "live-boot.img",
        dracut=place / "dracut.img",
        kiwi=place / "kiwi.img",
        userland=place / "userland.squashfs",
        container=place / "container.squashfs",
    )


async def _make(place: Path, suite: str, mirror: str) -> None:
    tree = place / "tree"
    # in a mount namespace of its own, so that what is mounted goes with it however it ends
    apart = ("unshare", "--mount", "--propagation", "private")
    await run(
        [*apart, "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(tree), mirror],
        timeout=1800,
    )
    release = next((tree / "lib" / "modules").iterdir()).name
    shutil.copyfile(tree / "boot" / f"vmlinuz-{release}", place / "vmlinuz")
    shutil.copyfile(tree / "boot" / f"initrd.img-{release}", place / "live-boot.img")
    # zstd at the level that dracut chooses takes minutes, and nobody carries this stick around
    conf = tree / "etc" / "dracut.conf.d" / "quick.conf"
    conf.parent.mkdir()
    conf.write_text('compress="zstd -3 -q -T0"\n')
    await run([*apart, "sh", "-ec", _SECOND, "sh", str(tree), release, *SECOND_PACKAGES], timeout=1800)
    for name in ("dracut", "kiwi"):
        shutil.move(tree / "boot" / f"{name}.img", place / f"{name}.img")
        (place / f"{name}.img").chmod(0o644)
    await asyncio.to_thread(furnish, tree)
    await run(["mksquashfs", str(tree), str(place / "userland.squashfs"), *SQUASH], timeout=900)
    inner = place / "container" / "LiveOS"
    inner.mkdir(parents=True)
    await run(["mke2fs", "-q", "-t", "ext4", "-L", "live", "-d", str(tree), str(inner / "rootfs.img"), "512M"])
    await run(["mksquashfs", str(inner.parent), str(place / "container.squashfs"), *SQUASH], timeout=900)
    await asyncio.to_thread(shutil.rmtree, inner.parent)
    await asyncio.to_thread(shutil.rmtree, tree)
    (place / "complete").write_text(f"{release}\n")


SQUASH = ("-noappend", "-quiet", "-no-progress", "-comp", "zstd", "-Xcompression-level", "6")
_SECOND = """\
tree=$1 release=$2
shift 2
for name in proc dev sys; do mount --bind "/$name" "$tree/$name"; done
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' >"$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
chroot "$tree" apt-get -q update
chroot "$tree" apt-get -q -y --no-install-recommends install "$@"
chroot "$tree" dracut --no-hostonly --force --quiet --kver "$release" --add dmsquash-live /boot/dracut.img
chroot "$tree" dracut --no-hostonly --force --quiet --kver "$release" --add kiwi-live /boot/kiwi.img
"""


def furnish(tree: Path) -> None:
    """Make the tree a live userland that tells the serial port that it runs, and throw out what it does not need."""
    system = tree / "etc" / "systemd" / "system"
    (tree / "etc" / "hostname").write_text("live\n")
    (tree / "etc" / "fstab").write_text("")
    say = tree / "usr" / "local" / "sbin" / "say-what-runs"
    say.write_text(_SAY)
    say.chmod(0o755)
    (system / "say-what-runs.service").write_text(_UNIT)
    wants = system / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "say-what-runs.service").symlink_to("/etc/systemd/system/say-what-runs.service")
    for unit in _IDLE:
        (system / unit).unlink(missing_ok=True)
        (system / unit).symlink_to("/dev/null")
    for name in _LEFT_OUT:
        shutil.rmtree(tree / name, ignore_errors=True)
        (tree / name).mkdir()
    for modules in (tree / "usr" / "lib" / "modules", tree / "lib" / "modules"):
        if modules.exists():
            shutil.rmtree(modules)
