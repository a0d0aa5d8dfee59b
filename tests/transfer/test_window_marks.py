"""The arithmetic of marks and limits, and its waits."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from luxusbd.transfer.pace import Control
from luxusbd.transfer.window import NO_LIMIT, Window

TOTAL = 1000


class Passage(RuleBasedStateMachine):
    """A file of 1000 bytes comes, is read, checked, withdrawn and given back in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(100)
        self.window.file = lambda: (self.present, TOTAL)
        self.present = self.checked = 0
        self.told = [0]
        self.limit = self.window.limit

    @rule(count=st.integers(1, 300))
    def come(self, count: int) -> None:
        self.present = min(self.present + count, self.window.limit, TOTAL)

    @rule(share=st.floats(0, 1))
    def check(self, share: float) -> None:
        self.checked += int((self.present - self.checked) * share)

    @rule(mark=st.integers(0, TOTAL + 100))
    def tell_anything(self, mark: int) -> None:
        self.window.release(mark, self.window.epoch)
        if mark <= self.present:
            self.told.append(mark)

    @rule(share=st.floats(0, 1))
    def tell(self, share: float) -> None:
        self.tell_anything(int(self.present * share))

    @rule()
    def give_back(self) -> None:
        released = self.window.released
        mark = self.window.due(self.checked)
        if mark:
            assert mark in self.told
            assert self.window.punched < mark <= self.checked
            assert mark == max(one for one in self.told if one <= self.checked)
            self.window.gone(mark)
        self.window.settle(released)

    @rule(share=st.floats(0, 1))
    def withdraw(self, share: float) -> None:
        start = self.window.punched + int((self.present - self.window.punched) * share)
        self.window.withdraw(start)
        self.present, self.checked = start, min(self.checked, start)
        self.told = [one for one in self.told if one <= start]

    @precondition(lambda self: self.window.punched > 0)
    @rule()
    def begin_anew(self) -> None:
        self.window.open(100)
        self.present = self.checked = 0
        self.told = [0]
        self.limit = 0

    @invariant()
    def right(self) -> None:
        window = self.window
        assert window.released == max(self.told)
        assert window.punched <= window.released <= self.present
        assert window.limit >= self.limit, "it closes at a new start only"
        self.limit = window.limit


TestPassage = Passage.TestCase


@given(st.lists(st.integers(1, 400), max_size=40), st.integers(1, 400), st.integers(1, 2000))
def test_nothing_beyond_the_window(steps: list[int], size: int, total: int) -> None:
    """Everything that may come comes, and the reader tells of what it has: it never stands still before the end."""
    window = Window(size)
    present = 0
    window.file = lambda: (present, total)
    for step in steps:
        present = min(window.limit, total)
        assert present - window.released <= size
        assert present == total or present > window.released
        window.release(min(present, window.released + min(step, size)), window.epoch)
        window.settle(window.released)
        assert window.limit <= window.released + size
        assert window.released + size - window.limit < max(1, size // 4) or window.limit >= total


def test_without_a_size_nothing_is_limited() -> None:
    control = Control()
    control.window.file = lambda: (50, 100)
    control.release(10, control.window.epoch)
    assert (control.window.limit, control.window.released, control.window.due(50)) == (NO_LIMIT, 0, 0)


async def test_who_waits_is_woken_by_a_quarter_of_the_window_or_by_the_rest() -> None:
    window = Window(100)
    window.patience = 60.0
    window.file = lambda: (100, 1000)
    waits: list[int] = []
    window.waits = lambda: waits.append(window.limit)
    await window.wait(99)
    assert not waits
    task = asyncio.create_task(window.wait(100))
    await asyncio.sleep(0)
    assert waits == [100]
    window.release(24, window.epoch)
    window.settle(24)
    await asyncio.sleep(0.05)
    assert not task.done()
    window.release(25, window.epoch)
    window.settle(24)
    await asyncio.sleep(0.05)
    assert not task.done(), "the last mark was not given back yet"
    window.settle(25)
    async with asyncio.timeout(10):
        await task
    assert window.limit == 125
    window.file = lambda: (125, 126)
    window.release(26, window.epoch)
    window.settle(26)
    assert window.limit == 126


async def test_who_waits_long_enough_takes_less() -> None:
    window = Window(100)
    window.patience = 0.01
    window.file = lambda: (100, 1000)
    window.release(1, window.epoch)
    window.settle(1)
    assert window.limit == 100
    async with asyncio.timeout(10):
        await window.wait(100)
    assert window.limit == 101


async def test_a_wait_ends_with_a_new_start() -> None:
    window = Window(10)
    task = asyncio.create_task(window.wait(15))
    await asyncio.sleep(0)
    window.open(20)
    async with asyncio.timeout(10):
        await task


@pytest.mark.parametrize("mark", [-5, 0, 101, 1 << 70])
def test_senseless_marks(mark: int) -> None:
    window = Window(100)
    window.file = lambda: (100, 1000)
    window.release(mark, window.epoch)
    assert (window.released, window.due(100)) == (0, 0)
