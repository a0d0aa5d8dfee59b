"""Archives behind an initrd are what another program takes for the kernel's format."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.matrix import cpio

# Debian 12 has the name of the program's own project, p7zip the older one
SEVEN_ZIP = shutil.which("7zz") or "7z"


def test_another_program_unpacks_what_went_in(tmp_path: Path) -> None:
    files = {"etc/one": b"1", "lib/startup.d/S99two": b"#!/bin/sh\necho two\n", "empty": b"", "four": b"1234"}
    packed = tmp_path / "files.cpio"
    packed.write_bytes(cpio.archive(files))
    assert packed.stat().st_size % 4 == 0
    subprocess.run([SEVEN_ZIP, "x", f"-o{tmp_path / 'out'}", str(packed)], check=True, capture_output=True)
    found = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == files
    assert all(path.stat().st_mode & 0o111 for path in found.values())


def test_a_file_is_found_by_its_path() -> None:
    status = b"Package: x\n" * 99
    packed = cpio.archive({"a": None, "a/b": None, "a/one": b"1", "a/b/status": status, "z": b""})
    assert cpio.member(packed, "a/b/status") == status
    assert cpio.member(packed, "z") == b""
    with pytest.raises(KeyError, match="b/status"):
        cpio.member(packed, "b/status")
