"""Files beside the images that start them: written, verified, shared, and gone with the last image that needs them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.images.model import BootEntry
from luxusbd.images.startfile import FAMILY, PLACE
from luxusbd.stick import beside, menu
from luxusbd.stick.model import ManifestImage, SourceImage, StickOperation
from tests.stick import helpers
from tests.stick.bench import Bench
from tests.stick.test_updating import in_iso

UNFILLED = helpers.entry(initrds=(f"{PLACE}initrd.gz",), parameters=("iso-scan/filename={iso}", "---"))


def started(source: SourceImage, file: SourceImage) -> SourceImage:
    return replace(source, image=beside.started_by(source.image, file.image.sha256))


def installer(bench: Bench, name: str, file: SourceImage, entry: BootEntry = UNFILLED) -> SourceImage:
    return started(bench.source(name, 300_000, entries=(entry,)), file)


def starter(bench: Bench, name: str) -> SourceImage:
    found = bench.source(name, 200_001, family=FAMILY, entries=())
    return replace(found, image=replace(found.image, name=beside.file_beside(found.image.sha256)))


def listed(bench: Bench) -> list[str]:
    return [image.name for image in bench.look().manifest.images]


async def test_it_comes_and_goes_with_its_images(bench: Bench) -> None:
    file = starter(bench, "a")
    one, two = installer(bench, "one.iso", file), installer(bench, "two.iso", file)
    made = await bench.do(StickOperation.CREATE, one, file)
    assert made["images"] == ["one.iso"]
    assert in_iso(bench.fd) == {"one.iso", file.image.name}
    added = await bench.do(StickOperation.ADD, two, file)
    assert added["images"] == ["one.iso", "two.iso"]
    assert listed(bench) == ["one.iso", file.image.name, "two.iso"]
    verified = await bench.do(StickOperation.VERIFY)
    assert {each["name"]: each["state"] for each in verified["images"]} == dict.fromkeys(listed(bench), "ok")
    await bench.do(StickOperation.REMOVE, remove=("one.iso",))
    assert in_iso(bench.fd) == {"two.iso", file.image.name}
    await bench.do(StickOperation.REMOVE, remove=("two.iso",))
    assert in_iso(bench.fd) == set()
    assert bench.look().damage == ""
    bench.fsck()


@pytest.mark.parametrize("operation", [StickOperation.UPDATE, StickOperation.REPLACE])
async def test_a_newer_image_brings_its_own(bench: Bench, operation: StickOperation) -> None:
    before, after = starter(bench, "a"), starter(bench, "b")
    old, new = installer(bench, "old.iso", before), installer(bench, "new.iso", after)
    plain = bench.source("plain.iso", 300_000)
    await bench.do(StickOperation.CREATE, old, plain, before)
    done = await bench.do(operation, new, after, remove=("old.iso",))
    assert done["images"] == ["new.iso", "plain.iso"]
    assert in_iso(bench.fd) == {"new.iso", "plain.iso", after.image.name}
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    # a newer image of the same build keeps it
    again = installer(bench, "again.iso", after)
    await bench.do(operation, again, after, remove=("new.iso",))
    assert in_iso(bench.fd) == {"again.iso", "plain.iso", after.image.name}


@pytest.mark.parametrize("operation", [StickOperation.ADD, StickOperation.UPDATE])
async def test_every_step_leaves_a_stick_whose_entries_have_what_starts_them(
    bench: Bench, operation: StickOperation
) -> None:
    before, after = starter(bench, "a"), starter(bench, "b")
    old, new = installer(bench, "old.iso", before), installer(bench, "new.iso", after)
    await bench.do(StickOperation.CREATE, old, before)
    steps: list[str] = []

    def look(step: str) -> None:
        steps.append(step)
        manifest = bench.look().manifest
        there = in_iso(bench.fd)
        for image in beside.shown(manifest.images):
            assert {path.removeprefix(PLACE) for path in image.entries[0].initrds} <= there, step

    remove = ("old.iso",) if operation is StickOperation.UPDATE else ()
    await bench.do(operation, new, after, remove=remove, after_step=look)
    assert "committed" in steps


async def test_damage_of_it_is_found(bench: Bench) -> None:
    file = starter(bench, "a")
    await bench.do(StickOperation.CREATE, installer(bench, "one.iso", file), file)
    data = bench.path.read_bytes()
    with bench.path.open("r+b") as stick:
        stick.seek(data.index(bench.files["a"].read_bytes()[:64]))
        stick.write(b"spoiled")
    verified = await bench.do(StickOperation.VERIFY)
    assert {each["name"]: each["state"] for each in verified["images"]} == {
        "one.iso": "ok",
        file.image.name: "corrupt",
    }


def test_the_menu_loads_it_from_the_data_partition(tmp_path: Path) -> None:
    image = beside.started_by(helpers.image(entries=(UNFILLED,)), "ab" * 32)
    file = helpers.image("initrd-abababababababab.gz", "starts One", sha256="ab" * 32, family=FAMILY, entries=())
    text = menu.render(helpers.manifest(image, file))
    assert 'initrd "($data)/iso/initrd-abababababababab.gz"' in text
    assert "'iso-scan/filename=/iso/one.iso' '---'" in text
    assert "starts One" not in text
    (tmp_path / "menu.cfg").write_text(text)
    subprocess.run(["grub-script-check", tmp_path / "menu.cfg"], check=True)


def test_what_is_needed_no_more() -> None:
    def file(letter: str) -> ManifestImage:
        return helpers.image(f"initrd-{letter * 16}.gz", sha256=letter * 64, family=FAMILY, entries=())

    one = beside.started_by(helpers.image(entries=(UNFILLED,)), "a" * 64)
    assert beside.unneeded((one, file("a"), file("b"))) == (file("b").name,)
    assert beside.of(one, (one, file("a"), file("b"))) == (file("a"),)
    assert beside.shown((one, file("a"))) == (one,)
