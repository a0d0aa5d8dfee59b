"""What a command works on: a disk named by the user, or an image file opened for the daemon."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from luxusb_cli.errors import LUXUSB, CliError, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.model import DeviceInfo
from luxusb_cli.text import clean, did_you_mean, join_sentences
from luxusb_cli.units import format_exact, format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client


@dataclass(frozen=True)
class TargetChoice:
    """What --device, --image-file and --size say."""

    devices: tuple[str, ...] = ()
    image_file: Path | None = None
    size: int = 0

    def check(self) -> None:
        """Raise `UsageError` unless there is exactly one kind of target."""
        if bool(self.devices) == (self.image_file is not None):
            raise UsageError(
                _("What to work on is not clear"), todo=_("Give either --device DEV or --image-file FILE.")
            )
        if self.devices and self.size:
            raise UsageError(_("--size is for image files"), _("A disk has the size it has."), _("Leave out --size."))


@dataclass
class Target:
    """A device object and what the user calls it."""

    device: DeviceInfo
    name: str
    """As shown and asked for: the node, or the path of the image file."""
    holds_data: bool
    """Whether something can be lost by writing to it."""
    file: Path | None = None
    keep: bool = field(default=False)
    """Set once a job works on it: a file that was made for it then stays."""

    @property
    def short_name(self) -> str:
        """The last part of the name, which is what has to be typed."""
        return Path(self.name).name


def find_device(devices: Sequence[DeviceInfo], name: str) -> DeviceInfo:
    """The disk that is called `name`: a node (also a link to it), an object path or a device id.

    Raises:
        CliError: there is none; with a suggestion.
    """
    names = {name}
    if name.startswith("/dev/"):
        names.add(os.path.realpath(name))
    elif "/" not in name:
        names.add(f"/dev/{name}")
    for device in devices:
        if names & {device.path, device.node, device.id} - {""}:
            return device
    if whole := _whole_disk(name):
        raise CliError(
            _("There is no disk {name}").format(name=clean(name)),
            _("{name} is a partition of {disk}, and a stick takes a whole disk.").format(name=clean(name), disk=whole),
            _("Name the whole disk: --device {disk}.").format(disk=whole),
            name=LUXUSB + "DeviceIsPartition",
        )
    known = [known for device in devices for known in (device.node, device.id) if known]
    present = ", ".join(device.node for device in devices if device.node)
    raise CliError(
        _("There is no disk {name}").format(name=clean(name)),
        _("The daemon knows these: {present}.").format(present=present) if present else _("The daemon knows no disk."),
        join_sentences(did_you_mean(name, known), _("See the disks with `luxusb devices`.")),
        name=LUXUSB + "DeviceNotFound",
    )


def _whole_disk(name: str) -> str:
    """The node of the disk that the partition `name` is on; empty for anything else."""
    entry = Path("/sys/class/block", Path(os.path.realpath(Path("/dev", name))).name)
    return f"/dev/{entry.resolve().parent.name}" if (entry / "partition").exists() else ""


@asynccontextmanager
async def open_targets(client: Client, choice: TargetChoice, *, create: bool = False) -> AsyncIterator[list[Target]]:
    """The devices that the user chose.

    An image file is opened, and with `create` made if it is not there. What was made here is taken away again unless
    the target's `keep` was set.

    Raises:
        CliError: no such disk or file, or not one that can be used.
    """
    choice.check()
    if choice.image_file is None:
        known = await client.devices()
        found = [find_device(known, name) for name in choice.devices]
        unique = {device.path: device for device in found}
        yield [Target(device, device.node or device.id, holds_data=True) for device in unique.values()]
        return
    path = choice.image_file
    fd, created = _open_image_file(path, create=create)
    before = 0
    target: Target | None = None
    try:
        before = os.fstat(fd).st_size
        _check_size(path, before, choice.size)
        size = 0 if before else choice.size
        device = await client.device(await client.open_image_target(fd, size, str(path)))
        target = Target(device, str(path), holds_data=before > 0, file=path)
        yield [target]
    finally:
        if target is None or not target.keep:
            if created:
                path.unlink(missing_ok=True)
            elif before == 0:
                os.truncate(fd, 0)
        os.close(fd)


def _check_size(path: Path, before: int, asked: int) -> None:
    if before == 0 and not asked:
        raise UsageError(_("{path} has no size yet").format(path=path), todo=_("Give --size, such as --size 8GiB."))
    if before and asked not in {0, before}:
        raise UsageError(
            _("{path} is not changed in size").format(path=path),
            _("It is there already and holds {size} ({exact}).").format(
                size=format_size(before), exact=format_exact(before)
            ),
            _("Leave out --size to use it as it is, or take another file name."),
        )


def _open_image_file(path: Path, *, create: bool) -> tuple[int, bool]:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        if create:
            try:
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), True
            except FileExistsError:
                pass
        fd = os.open(path, flags)
    except OSError as error:
        raise CliError(
            _("Could not open {path}").format(path=path), f"{error.strerror}.", _file_advice(error)
        ) from error
    return _regular(fd, path), False


def open_for_reading(path: Path) -> int:
    """A read-only descriptor of a regular file, which the caller closes.

    Raises:
        CliError: it cannot be opened, or is something else.
    """
    return _regular(_open(path), path)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise CliError(
            _("Could not open {path}").format(path=path), f"{error.strerror}.", _file_advice(error)
        ) from error


def open_source(path: Path | None) -> tuple[int, bool]:
    """A descriptor to import from, which the caller closes, and whether it can be read only once.

    Args:
        path: a regular file or a named pipe; None for standard input.

    Raises:
        CliError: it cannot be opened, or is something else.
    """
    if path is None:
        return _standard_input()
    # a named pipe is opened at once; the daemon waits for its writer
    fd = _open(path)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return fd, True
    return _regular(fd, path), False


def _standard_input() -> tuple[int, bool]:
    try:
        fd = os.dup(0)
    except OSError as error:
        raise CliError(_("Could not read standard input"), f"{error.strerror}.") from error
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd, False
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        return fd, True
    os.close(fd)
    raise UsageError(
        _("Nothing can be imported from standard input"),
        _("It is neither a file nor a pipe."),
        _("Write `curl ... | luxusb import -`, or name a file."),
    )


def _regular(fd: int, path: Path) -> int:
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    todo = _("Name a disk with --device.") if stat.S_ISBLK(mode) else _("Name a file.")
    raise CliError(_("Could not use {path}").format(path=path), _("It is not a regular file."), todo)


def _file_advice(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return _("Check the name of the file.")
    if isinstance(error, PermissionError):
        return _("Check the permissions of the file, or take one of your own.")
    return ""
