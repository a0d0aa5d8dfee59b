"""Disks that lie about their size, or lose what is written, are found out."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from luxusbd.errors import DeviceFailingError, DeviceNotFoundError
from luxusbd.stick import capacity, probing
from luxusbd.stick.capacity import BLOCK, Marks, Region, State, Verdict
from luxusbd.stick.fullprobe import full
from luxusbd.stick.model import StickProgress
from luxusbd.stick.probing import Prober
from luxusbd.stick.progress import Progress
from luxusbd.stick.putback import put_back
from luxusbd.stick.quickprobe import quick
from luxusbd.stick.saved import Saved
from tests.stick.liars import WINDOW, Liar, Lie, Pace

SALT = bytes(range(16))
BLOCKS = 2048
SIZE = BLOCKS * BLOCK
VERDICTS = {
    Lie.WRAPS: Verdict.WRAPS,
    Lie.ZEROS: Verdict.LOSES,
    Lie.DROPS: Verdict.LOSES,
    Lie.GARBAGE: Verdict.LOSES,
    Lie.ERRORS: Verdict.ENDS,
}


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[Saved]:
    fd = os.open(tmp_path / "saved", os.O_RDWR | os.O_CREAT)
    yield Saved(fd)
    os.close(fd)


def progress() -> Progress:
    return Progress(lambda _now: None)


def test_marks_know_their_place() -> None:
    marks = Marks(SALT)
    made = bytes(marks.blocks(1000, 600))
    assert len(made) == 600 * BLOCK
    for index in (0, 1, 254, 255, 256, 599):
        block = made[index * BLOCK : (index + 1) * BLOCK]
        assert block == bytes(marks.blocks(1000 + index, 1))
        assert marks.origin(block) == 1000 + index
        assert Marks(bytes(16)).origin(block) is None
        for place in (0, 20, 30, 100, BLOCK - 1):
            damaged = bytearray(block)
            damaged[place] ^= 1
            # a damaged number is one whose body is another, unless the period brings the same
            assert marks.origin(bytes(damaged)) is None


@given(st.integers(1, 100_000), st.integers(1, 500), st.data())
def test_the_steps_find_any_wrap(blocks: int, most: int, data: st.DataObject) -> None:
    """Where block x reads as x % real, one of the steps gives a block of the stretch."""
    width = capacity.step(blocks, most)
    assert 1 <= width <= most
    real = data.draw(st.integers(width, max(width, blocks - width)))
    if real + width <= blocks:
        found = next(number for number in capacity.steps(blocks, most) if number >= real)
        assert found % real < width
        assert found - found % real == real


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(VERDICTS, key=str)), st.integers(100, BLOCKS - 100), st.sampled_from([0, 30]), st.booleans()
)
def test_every_lie_is_found_to_the_block(lie: Lie, real: int, cache: int, thorough: bool) -> None:
    # a stretch in which there is an error is not tried block by block
    assume(lie is not Lie.ERRORS or real > 2 * probing.PER_CHUNK)
    disk = Liar(SIZE, real * BLOCK, lie, cache=cache)
    if thorough:
        found = full(Prober(disk, progress(), clock=disk.clock))
    else:
        found = quick(Prober(disk, progress(), clock=disk.clock), None)
    assert found.verdict is VERDICTS[lie]
    assert found.size == SIZE
    if lie is Lie.ERRORS and thorough:
        # a chunk that ends behind the end of the disk is not tried block by block
        assert real * BLOCK - probing.CHUNK < found.capacity <= real * BLOCK
    else:
        assert found.capacity == real * BLOCK
    assert found.regions[0].start == 0
    assert sum(region.size for region in found.regions) == SIZE


@settings(max_examples=30, deadline=None)
@given(st.integers(1, BLOCKS), st.integers(0, BLOCK - 1))
def test_a_genuine_disk_is_as_it_was(blocks: int, rest: int) -> None:
    size = blocks * BLOCK + rest
    disk = Liar(size, size)
    told: list[StickProgress] = []
    with tempfile.TemporaryFile() as file:
        kept, counting = Saved(file.fileno()), Progress(told.append)
        found = quick(Prober(disk, counting, clock=disk.clock), kept)
        put_back(disk, counting, kept)
    assert (found.verdict, found.capacity, found.size) == (Verdict.GENUINE, size, size)
    assert found.regions == (Region(0, size, State.GOOD),)
    untouched = Liar(size, size)
    assert all(disk.content(number) == untouched.content(number) for number in range(blocks))
    assert told[-1].bytes_done <= told[-1].bytes_total
    assert found.checked > 0
    assert found.write_rate > 0 < found.read_rate


@pytest.mark.parametrize("lie", [Lie.ZEROS, Lie.DROPS, Lie.WRAPS])
def test_a_counterfeit_keeps_what_it_had(saved: Saved, lie: Lie) -> None:
    disk = Liar(SIZE, 1000 * BLOCK, lie)
    quick(Prober(disk, progress(), clock=disk.clock), saved)
    put_back(disk, progress(), saved)
    untouched = Liar(SIZE, 1000 * BLOCK, lie)
    assert all(disk.content(number) == untouched.content(number) for number in range(1000))


def test_single_blocks_that_fail() -> None:
    broken = frozenset({5, 1500})
    disk = Liar(SIZE, SIZE, broken=broken)
    found = full(Prober(disk, progress(), clock=disk.clock))
    assert (found.verdict, found.capacity) == (Verdict.FAILS, SIZE - 2 * BLOCK)
    assert [(region.start // BLOCK, region.size // BLOCK) for region in found.regions if not region.state.holds] == [
        (5, 1),
        (1500, 1),
    ]
    # one that lies among those that the quick way looks at
    assert quick(Prober(disk, progress(), clock=disk.clock), None).verdict is Verdict.FAILS


@pytest.mark.parametrize("thorough", [False, True])
def test_a_part_of_the_end_that_answers_over_and_over(saved: Saved, thorough: bool) -> None:
    real = 1000 * BLOCK
    disk = Liar(SIZE, real, Lie.WINDOW)
    if thorough:
        found = full(Prober(disk, progress(), clock=disk.clock))
    else:
        found = quick(Prober(disk, progress(), clock=disk.clock), saved)
        put_back(disk, progress(), saved)
        untouched = Liar(SIZE, real, Lie.WINDOW)
        assert all(disk.content(number) == untouched.content(number) for number in range(1000))
    # what is in that part itself is overwritten
    assert (found.verdict, found.capacity) == (Verdict.WRAPS, real - WINDOW)
    assert found.regions[-1].state is State.WRAPPED or thorough


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize("lie", [Lie.WRAPS, Lie.ZEROS, Lie.DROPS])
@pytest.mark.parametrize("cache", [40, 90, 120])
def test_a_cache_as_large_as_what_is_marked(lie: Lie, cache: int, thorough: bool) -> None:
    """On a disk of this size 128 blocks are marked at the start."""
    disk = Liar(SIZE, 1000 * BLOCK, lie, cache=cache)
    probe = Prober(disk, progress(), clock=disk.clock)
    found = full(probe) if thorough else quick(probe, None)
    assert found.verdict is VERDICTS[lie]
    assert found.capacity <= 1000 * BLOCK
    if thorough or cache < 90:
        assert found.capacity == 1000 * BLOCK


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize("fault", ["drops", "misreads"])
def test_what_fails_now_and_then(fault: str, thorough: bool) -> None:
    disk = Liar(SIZE, SIZE, **{fault: 0.02})  # type: ignore[arg-type]
    probe = Prober(disk, progress(), clock=disk.clock)
    found = full(probe) if thorough else quick(probe, None)
    assert found.verdict is Verdict.FAILS
    assert found.capacity < SIZE


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("after", [0, 60, 300])
def test_a_disk_that_makes_itself_read_only(saved: Saved, after: int, silent: bool) -> None:
    """What it had before it did that is still there, or kept."""
    disk = Liar(SIZE, SIZE, locks_after=after, silent=silent)
    found = quick(Prober(disk, progress(), clock=disk.clock), saved)
    # the last of the marks were there, and those that it keeps are told by putting back
    assert found.verdict in (Verdict.FAILS, Verdict.LOSES, Verdict.ENDS) or (silent and after == 300)
    if not after:
        assert (found.verdict, found.capacity) == (Verdict.FAILS, 0)
        put_back(disk, progress(), saved)
    else:
        with pytest.raises(DeviceFailingError, match="could not be put back; it is kept"):
            put_back(disk, progress(), saved)
    disk.locks_after = -1
    put_back(disk, progress(), saved)
    untouched = Liar(SIZE, SIZE)
    assert all(disk.content(number) == untouched.content(number) for number in range(BLOCKS))


def test_sectors_that_fail_do_not_take_their_surroundings_along(saved: Saved) -> None:
    """A block in the middle of what is put back at once cannot be read, and another one takes nothing any more."""
    disk = Liar(SIZE, SIZE, unreadable=frozenset({20}))
    with pytest.raises(probing.StoppedError):
        quick(Prober(disk, progress(), lambda: disk.written >= 24, disk.clock), saved)
    assert not saved.load()
    untouched = Liar(SIZE, SIZE)
    assert all(disk.content(number) == untouched.content(number) for number in range(BLOCKS))
    disk.read(20 * BLOCK, BLOCK)


@pytest.mark.parametrize("size", [4 << 30, 64 << 30, 1 << 40], ids=["4GiB", "64GiB", "1TiB"])
@pytest.mark.parametrize("lie", [Lie.NONE, Lie.DROPS, Lie.WRAPS], ids=lambda lie: lie.value)
def test_two_minutes_are_enough_for_a_slow_stick(saved: Saved, size: int, lie: Lie) -> None:
    """10 MB/s, and a tenth of a second for a write to anywhere; by the disk's own clock."""
    real = size if lie is Lie.NONE else size // 8 + 5 * BLOCK
    disk = Liar(size, real, lie, pace=Pace())
    found = quick(Prober(disk, progress(), clock=disk.clock), saved)
    put_back(disk, progress(), saved)
    assert found.capacity == real
    assert disk.now <= 120, f"{disk.now:.0f} seconds, {disk.written * BLOCK >> 20} MiB written"


@pytest.mark.parametrize("thorough", [False, True])
def test_slow_stretches(thorough: bool) -> None:
    disk = Liar(SIZE, SIZE, slow=range(1024, 1280))
    found = (
        full(Prober(disk, progress(), clock=disk.clock))
        if thorough
        else quick(Prober(disk, progress(), clock=disk.clock), None)
    )
    assert (found.verdict, found.capacity) == (Verdict.SLOW, SIZE)
    slow = [region for region in found.regions if region.state is State.SLOW]
    assert len(slow) == 1
    assert slow[0].start <= 1024 * BLOCK < slow[0].start + slow[0].size


@pytest.mark.parametrize("after", [1, 50, 250, 350])
def test_a_probe_that_is_stopped_puts_back(saved: Saved, after: int) -> None:
    disk = Liar(SIZE, SIZE)
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    with pytest.raises(probing.StoppedError):
        quick(Prober(disk, progress(), stopped, disk.clock), saved)
    untouched = Liar(SIZE, SIZE)
    assert all(disk.content(number) == untouched.content(number) for number in range(BLOCKS))


@pytest.mark.parametrize("lie", [Lie.NONE, Lie.WRAPS, Lie.DROPS])
@pytest.mark.parametrize("after", [0, 60, 130, 520, 600, 900, 1400])
def test_a_disk_that_is_pulled_out_gets_back_what_it_had(saved: Saved, tmp_path: Path, after: int, lie: Lie) -> None:
    real = SIZE if lie is Lie.NONE else 1000 * BLOCK
    disk = Liar(SIZE, real, lie, gone_after=after)
    with pytest.raises(DeviceNotFoundError):
        quick(Prober(disk, progress(), clock=disk.clock), saved)
    disk.gone_after = -1
    with (tmp_path / "saved").open("r+b") as file:
        again = Saved(file.fileno())
        assert again.load() == (after > 0)
        if after:
            put_back(disk, progress(), again)
            assert not Saved(file.fileno()).load()
    untouched = Liar(SIZE, real, lie)
    assert all(disk.content(number) == untouched.content(number) for number in range(real // BLOCK))


def test_what_was_written_since_stays(saved: Saved) -> None:
    disk = Liar(SIZE, SIZE, gone_after=700)
    with pytest.raises(DeviceNotFoundError):
        quick(Prober(disk, progress(), clock=disk.clock), saved)
    disk.gone_after = -1
    disk.write(2 * BLOCK, b"new" * 1000 + bytes(BLOCK - 3000))
    half = disk.content(3)[:1024] + bytes(Marks(saved.salt).blocks(3, 1))[1024:]
    disk.write(3 * BLOCK, half)
    assert saved.load()
    put_back(disk, progress(), saved)
    untouched = Liar(SIZE, SIZE)
    assert disk.content(1) == untouched.content(1)
    assert disk.content(2).startswith(b"newnew")
    # a write that the power cut in the middle
    assert disk.content(3) == untouched.content(3)


def test_a_record_that_was_cut_does_not_count(saved: Saved, tmp_path: Path) -> None:
    saved.begin(SALT)
    saved.add(0, b"a" * BLOCK)
    saved.add(7, b"b" * BLOCK)
    whole = (tmp_path / "saved").stat().st_size
    for cut in (1, BLOCK, BLOCK + 1):
        with (tmp_path / "saved").open("r+b") as file:
            file.truncate(whole - cut)
            again = Saved(file.fileno())
            assert again.load()
            assert list(again.newest_first()) == [(0, b"a" * BLOCK)]
            assert again.salt == SALT


def test_what_is_of_another_disk_is_kept(saved: Saved) -> None:
    """It looks the same, as cards in one reader do."""
    disk, other = Liar(SIZE, SIZE, gone_after=600), Liar(SIZE, SIZE)
    with pytest.raises(DeviceNotFoundError):
        quick(Prober(disk, progress(), clock=disk.clock), saved)
    disk.gone_after = -1
    assert not put_back(other, progress(), saved, ours=False)
    assert other.written == 0
    assert put_back(disk, progress(), saved, ours=False)
    assert not saved.load()
    untouched = Liar(SIZE, SIZE)
    assert all(disk.content(number) == untouched.content(number) for number in range(BLOCKS))


def test_a_map_has_an_end() -> None:
    parts = [Region(index * 10, 10, State.CHANGED if index % 2 else State.GOOD) for index in range(1000)]
    found = capacity.merged(parts, 16)
    assert len(found) <= 16
    assert sum(region.size for region in found) == 10_000
    assert all(one.start + one.size == other.start for one, other in itertools.pairwise(found))
    # what is broken is not made whole
    assert not any(region.state is State.GOOD and region.size > 10 for region in found)
