"""Several images onto a stick: the first ones are read back while the others are written, or when there is time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from luxusbd.errors import VerificationError
from luxusbd.stick import duplex, early, mounted, reader, target, writer
from luxusbd.stick.blockio import CHUNK, MediumReader, write_all
from luxusbd.stick.isofiles import PARTIAL, Piece, pieces
from luxusbd.stick.model import MIB, PartitionRole, SourceImage, StickOperation, StickOptions, StickProgress
from tests.stick import helpers

SIZES = {"one.iso": CHUNK + 700_001, "two.iso": 3 * CHUNK, "three.iso": MIB}


@pytest.fixture(scope="module", autouse=True)
def _private_mounts(request: pytest.FixtureRequest) -> None:
    if os.geteuid() == 0:
        mounted.enter_private_namespace()


class Stick:
    """An image file, or a disk on it."""

    def __init__(self, directory: Path, filesystem: str, node: str = "") -> None:
        self.path = directory / "stick.img"
        self.node = node
        self.options = StickOptions(filesystem=filesystem)
        self.fd = os.open(node or self.path, os.O_RDWR)
        self.files = {
            name: helpers.random_file(directory / name, size, number)
            for number, (name, size) in enumerate(SIZES.items())
        }
        self.sources = [helpers.source(path, name) for name, path in self.files.items()]
        self.seen: list[StickProgress] = []

    async def do(
        self,
        operation: StickOperation,
        add: Sequence[SourceImage] = (),
        after_step: Callable[[str], None] = lambda _step: None,
    ) -> Mapping[str, object]:
        order = helpers.order(operation, self.fd, node=self.node, add=tuple(add), options=self.options)
        return await writer.execute(order, self.seen.append, after_step=after_step)

    def partial(self, name: str) -> tuple[int, tuple[Piece, ...]]:
        """First byte of the data partition, and where an unfinished image lies there."""
        with MediumReader(self.fd) as medium:
            layout = target.stick_layout(medium.read_at, helpers.SIZE)
            filesystem = reader.open_data(medium.read_at, layout)
            extents = filesystem.extents(f"/iso/{name}{PARTIAL}")
            start = layout.partition(PartitionRole.DATA).start
            return start, tuple(pieces(extents, filesystem.block_size, SIZES[name]))

    def close(self) -> None:
        for source in self.sources:
            os.close(source.fd)
        os.close(self.fd)


@pytest.fixture(
    params=[
        "ext4",
        "exfat",
        "fat32",
        pytest.param("ext4-disk", marks=pytest.mark.root),
        pytest.param("exfat-disk", marks=pytest.mark.root),
    ]
)
def stick(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stick]:
    filesystem, _dash, disk = request.param.partition("-")
    os.close(helpers.empty_target(tmp_path / "stick.img"))
    with helpers.loop_device(tmp_path / "stick.img") if disk else contextlib.nullcontext("") as node:
        made = Stick(tmp_path, filesystem, node)
        yield made
        made.close()


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was read back early."""
    names: list[str] = []
    check = early.EarlyReading.check

    async def noted(self: early.EarlyReading, where: Mapping[str, Sequence[Piece]]) -> frozenset[str]:
        found = await check(self, where)
        names.extend(sorted(found))
        return found

    monkeypatch.setattr(early.EarlyReading, "check", noted)
    # the images of a test are small
    monkeypatch.setattr(duplex, "TRIAL", CHUNK)
    return names


async def test_images_are_read_back_early_and_are_whole(stick: Stick, proven: list[str]) -> None:
    await stick.do(StickOperation.CREATE, stick.sources)
    assert "one.iso" in proven
    assert "three.iso" not in proven
    counted = [each.bytes_done for each in stick.seen]
    assert counted == sorted(counted)
    assert stick.seen[-1].bytes_done == stick.seen[-1].bytes_total
    found = await stick.do(StickOperation.VERIFY)
    assert found["ok"] is True
    for name, path in stick.files.items():
        assert helpers.grub_read(stick.path, f"/iso/{name}") == path.read_bytes()


@pytest.mark.parametrize("stick", ["exfat", pytest.param("ext4-disk", marks=pytest.mark.root)], indirect=True)
@pytest.mark.parametrize("when", ["image-written two.iso", "image-written three.iso"])
@pytest.mark.usefixtures("proven")
async def test_an_image_that_is_overwritten_while_others_are_written_is_found_out(stick: Stick, when: str) -> None:
    """As by a stick that is smaller than it claims; whether it was read back already or not."""
    places: list[tuple[int, tuple[Piece, ...]]] = []

    def after_step(step: str) -> None:
        if step == "images-set-aside":
            places.append(stick.partial("one.iso"))
        if step == when:
            start, parts = places[0]
            place = parts[0].place
            assert place is not None
            write_all(stick.fd, bytes(1_200_000), start + place + MIB)
            os.fdatasync(stick.fd)

    await stick.do(StickOperation.CREATE)
    with pytest.raises(VerificationError, match="defective or smaller than it claims"):
        await stick.do(StickOperation.ADD, stick.sources, after_step)
    contents = reader.read_stick(stick.fd, helpers.SIZE)
    assert contents is not None
    assert not contents.manifest.images
    await stick.do(StickOperation.ADD, stick.sources)
    assert (await stick.do(StickOperation.VERIFY))["ok"] is True
