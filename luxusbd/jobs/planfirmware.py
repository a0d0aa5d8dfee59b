"""What a plan says of firmware: under which a stick and its images start, and why not under others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from luxusbd.images.certificate import vendor_of
from luxusbd.images.model import SECURE, SECURED, BootEntry, Certificate, Firmware, started_by
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.secureboot import PACKAGES, Search

_SECURE = Firmware.UEFI_SECURE_BOOT


def of_stick(firmware: frozenset[Firmware], kind: Kind, signed: Search) -> list[str]:
    """Warnings about what the stick itself does not start under.

    Args:
        firmware: what it serves.
        kind: its data filesystem; that no signed GRUB reads exFAT is told elsewhere.
        signed: the loaders for Secure Boot of this machine.
    """
    warnings: list[str] = []
    if Firmware.UEFI not in firmware:
        warnings.append("the stick will not start on UEFI: install grub-efi-amd64-bin and plan again")
    elif _SECURE not in firmware and kind is not Kind.EXFAT and signed.reason:
        warnings.append(f"the stick will not start under Secure Boot: {signed.reason}, and plan again")
    elif _SECURE in firmware and signed.loaders and signed.loaders.outdated:
        levels = ", ".join(signed.loaders.outdated)
        warnings.append(
            f"the loaders for Secure Boot are outdated (SBAT {levels}), and newer computers refuse them; update the"
            f" packages {PACKAGES}, and plan again"
        )
    if Firmware.BIOS not in firmware:
        warnings.append("the stick will not start on BIOS: install grub-pc-bin and plan again")
    return warnings


def of_loaders(sbat: Mapping[str, int], lowest: Mapping[str, int]) -> str:
    """Why the loaders of a stick should be renewed, or empty.

    Args:
        sbat: their generations by component, as the stick's manifest has them.
        lowest: the generations that this machine's own shim still lets start.
    """
    old = [f"{name},{level}" for name, level in sorted(sbat.items()) if level < lowest.get(name, 0)]
    if not old:
        return ""
    return (
        f"its loaders for Secure Boot are outdated (SBAT {', '.join(old)}), and newer computers refuse them; refresh it"
        " (luxusb refresh)"
    )


def of_image(
    entries: Sequence[BootEntry],
    served: frozenset[Firmware],
    shim: str,
    certificates: Sequence[Certificate] = (),
) -> tuple[frozenset[Firmware], list[str]]:
    """Under which firmware an image starts from a stick, and warnings about the others that the stick serves.

    Args:
        entries: of the image.
        served: by the stick.
        shim: the vendor whose shim it will have; empty for none.
        certificates: what it will have to enrol.
    """
    firmware = started_by(entries, shim)
    warnings = [f"does not start under {missing}" for missing in sorted(served - firmware - SECURE)]
    untrusted = [
        secure
        for kind, secure in SECURED.items()
        # where it does not start at all, that is said already; of the usual PC both are said
        if secure in served - firmware and (kind in firmware or secure is _SECURE)
    ]
    if untrusted:
        where = " and ".join(untrusted)
        warnings.append(
            _untrusted([entry for entry in entries if entry.firmware & set(SECURED)], shim, where, certificates)
        )
    return firmware & served, warnings


def _untrusted(entries: Sequence[BootEntry], shim: str, where: str, certificates: Sequence[Certificate]) -> str:
    """Why none of the entries for UEFI is known to start through this shim."""
    if signers := sorted({entry.signer for entry in entries} - {"", shim}):
        if keys := [repr(one.subject) for one in certificates if vendor_of(one) in signers]:
            return (
                f"starts under {where} after the certificate {' or '.join(keys)} of this stick was enrolled on that"
                " computer (Tools, Enrol keys for Secure Boot, in the stick's menu)"
            )
        return (
            f"does not start under {where} until the key of {' or '.join(signers)} is enrolled on that computer: the"
            f" stick has the shim of {shim}"
        )
    if entries and all(entry.own_menu for entry in entries):
        return f"may not start under {where}: its own menu decides what it loads"
    return f"does not start under {where}"
