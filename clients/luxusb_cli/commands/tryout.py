"""`try`: a stick in a virtual machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from luxusb_cli import completion
from luxusb_cli.context import State, json_option, pass_state
from luxusb_cli.errors import LUXUSB, CliError, ExitCode, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.params import to_size
from luxusb_cli.render import say
from luxusb_cli.text import clean

MEMORY_LEAST = 64 * 2**20


@click.command("try", short_help="Boot a stick or image file in a virtual machine.")
@click.argument("disk", metavar="DEV|FILE", shell_complete=completion.disks)
@click.option("--bios", "firmware", flag_value="bios", help="Boot as an older PC does; so it is if nothing is said.")
@click.option("--uefi", "firmware", flag_value="uefi", help="Boot as a newer PC does, without Secure Boot.")
@click.option("--console", is_flag=True, help="Show its texts in this terminal, not in a window; Ctrl-A x ends it.")
@click.option("--memory", callback=to_size, default="2GiB", metavar="SIZE", help="Its memory; 2GiB if left out.")
@click.option("--kvm", is_flag=True, help="Use the processor's virtualisation: faster, where it works.")
@json_option
@pass_state
def try_command(state: State, disk: str, firmware: str | None, console: bool, memory: int, kvm: bool) -> ExitCode:
    """Boot a stick or image file in a virtual machine (QEMU), without changing it: what the machine writes is lost.

    No daemon is needed. With --console the menu of the stick appears under UEFI only if it was made with
    --serial-console.

    \b
    Examples:
      luxusb try stick.img
      sudo luxusb try /dev/sdb --uefi --memory 4GiB
      luxusb try stick.img --console
    """
    from luxusb_cli import machine

    if memory < MEMORY_LEAST:
        raise UsageError(_("That is too little memory"), todo=_("Give at least 64MiB."))
    wish = machine.Wish(machine.find_disk(disk), firmware == "uefi", console, memory, kvm)
    program = machine.find_program()
    code = machine.find_firmware() if wish.uefi else None
    if not console and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        raise UsageError(
            _("There is no screen for a window"),
            _("Neither DISPLAY nor WAYLAND_DISPLAY is set."),
            _("Take --console to see the machine's texts in this terminal."),
        )
    if state.json and console:
        raise UsageError(_("--console and --json do not go together"), todo=_("Leave out one of them."))
    with tempfile.TemporaryDirectory(prefix="luxusb-try-") as directory:
        template = machine.variables_beside(code) if code else None
        variables = Path(directory, "variables.fd") if template else None
        if template and variables:
            shutil.copyfile(template, variables)
        arguments = machine.command_line(wish, program, code, variables)
        if not state.json:
            hint = _("Ctrl-A x ends the machine.") if console else _("Close the window to end the machine.")
            say(_("Booting {disk}; nothing on it is changed. {hint}").format(disk=clean(str(wish.disk)), hint=hint))
            sys.stdout.flush()
        status, said = _run(arguments, quiet=state.json)
    if status:
        raise CliError(
            _("The virtual machine failed"),
            said or _("{program} ended with status {status}.").format(program=machine.PROGRAM, status=status),
            _("Try again without --kvm.") if kvm else "",
            name=LUXUSB + "ToolFailed",
        )
    if state.json:
        state.emit({"disk": str(wish.disk), "firmware": "uefi" if wish.uefi else "bios", "command": arguments})
    return ExitCode.DONE


def _run(arguments: list[str], *, quiet: bool) -> tuple[int, str]:
    """Run QEMU on this terminal; its exit status, and with `quiet` what it said."""
    # Ctrl-C belongs to the machine's console; QEMU itself ends by it in a window.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pipe = subprocess.PIPE if quiet else None
        ended = subprocess.run(
            arguments,
            stdout=pipe,
            stderr=pipe,
            check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    finally:
        signal.signal(signal.SIGINT, before)
    return ended.returncode, (ended.stderr or b"").decode(errors="replace").strip()[-2000:]


COMMANDS = (try_command,)
