"""Who uses a disk: filesystems, swap and everything stacked on it, through any depth.

`usage_of` answers for one disk from one picture of the whole machine (`luxusbd.devices.machine`). A disk is followed
upwards: its partitions, their holders (device-mapper, md, bcache and whatever else the kernel names), the loop devices
on any of these or on a file of a filesystem mounted from them, and again what is built on those. What claims a disk
without showing as a holder (ZFS, bcache without a set, a system that sleeps in it) comes from `claims`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from luxusbd.devices.machine import Machine
from luxusbd.devices.mounts import Mount, mount_of, overlay_layers

SYSTEM_POINTS = frozenset(
    PurePosixPath("/", point)
    for point in (
        *("", "usr", "boot", "boot/efi", "boot/firmware", "efi", "etc", "var", "var/home", "var/lib", "var/log"),
        *("home", "root", "opt", "nix", "nix/store", "gnu/store", "sysroot"),
        # where live systems keep the medium that they were started from: casper, and a file on a stick (GRUB loopback)
        *("cdrom", "isodevice", "rofs", "live/image"),
    )
)
"""Mount points without which the running system, or its users' files, would be gone."""

LIVE_PLACES = tuple(
    PurePosixPath(place)
    for place in ("/run/live", "/lib/live/mount", "/run/initramfs", "/run/archiso", "/run/miso", "/run/rootfsbase")
)
"""Directories below which live systems (live-boot, dracut, archiso, miso) mount what they run from."""

DESKTOP_PLACES = (PurePosixPath("/run/media"), PurePosixPath("/media"))
"""Where udisks2 mounts what users plug in."""


@dataclass(frozen=True)
class Layer:
    """Something built on a disk."""

    name: str
    title: str
    kind: str
    release: str
    path: tuple[str, ...]
    """Kernel names from the disk up to, not including, this layer."""


@dataclass(frozen=True)
class MountUse:
    """A mounted filesystem on a disk or on a layer above it."""

    point: str
    """Empty when the kernel holds the filesystem but no namespace shows where."""
    place: str
    name: str
    """Kernel name of the block device it is on."""


@dataclass(frozen=True)
class SwapUse:
    """Active swap on a disk or on a layer above it."""

    path: str
    name: str


@dataclass(frozen=True)
class Usage:
    """Everything that uses one disk."""

    mounts: tuple[MountUse, ...] = ()
    """On the disk itself or its partitions."""
    swaps: tuple[SwapUse, ...] = ()
    """On the disk itself or its partitions."""
    layers: tuple[Layer, ...] = ()
    upper_mounts: tuple[MountUse, ...] = ()
    """On the layers."""
    system: str = ""
    """What of the running system lives there and by which path; empty when nothing does."""
    under: str = ""
    """The block device right under a loop device; empty when that is on a file."""
    desktop: tuple[tuple[str, str], ...] = ()
    """Node and mount point of each own mount, when all of them are where a desktop mounts what is plugged in."""
    claims: tuple[str, ...] = ()
    """What else holds the disk or something built on it, a clause each."""
    asleep: tuple[str, ...] = ()
    """Nodes on it in which a system sleeps that was hibernated."""

    @property
    def settling(self) -> bool:
        """Whether a use can end without an event.

        A filesystem without a mount point that is still held is being written out, or is mounted out of sight; what is
        mounted in another namespace alone is not in the tables that are watched.
        """
        return any(not use.point or use.place for use in (*self.mounts, *self.upper_mounts))


def usage_of(name: str, machine: Machine) -> Usage:
    """Everything that uses the disk of this kernel name."""
    own = (name, *(machine.blocks[name].partitions if name in machine.blocks else ()))
    layers = {layer.name: layer for layer in _layers(own, machine)}
    paths = {part: () if part == name else (name,) for part in own} | {up: layers[up].path for up in layers}
    swaps = tuple(_swaps(machine, paths.keys()))
    mounts = tuple(_mounts(machine, own))
    return Usage(
        mounts=mounts,
        desktop=tuple(_desktop(mounts, own, machine)),
        swaps=tuple(use for use in swaps if use.name in own and not _is_file(use, machine)),
        layers=tuple(layers.values()),
        upper_mounts=tuple(_mounts(machine, layers)),
        system=_system(machine, paths, own, swaps),
        under=_under(name, machine),
        claims=tuple(claim for step in paths for claim in machine.claims.held.get(step, ())),
        asleep=tuple(
            machine.blocks[step].node for step in paths if step in machine.claims.asleep & machine.blocks.keys()
        ),
    )


def _layers(own: Sequence[str], machine: Machine) -> Iterator[Layer]:
    """Breadth first, each layer once, by the shortest path."""
    seen = set(own)
    waiting = [(name, (own[0],) if name == own[0] else (own[0], name)) for name in own]
    while waiting:
        name, path = waiting.pop(0)
        for upper in _uppers(name, machine):
            if upper in seen:
                continue
            seen.add(upper)
            block = machine.blocks.get(upper)
            if block is None:
                # whatever it is: the kernel says that it holds the disk
                yield Layer(upper, f"the device {upper}", "unknown", "", path)
                continue
            yield Layer(upper, block.title, block.kind, block.release, path)
            waiting.append((upper, (*path, upper)))


def _uppers(name: str, machine: Machine) -> Iterator[str]:
    block = machine.blocks.get(name)
    if block is None:
        return
    yield from block.partitions
    yield from block.holders
    yield from (other.name for other in machine.blocks.values() if name in other.slaves)
    filesystems = {mount.dev for mount in machine.on.get(name, ())}
    for other in machine.blocks.values():
        if other.kind not in ("loop", "zram") or not other.backing:
            continue
        if other.on_device is not None:
            if other.on_device == block.dev:
                yield other.name
        # Files on a btrfs have the number of their subvolume, which no mount has.
        elif other.on_filesystem is not None and other.on_filesystem.major:
            # without a mount when that was let go of lazily: the loop device keeps the filesystem alive
            if other.on_filesystem == block.dev or other.on_filesystem in filesystems:
                yield other.name
        elif machine.name_of_path(other.backing) == name or name in machine.under_path(other.backing):
            yield other.name


def _under(name: str, machine: Machine) -> str:
    block = machine.blocks.get(name)
    if block is None or block.kind != "loop" or block.on_filesystem is not None:
        return ""
    lower = machine.names.get(block.on_device) if block.on_device else machine.name_of_path(block.backing)
    return machine.blocks[lower].node if lower else ""


def _mounts(machine: Machine, names: Iterable[str]) -> Iterator[MountUse]:
    for name in names:
        uses = [MountUse(mount.point, mount.place, name) for mount in machine.on.get(name, ())]
        here = [use for use in uses if not use.place]
        # The same mount propagates into many namespaces: one that can be seen from here is enough for people.
        yield from here or uses
        if not uses and name in machine.held:
            yield MountUse("", "", name)


def _desktop(mounts: Sequence[MountUse], own: Sequence[str], machine: Machine) -> Iterator[tuple[str, str]]:
    mine = frozenset(own)
    if any(pool & mine and not pool <= mine for pool in machine.pools):
        return  # its other part is on another disk, and its owner does not expect to lose it with this one
    if all(
        use.point and not use.place and any(PurePosixPath(use.point).is_relative_to(place) for place in DESKTOP_PLACES)
        for use in mounts
    ):
        yield from ((machine.blocks[use.name].node, use.point) for use in mounts)


def _swaps(machine: Machine, names: Iterable[str]) -> Iterator[SwapUse]:
    wanted = frozenset(names)
    for swap in machine.swaps:
        if swap.is_file:
            under = machine.under_path(swap.path)
        elif found := machine.name_of_path(swap.path):
            under = frozenset((found,))
        else:
            # its name means nothing here (a container, a removed link): it may be any swap space
            under = machine.claims.swap_spaces
        yield from (SwapUse(swap.path, name) for name in sorted(under & wanted))


def _is_file(use: SwapUse, machine: Machine) -> bool:
    return any(swap.path == use.path and swap.is_file for swap in machine.swaps)


def _system(
    machine: Machine, paths: Mapping[str, tuple[str, ...]], own: Sequence[str], swaps: Sequence[SwapUse]
) -> str:
    for mount in sorted(machine.mounts, key=lambda mount: mount.point != "/"):
        if not mount.ours or not _of_system(PurePosixPath(mount.point)):
            continue
        for name in sorted(_under_system(mount, machine) & paths.keys()):
            return f"{mount.point} is on it ({_chain(paths[name], name, machine)})"
    for use in swaps:
        # Swap straight on a partition has its own refusal; anything deeper is part of how this system was set up.
        if use.name not in own or _is_file(use, machine):
            return f"swap {use.path} is on it ({_chain(paths[use.name], use.name, machine)})"
    for name in sorted(machine.claims.resume & paths.keys()):
        return f"it hibernates into it ({_chain(paths[name], name, machine)})"
    return ""


def _of_system(point: PurePosixPath) -> bool:
    return point in SYSTEM_POINTS or any(point.is_relative_to(place) for place in LIVE_PLACES)


def _under_system(mount: Mount, machine: Machine) -> frozenset[str]:
    under = set(machine.members(mount))
    if mount.fstype != "overlay":
        return frozenset(under)
    hidden = mount.point == "/" and not overlay_layers(mount)
    for layer in overlay_layers(mount):
        found = mount_of(layer, machine.mounts)
        if found is not None and found.point != "/":
            under |= machine.members(found)
        elif mount.point == "/":
            hidden = True
    if hidden:
        # Layers that were mounted in the initramfs have paths that lead nowhere today. What a live system runs from is
        # an image file on its medium, so that every loop on a file may be it.
        under |= {block.name for block in machine.blocks.values() if block.kind == "loop" and block.backing}
    return frozenset(under)


def _chain(path: Sequence[str], name: str, machine: Machine) -> str:
    return " > ".join(machine.blocks[step].title if step in machine.blocks else step for step in (*path, name))
