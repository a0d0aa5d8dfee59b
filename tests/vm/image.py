"""The disk of the virtual machine: a Debian or Ubuntu with systemd, made from the archive that this machine uses.

The base holds nothing of luxusbd, so that it is made once and kept; the packages under test are installed into a copy.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from luxusbd.process import run

HERE = Path(__file__).parent
ROOT_SIZE = "3G"
FORMAT = 5
"""Counted up when what is written into the image changes in a way that the inputs do not show."""

PASSWORD = "luxusb"
"""Of root, for the questions of the authentication agents."""
USERS: Mapping[str, int] = {"alice": 1000, "bob": 1001, "carol": 1002}
"""alice sits at the machine (tty1), bob has a session in the background (tty2), carol has none at all."""

_INSTALL = """\
set -eu
mount -o loop "$1" /mnt
mount --bind "$2" /mnt/mnt
mount --bind /proc /mnt/proc
mount --rbind /dev /mnt/dev
mount -t tmpfs tmpfs /mnt/tmp
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive chroot /mnt \
    sh -c 'exec apt-get --yes --no-install-recommends install /mnt/luxusbd_*.deb /mnt/luxusb-cli_*.deb'
"""
_UNIT = """\
[Unit]
Description=Runs what the test asks for as {user}
After=dbus.service systemd-logind.service
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/guest.py /dev/virtio-ports/org.luxusb.{user}
User={user}
Restart=always
RestartSec=0
KillMode=process
[Install]
WantedBy=multi-user.target
"""
_MIRRORS = """\
server { listen 127.0.0.1:8001; root /srv/mirror; }
server { listen 127.0.0.1:8002; root /srv/mirror; }
server { listen 127.0.0.1:8009; root /srv/mirror; limit_rate 2m; }
"""
_AUTOLOGIN = """\
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin {user} --noclear %I linux
"""
_PROFILE = "exec python3 /usr/local/lib/guest.py /dev/virtio-ports/org.luxusb.{user}\n"


@dataclass(frozen=True)
class BaseImage:
    """What QEMU starts."""

    root: Path
    """ext4 without partition table, mounted as /."""
    kernel: Path
    initrd: Path


@dataclass(frozen=True)
class Archive:
    """Where this machine gets its packages from."""

    mirror: str
    suite: str


async def archive() -> Archive:
    """The first source of the distribution itself in this machine's apt configuration.

    Raises:
        RuntimeError: there is none.
    """
    listed = await run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(ORIGIN) $(CODENAME) $(COMPONENT)",
            "Created-By: Packages",
        ],
        timeout=60,
    )
    for line in listed.stdout.decode().splitlines():
        mirror, origin, codename, component = (*line.split(), "", "", "", "")[:4]
        if origin in ("Debian", "Ubuntu") and component == "main" and "-" not in codename:
            return Archive(mirror, codename)
    raise RuntimeError("apt's configuration names no archive of Debian or Ubuntu with a component main")


async def base_image(directory: Path, suite: str | None = None) -> BaseImage:
    """The image in `directory`, made there when it is missing or when its inputs have changed; takes minutes then.

    Raises:
        RuntimeError: this is not root, which debootstrap needs.
        ToolFailedError: the archive or a tool fails.
    """
    source = await archive()
    suite = suite or source.suite
    inputs = json.dumps(
        [FORMAT, suite, _packages(), (HERE / "guest.py").read_text(), _UNIT, _PROFILE, _MIRRORS, sorted(USERS)]
    )
    place = directory / f"{suite}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}"
    made = BaseImage(place / "root.img", place / "vmlinuz", place / "initrd.img")
    if (place / "complete").exists():
        return made
    if os.geteuid() != 0:
        raise RuntimeError("making the virtual machine's disk takes root (debootstrap); use sudo make test-vm")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    tree = place / "tree"
    await run(
        [
            # of its own, so that what it mounts goes with it however it ends
            *("unshare", "--mount", "--propagation", "private"),
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(_packages())}",
            suite,
            str(tree),
            source.mirror,
        ],
        timeout=1500,
    )
    await asyncio.to_thread(_furnish, tree)
    await _add_users(tree)
    for name, link in (("vmlinuz", made.kernel), ("initrd.img", made.initrd)):
        await asyncio.to_thread(shutil.copyfile, (tree / name).resolve(), link)
    await run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(tree), str(made.root), ROOT_SIZE], timeout=600)
    await asyncio.to_thread(shutil.rmtree, tree)
    (place / "complete").touch()
    return made


async def installed(base: BaseImage, packages: Path) -> BaseImage:
    """A copy of `base` with these Debian packages, made when it is missing: apt does there what it does on any machine.

    A machine that is emulated would take a minute for it each time it starts; there, one scenario installs them anew.

    Raises:
        ToolFailedError: apt does not want them, as where a dependency is missing; it has no network.
    """
    place = base.root.parent.with_name(f"{base.root.parent.name}+{packages.name}")
    made = BaseImage(place / "root.img", base.kernel, base.initrd)
    if (place / "complete").exists():
        return made
    for old in place.parent.glob(f"{base.root.parent.name}+*"):
        await asyncio.to_thread(shutil.rmtree, old)
    place.mkdir()
    await run(["cp", "--sparse=always", "--reflink=auto", str(base.root), str(made.root)], timeout=600)
    # a mount namespace of its own, so that what it mounts goes with it however it ends
    shell = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _INSTALL, "install"]
    await run([*shell, str(made.root), str(packages)], timeout=900)
    (place / "complete").touch()
    return made


def _packages() -> list[str]:
    lines = (line.strip() for line in (HERE / "packages").read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _furnish(tree: Path) -> None:
    def put(path: str, text: str) -> None:
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    put("etc/fstab", "/dev/vda / ext4 defaults 0 1\n")
    put("etc/hostname", "stick-test\n")
    put("etc/hosts", "127.0.0.1 localhost stick-test\n")
    put("usr/local/lib/guest.py", (HERE / "guest.py").read_text())
    rules = "".join(
        f'SUBSYSTEM=="virtio-ports", ATTR{{name}}=="org.luxusb.{user}", OWNER="{user}", MODE="0600"\n' for user in USERS
    )
    put("etc/udev/rules.d/60-test-ports.rules", rules)
    for user in ("root", "carol"):
        put(f"etc/systemd/system/guest-{user}.service", _UNIT.format(user=user))
        wants = tree / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / f"guest-{user}.service").symlink_to(f"/etc/systemd/system/guest-{user}.service")
    for tty, user in (("tty1", "alice"), ("tty2", "bob")):
        put(f"etc/systemd/system/getty@{tty}.service.d/autologin.conf", _AUTOLOGIN.format(user=user))
        put(f"home/{user}/.profile", _PROFILE.format(user=user))
    wants = tree / "etc/systemd/system/getty.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "getty@tty2.service").symlink_to("/lib/systemd/system/getty@.service")
    put("etc/nginx/conf.d/mirrors.conf", _MIRRORS)
    # they fetch from the network or wait for it
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "systemd-networkd-wait-online.service"):
        (tree / "etc/systemd/system" / unit).symlink_to("/dev/null")
    shutil.rmtree(tree / "var/cache/apt/archives", ignore_errors=True)


async def _add_users(tree: Path) -> None:
    inside = ["chroot", str(tree)]
    for user, uid in USERS.items():
        await run(
            [*inside, "useradd", "-M", "-d", f"/home/{user}", "-u", str(uid), "-s", "/bin/bash", user], timeout=60
        )
        (tree / "home" / user).mkdir(exist_ok=True)
        await run([*inside, "chown", "-R", f"{user}:", f"/home/{user}"], timeout=60)
    await run([*inside, "chpasswd"], timeout=60, stdin=f"root:{PASSWORD}\n".encode())
