"""Types and groups of options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from luxusb_cli import completion
from luxusb_cli.i18n import _
from luxusb_cli.model import JOB_PREFIX
from luxusb_cli.targets import TargetChoice
from luxusb_cli.units import parse_duration, parse_size

F = TypeVar("F", bound=Callable[..., Any])


def to_size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Bytes, for an option that takes a size with a binary suffix."""
    if value is None:
        return None
    try:
        return parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def to_sizes(
    _context: click.Context, _parameter: click.Parameter, values: Sequence[str]
) -> tuple[tuple[str, int], ...]:
    """(name, bytes) for an option that takes NAME=SIZE several times."""
    found: list[tuple[str, int]] = []
    for value in values:
        name, equals, size = value.rpartition("=")
        if not equals or not name:
            raise click.BadParameter(_("{value!r} is not of the form IMAGE=SIZE").format(value=value))
        try:
            found.append((name, parse_size(size)))
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return tuple(found)


def to_duration(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Seconds, for an option that takes a length of time with a unit."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def to_job(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """The object path of a job, for an argument that takes its number, with or without an underscore, or its path."""
    if value is None:
        return None
    digits = value.removeprefix(JOB_PREFIX).removeprefix("_")
    if not (digits.isascii() and digits.isdigit()):
        raise click.BadParameter(
            _("{value!r} is not a job; give its number, as `luxusb jobs` shows it.").format(value=value)
        )
    return f"{JOB_PREFIX}{int(digits)}"


def throttle_options(command: F) -> F:
    """Add --priority and --limit-rate."""
    decorated: Any = click.option(
        "--limit-rate", callback=to_size, metavar="SIZE", help="Bytes per second at most, such as 2MiB; 0: no limit."
    )(command)
    return click.option(  # type: ignore[no-any-return]
        "--priority", type=PRIORITY, metavar="N", help="Place in the queue, -10 to 10, higher first."
    )(decorated)


PRIORITY = click.IntRange(-10, 10)


def target_options(*, many: bool = False, size: bool = False) -> Callable[[F], F]:
    """Add --device and --image-file, which the command gets as `choice`.

    Args:
        many: several disks may be given.
        size: add --size for a new image file.
    """

    def decorate(command: F) -> F:
        @wraps(command)
        def wrapper(*args: Any, device: Any, image_file: Path | None, size: int | None = None, **kwargs: Any) -> Any:
            devices = tuple(device) if many else (device,) if device else ()
            return command(*args, choice=TargetChoice(devices, image_file, size or 0), **kwargs)

        decorated: Any = wrapper
        if size:
            decorated = click.option(
                "--size", callback=to_size, metavar="SIZE", help="Size of a new image file, such as 8GiB or 512M."
            )(decorated)
        decorated = click.option(
            "--image-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="An image file of a stick, in place of a disk.",
        )(decorated)
        return click.option(  # type: ignore[no-any-return]
            "--device",
            shell_complete=completion.devices,
            multiple=many,
            metavar="DEV",
            help="The disk: its node such as /dev/sdb, its id or its object path."
            + (" May be given several times." if many else ""),
        )(decorated)

    return decorate


def consent_options(command: F) -> F:
    """Add --yes and --device-id."""
    decorated: Any = click.option(
        "--device-id",
        "device_ids",
        multiple=True,
        shell_complete=completion.device_ids,
        metavar="ID",
        help="The disk's id, as `luxusb devices` shows it.",
    )(command)
    return click.option(  # type: ignore[no-any-return]
        "--yes", is_flag=True, help="Do not ask; for a disk, --device-id has to be given too."
    )(decorated)
