"""A rescan of a stick in an image file: what a user put there or took away, and what GRUB would read of it."""

from __future__ import annotations

import dataclasses
import hashlib
import os

import pytest

from luxusbd.errors import DeviceChangedError, MalformedImageError
from luxusbd.stick import isofiles, reader, writer
from luxusbd.stick.model import MIB, ManifestImage, StickOperation
from tests.stick import helpers
from tests.stick.bench import Bench, lay


def found(bench: Bench, name: str) -> ManifestImage:
    """What a look at a file on the stick gives."""
    image = bench.source(name, 300_000).image
    lay(bench, f"write {bench.files[name]} {name}")
    return dataclasses.replace(image, added=2**34)


async def test_every_step_of_a_rescan_leaves_a_stick_that_boots(bench: Bench) -> None:
    one, two = bench.source("one.iso", 300_000), bench.source("two.iso", 300_000)
    await bench.do(StickOperation.CREATE, one, two)
    three, four = found(bench, "three.iso"), found(bench, "four.iso")
    lay(bench, "rm two.iso")
    snapshots = helpers.Snapshots(bench.path, bench.directory / "snapshots")
    order = helpers.order(StickOperation.RESCAN, bench.fd, found=(three, four), remove=("two.iso",))
    result = await writer.execute(order, lambda _progress: None, after_step=snapshots)
    assert result["images"] == ["one.iso", "three.iso", "four.iso"]
    steps = [step for step, _path in snapshots.taken]
    assert "announced" not in steps, "what is announced and not listed would be removed"
    for step, path in snapshots.taken:
        fd = os.open(path, os.O_RDWR)
        try:
            contents = reader.read_stick(fd, helpers.SIZE)
            assert contents is not None
            done = steps.index(step) >= steps.index("menu-written")
            assert [image.name for image in contents.manifest.images] == (
                ["one.iso", "three.iso", "four.iso"] if done else ["one.iso", "two.iso"]
            ), step
            assert contents.unlisted == 0, "these bytes are no ISO 9660 image"
            again = helpers.order(StickOperation.RESCAN, fd, found=(three, four), remove=("two.iso",))
            assert (await writer.execute(again, lambda _progress: None))["images"] == result["images"], step
        finally:
            os.close(fd)
        assert helpers.check_boots(path, bench.files)[1] == {"one.iso", "three.iso", "four.iso"}, step
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    bench.fsck()


async def test_a_file_that_was_changed_during_a_rescan_gets_no_entry(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso", 300_000))
    image = found(bench, "two.iso")
    before = bench.look()
    for changed in (
        dataclasses.replace(image, added=1),
        dataclasses.replace(image, size=image.size + 1),
        dataclasses.replace(image, name="absent.iso"),
    ):
        with pytest.raises(DeviceChangedError, match="rescan the stick again"):
            await writer.execute(helpers.order(StickOperation.RESCAN, bench.fd, found=(changed,)), lambda _now: None)
    assert bench.look() == before


async def test_a_file_with_holes_reads_as_grub_reads_it(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE)
    path = bench.directory / "sparse.iso"
    with path.open("wb") as made:
        made.write(b"begin" * 1000)
        made.seek(MIB)
        made.write(b"middle" * 1000)
        made.truncate(2 * MIB + 17)
    lay(bench, f"write {path} sparse.iso")
    filesystem = reader.open_stick(bench.fd, helpers.SIZE)
    parts = list(isofiles.pieces(filesystem.extents("/iso/sparse.iso"), filesystem.block_size, path.stat().st_size))
    assert [part.place is None for part in parts] == [False, True, False, True]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    file = isofiles.image_file(filesystem, "sparse.iso")
    assert file.sha256(lambda _done, _total: None, lambda: False) == sha256
    image = helpers.image("sparse.iso", sha256=sha256, size=path.stat().st_size, added=2**34)
    await writer.execute(helpers.order(StickOperation.RESCAN, bench.fd, found=(image,)), lambda _now: None)
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    bench.files["sparse.iso"] = path
    assert helpers.check_boots(bench.path, bench.files)[1] == {"sparse.iso"}


async def test_space_that_is_only_reserved_is_no_image(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE)
    (bench.directory / "nothing").write_bytes(b"")
    lay(bench, f"write {bench.directory}/nothing half.iso", "fallocate half.iso 0 9", "sif half.iso size 40000")
    half = isofiles.image_file(reader.open_stick(bench.fd, helpers.SIZE), "half.iso")
    assert half.read(0, 9) == bytes(9)
    with pytest.raises(MalformedImageError, match="only reserved"):
        half.check_for_grub()
    # beyond the end of a file it does no harm
    (bench.directory / "small").write_bytes(b"x" * 4096)
    lay(bench, f"write {bench.directory}/small ahead.iso", "fallocate ahead.iso 1 9")
    ahead = isofiles.image_file(reader.open_stick(bench.fd, helpers.SIZE), "ahead.iso")
    ahead.check_for_grub()
    assert (ahead.read(0, 9999), ahead.read(4096, 1), ahead.read(-1, 1)) == (b"x" * 4096, b"", b"")
