from __future__ import annotations

from pathlib import Path

import pytest

from luxusbd.images.authenticode import signers
from luxusbd.images.kernel import inspect_kernel
from luxusbd.images.recognise import inspect
from tests.fuzz.texts import TARGETS
from tests.images.builders import INSTALLER, build_iso

CORPUS = next(target for target in TARGETS if target.name == "signatures").corpus()


def signed_by(path: Path) -> tuple[str, ...]:
    data = path.read_bytes()
    return signers(inspect_kernel(lambda offset, limit: data[offset : offset + limit]).signatures)


def test_signers_of_real_programs() -> None:
    (name,) = signed_by(INSTALLER / "linux")
    assert name.startswith("Debian Secure Boot Signer")
    assert signed_by(Path("/boot/memtest86+x64.efi")) == ()


def test_signatures_of_openssl() -> None:
    one, two = CORPUS
    assert signers(one) == ("Our Signer",)
    assert signers(two) == ("Our Signer",)  # named once, however often it signed


@pytest.mark.parametrize("end", range(0, 400, 7))
def test_cut_off_tables_name_nobody(end: int) -> None:
    assert signers(CORPUS[0][:end]) == ()


def test_programs_of_an_image(tmp_path: Path) -> None:
    files = {
        "EFI/BOOT/BOOTX64.EFI": (INSTALLER / "linux").read_bytes(),
        "EFI/BOOT/plain.efi": Path("/boot/memtest86+x64.efi").read_bytes(),
        "EFI/BOOT/dir.efi/x": b"",
        "EFI/BOOT/text.efi": b"no program",
    }
    path = build_iso(tmp_path / "a.iso", files, "-R")
    with path.open("rb") as file:
        programs = inspect(file.fileno()).details.programs
    assert [(program.path.rsplit("/", 1)[1], program.architecture, program.signed) for program in programs] == [
        ("BOOTX64.EFI", "amd64", True),
        ("plain.efi", "amd64", False),
        ("text.efi", "", False),
    ]
    assert programs[0].signers[0].startswith("Debian Secure Boot Signer")
