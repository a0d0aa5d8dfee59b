"""A virtual machine that boots a stick, and what a person at its keyboard and screen would do.

QEMU runs with `-accel tcg` alone: KVM is absent on build machines, and hangs guests where it is only half there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from luxusbd.images.model import SECURED, Firmware
from luxusbd.process import find_program, kill_group
from tests.harness.console import Console
from tests.harness.qmp import Qmp, QmpError
from tests.harness.screen import Screen, characters, screen_in

OVMF = Path("/usr/share/OVMF")
AAVMF = Path("/usr/share/AAVMF")
CPU = "max,erms=off,fsrm=off"
"""With ERMS a kernel clears pages byte by byte. Where such a page held code, QEMU 7.2 takes milliseconds for each byte:
a live system then stands still for minutes between its initramfs and its own init."""
VGA_TEXT = 0xB8000
"""Where a PC's text mode keeps its 80x25 cells, two bytes each: character and attribute."""


class Key(Enum):
    """Keys with a name: (QEMU's QKeyCode, what a serial terminal sends)."""

    UP = ("up", b"\x1b[A")
    DOWN = ("down", b"\x1b[B")
    HOME = ("home", b"\x1b[H")
    END = ("end", b"\x1b[F")
    ENTER = ("ret", b"\r")
    ESCAPE = ("esc", b"\x1b")
    SPACE = ("spc", b" ")


class MachineError(AssertionError):
    """The machine did not do what was expected of it; the text ends with its last console lines."""


@dataclass(frozen=True)
class _Flash:
    machine: tuple[str, ...]
    code: Path
    variables: Path
    package: str = "ovmf"


_SMM = ("-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on")
_FLASHES = {
    Firmware.UEFI: _Flash(("-machine", "q35"), OVMF / "OVMF_CODE_4M.fd", OVMF / "OVMF_VARS_4M.fd"),
    Firmware.UEFI_SECURE_BOOT: _Flash(_SMM, OVMF / "OVMF_CODE_4M.secboot.fd", OVMF / "OVMF_VARS_4M.ms.fd"),
    # Debian has one build, which could enforce Secure Boot; without keys it does not
    Firmware.UEFI_IA32: _Flash(
        _SMM, OVMF / "OVMF32_CODE_4M.secboot.fd", OVMF / "OVMF32_VARS_4M.fd", package="ovmf-ia32"
    ),
    Firmware.UEFI_ARM64: _Flash(
        ("-machine", "virt"), AAVMF / "AAVMF_CODE.fd", AAVMF / "AAVMF_VARS.fd", package="qemu-efi-aarch64"
    ),
}
_FLASHES |= {
    # the keys of 64-bit UEFI: an OVMF of either width keeps its variables in the same way
    Firmware.UEFI_IA32_SECURE_BOOT: replace(
        _FLASHES[Firmware.UEFI_IA32], variables=_FLASHES[Firmware.UEFI_SECURE_BOOT].variables
    ),
    Firmware.UEFI_ARM64_SECURE_BOOT: replace(_FLASHES[Firmware.UEFI_ARM64], variables=AAVMF / "AAVMF_VARS.ms.fd"),
}
_ON_ARM = frozenset({Firmware.UEFI_ARM64, SECURED[Firmware.UEFI_ARM64]})
_PC = ("qemu-system-x86_64", ("-cpu", CPU, "-vga", "std"))
# "max" has features whose emulation is slow; the menu is drawn by the serial line alone
_ARM64 = ("qemu-system-aarch64", ("-cpu", "cortex-a72", "-vga", "none"))


class Machine:
    """One QEMU from start to kill; an async context manager.

    The disk is a USB stick on an xHCI controller and is not changed, unless it is `writable`: writes go to a temporary
    overlay.

    Args:
        firmware: SeaBIOS, OVMF, OVMF that enforces Secure Boot with Microsoft's keys, OVMF with 32 bits (the processor
            has 64), or AAVMF on a machine with ARM's processor.
        disk: raw image to plug in as a USB stick.
        cdrom: ISO to insert as a CD.
        memory_mib: the guest's memory.
        extra: more arguments for QEMU.
        writable: whether what the guest writes to the disk stays there.
        variables: file that keeps the firmware's variables from one machine to the next; made when it is missing.
    """

    def __init__(
        self,
        firmware: Firmware,
        *,
        disk: Path | None = None,
        cdrom: Path | None = None,
        memory_mib: int = 512,
        extra: Sequence[str] = (),
        writable: bool = False,
        variables: Path | None = None,
    ) -> None:
        self._variables = variables
        self._snapshot = "off" if writable else "on"
        self.firmware = firmware
        self.console = Console()
        self._disk = disk
        self._cdrom = cdrom
        self._memory_mib = memory_mib
        self._extra = tuple(extra)
        self._directory: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._qmp: Qmp | None = None
        self._news = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._stderr = b""
        self._ended = False

    async def __aenter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="luxusb-vm-"))
        try:
            await self._start(self._directory)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_screen(self) -> bool:
        """Whether there is a screen besides the serial console; ARM's machine has none, and no keyboard of its own."""
        return self.firmware not in _ON_ARM

    @property
    def console_text(self) -> str:
        """Everything the serial console printed, without control sequences."""
        return self.console.text

    async def expect(self, pattern: str, timeout: float) -> str:
        """Wait until the serial console printed a match in what no earlier call consumed; returns the match.

        Raises:
            MachineError: not within `timeout` seconds, or the machine ended.
        """
        async with self._news:
            try:
                async with asyncio.timeout(timeout):
                    while (match := self.console.find(pattern)) is None:
                        if self._ended:
                            raise self.error(f"the machine ended before its console showed {pattern!r}")
                        await self._news.wait()
            except TimeoutError:
                raise self.error(f"the console did not show {pattern!r} within {timeout:g} seconds") from None
        return match[0]

    async def send_keys(self, *keys: Key | str) -> None:
        """Type on the serial line. UEFI firmware reads that line too and steals keys: prefer `press` there."""
        assert self._process is not None
        assert self._process.stdin is not None
        for key in keys:
            self._process.stdin.write(key.value[1] if isinstance(key, Key) else key.encode())
        await self._process.stdin.drain()

    async def press(self, *keys: Key) -> None:
        """Press keys of the machine's own keyboard, one after the other."""
        for key in keys:
            await self.qmp("send-key", keys=[{"type": "qcode", "data": key.value[0]}], **{"hold-time": 60})
            # QEMU drops a key that comes while the one before is still held down.
            await asyncio.sleep(0.2)

    async def qmp(self, command: str, **arguments: Any) -> Any:
        """Run a command of QEMU's control channel."""
        assert self._qmp is not None
        try:
            return await self._qmp.command(command, arguments)
        except (QmpError, TimeoutError) as error:
            raise self.error(f"{command}: {error}") from error

    async def screendump(self) -> Screen:
        """Look at the screen."""
        assert self._directory is not None
        path = self._directory / "screen.ppm"
        await self.qmp("screendump", filename=os.fspath(path))
        return Screen.from_ppm(await asyncio.to_thread(path.read_bytes))

    async def text_screen(self) -> str:
        """The 80x25 characters of a PC's text mode, straight from video memory; nonsense in graphics mode."""
        assert self._directory is not None
        path = self._directory / "text"
        await self.qmp("pmemsave", val=VGA_TEXT, size=4000, filename=os.fspath(path))
        return characters(await asyncio.to_thread(path.read_bytes))

    async def text_in_memory(self, beginning: str) -> str:
        """An 80x25 screen of characters and attributes that a program keeps in its memory; empty when there is none.

        It is found by its first characters. Programs that draw their text themselves keep such a copy of it.
        """
        assert self._directory is not None
        path = self._directory / "memory"
        await self.qmp("pmemsave", val=0, size=self._memory_mib * 1024 * 1024, filename=os.fspath(path))
        return await asyncio.to_thread(screen_in, path, beginning)

    async def wait_exit(self, timeout: float) -> int:
        """Wait for the guest to power off or reboot; returns QEMU's exit status.

        Raises:
            MachineError: it still runs after `timeout` seconds.
        """
        assert self._process is not None
        try:
            async with asyncio.timeout(timeout):
                return await self._process.wait()
        except TimeoutError:
            raise self.error(f"the machine still runs after {timeout:g} seconds") from None

    def error(self, text: str) -> MachineError:
        """An exception with this text, what QEMU said and the last lines of the console; to be raised by the caller."""
        said = f"\nQEMU said: {self._stderr.decode('utf-8', 'replace').strip()}" if self._stderr else ""
        console = self.console.tail() or "(nothing)"
        return MachineError(f"{self.firmware}: {text}{said}\n--- last lines of the console ---\n{console}")

    async def _start(self, directory: Path) -> None:
        ours, theirs = socket.socketpair()
        try:
            arguments = await asyncio.to_thread(self._arguments, directory, theirs.fileno())
            # setpriv makes the kernel kill QEMU when this program dies, however it dies.
            self._process = await asyncio.create_subprocess_exec(
                find_program("setpriv"),
                "--pdeathsig",
                "KILL",
                "--",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**os.environ, "TMPDIR": os.fspath(directory)},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._tasks = [asyncio.create_task(self._read_console()), asyncio.create_task(self._read_stderr())]
        try:
            self._qmp = await Qmp.attach(ours)
        except (QmpError, TimeoutError) as error:
            await asyncio.wait(self._tasks, timeout=5)
            raise self.error(f"QEMU did not start: {error}") from error

    def _arguments(self, directory: Path, qmp_fd: int) -> list[str]:
        program, hardware = _PC if self.has_screen else _ARM64
        arguments = [find_program(program), "-nodefaults", "-no-user-config", "-no-reboot"]
        arguments += ["-accel", "tcg", *hardware, "-smp", "1", "-m", str(self._memory_mib)]
        arguments += ["-display", "none", "-monitor", "none", "-nic", "none"]
        arguments += ["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"]
        arguments += ["-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"]
        arguments += self._firmware_arguments(directory)
        if self._disk is not None:
            drive = f"if=none,id=stick,format=raw,snapshot={self._snapshot},file={_escaped(self._disk)}"
            arguments += ["-device", "qemu-xhci,id=xhci", "-drive", drive]
            arguments += ["-device", "usb-storage,bus=xhci.0,drive=stick,removable=on,bootindex=1"]
            if not self.has_screen:
                arguments += ["-device", "usb-kbd,bus=xhci.0"]
        if self._cdrom is not None:
            arguments += ["-drive", f"if=none,id=cd,media=cdrom,format=raw,readonly=on,file={_escaped(self._cdrom)}"]
            arguments += ["-device", "ide-cd,drive=cd,bootindex=2"]
        return [*arguments, *self._extra]

    def _firmware_arguments(self, directory: Path) -> list[str]:
        if self.firmware is Firmware.BIOS:
            return ["-machine", "pc"]
        flash = _FLASHES[self.firmware]
        if not flash.code.is_file():
            raise MachineError(
                f"{self.firmware}: {flash.code} is missing; install the package {flash.package} (packaging/setup.sh)"
            )
        variables = self._variables or directory / "variables.fd"
        if not variables.exists():
            shutil.copyfile(flash.variables, variables)
        return [
            *flash.machine,
            *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_escaped(flash.code)}"),
            *("-drive", f"if=pflash,unit=1,format=raw,file={_escaped(variables)}"),
        ]

    async def _read_console(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(65536):
            async with self._news:
                self.console.feed(data)
                self._news.notify_all()
        async with self._news:
            self._ended = True
            self._news.notify_all()

    async def _read_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(4096):
            self._stderr = (self._stderr + data)[-8192:]

    async def _stop(self) -> None:
        if self._qmp is not None:
            await self._qmp.close()
        if self._process is not None:
            if self._process.returncode is None:
                kill_group(self._process.pid)
            await self._process.wait()
            await asyncio.gather(*self._tasks)
        if self._directory is not None:
            await asyncio.to_thread(shutil.rmtree, self._directory)


def _escaped(path: Path) -> str:
    """A file name inside a comma-separated option of QEMU: commas are doubled."""
    return os.fspath(path.resolve()).replace(",", ",,")
