"""What `make demo` remembers, and what it makes of the stick's contents."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.images.model import Firmware
from tests.demo.__main__ import MIB, DemoError, _targets, stick_size
from tests.demo.boots import Evidence
from tests.demo.result import Result, still_true
from tests.harness.images import RealImage

STICK = b"a stick"


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    path = tmp_path / "stick.img"
    path.write_bytes(STICK)
    return path


RESULT = Result(
    program="p",
    images={"a": "1"},
    stick=hashlib.sha256(STICK).hexdigest(),
    names={"a": "System A", "b": "B"},
    evidence=(
        Evidence("a", Firmware.BIOS, "serial console: hello", "bios-a.png"),
        Evidence("a", Firmware.UEFI, "picture", "uefi-a.png"),
        Evidence("b", Firmware.BIOS, "picture", "bios-b.png"),
    ),
)


def test_saved_and_loaded_again(tmp_path: Path) -> None:
    RESULT.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == RESULT


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"evidence": [{"image": 1}]}', '{"evidence": []}'])
def test_what_is_no_result_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    assert Result.load(tmp_path / "result.json") is None
    assert Result.load(tmp_path / "absent.json") is None


def test_reused_only_when_nothing_changed(stick: Path) -> None:
    assert still_true(RESULT, "p", [("a", "1")], stick)
    assert not still_true(None, "p", [("a", "1")], stick)
    assert not still_true(RESULT, "q", [("a", "1")], stick)
    assert not still_true(RESULT, "p", [("a", "2")], stick)
    assert not still_true(RESULT, "p", [("a", "1"), ("b", "1")], stick)
    stick.write_bytes(STICK + b"!")
    assert not still_true(RESULT, "p", [("a", "1")], stick)
    stick.unlink()
    assert not still_true(RESULT, "p", [("a", "1")], stick)


def test_table_has_a_row_for_each_image_and_firmware() -> None:
    lines = RESULT.table()
    assert len(lines) == 2 + 4
    assert [line.split()[0] for line in lines[2:]] == ["System", "System", "B", "B"]
    assert "uefi-a.png" in lines[3]
    assert "does not start under it" in lines[5]


def test_stick_size_holds_the_images_and_the_boot_files() -> None:
    assert stick_size(0) == 256 * MIB
    for payload in (1, 100 * MIB, 3000 * MIB):
        assert stick_size(payload) >= payload + 256 * MIB
        assert stick_size(payload) % MIB == 0


def image(path: Path, firmware: frozenset[Firmware]) -> RealImage:
    return RealImage("a", "A", "", "", "", "1", path, firmware)


def item(sha256: str, *firmware: str) -> dict[str, object]:
    return {"sha256": sha256, "name": "a.iso", "title": "System A 1", "firmware": list(firmware)}


def test_contents_are_matched_by_hash(stick: Path) -> None:
    ours = image(stick, frozenset({Firmware.BIOS}))
    (target,) = _targets([ours], [item(RESULT.stick, "bios", "uefi")])
    assert (target.id, target.title) == ("a", "System A 1")


def test_wrong_contents_are_refused(stick: Path) -> None:
    ours = image(stick, frozenset({Firmware.BIOS, Firmware.UEFI}))
    with pytest.raises(DemoError, match="missing on the stick: A"):
        _targets([ours], [])
    with pytest.raises(DemoError, match="none of the images"):
        _targets([ours], [item("0" * 64, "bios", "uefi")])
    with pytest.raises(DemoError, match="starts under uefi"):
        _targets([ours], [item(RESULT.stick, "bios")])


def test_evidence_belongs_to_one_firmware() -> None:
    only_bios = replace(RESULT, evidence=RESULT.evidence[:1])
    assert sum("does not start" in line for line in only_bios.table()) == 3
