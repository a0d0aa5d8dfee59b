from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import InvalidArgumentError, NotEnoughSpaceError
from luxusbd.stick import gpt, kinds, layout, room
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.gpt import GptEntry
from luxusbd.stick.model import MIB, PartitionRole, StickOptions
from luxusbd.text import size_text

GIB = 1024 * MIB


@given(st.integers(0, 1 << 44))
def test_a_plan_is_aligned_ordered_and_leaves_room_for_both_tables(size: int) -> None:
    if size < layout.minimum_size() - MIB:
        with pytest.raises(NotEnoughSpaceError, match=size_text(layout.minimum_size())):
            layout.plan(size, StickOptions())
        return
    try:
        planned = layout.plan(size, StickOptions())
    except NotEnoughSpaceError:
        assert size < layout.minimum_size()
        return
    assert planned.size == size
    end = 34 * 512
    for number, part in enumerate(planned.partitions, 1):
        assert part.number == number
        assert part.start % MIB == 0
        assert part.size % MIB == 0
        assert part.size > 0
        assert part.start >= end
        end = part.start + part.size
    assert end <= size - 33 * 512
    assert size - end < 2 * MIB
    assert planned.partition(PartitionRole.DATA).size >= layout.MINIMUM_DATA


def test_the_smallest_disk_is_really_the_smallest() -> None:
    assert layout.plan(layout.minimum_size(), StickOptions()).size == layout.minimum_size()
    with pytest.raises(NotEnoughSpaceError):
        layout.plan(layout.minimum_size() - MIB, StickOptions())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (StickOptions(filesystem="exfat", label="x" * 12), InvalidArgumentError),
        (StickOptions(filesystem="ntfs"), InvalidArgumentError),
        (StickOptions(timeout=31), InvalidArgumentError),
        (StickOptions(timeout=-1), InvalidArgumentError),
        (StickOptions(label=""), InvalidArgumentError),
        (StickOptions(label="x" * 17), InvalidArgumentError),
        (StickOptions(label="a\n"), InvalidArgumentError),
        (StickOptions(label="-U"), InvalidArgumentError),
    ],
)
def test_options_that_no_stick_can_have(options: StickOptions, error: type[Exception]) -> None:
    with pytest.raises(error):
        layout.plan(8 * GIB, options)


@given(st.lists(st.integers(1, 1 << 40), max_size=20), st.integers(1, 1 << 40))
def test_more_images_need_more(sizes: list[int], another: int) -> None:
    assert layout.bytes_needed([*sizes, another]) >= layout.bytes_needed(sizes) + another
    assert layout.bytes_needed(sizes) >= sum(sizes)


@given(st.integers(layout.MINIMUM_DATA, 1 << 44))
def test_capacity_is_less_than_the_partition_but_most_of_it(size: int) -> None:
    assert 0.85 * size < layout.filesystem_capacity(size) < size


@pytest.mark.parametrize(
    "size",
    [
        64 * MIB,
        65 * MIB,
        127 * MIB,
        128 * MIB,
        129 * MIB,
        700 * MIB,
        GIB - MIB,
        GIB,
        4 * GIB - 131 * MIB,
        15 * GIB + 77 * MIB,
        16 * GIB,
        57 * GIB + 33 * MIB,
        238 * GIB,
        2000 * GIB,
    ],
)
def test_capacity_is_never_more_than_mke2fs_leaves(tmp_path: Path, size: int) -> None:
    path = tmp_path / "fs"
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run(room.mke2fs(str(path), size, "11111111-2222-3333-4444-555555555555", "LUXDATA"), check=True)
    with path.open("rb") as made:

        def read(offset: int, length: int) -> bytes:
            made.seek(offset)
            return made.read(length)

        free = Ext4(read, size).free_bytes()
    path.unlink()
    capacity = layout.filesystem_capacity(size)
    assert capacity <= free
    # conservative, not wasteful: at most a fiftieth of the partition is written off
    assert free - capacity < max(size // 50, 2 * MIB)


@given(st.sampled_from(("ext4", "exfat", "fat32")), st.integers(2, 2000), st.integers(0, 900), st.integers(0, 900))
def test_extra_partitions_lie_behind_the_data_and_come_back(
    filesystem: str, gigabytes: int, companion: int, share: int
) -> None:
    options = StickOptions(
        filesystem=filesystem,
        companion=0 if filesystem == "ext4" or companion < 16 else companion * MIB + 1,
        share=0 if share < 16 else share * MIB,
    )
    size = gigabytes * GIB
    planned = layout.plan(size, options)
    parts = planned.partitions
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    for before, after in itertools.pairwise(parts):
        assert before.start + before.size == after.start
    assert parts[-1].start + parts[-1].size <= size - layout.BACKUP_TABLE
    assert all(part.start % MIB == part.size % MIB == 0 for part in parts)
    rows = [GptEntry(part.number, part.type_guid, "", part.name, part.start, part.size) for part in parts]
    assert gpt.stick_layout_of(rows, size) == planned
    if options.companion:
        assert layout.view_of(planned, PartitionRole.COMPANION).partition(PartitionRole.DATA).size >= options.companion


@given(st.sampled_from((Kind.FAT32, Kind.EXFAT)), st.integers(64, 2 << 20))
def test_clusters_fit_what_the_filesystem_asks_for(kind: Kind, mebibytes: int) -> None:
    size = mebibytes * MIB
    cluster = kinds.cluster_size(kind, size)
    assert cluster in (512, 1024, 2048, 4096, 8192, 16384, 32768, 131072)
    assert 0.85 * size < kinds.capacity(kind, size) < size
    if kind is Kind.FAT32:
        assert 65525 <= kinds.capacity(kind, size) // cluster < 1 << 28
        assert cluster <= 32768
