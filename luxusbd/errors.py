"""One exception tree. Each class carries the D-Bus error name under which a client sees it.

The text of an error is written for the person who reads it in a terminal: what is wrong, on what, and what to do.
"""

from __future__ import annotations

import errno
from typing import ClassVar

PREFIX = "org.luxusb.Error."


class LuxusbError(Exception):
    """The root of all expected failures; `dbus_name` is the full D-Bus error name."""

    dbus_name: ClassVar[str] = PREFIX + "Failed"

    @property
    def message(self) -> str:
        """The text for the user, without the error's name."""
        return str(self)


class FailedError(LuxusbError):
    """Something failed that has no more precise name."""


class PartlyFailedError(LuxusbError):
    """A job was done on some of its devices and failed on others; its result tells which."""

    dbus_name = PREFIX + "PartlyFailed"


class InternalError(LuxusbError):
    """A defect of this program; the details are in the log, not in the message."""

    dbus_name = PREFIX + "Internal"


class InvalidArgumentError(LuxusbError):
    """A caller's argument or option is unknown, of the wrong type or out of range."""

    dbus_name = PREFIX + "InvalidArgument"


class ConfigError(LuxusbError):
    """The configuration file is malformed."""

    dbus_name = PREFIX + "InvalidConfiguration"


class NotSupportedError(LuxusbError):
    """The member or the requested combination has no engine (yet)."""

    dbus_name = PREFIX + "NotSupported"


class NotAuthorizedError(LuxusbError):
    """The caller may not do this."""

    dbus_name = PREFIX + "NotAuthorized"


class NotAuthorizedDismissedError(NotAuthorizedError):
    """The user closed the authentication dialogue."""

    dbus_name = PREFIX + "NotAuthorizedDismissed"


class InteractiveAuthorizationRequiredError(NotAuthorizedError):
    """Authentication would help, but the caller did not allow interaction."""

    dbus_name = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"


class LimitExceededError(LuxusbError):
    """A cap on jobs, plans or message sizes is reached."""

    dbus_name = PREFIX + "LimitExceeded"


class UnknownObjectError(LuxusbError):
    """No such job or device, or none that the caller may see."""

    dbus_name = "org.freedesktop.DBus.Error.UnknownObject"


class DistributionNotFoundError(LuxusbError):
    """The catalogue has no such distribution, version or edition."""

    dbus_name = PREFIX + "DistributionNotFound"


class ImageNotFoundError(LuxusbError):
    """The image store, or the stick, has no such image."""

    dbus_name = PREFIX + "ImageNotFound"


class ImageInUseError(LuxusbError):
    """The image is needed by a job that runs or waits, or by a plan; the text names it."""

    dbus_name = PREFIX + "ImageInUse"


class ImagePinnedError(ImageInUseError):
    """A user wants the image kept."""

    dbus_name = PREFIX + "ImagePinned"


class NotBootableError(LuxusbError):
    """The image cannot be started from a file; the text says why and what to do instead."""

    dbus_name = PREFIX + "NotBootable"


class MalformedImageError(LuxusbError):
    """The file is not an image that can be read: empty, truncated or inconsistent."""

    dbus_name = PREFIX + "MalformedImage"


class AlreadyExistsError(LuxusbError):
    """An image of that name or content is already there."""

    dbus_name = PREFIX + "AlreadyExists"


class PlanExpiredError(LuxusbError):
    """The plan token is unknown, used, expired or another user's."""

    dbus_name = PREFIX + "PlanExpired"


class JobStateError(LuxusbError):
    """The job cannot do that in its present state."""

    dbus_name = PREFIX + "WrongJobState"


class CancelledError(LuxusbError):
    """The job was cancelled."""

    dbus_name = PREFIX + "Cancelled"


class InterruptedJobError(LuxusbError):
    """The daemon or a child process ended while the job ran."""

    dbus_name = PREFIX + "Interrupted"


class NotEnoughSpaceError(LuxusbError):
    """The disk, stick or image store is too small for what was asked."""

    dbus_name = PREFIX + "NotEnoughSpace"


class NetworkError(LuxusbError):
    """No mirror gave the file; the text lists what each one did."""

    dbus_name = PREFIX + "NetworkFailed"


class GoneError(NetworkError):
    """Every server that was asked says that it has no such file (any more)."""

    dbus_name = PREFIX + "Gone"


class ProxyError(NetworkError):
    """The proxy lets nothing through; the text names it and says what it wants."""

    dbus_name = PREFIX + "ProxyFailed"


class NoMirrorError(LuxusbError):
    """Preferences leave no mirror that may be asked; the text says which ones, and how to change them."""

    dbus_name = PREFIX + "NoMirror"


class NoLogoError(LuxusbError):
    """A system has no logo that can be shown; the text says why."""

    dbus_name = PREFIX + "NoLogo"


class VerificationError(LuxusbError):
    """Bytes differ from what they have to be: a hash, a signature or a read-back."""

    dbus_name = PREFIX + "VerificationFailed"


class UntrustedError(LuxusbError):
    """It is less sure than the administrator demands that the image is what its maker published."""

    dbus_name = PREFIX + "NotTrusted"


class CatalogError(LuxusbError):
    """A catalogue document is malformed."""

    dbus_name = PREFIX + "InvalidCatalog"


class ToolMissingError(LuxusbError):
    """A program or boot file is not installed; the text names the package."""

    dbus_name = PREFIX + "ToolMissing"


class ToolFailedError(LuxusbError):
    """A program ended with an error or ran out of time; the text holds its last output."""

    dbus_name = PREFIX + "ToolFailed"


class DeviceError(LuxusbError):
    """The root of refusals that concern a disk."""

    dbus_name = PREFIX + "DeviceFailed"


class DeviceNotFoundError(DeviceError):
    """No such disk, or it was pulled."""

    dbus_name = PREFIX + "DeviceNotFound"


class DeviceChangedError(DeviceError):
    """Another disk (or medium) stands where the planned one stood."""

    dbus_name = PREFIX + "DeviceChanged"


class DeviceBusyError(DeviceError):
    """Another job or another program holds the disk."""

    dbus_name = PREFIX + "DeviceBusy"


class DeviceMountedError(DeviceBusyError):
    """A filesystem on the disk is mounted."""

    dbus_name = PREFIX + "DeviceMounted"


class DeviceHasHoldersError(DeviceBusyError):
    """LVM, RAID, LUKS or a loop device is built on the disk."""

    dbus_name = PREFIX + "DeviceHasHolders"


class DeviceIsSwapError(DeviceBusyError):
    """The disk carries active swap."""

    dbus_name = PREFIX + "DeviceIsSwap"


class DeviceIsPartitionError(DeviceError):
    """A partition was named where a whole disk is needed."""

    dbus_name = PREFIX + "DeviceIsPartition"


class DeviceReadOnlyError(DeviceError):
    """The disk is write-protected."""

    dbus_name = PREFIX + "DeviceReadOnly"


class DeviceNotRemovableError(DeviceError):
    """The disk is neither removable, nor hot-pluggable, nor allowed by configuration."""

    dbus_name = PREFIX + "DeviceNotRemovable"


class LargeDiskError(DeviceError):
    """The disk is larger than a stick, or a hard disk, and the caller did not say that he means one."""

    dbus_name = PREFIX + "LargeDisk"


class SystemDeviceError(DeviceError):
    """The running system lives on this disk."""

    dbus_name = PREFIX + "SystemDevice"


class DeviceEmptyError(DeviceError):
    """The disk reports no medium."""

    dbus_name = PREFIX + "NoMedium"


class DeviceFailingError(DeviceError):
    """The disk gives input/output errors: it is dying, or badly plugged."""

    dbus_name = PREFIX + "DeviceFailing"


class DeviceCounterfeitError(DeviceError):
    """The disk has less room than it says."""

    dbus_name = PREFIX + "DeviceCounterfeit"


class DeviceNotLuxusbError(DeviceError):
    """The disk is not a LUXusb stick."""

    dbus_name = PREFIX + "NotALuxusbStick"


class DeviceDamagedError(DeviceError):
    """The LUXusb stick is damaged; the text says what is broken and how to repair it."""

    dbus_name = PREFIX + "DeviceDamaged"


class NewerStickError(DeviceDamagedError):
    """The stick was written by a newer version of this program, and is not damaged at all."""


def host_error(error: OSError, doing: str) -> LuxusbError:
    """The failure to show when this machine's own disk refuses `doing`, such as "writing /var/lib/luxusb/lock"."""
    where = f" ({error.filename})" if isinstance(error.filename, str) and error.filename not in doing else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "the disk quota is used up" if error.errno == errno.EDQUOT else "the disk is full"
        return NotEnoughSpaceError(f"{doing} failed{where}: {what}; free some space, then try again")
    if error.errno == errno.EROFS:
        return FailedError(f"{doing} failed{where}: the filesystem is read-only; mount it for writing, then try again")
    return FailedError(f"{doing} failed{where}: {error.strerror or error}")


def most_telling(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that the user should see: ours before any other."""
    flat: list[BaseException] = []
    waiting: list[BaseException] = [errors]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
        else:
            flat.append(one)
    return next((one for one in flat if isinstance(one, LuxusbError)), flat[0])


def _tree(root: type[LuxusbError]) -> dict[str, type[LuxusbError]]:
    found = {root.dbus_name: root}
    for child in root.__subclasses__():
        for name, cls in _tree(child).items():
            found.setdefault(name, cls)
    return found


def from_name(dbus_name: str, message: str) -> LuxusbError:
    """Rebuild an error that crossed a process boundary as (name, message); an unknown name becomes `FailedError`."""
    found = _tree(LuxusbError).get(dbus_name, FailedError)
    return FailedError(message) if found is LuxusbError else found(message)
