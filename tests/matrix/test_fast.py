"""The part of the matrix that every run of all tests has: small systems, from every filesystem, under every firmware.

`make boot-matrix` runs all of it, and alone writes down what was seen.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix import systems
from tests.matrix.cases import FILESYSTEMS, Filesystem, rows
from tests.matrix.results import Record
from tests.matrix.run import Workplace, run

WANTED = (("grub-rescue", "bios"), ("grub-rescue", "uefi"), ("memtest86plus", "uefi-sb"))
"""A menu of the image's own, a refusal by the menu, and one of an unsigned program."""


@pytest.mark.boot
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("filesystem", FILESYSTEMS, ids=lambda filesystem: filesystem.name)
async def test_rows_of_the_matrix_end_as_expected(tmp_path: Path, filesystem: Filesystem) -> None:
    chosen = [
        row
        for row in rows([filesystem.name])
        if (row.system.image, row.firmware.value) in WANTED and not row.system.entry
    ]
    images = await systems.make(frozenset(row.system.image for row in chosen), tmp_path / "images")
    seen: list[Record] = []
    await run(chosen, images, Workplace(tmp_path, tmp_path / "consoles", lambda _text: None, seen.append))
    assert [(one.key, one.result) for one in seen] == [(row.key, row.expected.result.value) for row in chosen], seen
