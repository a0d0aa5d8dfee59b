"""The rules by which a disk may be written, and the one way to open it.

Why `open_disk` closes the races between "this disk is free" and the first byte written:

1. A node's name can be given to another disk at any time. The descriptor is therefore compared with the plan after the
   opening: same device number as sysfs gives for the planned disk, same diskseq by ioctl on the descriptor itself, same
   size. From then on the descriptor means that disk and that medium only; when the disk is pulled, I/O on it fails,
   and no new disk can get into its place.
2. Somebody can mount it between the check and the opening. `flock(LOCK_EX)` on the whole disk keeps udev from probing
   it and so the automounters from acting on it (systemd's "Locking Block Device Access"); a second guard run under the
   lock sees what came before the lock.
3. The guard reads tables, which can be incomplete (mounts in namespaces that no process shows, ZFS, drbd). The probe
   with O_EXCL asks for the kernel's own claim on the disk, which every mount, swap, dm and md on the disk or on any of
   its partitions has to hold (a loop device does not: the tables tell about those). It is let go at once: with O_EXCL
   on the disk, mkfs and mount of its partitions fail.

What remains: root can mount or write the disk by hand while the job runs. A mount by hand makes the worker's own
exclusive opening fail; writing past a lock that root ignores cannot be kept from root.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from luxusbd.devices import ioctl
from luxusbd.devices.describe import describe, printable
from luxusbd.devices.machine import Machine, read_machine
from luxusbd.devices.model import DesktopMount, Device
from luxusbd.devices.sysfs import NO_DISK_MAJORS, DevNumber, DiskFacts, Roots, Transport, disk_name, read_disk
from luxusbd.devices.usage import MountUse, Usage, usage_of
from luxusbd.errors import (
    DeviceBusyError,
    DeviceChangedError,
    DeviceEmptyError,
    DeviceError,
    DeviceHasHoldersError,
    DeviceIsSwapError,
    DeviceMountedError,
    DeviceNotFoundError,
    DeviceNotRemovableError,
    DeviceReadOnlyError,
    NotAuthorizedError,
    SystemDeviceError,
)
from luxusbd.text import size_text

LOCK_PATIENCE = 3.0
"""Seconds to wait for another's lock: udev holds a shared one for moments whenever it probes a disk."""

UNSEEN = " by another program"
"""In a refusal when the holder is a process that this one may not look into."""

_LIVE = Roots()
_GONE = (errno.ENOENT, errno.ENXIO, errno.ENODEV)


@dataclass(frozen=True)
class GuardPolicy:
    """What the administrator allows beyond removable disks."""

    allow_loop: tuple[str, ...] = ()
    """fnmatch patterns on a loop device's node (`/dev/loop7`) or on the path of its file (`/srv/test/*.img`; the star
    also stands for slashes)."""
    large_disk: int = 0
    """Bytes from which on a disk is large; 0 for never."""

    def allows_loop(self, disk: DiskFacts) -> bool:
        """Whether the configuration names this loop device or its file."""
        return any(
            fnmatchcase(name, pattern)
            for pattern in self.allow_loop
            for name in (disk.node, disk.backing_file.removesuffix(" (deleted)"))
            if name
        )


def check(disk: DiskFacts, usage: Usage, policy: GuardPolicy, *, desktop: bool = False) -> None:
    """Refuse a disk that must not be written; return when it may be.

    With `desktop` mounts do not count that a desktop made: they can be undone before anything is opened for writing.

    Order of precedence: the running system, not removable, no medium, write-protected, mounted, swap, built upon,
    claimed otherwise, a hibernated system.

    Raises:
        SystemDeviceError, DeviceNotRemovableError, DeviceEmptyError, DeviceReadOnlyError, DeviceMountedError,
        DeviceIsSwapError, DeviceHasHoldersError: each with what holds the disk and what to do.
    """
    if usage.system:
        raise SystemDeviceError(
            f"{disk.node} belongs to the running system: {printable(usage.system)}; choose another disk"
        )
    check_kind(disk, policy)
    if usage.under:
        raise DeviceNotRemovableError(
            f"{disk.node} is a loop device on the disk {usage.under}, not on a file; choose that disk itself"
        )
    if disk.read_only:
        raise DeviceReadOnlyError(
            f"{disk.node} is write-protected; look for a lock switch on the stick or card, or use another one"
        )
    if usage.mounts and not (desktop and usage.desktop):
        raise DeviceMountedError(f"{disk.node} is in use: {_mounted(usage.mounts)}")
    if usage.swaps:
        path = usage.swaps[0].path
        raise DeviceIsSwapError(f"{disk.node} is in use: {path} is active swap; turn it off with: swapoff {path}")
    if usage.layers:
        raise DeviceHasHoldersError(f"{disk.node} is in use: {_layered(usage)}")
    if usage.claims:
        raise DeviceHasHoldersError(f"{disk.node} is in use: {printable('; '.join(usage.claims))}")
    if usage.asleep:
        node = usage.asleep[0]
        raise DeviceIsSwapError(
            f"{disk.node} holds a hibernated system, whose memory is in {node}; start that system and shut it down, or"
            f" give up what was open in it with: wipefs -a {node}"
        )


def check_kind(disk: DiskFacts, policy: GuardPolicy) -> None:
    """The part of `check` that also holds for reading: the right kind of disk, with a medium in it.

    Raises:
        DeviceNotRemovableError, DeviceEmptyError.
    """
    if disk.dev.major in NO_DISK_MAJORS:
        raise DeviceNotRemovableError(f"{disk.node} is an optical or floppy drive; choose a USB stick or a card")
    if disk.transport is Transport.LOOP:
        if not policy.allows_loop(disk):
            raise DeviceNotRemovableError(
                f"{disk.node} is a loop device that the configuration does not name; "
                "an administrator can add it to allow_loop"
            )
    elif not (disk.transport is Transport.USB or (disk.transport is Transport.MMC and disk.hotplug)):
        kind = "soldered (eMMC)" if disk.transport is Transport.MMC else f"attached by {disk.transport.value}"
        raise DeviceNotRemovableError(
            f"{disk.node} is {kind}, neither a USB disk nor a memory card; choose a USB stick or a card"
        )
    if disk.size == 0:
        raise DeviceEmptyError(
            f"{disk.node} has no medium: there is no card in the reader; insert one, or choose another disk"
        )


def judge(disk: DiskFacts, machine: Machine, policy: GuardPolicy) -> DeviceError | None:
    """What `check` raises for the disk in this picture of the machine, or None when it may be written."""
    try:
        check(disk, usage_of(disk.name, machine), policy)
    except DeviceError as error:
        return error
    return None


def judged(device: Device, disk: DiskFacts, usage: Usage, policy: GuardPolicy) -> Device:
    """The device with the guard's verdict in it, which leaves out what a desktop mounted."""
    try:
        check(disk, usage, policy, desktop=True)
    except DeviceError as error:
        return with_verdict(device, error, policy)
    mounts = tuple(DesktopMount(node, point) for node, point in usage.desktop)
    return replace(with_verdict(device, None, policy), mounts=mounts)


def with_verdict(device: Device, error: DeviceError | None, policy: GuardPolicy) -> Device:
    """The device with this verdict in it."""
    large = _large(device, policy)
    if error is None:
        return replace(device, block_error="", blocked_reason="", large=large)
    return replace(device, block_error=error.dbus_name, blocked_reason=str(error), large=large)


def _large(device: Device, policy: GuardPolicy) -> str:
    """Why nobody would expect this disk to become a stick, or empty."""
    if not policy.large_disk:
        return ""
    if device.identity.size >= policy.large_disk:
        return f"a disk of {size_text(device.identity.size)}"
    return f"a hard disk or SSD of {size_text(device.identity.size)}" if device.fixed else ""


def look_up(
    node: str, policy: GuardPolicy, roots: Roots = _LIVE, *, taken: Collection[str] = (), keep: str = ""
) -> Device:
    """A fresh description of one whole disk with the guard's verdict. Blocks; call it in a thread.

    Raises:
        DeviceNotFoundError, DeviceIsPartitionError: `node` is no whole disk.
    """
    disk = _read(node, roots)
    device = describe(disk, roots, taken=taken, keep=keep)
    return judged(device, disk, usage_of(disk.name, read_machine(roots)), policy)


def identify_again(device: Device, policy: GuardPolicy | None = None, roots: Roots = _LIVE) -> Device:
    """The same disk looked at anew, for the check after a long await. Blocks; call it in a thread.

    Without a policy the verdict in it is that of the default one, which refuses every loop device.

    Raises:
        DeviceNotFoundError: it is gone.
        DeviceChangedError: another disk, or another medium, is there.
    """
    fresh = look_up(device.node, policy or GuardPolicy(), roots, keep=device.identity.id)
    if fresh.identity != device.identity:
        raise _changed(device, f"{fresh.vendor} {fresh.model}".strip() or fresh.identity.id)
    return fresh


def open_disk(
    device: Device, policy: GuardPolicy, *, write: bool, lock_patience: float = LOCK_PATIENCE, roots: Roots = _LIVE
) -> int:
    """Open a whole disk, certain that it is the planned one and, for writing, that nobody uses it.

    For writing the descriptor holds LOCK_EX, for reading LOCK_SH and the disk may be mounted or write-protected. The
    lock lives as long as the descriptor and goes along when that is passed to another process. Blocks for up to
    `lock_patience` seconds; call it in a thread. The caller closes the descriptor.

    Raises:
        DeviceError: a refusal of `check`; for reading only those of the disk's kind.
        DeviceChangedError: another disk or medium is there.
        DeviceNotFoundError: it was pulled.
        DeviceBusyError: another job or program holds its lock or has it open exclusively.
        NotAuthorizedError: this process may not open the node.
    """
    disk = _admit(device, policy, roots, write=write)
    fd = _open(device.node, os.O_RDWR if write else os.O_RDONLY)
    try:
        _compare(fd, disk, device)
        _lock(fd, device.node, lock_patience, exclusive=write)
        if write:
            if ioctl.read_only(fd):
                raise DeviceReadOnlyError(f"{device.node} is write-protected; use another disk")
            _probe_exclusive(device.node)
        again = _admit(device, policy, roots, write=write)
        if again.dev != disk.dev or again.sys_path != disk.sys_path:
            raise _changed(device, again.node)
        _compare(fd, again, device)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _read(node: str, roots: Roots) -> DiskFacts:
    disk = read_disk(disk_name(node, roots), roots)
    if not disk.attached:
        raise DeviceNotFoundError(f"{node} has no file attached")
    return disk


def _admit(device: Device, policy: GuardPolicy, roots: Roots, *, write: bool) -> DiskFacts:
    disk = _read(device.node, roots)
    fresh = describe(disk, roots, keep=device.identity.id)
    if fresh.identity != device.identity:
        raise _changed(device, f"{fresh.vendor} {fresh.model}".strip() or fresh.identity.id)
    if write:
        check(disk, usage_of(disk.name, read_machine(roots)), policy)
    else:
        check_kind(disk, policy)
    return disk


def _changed(device: Device, found: str) -> DeviceChangedError:
    return DeviceChangedError(
        f"{device.node} is not the disk any more that was chosen ({device.identity.id}): now it is {found}, "
        "or another medium is in it; look at the list of disks and choose again"
    )


def _open(node: str, flags: int) -> int:
    try:
        return os.open(node, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _GONE:
            raise DeviceNotFoundError(f"{node} is gone; it was pulled") from error
        if error.errno == errno.ENOMEDIUM:
            raise DeviceEmptyError(f"{node} has no medium: there is no card in the reader; insert one") from error
        if error.errno == errno.EROFS:
            raise DeviceReadOnlyError(f"{node} is write-protected; use another disk") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise NotAuthorizedError(
                f"this process may not open {node}; the system service, run by root, can"
            ) from error
        if error.errno == errno.EBUSY:
            raise DeviceBusyError(f"{node} is in use{_held_by(node)}; end that first") from error
        raise DeviceError(f"{node} cannot be opened: {error.strerror}") from error


def _compare(fd: int, disk: DiskFacts, device: Device) -> None:
    status = os.fstat(fd)
    if not stat.S_ISBLK(status.st_mode) or DevNumber.from_raw(status.st_rdev) != disk.dev:
        raise _changed(device, "something else under the same name")
    try:
        sequence, size = ioctl.disk_sequence(fd), ioctl.size(fd)
    except OSError as error:
        raise DeviceNotFoundError(f"{device.node} is gone; it was pulled") from error
    if sequence not in (0, device.identity.disk_seq) or size != device.identity.size:
        raise _changed(device, f"disk number {sequence} with {size} bytes")


def _lock(fd: int, node: str, patience: float, *, exclusive: bool) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                raise
        if time.monotonic() >= end:
            raise DeviceBusyError(f"{node} is locked{_locked_by(fd)}; wait until that is done")
        time.sleep(0.02)


def _probe_exclusive(node: str) -> None:
    os.close(_open(node, os.O_RDONLY | os.O_EXCL))


def _locked_by(fd: int) -> str:
    """Who holds a flock on the open file, from /proc/locks: `7: FLOCK ADVISORY WRITE 4711 00:06:1234 0 EOF`."""
    status = os.fstat(fd)
    inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return ""
    pids = [
        fields[4] for line in lines if len(fields := line.split()) > 5 and fields[5] == inode and fields[1] == "FLOCK"
    ]
    return _processes(pids)


def _held_by(node: str) -> str:
    """Which processes have a node open, as far as this process may look."""
    pids: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                if any(link.readlink() == Path(node) for link in (entry / "fd").iterdir()):
                    pids.append(entry.name)
            except OSError:
                continue  # gone, or another user's
    return _processes(pids)


def _processes(pids: list[str]) -> str:
    named = []
    for pid in pids[:3]:
        try:
            named.append(f"{printable(Path('/proc', pid, 'comm').read_text('utf-8', 'replace').strip())} ({pid})")
        except OSError:
            named.append(f"process {pid}")
    return f" by {', '.join(named)}" if named else UNSEEN


def _mounted(uses: tuple[MountUse, ...]) -> str:
    seen = [use for use in uses if use.point]
    if not seen:
        return (
            "the kernel still holds its filesystem, which is mounted where this process cannot see it, or is being "
            "written out after an unmount; unmount it, or wait a moment"
        )
    shown = ", ".join(printable(use.point) + (f" in {use.place}" if use.place else "") for use in seen[:3])
    more = f" and {len(seen) - 3} more" if len(seen) > 3 else ""
    what = f"{shown}{more}"
    return f"mounted at {what}; unmount it first, with the file manager or: umount {printable(seen[0].point)}"


def _layered(usage: Usage) -> str:
    # From the top down is the order in which they are let go.
    titles = ", ".join(printable(layer.title) for layer in usage.layers if layer.kind != "part")
    steps = [f"umount {printable(use.point)}" for use in usage.upper_mounts if use.point and not use.place]
    steps += [printable(layer.release) for layer in reversed(usage.layers) if layer.release]
    advice = f"; let go of it with: {'; '.join(dict.fromkeys(steps))}" if steps else "; let go of it first"
    return f"built on it: {titles}{advice}"
