from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

from luxusbd.bus.service import BusService
from luxusbd.devices.model import DeviceState
from luxusbd.jobs.model import JobState
from tests.bus.client import MANAGER_PATH, SERVICE, Client, plain
from tests.bus.examples import job, view
from tests.bus.fake import FakeEngine

Connect = Callable[[], Awaitable[Client]]
DEVICE = "/org/luxusb/devices/usb_2dAcme_5fStick_2d1"
OTHER = "/org/luxusb/devices/other"
JOB = "/org/luxusb/jobs/_1"


async def test_objects_come_and_go_at_the_object_manager(client: Client, engine: FakeEngine) -> None:
    await client.watch()
    engine.put_device(view("other"))
    (added,) = await client.until("InterfacesAdded")
    assert added.path == "/org/luxusb"
    path, interfaces = plain(added.body)
    assert path == OTHER
    assert interfaces["org.luxusb.Device"]["Id"] == "other"
    assert interfaces["org.luxusb.Device"] == await client.get_all(OTHER, "org.luxusb.Device")
    engine.remove_device(engine.views["other"])
    (removed,) = await client.until("InterfacesRemoved")
    assert (removed.path, plain(removed.body)) == ("/org/luxusb", [OTHER, ["org.luxusb.Device"]])
    assert OTHER not in await client.managed()


async def test_only_what_changed_is_told(client: Client, engine: FakeEngine) -> None:
    await client.watch()
    shown = next(iter(engine.views.values()))
    engine.put_device(replace(shown, state=DeviceState.BUSY, current_job=4))
    (changed,) = await client.until("PropertiesChanged", DEVICE)
    assert plain(changed.body) == [
        "org.luxusb.Device",
        {"State": "busy", "CurrentJob": "/org/luxusb/jobs/_4"},
        [],
    ]
    engine.put_device(replace(shown, state=DeviceState.BUSY, current_job=4))  # the same again: nothing to tell
    engine.put_device(view("other"))
    await client.until("InterfacesAdded")
    assert len(await client.until("PropertiesChanged")) == 1


async def test_constants_and_silent_properties_are_never_announced(client: Client, engine: FakeEngine) -> None:
    await client.call("Ping", interface="org.freedesktop.DBus.Peer")
    engine.put_job(job(1, os.getuid()))
    await client.until("InterfacesAdded")
    engine.put_job(job(1, os.getuid(), bytes_done=5, bytes_total=10, rate=3, expected_end=9, stage="transfer"))
    (changed,) = await client.until("PropertiesChanged", JOB)
    assert plain(changed.body)[1] == {"Stage": "transfer"}


async def test_a_job_from_its_first_byte_to_its_end(client: Client, engine: FakeEngine) -> None:
    await client.call("Ping", interface="org.freedesktop.DBus.Peer")
    engine.put_job(job(1, os.getuid()))
    await client.until("InterfacesAdded")
    engine.progress(1, bytes_done=3, bytes_total=10, rate=2, stage="transfer")
    (progress,) = await client.until("ProgressChanged")
    assert plain(progress.body) == [0.3, 3, 10, 2, "transfer"]
    engine.finish(1, state=JobState.SUCCEEDED, bytes_done=10, result={"image": "image:1", "size": 10, "ok": True})
    (finished,) = await client.until("Finished")
    assert plain(finished.body) == ["succeeded", "", "", {"image": "image:1", "size": 10, "ok": True}]
    await client.call("Ping", interface="org.freedesktop.DBus.Peer")
    members = [message.member for message in client.signals if message.path == JOB]
    # State is stale in no order of arrival: the properties come before the end.
    assert members == ["ProgressChanged", "PropertiesChanged", "ProgressChanged", "Finished"]
    changed = plain(client.signals[members.index("PropertiesChanged") + 1].body)[1]
    assert (changed["State"], changed["Result"]) == (
        "succeeded",
        {"image": "image:1", "size": 10, "ok": True},
    )


async def test_finished_is_told_once_however_often_it_is_said(client: Client, engine: FakeEngine) -> None:
    await client.call("Ping", interface="org.freedesktop.DBus.Peer")
    await client.watch()
    engine.put_job(job(1, os.getuid()))
    engine.finish(1, state=JobState.FAILED, error_name="org.luxusb.Error.NetworkFailed", error_message="no \0 network")
    engine.finish(1)
    (finished,) = await client.until("Finished")
    engine.finish(1)
    engine.put_device(view("other"))
    await client.until("InterfacesAdded", count=2)
    assert len(await client.until("Finished")) == 1
    assert plain(finished.body)[1:3] == ["org.luxusb.Error.NetworkFailed", "no \ufffd network"]


async def test_an_object_that_comes_back_is_taken_away_first(client: Client, engine: FakeEngine) -> None:
    await client.watch()
    shown = next(iter(engine.views.values()))
    engine.remove_device(shown)
    engine.put_device(replace(shown, device=replace(shown.device, node="/dev/sdy")))
    (added,) = await client.until("InterfacesAdded")
    assert [message.member for message in client.signals] == ["InterfacesRemoved", "InterfacesAdded"]
    assert plain(added.body)[1]["org.luxusb.Device"]["DeviceNode"] == "/dev/sdy"


async def test_what_comes_and_goes_unseen_leaves_a_matching_pair(client: Client, engine: FakeEngine) -> None:
    await client.watch()
    for _ in range(100):
        engine.put_device(view("other"))
        engine.remove_device(engine.views["other"])
    engine.put_device(view("last"))
    while plain((await client.until("InterfacesAdded"))[-1].body)[0] != "/org/luxusb/devices/last":
        await client.until("InterfacesAdded", count=2)
    told = [message.member for message in client.signals if plain(message.body)[0] == OTHER]
    assert told == ["InterfacesAdded", "InterfacesRemoved"]


async def test_the_manager_tells_whether_it_is_busy_and_the_catalogue(
    client: Client, engine: FakeEngine, service: BusService
) -> None:
    await client.watch()
    service.busy_changed(busy=True)
    (changed,) = await client.until("PropertiesChanged", MANAGER_PATH)
    assert plain(changed.body) == [SERVICE, {"Busy": True}, []]
    service.catalog_changed("cache")
    (loaded,) = await client.until("CatalogChanged")
    assert plain(loaded.body) == ["cache"]
    assert (await client.get_all(MANAGER_PATH, SERVICE))["Busy"] is True


async def test_a_burst_of_progress_is_merged_and_its_last_value_arrives(client: Client, engine: FakeEngine) -> None:
    await client.call("Ping", interface="org.freedesktop.DBus.Peer")
    engine.put_job(job(1, os.getuid(), bytes_total=20_000))
    for done in range(20_001):
        engine.progress(1, bytes_done=done)
    engine.finish(1, state=JobState.SUCCEEDED)
    await client.until("Finished")
    told = await client.until("ProgressChanged")
    assert len(told) == 1
    assert plain(told[-1].body)[1] == 20_000


async def test_a_client_that_never_reads_holds_up_nobody(client: Client, connect: Connect, engine: FakeEngine) -> None:
    deaf = await connect()
    await deaf.call("Ping", interface="org.freedesktop.DBus.Peer")
    await client.call("Ping", interface="org.freedesktop.DBus.Peer")
    asyncio.get_running_loop().remove_reader(deaf.connection._bus._sock)  # type: ignore[arg-type]
    engine.put_job(job(1, os.getuid()))
    await client.until("InterfacesAdded")
    log = tuple(f"{number:>1000}" for number in range(1000))
    for number in range(20):
        engine.put_job(job(1, os.getuid(), stage=f"stage {number}", params={"references": log}))
        while plain((await client.until("PropertiesChanged", JOB))[-1].body)[1].get("Stage") != f"stage {number}":
            await client.call("Ping", interface="org.freedesktop.DBus.Peer")
    assert await client.call("Ping", interface="org.freedesktop.DBus.Peer") is None


async def test_what_waits_is_sent_before_the_service_goes(
    service: BusService, client: Client, engine: FakeEngine
) -> None:
    await client.call("Ping", interface="org.freedesktop.DBus.Peer")
    engine.put_job(job(1, os.getuid()))
    engine.finish(1, state=JobState.CANCELLED)
    await service.stop()
    await client.until("Finished")
