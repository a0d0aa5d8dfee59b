"""What `luxusb inspect` prints: everything that is known about a file, in sections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from luxusb_cli.i18n import N_, _
from luxusb_cli.inspection import BootEntryInfo, BootRecordInfo, InspectReport, PartitionInfo, ProgramInfo
from luxusb_cli.render import fields, firmware_names, say, table
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

_CONTAINERS = {
    "iso9660": "ISO 9660",
    "iso9660+udf": N_("ISO 9660 and UDF"),
    "udf": "UDF",
    "disk": N_("image of a whole disk"),
    "filesystem": N_("single filesystem"),
}
_NAMES = {"rock-ridge": "Rock Ridge", "joliet": "Joliet", "udf": "UDF"}
_TORAM = {"entry": N_("by an entry of its own"), "always": N_("always")}
_KEEPS = {
    "partition": N_("in a partition of the stick, shared with others of its kind"),
    "file": N_("in a file on the stick"),
    "directory": N_("in a directory on the stick"),
    "own": N_("beside the image, made by the system"),
}
_VENDORS = {"debian": "Debian", "ubuntu": "Ubuntu", "fedora": "Fedora", "redhat": "Red Hat", "suse": "SUSE"}
_FIRMWARE = {"bios": "BIOS", "uefi": "UEFI", "powerpc": "PowerPC", "mac": "Mac"}


def print_report(file: Path, report: InspectReport) -> None:
    """Print a report about `file`."""
    say(str(file), "bold")
    _verdict(report)
    _section(_("System"))
    fields(
        [
            (_("system"), _title(report)),
            (_("architecture"), report.architecture),
            (_("family"), report.family),
            (_("recipe"), _recipe(report)),
            (_("memory"), _at_least(report.minimum_memory)),
            (_("starts under"), firmware_names(report.firmware)),
            (_("read from"), ", ".join(report.filesystems)),
            (_("runs from memory"), _(_TORAM[report.toram]) if report.toram in _TORAM else ""),
            (_("keeps changes"), _keeps(report)),
        ]
    )
    _section(_("File"))
    fields(
        [
            (_("kind"), _kind(report)),
            (_("label"), report.label),
            ("UUID", report.uuid),
            (_("size"), format_size(report.size)),
            ("sha256", report.sha256),
            (_("genuine"), _genuine(report)),
        ]
    )
    if report.entries:
        _section(_("Entries"))
        for entry in report.entries:
            _entry(entry)
    _secure_boot(report)
    _disc(report.boot_records)
    _partitions(report)


def _verdict(report: InspectReport) -> None:
    if report.bootable and report.recipe == "derived":
        say(
            _("It may start from a file: no recipe knows it, and its own menus were read. Nobody has tried it."),
            "yellow",
        )
        return
    if report.bootable:
        say(_("It starts from a file."), "green")
        return
    say(_("It does not start from a file."), "red")
    for part in (report.reason, report.advice):
        if part:
            say(f"  {clean(part)}")


def _section(title: str) -> None:
    say("")
    say(title, "bold")


def _title(report: InspectReport) -> str:
    if report.version and report.version in report.system:
        return report.system
    return " ".join(part for part in (report.system, report.version) if part)


def _recipe(report: InspectReport) -> str:
    if not report.recipe or not report.recipe_version:
        return report.recipe
    return _("{recipe}, version {version}").format(recipe=report.recipe, version=report.recipe_version)


def _keeps(report: InspectReport) -> str:
    if report.persistence not in _KEEPS:
        return ""
    where = _(_KEEPS[report.persistence])
    if not report.persistence_filesystems:
        return where
    return _("{where} ({filesystems})").format(where=where, filesystems=", ".join(report.persistence_filesystems))


def _at_least(memory: int) -> str:
    return _("at least {size}").format(size=format_size(memory)) if memory else ""


def _kind(report: InspectReport) -> str:
    kind = _(_CONTAINERS.get(report.container, report.container))
    names = _NAMES.get(report.names, "")
    return (
        kind
        if not names or report.container == "udf"
        else _("{kind}, names from {names}").format(kind=kind, names=names)
    )


def _genuine(report: InspectReport) -> str:
    if report.genuine:
        return _("yes, this is {name}").format(name=report.genuine)
    if report.sha256:
        return _("not known: no release in the catalogue has this sha256")
    return _("not checked; `--hash` compares it with the catalogue")


def _entry(entry: BootEntryInfo) -> None:
    say(f"  {clean(entry.title)} ({firmware_names(entry.firmware)})")
    known = {"iso": _("<path on the stick>"), "data_uuid": _("<UUID of the stick>")}
    words = " ".join(entry.parameters)
    for name, text in known.items():
        words = words.replace(f"{{{name}}}", text)
    _indented(
        [
            (_("kernel") if entry.method in ("linux", "linux16") else entry.method, entry.kernel),
            ("initrd", " ".join(entry.initrds).replace("{fetched}", _("<fetched with the image>"))),
            (_("parameters"), words),
        ]
    )


def _indented(pairs: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _value in pairs)
    for name, value in pairs:
        if value:
            say(f"    {name:<{width}}  {clean(value)}")


def _secure_boot(report: InspectReport) -> None:
    if not report.programs:
        return
    _section(_("Secure Boot"))
    vendors = sorted({_VENDORS.get(entry.signer, entry.signer) for entry in report.entries if entry.signer})
    if "uefi-sb" in report.firmware:
        say("  " + _("Starts with the shim and GRUB of {vendor}.").format(vendor=clean(", ".join(vendors))))
    elif vendors:
        say("  " + _("Starts after the key of {vendor} was enrolled.").format(vendor=clean(", ".join(vendors))))
    elif report.bootable:
        say("  " + _("Does not start while it is on."))
    _programs(report.programs)


def _programs(programs: Sequence[ProgramInfo]) -> None:
    for program in programs:
        if not program.signed:
            state = _("not signed")
        elif program.signers:
            state = _("signed by {names}").format(names=", ".join(program.signers))
        else:
            state = _("signed")
        say(f"  {clean(program.path)}: {clean(state)}")


def _disc(records: Sequence[BootRecordInfo]) -> None:
    if not records:
        return
    _section(_("From a disc"))
    for record in records:
        state = _("starts") if record.bootable else _("does not start")
        how = _("as {drive}").format(drive=record.emulation) if record.emulation else _("without emulation")
        say(f"  {_FIRMWARE.get(record.platform, clean(record.platform))}: {state}, {clean(how)}")


def _partitions(report: InspectReport) -> None:
    if report.container not in ("disk", "filesystem"):
        _section(_("Byte for byte on a stick"))
        if report.partition_table:
            say("  " + _("Made for it (hybrid): it has a partition table of its own."))
        else:
            say("  " + _("Not made for it: it has no partition table, so that a stick would start in few machines."))
    if report.partitions:
        _section(_("Partitions ({table})").format(table=report.partition_table.upper()))
        table(
            (_("NO"), _("TYPE"), _("FILESYSTEM"), _("LABEL"), _("START"), _("SIZE")),
            [_partition(part) for part in report.partitions],
        )


def _partition(part: PartitionInfo) -> tuple[str, ...]:
    return (
        f"{part.number}{'*' if part.active else ''}",
        part.type,
        part.filesystem or "?",
        part.label,
        format_size(part.start),
        format_size(part.size),
    )
