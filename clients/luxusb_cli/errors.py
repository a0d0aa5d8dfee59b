"""Errors as the user meets them: what, why, what to do, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from luxusb_cli.i18n import N_, _

LUXUSB = "org.luxusb.Error."
FREEDESKTOP = "org.freedesktop.DBus.Error."
CLIENT = "org.luxusb.Client."
"""Prefix of the names that this program gives to its own errors in JSON."""
PASSWORD_NEEDED = FREEDESKTOP + "InteractiveAuthorizationRequired"
"""A password would help, and nobody could be asked for it."""


class ExitCode(IntEnum):
    """What the command's exit status says; stable."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_AUTHORIZED = 3
    NO_DAEMON = 4
    CANCELLED = 5
    UPDATES = 6
    """`luxusb update --check` found newer releases."""
    PARTLY = 7
    """Of several disks some are done, and others failed."""
    INTERRUPTED = 130
    """Ctrl-C ended the command, not the job: 128 + SIGINT, as shells count."""


_NO_DAEMON = frozenset(
    FREEDESKTOP + name
    for name in (
        "ServiceUnknown",
        "NameHasNoOwner",
        "NoReply",
        "Disconnected",
        "NoServer",
        "Spawn.ServiceNotFound",
        "Spawn.ExecFailed",
        "Spawn.ChildExited",
        "Spawn.ChildSignaled",
        "Spawn.Failed",
        "TimedOut",
    )
) | {CLIENT + "NoDaemon"}
_NOT_AUTHORIZED = frozenset(
    {
        LUXUSB + "NotAuthorized",
        LUXUSB + "NotAuthorizedDismissed",
        PASSWORD_NEEDED,
        FREEDESKTOP + "AccessDenied",
        FREEDESKTOP + "AuthFailed",
    }
)
_USAGE = frozenset({LUXUSB + "InvalidArgument", FREEDESKTOP + "InvalidArgs", CLIENT + "Usage"})
_CANCELLED = frozenset({LUXUSB + "Cancelled", CLIENT + "Cancelled"})

_START_DAEMON = N_("Look at `systemctl status luxusbd`, and start it with `sudo systemctl start luxusbd`.")
_ADVICE: Mapping[str, str] = {
    LUXUSB + "NotAuthorized": N_("Run the command with sudo, or ask the administrator for the permission."),
    LUXUSB + "NotAuthorizedDismissed": N_("Run the command again and answer the question for the password."),
    PASSWORD_NEEDED: (
        N_("Run the command from a terminal or desktop session where a password can be asked for, or with sudo.")
    ),
    FREEDESKTOP + "AccessDenied": N_("Run the command with sudo, or ask the administrator for the permission."),
    LUXUSB + "NotSupported": N_("This daemon cannot do that; `luxusb --version` shows its version."),
    LUXUSB + "InvalidConfiguration": N_(
        "Correct /etc/luxusb/luxusbd.toml, then `systemctl restart luxusbd`; `man luxusbd.toml` explains each key."
    ),
    LUXUSB + "LimitExceeded": N_("Wait for a job to end, or cancel one: `luxusb jobs --unfinished`."),
    LUXUSB + "DistributionNotFound": N_("See the names with `luxusb distros`."),
    LUXUSB + "NoLogo": N_("Nothing is broken: a system without a logo is shown by its name."),
    LUXUSB + "ImageNotFound": N_(
        "See the stored images with `luxusb images`, those of a stick with `luxusb contents`."
    ),
    LUXUSB + "ImagePinned": N_("Unpin it first: `luxusb unpin IMAGE`; only root can do so for others."),
    LUXUSB + "ImageInUse": N_("Wait for the job that needs it, or cancel that job: `luxusb jobs --unfinished`."),
    LUXUSB + "NotBootable": N_("See what is known about the image with `luxusb inspect FILE`."),
    LUXUSB + "MalformedImage": N_("Get the file again, and compare its checksum with the publisher's."),
    LUXUSB + "PlanExpired": N_("Run the command again; a plan is good for ten minutes."),
    LUXUSB + "WrongJobState": N_("See the state of the job with `luxusb jobs`."),
    LUXUSB + "NotEnoughSpace": N_("Take fewer or smaller images, or a larger disk."),
    LUXUSB + "NoMirror": N_("See the mirrors and why they are not asked with `luxusb mirrors DISTRO`."),
    LUXUSB + "NetworkFailed": N_("Check the network and run the command again; downloaded bytes are kept."),
    LUXUSB + "NotTrusted": N_("Take an image that is sure enough; `luxusb info DISTRO` shows what can be reached."),
    LUXUSB + "Gone": N_("Ask its maker for a newer one: `luxusb catalog update --feeds`; then run the command again."),
    LUXUSB + "ProxyFailed": N_("Tell the administrator; [network] in luxusbd.toml has the proxy."),
    LUXUSB + "DeviceNotFound": N_("See the disks with `luxusb devices`."),
    LUXUSB + "DeviceChanged": N_("Check with `luxusb devices` that it is the right disk, and run the command again."),
    LUXUSB + "DeviceBusy": N_("Wait until the other job or program is done with the disk."),
    LUXUSB + "DeviceMounted": N_("Unmount the filesystems of the disk first."),
    LUXUSB + "DeviceHasHolders": N_("Stop what is built on the disk (LVM, RAID, LUKS or a loop device) first."),
    LUXUSB + "DeviceIsSwap": N_("Switch the swap off first: `swapoff`."),
    LUXUSB + "DeviceIsPartition": N_("Name the whole disk, such as /dev/sdb."),
    LUXUSB + "DeviceReadOnly": N_("Release the write protection of the disk."),
    LUXUSB + "DeviceNotRemovable": N_("Take a removable disk; `luxusb devices` shows which ones can be written."),
    LUXUSB + "LargeDisk": N_("If it is the right disk, add --allow-large."),
    LUXUSB + "SystemDevice": N_("Take another disk; `luxusb devices` shows which ones can be written."),
    LUXUSB + "NotALuxusbStick": N_("Make it one with `luxusb create`, which erases it."),
    LUXUSB + "DeviceDamaged": N_(
        "Mend the stick with `luxusb repair`; if that fails, make it anew with `luxusb create`."
    ),
    LUXUSB + "PartlyFailed": N_("Run the command again for the disks that failed; the others are ready."),
    LUXUSB + "DeviceCounterfeit": N_("Give it back, and take another one."),
    LUXUSB + "DeviceFailing": N_("Try another port; if the errors stay, take another stick."),
    LUXUSB + "Interrupted": N_("Run the command again."),
    LUXUSB + "Internal": N_("This is a defect of the daemon; its log has the details: `journalctl -u luxusbd`."),
    FREEDESKTOP + "UnknownObject": N_("See the disks with `luxusb devices` and the jobs with `luxusb jobs`."),
}


def exit_code(name: str) -> ExitCode:
    """The exit code for an error of this D-Bus name."""
    if name in _NO_DAEMON:
        return ExitCode.NO_DAEMON
    if name in _NOT_AUTHORIZED:
        return ExitCode.NOT_AUTHORIZED
    if name in _USAGE:
        return ExitCode.USAGE
    if name in _CANCELLED:
        return ExitCode.CANCELLED
    if name == LUXUSB + "PartlyFailed":
        return ExitCode.PARTLY
    return ExitCode.FAILED


def advice(name: str) -> str:
    """What a user can do about an error of this D-Bus name; empty when nothing general is known."""
    return _(_START_DAEMON if name in _NO_DAEMON else _ADVICE.get(name, ""))


class CliError(Exception):
    """Ends the command with a message in three parts.

    Attributes:
        what: what could not be done.
        why: the reason; from the daemon it is untrusted text.
        todo: what the user can do.
        name: D-Bus name of the error, or one of this program's own (`CLIENT`).
        document: what a JSON answer holds beside the error.
    """

    def __init__(
        self,
        what: str,
        why: str = "",
        todo: str = "",
        *,
        name: str = LUXUSB + "Failed",
        code: ExitCode | None = None,
        document: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{what}: {why}" if why else what)
        self.what = what
        self.why = why
        self.todo = todo or advice(name)
        self.name = name
        self.code = exit_code(name) if code is None else code
        self.document: Mapping[str, object] = document or {}

    def as_document(self) -> dict[str, object]:
        """The JSON answer of a command that failed."""
        return {**self.document, "error": {"name": self.name, "message": self.why or self.what}}


class DaemonError(CliError):
    """The daemon, or the bus in its place, answered with an error."""

    def __init__(self, what: str, name: str, message: str) -> None:
        super().__init__(what, _explain(name, message), name=name)


def _explain(name: str, message: str) -> str:
    if name == FREEDESKTOP + "ServiceUnknown":
        return _("The service luxusbd does not run and cannot be started over D-Bus.")
    if name == FREEDESKTOP + "NoReply":
        return _("The service luxusbd ended before it answered.")
    return message or _("The daemon answered {name}.").format(name=name)


class NoDaemonError(CliError):
    """The bus or the daemon cannot be reached."""

    def __init__(self, what: str, why: str, todo: str = "") -> None:
        super().__init__(what, why, todo, name=CLIENT + "NoDaemon")


class UsageError(CliError):
    """The command line asks for something that makes no sense."""

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what, why, todo, name=CLIENT + "Usage")


class CancelledError(CliError):
    """The user said no, or ended the job."""

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what, why, todo, name=CLIENT + "Cancelled")


class InterruptedWaitError(CliError):
    """Ctrl-C ended the waiting; `document` names the jobs that go on."""

    def __init__(self, what: str, todo: str = "", document: Mapping[str, object] | None = None) -> None:
        super().__init__(what, todo=todo, name=CLIENT + "Interrupted", code=ExitCode.INTERRUPTED, document=document)
