"""What was seen, as data/boot-results.json and docs/boot-matrix.md: the second is a function of the first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from luxusbd.images.model import Firmware
from tests.harness.service import ROOT
from tests.matrix import apart
from tests.matrix.cases import FILESYSTEMS, FIRMWARE, SYSTEMS, Filesystem, Result, System, rows

RESULTS = ROOT / "data" / "boot-results.json"
PAGE = ROOT / "docs" / "boot-matrix.md"

_FIRMWARE_NAMES = {
    Firmware.BIOS: "BIOS",
    Firmware.UEFI: "UEFI",
    Firmware.UEFI_SECURE_BOOT: "UEFI, Secure Boot on",
    Firmware.UEFI_IA32: "UEFI with 32 bits",
    Firmware.UEFI_IA32_SECURE_BOOT: "with 32 bits, Secure Boot on",
    Firmware.UEFI_ARM64: "UEFI of ARM",
    Firmware.UEFI_ARM64_SECURE_BOOT: "of ARM, Secure Boot on",
}
_INTRO = """\
# What was seen to boot

The real systems below were put on sticks by the service and started in virtual machines: each image, under each
firmware, from each filesystem that sticks are made with. A row counts when the started system itself says so (a line
that its own userland writes, its first question, its title), and is tried once. `make boot-matrix` does it again and
writes this page and [data/boot-results.json](../data/boot-results.json); nothing here is written by hand.

All images are made of packages of Debian 12, on the machine that runs it: "as Fedora's" and "as openSUSE's" are systems
with the initramfs programs (dracut, kiwi) and the layout of those makers, and Debian's kernel, signed by Debian. BIOS
is SeaBIOS, UEFI is OVMF, and Secure Boot is enforced there with Microsoft's keys.

- **starts**: the system was seen to run, so many seconds after power-on, on one core that QEMU emulates.
- *refused*: it cannot start there, which was expected and was said clearly; the text says by whom and how.
- **FAILED**: it should have started and was not seen to run.
"""
_APART = f"""\
## Under other kinds of UEFI, from {apart.STICK.name}

These rows are from one stick with shim and signed GRUB of every kind that Debian has. `make boot-firmware` makes and
starts it, and writes them down: 32-bit UEFI is OVMF on a processor with 64 bits, UEFI of ARM is AAVMF on a Cortex-A72,
and Secure Boot is enforced with Microsoft's keys there, too.
"""


@dataclass(frozen=True)
class Record:
    """One row as it was seen."""

    image: str
    entry: str
    """Part of the title of the entry; empty for the first one."""
    sha256: str
    """Of the image file; empty when the service refused it."""
    recipe: str
    firmware: str
    filesystem: str
    date: str
    """UTC, YYYY-MM-DD."""
    seconds: int
    """From power-on to the evidence."""
    result: str
    evidence: str
    """The line that shows the result."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """(image, entry, firmware, filesystem), as in `tests.matrix.cases.Row`."""
        return self.image, self.entry, self.firmware, self.filesystem


def load(path: Path = RESULTS) -> tuple[Record, ...]:
    """The records of a file; none when it does not exist."""
    if not path.exists():
        return ()
    return tuple(Record(**item) for item in json.loads(path.read_text("utf-8")))


def merge(earlier: Iterable[Record], seen: Iterable[Record]) -> tuple[Record, ...]:
    """What was seen now in the place of what was seen of the same rows before, in the order of the matrix.

    Rows that the matrix does not have any more are dropped.
    """
    records = {record.key: record for record in (*earlier, *seen)}
    return tuple(records[row.key] for row in (*rows(), *apart.rows()) if row.key in records)


def save(records: Sequence[Record], results: Path = RESULTS, page: Path = PAGE) -> None:
    """Write both files, each of them whole or not at all."""
    _replace(results, json.dumps([asdict(record) for record in records], indent=2, ensure_ascii=False) + "\n")
    _replace(page, render(records))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, "utf-8")
    new.replace(path)


def render(records: Sequence[Record]) -> str:
    """The page for people."""
    by_key = {record.key: record for record in records}
    lines = [_INTRO]
    for place in FILESYSTEMS:
        lines += [f"## From {place.name}", "", *_table(by_key, SYSTEMS, FIRMWARE, place), ""]
    lines += [_APART, *_table(by_key, apart.APART, apart.FIRMWARE, apart.STICK), ""]
    lines += ["## By what it was seen", ""]
    for system in (*SYSTEMS, *(one for one in apart.APART if one.image not in {here.image for here in SYSTEMS})):
        mine = [record for record in records if (record.image, record.entry) == (system.image, system.entry)]
        lines += _evidence(system, mine)
    return "\n".join(lines)


def _table(
    by_key: Mapping[tuple[str, str, str, str], Record],
    systems: Iterable[System],
    firmware: Sequence[Firmware],
    place: Filesystem,
) -> list[str]:
    heads = " | ".join(_FIRMWARE_NAMES[how] for how in firmware)
    lines = [f"| system | {heads} |", "|---" * (len(firmware) + 1) + "|"]
    for system in systems:
        keys = [(system.image, system.entry, how.value, place.name) for how in firmware]
        lines.append(f"| {system.name} | " + " | ".join(_cell(by_key.get(key)) for key in keys) + " |")
    return lines


def _cell(record: Record | None) -> str:
    if record is None:
        return "not tried"
    match Result(record.result):
        case Result.BOOTED:
            return f"**starts** ({record.seconds} s)"
        case Result.REFUSED:
            return "*refused*"
        case Result.FAILED:
            return "**FAILED**"


def _evidence(system: System, records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    recipe = f"recipe `{records[0].recipe}`" if records[0].recipe else "no recipe"
    hashes = dict.fromkeys(record.sha256 for record in records if record.sha256)
    images = ", ".join(f"`{sha256[:16]}…`" for sha256 in hashes)
    lines = [f"### {system.name}", "", f"{recipe}; sha256 {images}" if images else recipe, ""]
    lines += [
        f"- {record.filesystem}, {record.firmware}, {record.date}: {record.result}, "
        f"`{record.evidence.replace('`', chr(39))}`"
        for record in records
    ]
    return [*lines, ""]
