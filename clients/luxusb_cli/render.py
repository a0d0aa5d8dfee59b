"""Answers for people: tables and the plan. Strangers' words are cleaned here and are never taken for markup."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from luxusb_cli.i18n import N_, _
from luxusb_cli.model import DeviceInfo
from luxusb_cli.plans import PlanInfo, PlannedDevice, PlannedRaw
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from rich.console import Console

GAP = "  "
"""Between two columns."""
WRAP_LEAST = 12
"""Columns below which a wrapped column cannot be read."""
_FIRMWARE = {
    "bios": "BIOS",
    "uefi": "UEFI",
    "uefi-sb": N_("UEFI with Secure Boot"),
    "uefi-ia32": N_("32-bit UEFI"),
    "uefi-ia32-sb": N_("32-bit UEFI with Secure Boot"),
    "uefi-arm64": N_("UEFI of ARM computers"),
    "uefi-arm64-sb": N_("UEFI of ARM computers with Secure Boot"),
}


def console() -> Console:
    """Standard output as rich sees it: no markup, no guesses, and no colours where they are not wanted."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        markup=False,
        highlight=False,
        emoji=False,
        force_terminal=terminal,
        color_system="auto" if terminal else None,
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
    """Print rows in columns; fitted to a terminal, in full and without padding into a pipe.

    `styles`, where given, has one for each row, empty for none; a terminal shows them.

    On a terminal the longest column is wrapped where the columns are too wide together; where that would leave too
    little of it, there is a block of lines for each row.
    """
    from rich.cells import cell_len

    cells = [[clean(cell) for cell in row] for row in rows]
    everything = [list(headers), *cells]
    widths = [max(cell_len(row[column]) for row in everything) for column in range(len(headers))]
    if sys.stdout.isatty():
        screen = console()
        longest = widths.index(max(widths))
        room = screen.width - sum(widths) - len(GAP) * (len(widths) - 1) + widths[longest]
        if room >= min(widths[longest], WRAP_LEAST):
            _print_grid(screen, headers, cells, longest, styles)
        else:
            _print_blocks(headers, cells, styles)
        return
    for row in everything:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        print(GAP.join(padded).rstrip())


def _print_grid(
    screen: Console, headers: Sequence[str], cells: Sequence[Sequence[str]], wrapped: int, styles: Sequence[str]
) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, len(GAP), 0, 0))
    for column, header in enumerate(headers):
        grid.add_column(header, overflow="fold", no_wrap=column != wrapped)
    for row, style in zip_longest(cells, styles, fillvalue=""):
        grid.add_row(*(Text(cell) for cell in row), style=style or None)
    screen.print(grid)


def _print_blocks(headers: Sequence[str], cells: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
    from rich.cells import cell_len

    width = max(cell_len(header) for header in headers[1:])
    for row, style in zip_longest(cells, styles, fillvalue=""):
        say(row[0], f"bold {style}".strip())
        for header, cell in zip(headers[1:], row[1:], strict=True):
            if cell:
                say(f"  {header}{' ' * (width - cell_len(header))}{GAP}{cell}")


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names with their values, leaving out empty ones."""
    shown = [(name, clean(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{name:<{width}}  {value}")


def say(message: str, style: str = "") -> None:
    """Print a line; what comes from elsewhere has to be `clean` already or is cleaned here."""
    message = clean(message)
    if not style or not sys.stdout.isatty():
        print(message)
        return
    from rich.text import Text

    console().print(Text(message, style=style), soft_wrap=True)


def date(seconds: int) -> str:
    """A day and minute in local time, empty for 0."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""


def size_or_unknown(size: int) -> str:
    """A size, or a question mark for 0."""
    return format_size(size) if size else "?"


def firmware_names(names: Sequence[str]) -> str:
    """BIOS, UEFI, UEFI with Secure Boot."""
    return ", ".join(_(_FIRMWARE.get(name, clean(name))) for name in names)


def hardware(device: DeviceInfo | PlannedDevice) -> str:
    """Vendor, model, serial and size of a disk in one line."""
    made = " ".join(part for part in (clean(device.vendor).strip(), clean(device.model).strip()) if part)
    serial = clean(device.serial).strip()
    return ", ".join(
        part
        for part in (made, _("serial {serial}").format(serial=serial) if serial else "", format_size(device.size))
        if part
    )


def badge(trust: str) -> str:
    """How sure it is that bytes are what their maker published, as it is shown everywhere: [signed], [hash] ..."""
    return f"[{clean(trust)}]" if trust else ""


def custom_badge(custom: bool) -> str:
    """That something comes from the user's own catalogue, for which nobody else vouches."""
    return _("[custom]") if custom else ""


def badged(title: str, *, custom: bool) -> str:
    """A title with its badge."""
    return " ".join(filter(None, (clean(title), custom_badge(custom))))


def _raw_text(raw: PlannedRaw) -> None:
    if raw.packing:
        size = size_or_unknown(raw.size)
        say("     " + _("unpacked from {packing} on the way: {size}").format(packing=clean(raw.packing), size=size))
    if raw.mapped:
        mapped = format_size(raw.mapped)
        say("     " + _("of that the block map has {size} written").format(size=mapped))


def plan_text(plan: PlanInfo, names: Sequence[str]) -> None:
    """Print a plan; `names` are what the user calls its devices, in their order."""
    for device, name in zip(plan.devices, names, strict=True):
        say(f"{clean(device.node) or clean(name)}: {hardware(device)}", "bold")
        say(f"  id {device.id}")
        if device.lost:
            say("  " + _("will be erased, and with it:"), "bold red")
            for lost in device.lost:
                say(f"    {lost}", "red")
        else:
            say("  " + _("holds nothing that would be lost"))
        if plan.raw is None or device.bytes_needed:
            say(
                "  "
                + _("needs {bytes_needed}, leaves {bytes_free} free").format(
                    bytes_needed=format_size(device.bytes_needed), bytes_free=format_size(device.bytes_free)
                )
            )
    if plan.raw is None:
        say(_("On it will be, in the order of the menu:"), "bold")
    else:
        say(_("Written to it byte for byte will be:"), "bold")
    for number, image in enumerate(plan.images, 1):
        facts = [clean(image.name), size_or_unknown(image.size), firmware_names(image.firmware)]
        if image.download:
            facts.append(_("to be downloaded"))
        if image.persistence:
            facts.append(_("{size} for changes").format(size=format_size(image.persistence)))
        facts.append(badge(image.trust))
        title = badged(image.title or image.reference, custom=image.custom)
        say(f"  {number}. {title} ({', '.join(fact for fact in facts if fact)})")
        for warning in image.warnings:
            say("     " + _("warning: {warning}").format(warning=warning), "yellow")
    if plan.layout:
        say(_("Partitions:"), "bold")
        for part in plan.layout:
            say(f"  {part.number}. {clean(part.name)} {format_size(part.size)}")
    if plan.raw is not None:
        _raw_text(plan.raw)
    else:
        secure = _("with Secure Boot") if plan.secure_boot else _("without Secure Boot")
        say(
            _("It starts under: {firmware} ({secure})").format(
                firmware=firmware_names([name for name in plan.firmware if name != "uefi-sb"]) or _("nothing"),
                secure=secure,
            ),
            "bold",
        )
    for certificate in plan.certificates:
        subject = _("to be enrolled: {subject}").format(subject=clean(certificate.subject))
        say(f"  {clean(certificate.name)} ({subject}, SHA-256 {clean(certificate.sha256)})")
    told = {f"{image.name}: {warning}" for image in plan.images for warning in image.warnings}
    for warning in plan.warnings:
        if warning in told:
            continue
        say(_("Warning: {warning}").format(warning=warning), "yellow")
