"""Several sticks in one job: each image is read once, and one that fails stops none of the others."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from luxusb_cli.connection import Typed
from luxusb_cli.model import JobInfo, JobState
from luxusb_cli.wire import wire_of

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.images import Images
from tests.daemon.shared import world_of
from tests.daemon.sticks import run
from tests.stick.liars import Lie
from tests.stick.lyingfile import lying

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def state_directory(small: Path) -> None:
    (small / "s").mkdir()


def bytes_read(node: str) -> int:
    """What a block device has read so far (block/stat.rst: sectors of 512 bytes)."""
    return int(Path("/sys/block", Path(node).name, "stat").read_text().split()[2]) * 512


def forget(path: Path) -> None:
    """Have a file read from its disk when somebody reads it again."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def test_three_at_once_of_which_one_fails_half_way(images: Images, small: Path) -> None:
    below = run("findmnt", "-n", "-o", "SOURCE", str(small))
    async with world_of(images, state=small / "s") as world, Caller.connect(world.daemon.address) as caller:
        big = await caller.imported(images.large.path)
        with lying(world.place / "liar", Lie.ERRORS, 256 << 20, 150 << 20) as broken:
            files = [world.disk_file("first"), broken, world.disk_file("third")]
            nodes = [world.attach(file) for file in files]
            devices = [await caller.disk(node) for node in nodes]
            for stored in (small / "s" / "images").glob("*.iso"):
                forget(stored)
            before = bytes_read(below)
            planned = await caller.plan(
                [device.path for device in devices], [str(big.result["image"])], probe=Typed("b", False)
            )
            path = await caller.client.create(planned.token)
            job = await caller.failed(path)
            read = bytes_read(below) - before
            check_told(caller, path, job, nodes)
            # one that was pulled or is broken: the others are as good as any
            assert sticks.check(files[0]) == sticks.check(files[2]) == {"large.iso": images.large.sha256}
            assert images.large.size <= read < 1.2 * images.large.size
            # and the failed one alone is planned again
            again = await caller.plan([devices[1].path], [str(big.result["image"])])
            assert [device.id for device in again.devices] == [devices[1].id]
            await asyncio.to_thread(run, "losetup", "-d", nodes[1])


def check_told(caller: Caller, path: str, job: JobInfo, nodes: list[str]) -> None:
    assert job.error_name == "org.luxusb.Error.PartlyFailed"
    assert "2 of 3" in job.error_message
    assert nodes[1] in job.error_message
    assert [(share.node, share.state.value) for share in job.shares] == [
        (nodes[0], "succeeded"),
        (nodes[1], "failed"),
        (nodes[2], "succeeded"),
    ]
    assert "try another port" in job.shares[1].error_message
    assert job.result["devices"] == [
        {
            "id": share.id,
            "node": share.node,
            "model": share.model,
            "state": share.state.value,
            **({"error_name": share.error_name, "error_message": share.error_message} if share.error_name else {}),
        }
        for share in job.shares
    ]
    # on the way the figures of each were told by signals
    told = [
        JobInfo.from_wire(path, wire_of(heard.signal.body[1], "changed")).shares
        for heard in caller.signals(path, "PropertiesChanged")
    ]
    running = [shares for shares in told if shares and shares[0].state is JobState.RUNNING]
    assert any(share.bytes_done for shares in running for share in shares)
    # a stage follows on the other once
    stages = [line.split(" ", 1)[1] for line in job.details.log]
    assert stages.count("write-image") == 1
