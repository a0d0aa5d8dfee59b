"""One picture of the machine: its block devices, what is mounted and swapped where, and what else claims a disk.

`read_machine` takes it from the kernel's tables; everything that is asked about a disk is then answered from the
picture alone, so that the answers fit each other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from luxusbd.devices import ioctl
from luxusbd.devices.claims import Claims, read_claims
from luxusbd.devices.mounts import Mount, Swap, mount_of, read_mounts, read_swaps, unescape
from luxusbd.devices.sysfs import DevNumber, Roots, block_names, names_in, node_of, partition_names, read_text

# /sys/fs/<type>/<block device> is there exactly as long as the kernel holds the filesystem, in whatever namespace.
_TELLING_FILESYSTEMS = ("ext4", "xfs", "f2fs", "erofs")


@dataclass(frozen=True)
class Block:
    """One block device of the machine, disk or partition."""

    name: str
    node: str
    dev: DevNumber
    title: str
    """What it is, for people: `LUKS volume "data" (/dev/dm-0)`."""
    kind: str
    """dm, md, bcache, loop, zram, part or disk."""
    release: str
    """What to do to let go of it; empty when there is no general advice."""
    partitions: tuple[str, ...]
    holders: tuple[str, ...]
    slaves: tuple[str, ...]
    backing: str
    """Path of a loop device's file or of a zram device's store; the name of a device-mapper volume."""
    on_device: DevNumber | None = None
    """The block device right under a loop device, where the kernel told."""
    on_filesystem: DevNumber | None = None
    """The filesystem that holds the file of a loop device, where the kernel told."""


@dataclass(frozen=True)
class Machine:
    """One picture of all block devices, mounts and swap."""

    blocks: Mapping[str, Block]
    mounts: tuple[Mount, ...]
    swaps: tuple[Swap, ...]
    held: frozenset[str]
    """Block devices on which the kernel holds a filesystem, as far as the filesystems tell."""
    pools: tuple[frozenset[str], ...]
    """The member devices of each btrfs and bcachefs that is in use."""
    claims: Claims
    live: bool
    """Whether paths in it can be looked up on this machine."""

    @cached_property
    def names(self) -> Mapping[DevNumber, str]:
        """Kernel name by device number."""
        return {block.dev: block.name for block in self.blocks.values()}

    @cached_property
    def on(self) -> Mapping[str, tuple[Mount, ...]]:
        """The mounts on each block device."""
        found: dict[str, list[Mount]] = {}
        for mount in self.mounts:
            for name in self.members(mount):
                found.setdefault(name, []).append(mount)
        return {name: tuple(mounts) for name, mounts in found.items()}

    @cached_property
    def nameless_pools(self) -> frozenset[str]:
        """The members of the pools whose mounts do not tell which pool they are of."""
        named = frozenset[str]().union(*(self._named(mount) for mount in self.mounts))
        return frozenset[str]().union(*(pool for pool in self.pools if not pool & named))

    def members(self, mount: Mount) -> frozenset[str]:
        """The block devices under a mounted filesystem: one, several where it has its journal apart or is a pool."""
        found = self._named(mount)
        if mount.fstype not in ("btrfs", "bcachefs"):
            return found
        if not found:
            # a root that the kernel mounted is called /dev/root, or any name that meant something in the initramfs
            return self.nameless_pools
        return found.union(*(pool for pool in self.pools if pool & found))

    def _named(self, mount: Mount) -> frozenset[str]:
        found = {self.names.get(mount.dev)}
        if found == {None} and mount.dev.major == 0 and mount.source.startswith("/"):
            # bcachefs names all of its members, with colons between them
            found |= {self.name_of_path(source) for source in {mount.source, *mount.source.split(":")}}
        for option in mount.options.split(","):
            key, _, value = option.partition("=")
            if key in ("logdev", "rtdev"):  # XFS: log and realtime data on devices of their own
                found.add(self.name_of_path(unescape(value)))
        return frozenset(name for name in found if name is not None)

    def name_of_path(self, path: str) -> str | None:
        """The block device that a path such as /dev/mapper/x means."""
        path = path.removesuffix(" (deleted)")
        tail = path.removeprefix("/dev/")
        direct = tail.replace("/", "!")
        if direct in self.blocks:
            return direct
        for block in self.blocks.values():
            if block.kind == "dm" and tail.startswith("mapper/") and block.backing == tail.removeprefix("mapper/"):
                return block.name
        if not self.live:
            return None
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            return None
        return self.names.get(DevNumber.from_raw(status.st_rdev)) if stat.S_ISBLK(status.st_mode) else None

    def under_path(self, path: str) -> frozenset[str]:
        """The block devices under the filesystem that a file lies on."""
        mount = mount_of(path, self.mounts)
        return self.members(mount) if mount else frozenset()


def read_machine(roots: Roots) -> Machine:
    """Take the picture. Raises `OSError` when a table cannot be read: not knowing who uses a disk is no answer."""
    blocks: dict[str, Block] = {}
    for name in block_names(roots):
        for block in _read_blocks(name, roots):
            blocks[block.name] = block
    held = {name for kind in _TELLING_FILESYSTEMS for name in names_in(roots.sys / "fs" / kind) if name in blocks}
    pools = [
        frozenset(names_in(roots.sys / "fs" / "btrfs" / pool / "devices")) & blocks.keys()
        for pool in names_in(roots.sys / "fs" / "btrfs")
    ]
    for pool in names_in(roots.sys / "fs" / "bcachefs"):
        place = roots.sys / "fs" / "bcachefs" / pool
        members = (place / name / "block" for name in names_in(place) if name.startswith("dev-"))
        pools.append(frozenset(member.resolve().name for member in members) & blocks.keys())
    # /proc/fs/jbd2 names a journal inside its filesystem sda1-8, one on a device of its own sdb1 (fs/jbd2/journal.c)
    held |= set(names_in(roots.proc / "fs" / "jbd2")) & blocks.keys()
    return Machine(
        blocks=blocks,
        mounts=read_mounts(roots),
        swaps=read_swaps(roots),
        held=frozenset(held).union(*pools),
        pools=tuple(pool for pool in pools if pool),
        claims=read_claims(roots, {block.name: block.dev for block in blocks.values()}),
        live=roots.live,
    )


def _read_blocks(name: str, roots: Roots) -> Iterator[Block]:
    directory = (roots.sys / "block" / name).resolve()
    parts = tuple(partition_names(directory))
    for found, kind in ((name, _kind(name)), *((part, "part") for part in parts)):
        place = directory if found == name else directory / found
        number = read_text(place / "dev")
        if not number:
            continue  # it went while the list was read
        node = node_of(place, found)
        backing, on_device, on_filesystem = "", None, None
        if kind == "loop":
            shown = read_text(place / "loop" / "backing_file")
            status = ioctl.loop_backing(node, shown) if shown and roots.live else None
            backing = shown.removesuffix(" (deleted)")
            if status and status.device.major:
                on_device = status.device
            elif status:
                on_filesystem = status.dev
        elif kind == "zram":
            backing = read_text(place / "backing_dev").removeprefix("none")
        elif kind == "dm":
            backing = read_text(place / "dm" / "name")
        title, release = _title(kind, node, backing, read_text(place / "dm" / "uuid"))
        yield Block(
            name=found,
            node=node,
            dev=DevNumber.parse(number),
            title=title,
            kind=kind,
            release=release,
            partitions=parts if found == name else (),
            holders=names_in(place / "holders"),
            slaves=names_in(place / "slaves"),
            backing=backing,
            on_device=on_device,
            on_filesystem=on_filesystem,
        )


def _kind(name: str) -> str:
    for prefix, kind in (("dm-", "dm"), ("md", "md"), ("bcache", "bcache"), ("loop", "loop"), ("zram", "zram")):
        if name.startswith(prefix):
            return kind
    return "disk"


def _title(kind: str, node: str, backing: str, uuid: str) -> tuple[str, str]:
    if kind == "dm":
        for prefix, title, release in (
            ("CRYPT-", "encrypted volume", f"cryptsetup close {backing}"),
            ("LVM-", "LVM volume", f"lvchange -an /dev/mapper/{backing}"),
            ("mpath-", "multipath device", f"multipath -f {backing}"),
        ):
            if uuid.startswith(prefix):
                return f"the {title} {backing} ({node})", release
        return f"the device-mapper volume {backing} ({node})", f"dmsetup remove {backing}"
    if kind == "md":
        return f"the RAID array {node}", f"mdadm --stop {node}"
    if kind == "bcache":
        return f"the cache device {node}", f"echo 1 > /sys/block/{PurePosixPath(node).name}/bcache/stop"
    if kind == "loop":
        return f"the loop device {node} on {backing}", f"losetup -d {node}"
    return node, ""
