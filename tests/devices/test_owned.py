"""The marks that keep automounters away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from luxusbd.devices.model import DeviceIdentity
from luxusbd.devices.owned import OwnedMarks

STICK = DeviceIdentity("usb-Ultra-1", 41, 1 << 30)


def test_a_mark_lasts_as_long_as_the_job(tmp_path: Path) -> None:
    marks = OwnedMarks(tmp_path)
    marks.take(STICK, 1)
    assert [mark.name for mark in tmp_path.iterdir()] == ["41"]
    marks.give_back(STICK.id, 1, "")
    assert not list(tmp_path.iterdir())


def test_a_job_on_a_stick_that_was_pulled_leaves_the_mark_of_the_next(tmp_path: Path) -> None:
    marks = OwnedMarks(tmp_path)
    marks.take(STICK, 1)
    marks.take(replace(STICK, disk_seq=42), 2)
    marks.give_back(STICK.id, 1, "")
    assert [mark.name for mark in tmp_path.iterdir()] == ["42"]
    marks.give_back(STICK.id, 2, "")
    assert not list(tmp_path.iterdir())


def test_a_disk_without_a_number_is_not_marked(tmp_path: Path) -> None:
    OwnedMarks(tmp_path).take(replace(STICK, disk_seq=0), 1)
    assert not list(tmp_path.iterdir())
