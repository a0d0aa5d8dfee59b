"""Several sticks at once: chosen together, reviewed together, each with its own bar and end."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.model import DeviceShare, JobState
from luxusb_gtk import words

from tests.daemon.caller import Caller
from tests.daemon.conftest import STICK
from tests.daemon.images import Images
from tests.daemon.sticks import grub_images
from tests.desktop import hand
from tests.desktop.screen import until
from tests.desktop.test_flow import ended


@pytest.mark.root
async def test_three_at_once_of_which_one_fails_and_is_tried_again(
    app: Any, caller: Caller, images: Images, place: Path, attach: Callable[[Path], str]
) -> None:
    window = app.window
    files = [place / name for name in ("first.img", "second.img", "third.img")]
    for file in files:
        file.touch()
        os.truncate(file, STICK)
    nodes = [attach(file) for file in files]
    for node in nodes:
        await caller.disk(node)
    await hand.tick(window, "Alpha")
    await hand.press(window, "Choose a stick")
    await hand.press(window, "Several at once")
    await until(window.sticks.several.get_active, "the mode")
    assert window.sticks.device is None, "nothing is chosen by itself of what is erased together"
    for file in files:
        await hand.tick(window, file.name)
    await until(lambda: len(window.sticks.chosen) == 3, "three")
    await hand.press(window, "Review")
    await hand.sees(window, "3 sticks")
    for node in nodes:
        assert node in " ".join(hand.texts(window.summary))
    with Path(nodes[1]).open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        await hand.press(window, "Erase 3 sticks and write")
        said = await hand.answer("erase")
        assert all(node in said for node in nodes)
        await until(lambda: [job for job in app.model.top_jobs() if job.state.finished], "the end")
    job = app.model.top_jobs()[0]
    assert [share.state.value for share in job.shares] == ["succeeded", "failed", "succeeded"]
    shown = [window.progress.shares[job.path, share.id] for share in job.shares]
    for share, row in zip(job.shares, shown, strict=True):
        assert share.node in hand.texts(row)[0]
    assert [bool(hand.find_button(row, "Try again")) for row in shown] == [False, True, False]
    assert hand.texts(shown[0])[-1] == "ready"
    assert hand.texts(shown[1])[-1].startswith("failed · ")
    await hand.sees(window, "2 of 3 sticks are ready")
    for file in (files[0], files[2]):
        assert list(grub_images(file).values()) == [images.alpha.sha256]
    await hand.press(shown[1], "Try again")
    await until(lambda: app.model.basket.references == ["distro:alpha@1.0"], "the same systems")
    await hand.press(window, "Erase second.img and write")
    assert nodes[1] in await hand.answer("erase")
    await until(lambda: len(app.model.top_jobs()) == 2, "the other job")
    await ended(app, "create")
    assert list(grub_images(files[1]).values()) == [images.alpha.sha256]


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (JobState.QUEUED, "waiting"),
        (JobState.RUNNING, "writing · 1 GiB of 2 GiB · 5 MiB/s"),
        (JobState.SUCCEEDED, "ready"),
        (JobState.FAILED, "failed · pulled; plug it in again"),
        (JobState.CANCELLED, "cancelled"),
    ],
)
def test_the_line_of_a_stick(state: JobState, line: str) -> None:
    error = "pulled; plug it in again" if state is JobState.FAILED else ""
    share = DeviceShare("a", "/dev/sda", "Stick", state, "write-image", 1 << 30, 2 << 30, 5 << 20, "", error)
    assert words.share_line(share) == line
