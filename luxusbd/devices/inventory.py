"""All disks of the machine at one moment, and the difference between two moments."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from luxusbd.devices.describe import describe
from luxusbd.devices.guard import GuardPolicy, judged, with_verdict
from luxusbd.devices.machine import Machine, read_machine
from luxusbd.devices.model import Device, DeviceEvent, EventKind
from luxusbd.devices.sysfs import DiskFacts, Roots, Transport, block_names, is_shown, read_disk
from luxusbd.devices.usage import usage_of
from luxusbd.errors import DeviceBusyError, DeviceNotFoundError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inventory:
    """The disks that are shown, by kernel name."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    settling: bool = False
    """Some filesystem is held without a mount point that is watched: look again soon, since its end causes no event."""
    unread: frozenset[str] = frozenset()
    """Kernel names of disks that could not be read."""


def take_inventory(policy: GuardPolicy, roots: Roots, before: Inventory) -> Inventory:
    """Look at every disk. Blocks; call it in a thread.

    Shown are all real whole disks, with the guard's verdict, and the loop devices that the policy names. A disk that
    cannot be read is left out with a line in the log.

    Args:
        policy: the guard's.
        roots: where to look.
        before: the last inventory; disks keep the ids that they had in it.
    """
    disks, unread = _read_disks(policy, roots, before.unread)
    machine = _picture(roots)
    # Those that were there before keep their names; a newcomer gets one that nobody has.
    disks.sort(key=lambda disk: (disk.name not in before.devices, disk.disk_seq, disk.name))
    devices: dict[str, Device] = {}
    settling = False
    for disk in disks:
        known = before.devices.get(disk.name)
        taken = [device.identity.id for device in devices.values()]
        device = describe(disk, roots, taken=taken, keep=known.identity.id if known else "")
        if machine is None:
            blind = DeviceBusyError(f"it cannot be found out who uses {disk.node}; the log says why")
            devices[disk.name] = with_verdict(device, blind, policy)
        else:
            usage = usage_of(disk.name, machine)
            settling = settling or usage.settling
            devices[disk.name] = judged(device, disk, usage, policy)
    return Inventory(devices, settling, unread)


def compare(before: Inventory, now: Inventory, pulled: Collection[str] = ()) -> Iterator[DeviceEvent]:
    """The events that lead from one inventory to the next, removals first.

    Args:
        before: the earlier one.
        now: the later one.
        pulled: kernel names of disks for which a removal was announced in between; it tells two plugs of the same stick
            apart on kernels without diskseq.
    """
    added: list[Device] = []
    changed: list[Device] = []
    for name, old in before.devices.items():
        new = now.devices.get(name)
        if new is None:
            yield DeviceEvent(EventKind.REMOVED, old)
        elif _other_disk(old, new) or (name in pulled and not new.identity.disk_seq):
            yield DeviceEvent(EventKind.REMOVED, old)
            added.append(new)
        elif new != old:
            changed.append(new)
    yield from (DeviceEvent(EventKind.CHANGED, device) for device in changed)
    added += [device for name, device in now.devices.items() if name not in before.devices]
    yield from (DeviceEvent(EventKind.ADDED, device) for device in added)


def _other_disk(old: Device, new: Device) -> bool:
    return (old.identity.id, old.identity.disk_seq) != (new.identity.id, new.identity.disk_seq)


def _read_disks(
    policy: GuardPolicy, roots: Roots, unread_before: Collection[str]
) -> tuple[list[DiskFacts], frozenset[str]]:
    disks: list[DiskFacts] = []
    unread: set[str] = set()
    for name in block_names(roots):
        try:
            disk = read_disk(name, roots)
            shown = is_shown(disk, roots)
        except DeviceNotFoundError:
            continue  # pulled while the list was read
        except OSError as error:
            unread.add(name)
            if name not in unread_before:
                log.warning("the disk %s is left out, it cannot be read: %s", name, error)
            continue
        if shown and (disk.transport is not Transport.LOOP or (disk.attached and policy.allows_loop(disk))):
            disks.append(disk)
    return disks, frozenset(unread)


def _picture(roots: Roots) -> Machine | None:
    try:
        return read_machine(roots)
    except OSError as error:
        log.warning("every disk is shown as in use, since mounts or holders cannot be read: %s", error)
        return None
