"""Room for changes on a stick, through the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
from luxusb_cli.calls import Work
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError

from luxusbd.images.model import Store
from tests.daemon.byhand import Hand
from tests.daemon.caller import Caller
from tests.daemon.conftest import Target
from tests.daemon.images import MIB, Images, debian_live
from tests.daemon.sticks import contents

ERROR = "org.luxusb.Error."
ROOM = 20 * MIB


async def test_from_the_plan_to_the_end(caller: Caller, target: Target, tmp_path: Path) -> None:
    device = await target.device(caller)
    live = str((await caller.imported(debian_live(tmp_path))).result["image"])
    wanted = {"persistence": Typed("a{st}", {live: ROOM}), "persistence_partition": Typed("t", 2 * ROOM)}
    plan = await caller.plan([device], [live, "distro:alpha"], **wanted)
    assert [image.persistence for image in plan.images] == [ROOM, 0]
    await caller.succeeded(await caller.client.create(plan.token))
    assert [image.persistence for image in await caller.client.contents(device)] == [ROOM, 0]
    found = contents(target.file)
    assert found.damage == ""
    kept = found.manifest.images[0].kept
    assert kept is not None
    assert kept.store is Store.PARTITION

    done = await caller.succeeded(await caller.client.set_persistence(device, live, 0))
    assert done.operation == "persist"
    assert done.result["persistence"] == {}
    again = await caller.succeeded(await caller.client.set_persistence(device, "debian.iso", ROOM + MIB))
    assert again.result["persistence"] == {"debian.iso": ROOM + MIB}
    more = await caller.succeeded(await caller.client.set_persistence(device, live, ROOM + 2 * MIB))
    assert more.result["persistence"] == {"debian.iso": ROOM + 2 * MIB}
    assert (await caller.succeeded(await caller.client.verify(device))).result["ok"] is True


async def test_room_of_an_image_that_was_deleted_by_hand(
    caller: Caller, stick: Path, tmp_path: Path, images: Images
) -> None:
    del images
    live = str((await caller.imported(debian_live(tmp_path))).result["image"])
    wanted = {"persistence": Typed("a{st}", {live: ROOM}), "persistence_partition": Typed("t", ROOM)}
    await caller.created([await caller.target(stick)], [live, "distro:alpha"], **wanted)
    Hand(Target(stick)).delete("debian.iso")
    device = await caller.target(stick)
    assert (await caller.client.device(device)).stray_changes == ()
    await caller.succeeded(await caller.client.work_on(device, Work.RESCAN))
    (stray,) = (await caller.client.device(device)).stray_changes
    assert (stray.name, stray.size) == ("LUXPERSIST", ROOM)
    with pytest.raises(DaemonError, match="LUXPERSIST is not on"):
        await caller.client.set_persistence(device, stray.name, ROOM)
    await caller.succeeded(await caller.client.set_persistence(device, stray.name, 0))
    assert (await caller.client.device(device)).stray_changes == ()
    with pytest.raises(DaemonError, match="LUXPERSIST is not on"):
        await caller.client.set_persistence(device, stray.name, 0)


async def test_what_cannot_be_is_said_before_anything_is_written(
    caller: Caller, target: Target, tmp_path: Path
) -> None:
    device = await target.device(caller)
    live = str((await caller.imported(debian_live(tmp_path))).result["image"])
    for wanted, name, says in (
        ({live: MIB}, "InvalidArgument", "too little for the changes of debian.iso"),
        ({"distro:beta": ROOM}, "InvalidArgument", "room for changes is asked for distro:beta, which is none of the"),
    ):
        with pytest.raises(DaemonError, match=says) as refused:
            await caller.plan(
                [device], [live], persistence=Typed("a{st}", wanted), persistence_partition=Typed("t", ROOM)
            )
        assert refused.value.name == ERROR + name
    with pytest.raises(DaemonError, match="keeps changes on a partition of its own, and the stick has none"):
        await caller.plan([device], [live], persistence=Typed("a{st}", {live: ROOM}))
    # what is still to be downloaded is known only then, and still before anything is erased
    plan = await caller.plan([device], [live, "distro:alpha"], persistence=Typed("a{st}", {"distro:alpha": ROOM}))
    job = await caller.failed(await caller.client.create(plan.token))
    assert job.error_name == ERROR + "InvalidArgument"
    assert "alpha.iso keeps no changes" in job.error_message
    assert not any(target.file.read_bytes()[: 4 * MIB])

    await caller.created([device], [live, "distro:alpha"])
    with pytest.raises(DaemonError, match=r"alpha\.iso keeps no changes") as refused:
        await caller.client.set_persistence(device, "alpha.iso", ROOM)
    assert refused.value.name == ERROR + "InvalidArgument"
    with pytest.raises(DaemonError, match="is not on") as refused:
        await caller.client.set_persistence(device, "other.iso", ROOM)
    assert refused.value.name == ERROR + "ImageNotFound"
