"""Two uids on one bus: what belongs to one does not exist for the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from luxusbd.bus.service import BusService
from luxusbd.jobs.model import JobState
from luxusbd.jobs.views import Caller
from tests.bus.client import Client, OtherUser
from tests.bus.examples import job, view
from tests.bus.fake import FakeEngine
from tests.bus.polkit import NOBODY

pytestmark = pytest.mark.root

PROPERTIES = "org.freedesktop.DBus.Properties"
MANAGER_OF_OBJECTS = "org.freedesktop.DBus.ObjectManager"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
THEIRS = "/org/luxusb/jobs/_1"
OWN = "/org/luxusb/jobs/_2"
FILE = "/org/luxusb/devices/file"
UNKNOWN = "org.freedesktop.DBus.Error.UnknownObject"
Connect = Callable[[], Awaitable[Client]]


@pytest.fixture
def engine() -> FakeEngine:
    stick, file = view(), view("file", owner=Caller(1234, ":1.500"))
    return FakeEngine(
        views={shown.device.identity.id: shown for shown in (stick, file)},
        all_jobs={1: job(1, 1234), 2: job(2, NOBODY)},
    )


async def test_managed_objects(client: Client, nobody: OtherUser) -> None:
    everything = {"/org/luxusb/Manager", "/org/luxusb/devices/usb_2dAcme_5fStick_2d1", FILE, THEIRS, OWN}
    assert set(await client.managed()) == everything  # root
    answer = await nobody.call("GetManagedObjects", path="/org/luxusb", interface=MANAGER_OF_OBJECTS)
    assert set(answer["body"][0]) == everything - {FILE, THEIRS}


async def test_introspection(client: Client, nobody: OtherUser) -> None:
    for path, hidden, seen in (("jobs", "_1", "_2"), ("devices", "file", "usb_2dAcme_5fStick_2d1")):
        answer = await nobody.call("Introspect", path=f"/org/luxusb/{path}", interface=INTROSPECTABLE)
        assert f'"{seen}"' in answer["body"][0]
        assert f'"{hidden}"' not in answer["body"][0]
        shown = await client.call("Introspect", path=f"/org/luxusb/{path}", interface=INTROSPECTABLE)
        assert f'"{hidden}"' in shown


@pytest.mark.parametrize(
    ("interface", "member", "signature", "args"),
    [
        (PROPERTIES, "GetAll", "s", ["org.luxusb.Job"]),
        (PROPERTIES, "GetAll", "s", ["org.luxusb.Nothing"]),
        (PROPERTIES, "Get", "ss", ["org.luxusb.Job", "State"]),
        (PROPERTIES, "Get", "s", ["x"]),
        (INTROSPECTABLE, "Introspect", "", []),
        ("org.freedesktop.DBus.Peer", "Ping", "", []),
        ("org.luxusb.Job", "Explode", "", []),
        ("org.luxusb.Job", "Cancel", "s", ["x"]),
        ("org.luxusb.Job", "Cancel", "a{sv}", [{}]),
        ("org.luxusb.Job", "Cancel", "a{sv}", [{"nonsense": True}]),
        ("org.luxusb.Device", "Explode", "", []),
    ],
)
async def test_a_hidden_job_answers_as_one_that_does_not_exist(
    nobody: OtherUser, engine: FakeEngine, interface: str, member: str, signature: str, args: list[object]
) -> None:
    hidden = await nobody.call(member, signature, *args, path=THEIRS, interface=interface)
    missing = await nobody.call(member, signature, *args, path="/org/luxusb/jobs/_9", interface=interface)
    assert hidden == {"error": UNKNOWN, "text": f"{UNKNOWN}: there is no object {THEIRS}"}
    assert missing == {"error": UNKNOWN, "text": f"{UNKNOWN}: there is no object /org/luxusb/jobs/_9"}
    assert engine.calls == []


async def test_the_owner_steers_a_job_without_being_asked(nobody: OtherUser, engine: FakeEngine) -> None:
    # The authority of these tests lets nobody but root do anything.
    assert await nobody.call("Pause", "a{sv}", {}, path=OWN, interface="org.luxusb.Job") == {"body": []}
    assert engine.all_jobs[2].state is JobState.PAUSED
    refused = await nobody.call("Download", "sa{sv}", "debian", {})
    assert refused["error"] == "org.luxusb.Error.NotAuthorized"


async def test_a_foreign_image_file_is_no_target(nobody: OtherUser) -> None:
    for member, signature, args in (
        ("PlanStick", "aoasa{sv}", [[FILE], [], {}]),
        ("RefreshStick", "oa{sv}", [FILE, {}]),
        ("RescanStick", "oa{sv}", [FILE, {}]),
        ("AdoptStick", "oa{sv}", [FILE, {}]),
        ("ListStickImages", "oa{sv}", [FILE, {}]),
    ):
        assert (await nobody.call(member, signature, *args))["error"] == UNKNOWN


async def test_signals_of_private_objects_go_to_those_who_may_see_them(
    client: Client, connect: Connect, nobody: OtherUser, engine: FakeEngine, service: BusService
) -> None:
    stranger = await connect()  # root, subscribed, but it never called: no watcher
    await stranger.watch()
    await client.call("ListImages", "a{sv}", {})
    await nobody.call("ListImages", "a{sv}", {})
    engine.put_job(job(3, 1234))
    engine.put_job(job(4, NOBODY))
    engine.put_device(view("second-file", owner=Caller(1234, ":1.500")))
    engine.finish(3, state=JobState.SUCCEEDED)
    engine.finish(4, state=JobState.SUCCEEDED)
    engine.put_device(view("public"))
    engine.remove_device(engine.views["second-file"])
    service.catalog_changed("cache")
    await client.watch()
    await client.until("InterfacesRemoved")
    await client.until("Finished", count=2)
    await stranger.until("InterfacesAdded")
    await nobody.call("ListImages", "a{sv}", {})
    seen = {(member, path, str(body[0])) for member, path, body in await nobody.signals()}
    public = {
        ("InterfacesAdded", "/org/luxusb", "/org/luxusb/devices/public"),
        ("CatalogChanged", "/org/luxusb/Manager", "cache"),
    }
    assert {(member, path) for member, path, _ in seen if path.startswith("/org/luxusb/jobs")} == {
        ("ProgressChanged", "/org/luxusb/jobs/_4"),
        ("Finished", "/org/luxusb/jobs/_4"),
    }
    assert ("InterfacesAdded", "/org/luxusb", "/org/luxusb/jobs/_4") in seen
    assert not [entry for entry in seen if "_3" in str(entry) or "file" in str(entry)]
    assert public <= seen
    heard = {(message.member or "", message.path or "", str(message.body[0])) for message in stranger.signals}
    assert heard == public
