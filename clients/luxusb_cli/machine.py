"""A virtual machine that boots a stick and cannot change it: finding QEMU and its firmware, and the command line."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from luxusb_cli.errors import LUXUSB, CliError
from luxusb_cli.i18n import _

PROGRAM = "qemu-system-x86_64"
# With ERMS a kernel clears pages byte by byte; where such a page held code, QEMU 7.2 takes milliseconds for each byte.
EMULATED = "max,erms=off,fsrm=off"
# Debian and Ubuntu; Fedora; Arch; openSUSE; what QEMU itself brings along.
FIRMWARE = tuple(
    Path(place)
    for place in (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
        "/usr/share/qemu/ovmf-x86_64-code.bin",
        "/usr/share/qemu/edk2-x86_64-code.fd",
    )
)


@dataclass(frozen=True)
class Wish:
    """How the stick is to be tried."""

    disk: Path
    uefi: bool
    console: bool
    """The machine's texts in this terminal, in place of a window."""
    memory: int
    """Bytes."""
    kvm: bool


def find_disk(name: str) -> Path:
    """The image file or block device that is called `name`: a path, or the last part of a node such as sdb.

    Raises:
        CliError: there is none, or it cannot be read.
    """
    path = Path(name)
    if not path.exists() and "/" not in name and Path("/dev", name).exists():
        path = Path("/dev", name)
    try:
        mode = path.stat().st_mode
        with path.open("rb"):
            pass
    except OSError as error:
        todo = _("Run the command with sudo.") if isinstance(error, PermissionError) else _("Check the name.")
        raise CliError(_("Could not open {file}").format(file=name), f"{error.strerror}.", todo) from error
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise CliError(_("Could not use {file}").format(file=name), _("It is neither a file nor a disk."))
    return path.resolve()


def find_program() -> str:
    """QEMU.

    Raises:
        CliError: it is not installed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise CliError(
            _("{program} is not installed").format(program=PROGRAM),
            todo=_("Install the package {package}.").format(package="qemu-system-x86"),
            name=LUXUSB + "ToolMissing",
        )
    return program


def find_firmware() -> Path:
    """UEFI for QEMU.

    Raises:
        CliError: it is not installed.
    """
    for path in FIRMWARE:
        if path.is_file():
            return path
    raise CliError(
        _("There is no UEFI firmware for the virtual machine"),
        _("Looked for {file} and where other systems have it.").format(file=FIRMWARE[0]),
        _("Install the package {package}, or take --bios.").format(package="ovmf"),
        name=LUXUSB + "ToolMissing",
    )


def variables_beside(code: Path) -> Path | None:
    """The template of UEFI's variables that belongs to its code, where the system brings one."""
    name = code.name.replace("CODE", "VARS").replace("-code", "-vars").replace("x86_64-vars", "i386-vars")
    path = code.with_name(name)
    if path.is_file():
        return path
    ovmf = code.with_name(code.name.replace("-code", "-vars"))
    return ovmf if ovmf != code and ovmf.is_file() else None


def command_line(wish: Wish, program: str, firmware: Path | None, variables: Path | None) -> list[str]:
    """The arguments of QEMU: the disk as a USB stick whose changes are thrown away.

    Args:
        wish: what the user wants.
        program: path of QEMU.
        firmware: UEFI's code, None for the BIOS.
        variables: a copy of UEFI's variables that may be written.
    """
    arguments = [program, "-name", "luxusb try", "-nodefaults", "-no-user-config"]
    arguments += ["-machine", "q35" if firmware else "pc", "-m", str(-(-wish.memory // 2**20))]
    arguments += ["-accel", "kvm", "-cpu", "host"] if wish.kvm else ["-accel", "tcg", "-cpu", EMULATED]
    if wish.console:
        # Without graphics the BIOS shows its screen on the serial port too. Ctrl-A x ends, Ctrl-A c is the monitor.
        arguments += ["-nographic", "-serial", "mon:stdio"]
    else:
        arguments += ["-vga", "std", "-serial", "none"]
    if firmware is not None:
        arguments += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_escaped(firmware)}"]
        if variables is not None:
            arguments += ["-drive", f"if=pflash,unit=1,format=raw,file={_escaped(variables)}"]
    drive = f"if=none,id=stick,format=raw,snapshot=on,file={_escaped(wish.disk)}"
    arguments += ["-device", "qemu-xhci,id=xhci", "-drive", drive]
    return [*arguments, "-device", "usb-storage,bus=xhci.0,drive=stick,removable=on,bootindex=1"]


def _escaped(path: Path) -> str:
    """A file name inside an option of QEMU: commas are doubled."""
    return os.fspath(path).replace(",", ",,")
