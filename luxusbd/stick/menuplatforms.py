"""On which machines a menu runs, as GRUB tells them apart, and which entries belong there.

`$grub_platform` is pc or efi, `$grub_cpu` i386, x86_64 or arm64; `cpuid -l` tells whether the processor has 64 bits. A
stick that serves no other UEFI than that of 64-bit PCs has a menu that asks for the platform alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from luxusbd.images.model import SECURED, BootEntry, BootMethod, Firmware

MOK_MANAGERS = (
    ('"$grub_cpu" = x86_64', "mmx64.efi"),
    ('"$grub_cpu" = i386', "mmia32.efi"),
    ('"$grub_cpu" = arm64', "mmaa64.efi"),
)
"""Tests of GRUB script, and the program beside shim that enrols keys there."""
_OTHER_MODE = "This image cannot be started in this mode of the firmware (BIOS or UEFI). Try the other one."
_OTHER_MACHINE = "This image is made for another kind of processor and does not start on this computer."


@dataclass(frozen=True)
class Platform:
    """One kind of machine."""

    test: str
    """What is true there alone, for `if [ ... ]` of GRUB script."""
    firmware: Firmware
    narrow: bool = False
    """Whether the processor has 32 bits."""

    @property
    def secure(self) -> bool:
        """Whether there is Secure Boot."""
        return self.firmware in SECURED

    def entries(self, entries: Iterable[BootEntry]) -> tuple[BootEntry, ...]:
        """Those that start there."""
        return tuple(entry for entry in entries if self._starts(entry))

    def why_not(self, entries: Iterable[BootEntry]) -> str:
        """What is said in place of an image none of whose entries starts there."""
        modes = {one for entry in entries for one in entry.firmware}
        pc = {Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_IA32}
        here = pc if self.firmware in pc else {self.firmware}
        return _OTHER_MACHINE if self.narrow or not modes & here else _OTHER_MODE

    def _starts(self, entry: BootEntry) -> bool:
        if not entry.firmware & {self.firmware, SECURED.get(self.firmware, self.firmware)}:
            return False
        # a kernel for 64-bit UEFI has 64 bits itself; of an image's own menu nobody knows
        return not self.narrow or entry.method is not BootMethod.LINUX or Firmware.UEFI not in entry.firmware


_PC = Platform('"$grub_platform" = pc', Firmware.BIOS)
_ANY_UEFI = Platform('"$grub_platform" = efi', Firmware.UEFI)
_APART = (
    Platform('"$lux_machine" = efi-x86_64', Firmware.UEFI),
    Platform('"$lux_machine" = efi-i386-wide', Firmware.UEFI_IA32),
    Platform('"$lux_machine" = efi-i386', Firmware.UEFI_IA32, narrow=True),
    Platform('"$lux_machine" = efi-arm64', Firmware.UEFI_ARM64),
)
_SPECIAL = frozenset({Firmware.UEFI_IA32, Firmware.UEFI_ARM64})


def platforms(served: Set[Firmware]) -> tuple[Platform, ...]:
    """The machines that the menu of a stick tells apart which serves this firmware."""
    if not served & _SPECIAL:
        return (_PC, _ANY_UEFI)
    wanted = (served & _SPECIAL) | {Firmware.UEFI}
    return (_PC, *(platform for platform in _APART if platform.firmware in wanted))


def identify(served: Set[Firmware]) -> tuple[str, ...]:
    """Lines of GRUB script that the tests of `platforms` rely on."""
    if not served & _SPECIAL:
        return ()
    return (
        'set lux_machine="$grub_platform-$grub_cpu"',
        # ARM has no such command, and a name that is not known would be an error there
        'if [ "$lux_machine" = efi-i386 ]; then if cpuid -l; then set lux_machine=efi-i386-wide; fi; fi',
        "export lux_machine",
    )
