"""Room in the store: whatever users do and whenever the daemon starts anew, quotas hold and nothing wanted goes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from luxusbd.catalog.model import Trust
from luxusbd.errors import ImagePinnedError, NotEnoughSpaceError
from luxusbd.images import store as store_module
from luxusbd.images.keeping import Limits
from luxusbd.images.model import Recognition, StoredImage
from luxusbd.images.store import ImageStore
from luxusbd.jobs import partials
from luxusbd.jobs.holds import Hold, Holds
from luxusbd.jobs.room import Room
from luxusbd.jobs.running import JobContext
from luxusbd.transfer.partfile import PartFile

ALICE, BOB, ROOT = 1000, 1001, 0
BLOCK = 4096
SIZES = tuple(BLOCK * count for count in (1, 2, 3, 4, 5, 6))
CONTENTS = tuple(bytes([65 + number]) * size for number, size in enumerate(SIZES))
HASHES = tuple(hashlib.sha256(content).hexdigest() for content in CONTENTS)
UIDS = st.sampled_from([ALICE, BOB, ROOT])
NUMBERS = st.integers(0, len(SIZES) - 1)


@dataclass
class World:
    """A store with its directories, as a daemon has them."""

    place: Path
    limits: Limits
    notes: list[str] = field(default_factory=list)
    held: set[tuple[str, int]] = field(default_factory=set)
    now: int = 1_000_000

    def __post_init__(self) -> None:
        for name in ("incoming", "staging"):
            (self.place / name).mkdir()
        self.restart()

    def restart(self) -> None:
        self.store = ImageStore(self.place / "images")
        holds = SimpleNamespace(all=lambda: tuple(Hold(sha256, uid) for sha256, uid in self.held))
        self.room = Room(self.store, cast("Holds", holds), self.limits, incoming=self.place / "incoming")

    def context(self, uid: int) -> JobContext:
        return cast("JobContext", SimpleNamespace(job=SimpleNamespace(owner_uid=uid), note=self.notes.append))

    def write(self, number: int, name: str, part: bytes | None = None) -> Path:
        path = self.place / name
        path.write_bytes(CONTENTS[number] if part is None else part)
        os.utime(path, (self.now, self.now))
        return path

    def move(self, path: Path, number: int, owner: int | None, asked: int | None) -> partial[StoredImage]:
        size = SIZES[number]
        what = Recognition(size, "LABEL", "", "", "", "System", "1", "amd64", reason="none", advice="none")
        source = "distro:x" if owner is None else "import"
        return partial(
            self.store.add, path, HASHES[number], f"{number}.iso", source, Trust.HASH, what, owner, requested_by=asked
        )

    async def download(self, uid: int, number: int, promised: int | None = None) -> None:
        if self.store.request(uid, HASHES[number]) is not None:
            return
        context, size = self.context(uid), SIZES[number]
        async with self.room.promised(context, size if promised is None else promised, content=HASHES[number]) as got:
            part = self.write(number, f"incoming/{HASHES[number]}.part")
            path = part.rename(part.with_suffix(""))
            await self.room.store(context, got, size, self.move(path, number, None, uid))

    async def begin(self, uid: int, number: int) -> None:
        """A download that stops half way and leaves its bytes."""
        async with self.room.promised(self.context(uid), SIZES[number], content=HASHES[number]):
            half = CONTENTS[number][: max(BLOCK, SIZES[number] // 2 // BLOCK * BLOCK)]
            self.write(number, f"incoming/{HASHES[number]}.part", half)

    async def bring(self, uid: int, number: int) -> None:
        context, size = self.context(uid), SIZES[number]
        place = self.place / "staging" / f"import-{uid}-{number}"
        async with self.room.promised(context, size, place=place) as got:
            path = self.write(number, f"staging/{place.name}")
            await self.room.store(context, got, size, self.move(path, number, uid, None))

    def taken(self) -> int:
        return sum(record.size for record in self.store.records()) + sum(
            part.size for part in partials.scan(self.place / "incoming")
        )


@contextlib.contextmanager
def world(**limits: Any) -> Iterator[World]:
    # in memory where there is such a place: the machine below would wait for the disk most of the time
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="lux-room-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        made = World(place, Limits(**limits))
        with mock.patch.object(store_module, "time", SimpleNamespace(time=lambda: made.now)):
            yield made
    finally:
        shutil.rmtree(place)


class Keeping(RuleBasedStateMachine):
    """Users of one store."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.loop = asyncio.new_event_loop()
        self.user_quota = 0

    @initialize(quota=st.integers(6, 16), user=st.sampled_from([0, 7, 10]), clean=st.booleans())
    def begin(self, quota: int, user: int, clean: bool) -> None:
        self.user_quota = user * BLOCK
        self.world = self.stack.enter_context(
            world(quota=quota * BLOCK, quota_per_user=self.user_quota, clean_imports=clean)
        )

    def teardown(self) -> None:
        self.stack.close()
        self.loop.close()

    def admit(self, *works: Any, about: tuple[int, ...]) -> None:
        """Run jobs at once; what disappears for them may disappear, and in the right order.

        Images with the same bytes as those the jobs are `about` are in use meanwhile.
        """
        here = self.world
        before = {record.sha256: record for record in here.store.records()}
        here.now += 1000

        async def run() -> None:
            for outcome in await asyncio.gather(*works, return_exceptions=True):
                if outcome is not None and not isinstance(outcome, NotEnoughSpaceError):
                    raise outcome

        self.loop.run_until_complete(run())
        left = {record.sha256: record for record in here.store.records()}
        gone = [record for sha256, record in before.items() if sha256 not in left]
        held = {sha256 for sha256, _uid in here.held}

        def may_go(record: Any) -> bool:
            ours = here.limits.clean_imports or not record.imported_by
            return ours and not record.pins and record.sha256 not in held

        assert all(may_go(record) for record in gone)
        if gone and not self.user_quota:
            busy = {HASHES[number] for number in about}
            kept = [
                record.last_used
                for record in before.values()
                if left.get(record.sha256) == record and may_go(record) and record.sha256 not in busy
            ]
            assert max(record.last_used for record in gone) <= min(kept, default=here.now)
        assert here.taken() <= here.limits.quota

    @rule(uid=UIDS, number=NUMBERS)
    def download(self, uid: int, number: int) -> None:
        self.admit(self.world.download(uid, number), about=(number,))

    @rule(uid=UIDS, number=NUMBERS)
    def download_of_unknown_size(self, uid: int, number: int) -> None:
        here = self.world
        self.admit_or_leave(here.download(uid, number, promised=0), number)

    def admit_or_leave(self, work: Any, number: int) -> None:
        """The whole file may be there before anybody knows its size; refused, it stays as an unfinished download."""
        here = self.world
        before = here.limits
        here.limits = Limits(before.quota + SIZES[-1], before.quota_per_user, clean_imports=before.clean_imports)
        try:
            self.admit(work, about=(number,))
        finally:
            here.limits = before
        for part in partials.scan(here.place / "incoming"):
            if here.taken() > before.quota:
                self.loop.run_until_complete(partials.remove(here.place / "incoming", part.content))

    @rule(uid=UIDS, number=NUMBERS)
    def stop_half_way(self, uid: int, number: int) -> None:
        if self.world.store.held(uid, HASHES[number]) is None:
            self.admit(self.world.begin(uid, number), about=(number,))

    @rule(uid=UIDS, number=NUMBERS)
    def bring(self, uid: int, number: int) -> None:
        self.admit(self.world.bring(uid, number), about=(number,))

    @rule(first=NUMBERS, second=NUMBERS, uid=UIDS, other=UIDS)
    def two_at_once(self, first: int, second: int, uid: int, other: int) -> None:
        if first != second:
            self.admit(self.world.download(uid, first), self.world.download(other, second), about=(first, second))

    @rule(first=NUMBERS, second=NUMBERS)
    def two_imports_at_once(self, first: int, second: int) -> None:
        self.admit(self.world.bring(ALICE, first), self.world.bring(BOB, second), about=(first, second))

    def pick(self, number: int) -> str:
        """One of the stored images, where there is any."""
        there = sorted(record.sha256 for record in self.world.store.records())
        return there[number % len(there)] if there else HASHES[number]

    @rule(uid=UIDS, number=NUMBERS, pinned=st.booleans())
    def pin(self, uid: int, number: int, pinned: bool) -> None:
        sha256 = self.pick(number)
        if any(image.sha256 == sha256 for image in self.world.store.list(uid)):
            with contextlib.suppress(NotEnoughSpaceError):
                if pinned:
                    self.loop.run_until_complete(self.world.room.check_pin(uid, sha256))
                self.world.store.pin(uid, sha256, pinned)
                assert self.world.store.get(uid, sha256).pinned >= pinned

    @rule(uid=UIDS, number=NUMBERS)
    def use(self, uid: int, number: int) -> None:
        sha256 = self.pick(number)
        if any(image.sha256 == sha256 for image in self.world.store.list(uid)):
            self.world.now += 1000
            os.close(self.world.store.open(uid, sha256))
            assert self.world.store.get(uid, sha256).last_used == self.world.now

    @rule(uid=UIDS, number=NUMBERS)
    def delete(self, uid: int, number: int) -> None:
        here, sha256 = self.world, HASHES[number]
        before = {record.sha256: record for record in here.store.records()}.get(sha256)
        seen = {image.sha256: image for image in here.store.list(uid)}.get(sha256)
        if seen is None or before is None:
            return
        others = before.imported_by - {uid}
        try:
            here.store.delete(uid, sha256)
        except ImagePinnedError:
            assert before.pins
            return
        left = {record.sha256: record for record in here.store.records()}.get(sha256)
        assert uid != ROOT or left is None
        assert uid == ROOT or (left.imported_by if left else frozenset()) == others

    @rule(uid=UIDS, number=NUMBERS)
    def hold(self, uid: int, number: int) -> None:
        self.world.held.add((self.pick(number), uid))

    @precondition(lambda self: self.world.held)
    @rule()
    def let_go(self) -> None:
        self.world.held.discard(min(self.world.held))

    @rule()
    def restart(self) -> None:
        before = self.world.store.records()
        self.world.restart()
        assert {record.sha256: record for record in self.world.store.records()} == {
            record.sha256: record for record in before
        }

    @invariant()
    def the_disk_is_what_the_records_say(self) -> None:
        directory = self.world.place / "images"
        hashes = sorted(record.sha256 for record in self.world.store.records())
        assert sorted(path.name for path in directory.iterdir()) == sorted(
            f"{sha256}.{kind}" for sha256 in hashes for kind in ("iso", "json")
        )
        assert all((directory / f"{sha256}.iso").stat().st_size == SIZES[HASHES.index(sha256)] for sha256 in hashes)
        assert list((self.world.place / "staging").iterdir()) == []

    @invariant()
    def nobody_sees_what_is_anothers(self) -> None:
        for record in self.world.store.records():
            for uid in (ALICE, BOB):
                seen = self.world.store.held(uid, record.sha256) is not None
                assert seen == (record.public or uid in record.imported_by)


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(max_examples=40, stateful_step_count=25, derandomize=True, deadline=None)


async def test_the_same_bytes_are_not_promised_twice() -> None:
    with world(quota=6 * BLOCK, quota_per_user=5 * BLOCK) as here:
        place = here.place / "staging" / "import"
        async with here.room.promised(here.context(ALICE), 4 * BLOCK, place=place):
            with pytest.raises(NotEnoughSpaceError, match=r"16\.0 KiB are in use or promised"):
                await here.download(BOB, 2)
            with pytest.raises(NotEnoughSpaceError, match="your quota"):
                await here.download(ALICE, 1)
            await here.download(BOB, 1)
            # what is written of it counts once, and is nobody else's to remove
            here.write(2, "staging/import")
            with pytest.raises(NotEnoughSpaceError):
                await here.bring(BOB, 2)
        place.unlink()
        await here.download(ALICE, 3)


async def test_a_resumed_download_needs_only_what_is_missing() -> None:
    with world(quota=6 * BLOCK) as here:
        await here.begin(ALICE, 5)
        assert here.taken() == 3 * BLOCK
        here.held.add((HASHES[5], ALICE))
        with pytest.raises(NotEnoughSpaceError):
            await here.download(BOB, 3)
        await here.download(BOB, 2)
        here.store.delete(ROOT, HASHES[2])
        await here.download(ALICE, 5)
        assert here.taken() == 6 * BLOCK


async def test_the_job_is_told_what_went_for_it() -> None:
    with world(quota=6 * BLOCK, clean_imports=True) as here:
        await here.download(ALICE, 0)
        here.now += 1000
        await here.bring(BOB, 1)
        here.now += 1000
        await here.begin(BOB, 2)
        await here.download(ALICE, 5)
        assert here.notes == [
            "removed 0.iso (4.0 KiB) to make room",
            "removed an image that another user imported (8.0 KiB) to make room",
            "removed an unfinished download (4.0 KiB) to make room",
        ]


async def test_a_part_that_is_being_written_stays() -> None:
    with world(quota=4 * BLOCK) as here:
        await here.begin(BOB, 2)
        with contextlib.closing(PartFile.open(str(here.place / "incoming"), HASHES[2])):
            with pytest.raises(NotEnoughSpaceError):
                await here.download(ALICE, 3)
        await here.download(ALICE, 3)


async def test_a_pin_counts_for_its_user() -> None:
    with world(quota_per_user=4 * BLOCK) as here:
        await here.download(ROOT, 2)
        await here.bring(ALICE, 1)
        with pytest.raises(NotEnoughSpaceError, match="counts for your quota"):
            await here.room.check_pin(ALICE, HASHES[2])
        await here.room.check_pin(ALICE, HASHES[1])
        await here.room.check_pin(BOB, HASHES[2])
        await here.room.check_pin(ROOT, HASHES[2])
