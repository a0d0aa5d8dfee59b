"""Takes a disk out of the kernel, as udisks does when it powers a drive off."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from luxusbd.errors import DeviceError

log = logging.getLogger(__name__)

_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)


def switch_off(number: int, sysfs: Path = Path("/sys")) -> bool:
    """Switch off the USB device that a disk is.

    It goes by its attribute `remove` (usb_remove_store() in drivers/usb/core/sysfs.c), which also disables its port, so
    that it comes back when it is plugged in again.

    Args:
        number: device number of the whole disk, as `st_rdev` has it.
        sysfs: where sysfs is.

    Returns:
        False where nothing was done: it is no USB device, or that has other disks, such as a reader of several cards;
        or this process may not write there.

    Raises:
        DeviceError: the kernel refuses.
    """
    disk = _disk(number, sysfs)
    usb = next((above for above in disk.parents if (above / "idVendor").exists() and (above / "remove").exists()), None)
    return usb is not None and _disks_below(usb) == {disk.name} and _write(usb / "remove")


def forget(number: int, sysfs: Path = Path("/sys")) -> bool:
    """Let the kernel forget a disk, by `delete` (sdev_store_delete() in drivers/scsi/scsi_sysfs.c).

    Returns:
        False where nothing was done: it is no SCSI disk (a memory card in a slot of its own, a loop device), or this
        process may not write there.

    Raises:
        DeviceError: the kernel refuses.
    """
    attribute = _disk(number, sysfs) / "device/delete"
    return attribute.exists() and _write(attribute)


def _disk(number: int, sysfs: Path) -> Path:
    return (sysfs / "dev/block" / f"{os.major(number)}:{os.minor(number)}").resolve()


def _write(attribute: Path) -> bool:
    try:
        attribute.write_text("1\n")
    except OSError as error:
        if error.errno in _NOT_ALLOWED:
            log.info("%s cannot be written: %s", attribute, error.strerror)
            return False
        raise DeviceError(f"the kernel does not let the disk go: {error.strerror}") from error
    return True


def _disks_below(usb: Path) -> set[str]:
    """Names of the disks of a USB device: a card reader with several slots has several."""
    found = set()
    for place, directories, _files in os.walk(usb):
        if Path(place).name == "block":
            found.update(directories)
            directories.clear()
    return found
