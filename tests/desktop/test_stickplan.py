"""What a plan is asked with, how it fills a stick, and what is preferred, without a window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from luxusb_cli.model import DeviceInfo
from luxusb_cli.plans import PlanInfo
from luxusb_gtk import bootwords, stickplan, wishes
from luxusb_gtk.basket import MIB, Basket, Choice
from luxusb_gtk.stickplan import Figures, ImageFigures, Kept, StickChoices, picture_of, space_of, space_on
from luxusb_gtk.wishes import Wishes

SIZES = st.integers(0, 2**40)
PLACES = st.sampled_from(["file", "directory", "own", "partition", "none", "unknown"])
IMAGES = st.lists(st.builds(ImageFigures, SIZES, SIZES, PLACES, st.booleans()), max_size=6)


def choices(count: int) -> list[Choice]:
    return [Choice(f"{number}", f"distro:{number}", f"System {number}", 1) for number in range(count)]


def planned(images: list[ImageFigures], overhead: int, data: int, capacity: int, share: int) -> Figures:
    """The figures of a stick whose data filesystem has `capacity` of `data` bytes for images."""
    needed = sum(image.on_data for image in images) + min(capacity, 2 * MIB)
    partitions = {
        "LUXBIOS": MIB,
        "LUXESP": 128 * MIB,
        "LUXDATA": data,
        "LUXEXT4": sum(image.on_companion for image in images) + 5,
        "LUXPERSIST": sum(image.persistence for image in images if image.keeps == "partition") + 7,
        "LUXSHARE": share,
    }
    size = sum(partitions.values()) + overhead
    return Figures(size, partitions, max(0, capacity - needed), max(0, needed - capacity), tuple(images))


@given(IMAGES, SIZES, SIZES, st.integers(0, 100), SIZES)
def test_the_segments_are_the_stick(
    images: list[ImageFigures], overhead: int, data: int, percent: int, share: int
) -> None:
    figures = planned(images, overhead, data, data * percent // 100, share)
    space = space_of(figures, choices(len(images)))
    assert space.exact
    assert space.free == figures.free - figures.missing
    assert all(segment.size >= 0 for segment in space.segments)
    assert sum(segment.size for segment in space.segments) == figures.size + figures.missing
    assert bool(space.too_much) == bool(figures.missing), "one of the choices is too much exactly if the plan says so"
    rest = [image for choice, image in zip(choices(len(images)), images, strict=True) if choice not in space.too_much]
    assert sum(image.on_data for image in rest) <= max(data * percent // 100, 0)


@given(st.lists(st.builds(Kept, st.just("a"), st.just("A"), SIZES, SIZES, st.booleans()), max_size=5), SIZES, SIZES)
def test_a_stick_that_is_there(images: list[Kept], free: int, overhead: int) -> None:
    size = overhead + free + sum(image.size + image.persistence for image in images)
    space = space_on(size, free, images)
    assert sum(segment.size for segment in space.segments) == size
    assert [segment.size for segment in space.segments if segment.kind == "free"] == [free]


@given(st.lists(st.tuples(PLACES, SIZES, st.booleans()), max_size=6), SIZES)
def test_what_is_preferred_never_stands_in_the_way(found: list[tuple[str, int, bool]], default: int) -> None:
    wanted = [
        replace(choice, persistence=size if asked else 0, asked=asked)
        for choice, (_place, size, asked) in zip(choices(len(found)), found, strict=True)
    ]
    places = [place for place, _size, _asked in found]
    rooms = stickplan.rooms_of(wanted, places, "ext4", default)
    for choice, place, room in zip(wanted, places, rooms, strict=True):
        if place == "none":
            assert room == 0
        elif choice.asked:
            assert room == choice.persistence
        else:
            assert room in (0, 0 if place == "unknown" else default)
    for alone in ("partition", "own"):
        here = [(choice, room) for choice, place, room in zip(wanted, places, rooms, strict=True) if place == alone]
        said = sum(choice.asked and choice.persistence > 0 for choice, _room in here)
        assert sum(room > 0 for _choice, room in here) <= max(said, 1)


def test_what_is_asked() -> None:
    one, two, three = choices(3)
    basket = Basket((replace(one, persistence=3 * MIB + 1, asked=True), two, three))
    keeps = {one.reference: "partition", two.reference: "file"}
    wanted = stickplan.asked(basket, StickChoices("fat32", companion=9, share=7), keeps, 8 << 30)
    assert wanted.options == {
        "filesystem": ("s", "fat32"),
        "companion": ("t", 9),
        "share": ("t", 7),
        "persistence": ("a{st}", {one.reference: 3 * MIB + 1, two.reference: 4095 * MIB}),
        "persistence_partition": ("t", 4 * MIB),
    }
    plain = stickplan.asked(basket, StickChoices("ext4", companion=9), {}, 0)
    assert plain.options == {"filesystem": ("s", "ext4")}, "with ext4 there is no companion, and nothing is known yet"


def test_what_stays_out_is_said_of_each_image() -> None:
    image: dict[str, Any] = {
        "name": "a.iso",
        "title": "A",
        "size": 5,
        "warnings": ["does not start under uefi-sb", "is old"],
    }
    wire: dict[str, Any] = {
        "firmware": ["bios", "uefi", "uefi-sb"],
        "images": [
            {**image, "firmware": ["bios", "uefi"]},
            {**image, "name": "b.iso", "download": True},
        ],
        "warnings": ["a.iso: is old", "b.iso: does not start under uefi-sb", "the loaders are outdated (SBAT grub,3)"],
    }
    plan = PlanInfo.from_wire(wire)
    first, second = plan.images
    assert list(bootwords.lines(plan, first)) == [
        "5 B",
        "Starts under: BIOS, UEFI",
        "Stays out under: UEFI with Secure Boot",
        "is old",
    ]
    assert bootwords.out_of_secure_boot(plan, first)
    assert not bootwords.out_of_secure_boot(plan, second), "that is not known yet"
    assert bootwords.general(plan) == ["the loaders are outdated (SBAT grub,3)"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"filesystem": "exfat", "persistence": 5}', Wishes("exfat", 5)),
        ('{"filesystem": "ntfs", "persistence": true}', Wishes()),
        ('{"persistence": -1}', Wishes()),
        ("[]", Wishes()),
        ("{", Wishes()),
        ("\xff", Wishes()),
    ],
)
def test_what_is_preferred_is_read_with_care(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: Wishes
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert wishes.load() == Wishes()
    wishes.save(Wishes("fat32", 7))
    assert wishes.load() == Wishes("fat32", 7)
    assert [path.name for path in wishes.location().parent.iterdir()] == ["app.json"]
    wishes.location().write_text(text, "latin-1")
    assert wishes.load() == expected


def disk(**values: object) -> DeviceInfo:
    return DeviceInfo.from_wire("/org/luxusb/devices/a", {"Size": 100, **values})


def test_the_picture_of_a_disk() -> None:
    assert picture_of(disk(State="blank")) is None
    parts = [{"number": 1, "filesystem": "NTFS", "label": "Windows", "size": 60}, {"number": 2, "size": 30}]
    found = picture_of(disk(State="foreign", Contents=parts))
    assert found is not None
    assert [(one.title, one.size, one.kind) for one in found.segments] == [
        ("NTFS Windows", 60, "part"),
        ("", 30, "part"),
        ("", 10, "free"),
    ]
    # what a partition table says is not to be believed
    lies = picture_of(disk(State="foreign", Contents=[{"size": 90}, {"size": 90}]))
    assert lies is not None
    assert [one.size for one in lies.segments] == [90, 10, 0]
    images = [{"name": "a.iso", "title": "A", "sha256": "0", "size": 40}]
    ours = picture_of(disk(State="luxusb", FreeBytes=25, Images=images, Contents=parts))
    assert ours is not None
    assert [(one.title, one.size, one.kind) for one in ours.segments] == [
        ("", 35, "overhead"),
        ("A", 40, "there"),
        ("", 25, "free"),
    ]
