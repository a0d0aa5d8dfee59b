"""A row counts as what was expected only by the very line that shows it."""

from __future__ import annotations

import pytest

from tests.matrix.boots import judge
from tests.matrix.cases import Filesystem, Result, expected, rows
from tests.matrix.run import EVIDENCE_LIMIT, one_line, refusal

LINES = {
    (
        "debian-live",
        "bios",
    ): "userland: Debian GNU/Linux 12 (bookworm), Linux 6.1.0-50-amd64, root on overlay, from /iso/a.iso",
    ("debian-mini", "uefi"): "main-menu[290]: INFO: Menu item 'localechooser' selected",
    ("memtest86plus", "uefi"): "Memtest86+ v6.10",
    ("grub-rescue", "uefi"): "(not with this firmware) GRUB rescue",
    ("memtest86plus", "uefi-sb"): "error: bad shim signature.",
}


@pytest.mark.parametrize(("image", "firmware"), LINES)
def test_each_line_shows_its_own_row_alone(image: str, firmware: str) -> None:
    row = rows([image, firmware])[0]
    for key, line in LINES.items():
        result, evidence = judge(row.expected, line)
        same = key == (image, firmware)
        assert (result is not Result.FAILED) == same, line
        assert evidence == line


def test_a_userland_that_did_not_come_from_the_image_file_does_not_count() -> None:
    (row,) = rows(["dracut", "bios", "ext4"])
    elsewhere = "userland: Debian GNU/Linux 12 (bookworm), Linux 6.1.0-50-amd64, root on ext4, from "
    assert judge(row.expected, elsewhere)[0] is Result.FAILED
    assert judge(row.expected, elsewhere + "/iso/dracut-live.iso")[0] is Result.BOOTED


def test_evidence_is_one_line_that_can_be_printed() -> None:
    assert one_line("  a\n\tb\x1b[1m  c ") == "a b [1m c"
    assert len(one_line("x" * 1000)) == EVIDENCE_LIMIT


def test_a_refusal_by_the_service_is_told_in_its_words_alone() -> None:
    exfat = Filesystem("exfat", ("--filesystem", "exfat"), frozenset(), frozenset({"exfat"}))
    (row,) = (one for one in rows(["debian-live", "bios", "ext4"]) if not one.system.entry)
    wanted = expected(row.system, row.firmware, exfat)
    answer = '{"error": {"name": "NotBootable", "message": "not from a stick with exfat: a.iso: its system"}}'
    said = f"luxusb create --filesystem exfat /somewhere/a.iso failed with status 1. {answer}\n--- last lines of a log"
    assert refusal(said) == "not from a stick with exfat: a.iso: its system"
    assert judge(wanted, refusal(said)) == (Result.REFUSED, "not from a stick with exfat: a.iso: its system")
    other = "luxusb create --filesystem exfat /somewhere/a.iso failed with status 1. Traceback"
    assert judge(wanted, refusal(other))[0] is Result.FAILED
