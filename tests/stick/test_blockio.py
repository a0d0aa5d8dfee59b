"""Blocking work of a job that is cut."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from luxusbd.stick.blockio import in_thread


async def test_an_error_of_work_that_was_cut_is_not_complained_of() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(30)
        raise OSError("the disk is full")

    task = asyncio.ensure_future(in_thread(work))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done(), "it waits for the work"
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    await asyncio.sleep(0)
    assert not complaints
