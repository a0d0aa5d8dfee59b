from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd import resources
from luxusbd.bus.authority import PolkitAuthority, PrivateAuthority
from luxusbd.bus.members import Action
from luxusbd.bus.service import BusService
from luxusbd.errors import (
    InteractiveAuthorizationRequiredError,
    LuxusbError,
    NotAuthorizedDismissedError,
    NotAuthorizedError,
)
from luxusbd.jobs.views import Caller
from tests.bus.client import Client, OtherUser
from tests.bus.examples import device, job
from tests.bus.fake import FakeEngine
from tests.bus.polkit import NOBODY, FakePolkit, fake_polkit, mock, program, real_polkitd, with_room_for_polkit

DEVICE = "/org/luxusb/devices/usb_2dAcme_5fStick_2d1"
CALLER = Caller(NOBODY, ":1.99")


@pytest.fixture
async def address(bus_directory: Path) -> AsyncIterator[str]:
    async with with_room_for_polkit(bus_directory) as running:
        yield running


@pytest.fixture
async def polkit(address: str) -> AsyncIterator[FakePolkit]:
    async with fake_polkit(address) as fake:
        yield fake


@pytest.fixture
async def service(address: str, engine: FakeEngine) -> AsyncIterator[BusService]:
    running = BusService(engine, address=address)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def asker(address: str) -> AsyncIterator[Client]:
    client = await Client.connect(address)
    yield client
    await client.close()


@pytest.mark.parametrize(
    ("answer", "interactive", "error", "said"),
    [
        ((True, False, {}), False, None, ""),
        ((False, False, {}), True, NotAuthorizedError, "uid 65534 is not allowed to do this (org.luxusb.download)"),
        ((False, True, {}), False, InteractiveAuthorizationRequiredError, "the caller did not allow interaction"),
        ((False, True, {}), True, InteractiveAuthorizationRequiredError, "no authentication agent answered"),
        ((False, False, {"polkit.dismissed": "true"}), True, NotAuthorizedDismissedError, "dialogue was closed"),
        ((False, True, {"polkit.dismissed": "true"}), True, NotAuthorizedDismissedError, "dialogue was closed"),
    ],
)
async def test_what_polkit_says(
    asker: Client,
    polkit: FakePolkit,
    answer: tuple[bool, bool, dict[str, str]],
    interactive: bool,
    error: type[LuxusbError] | None,
    said: str,
) -> None:
    polkit.answer = answer
    authority = PolkitAuthority(asker.connection)
    got: LuxusbError | None = None
    try:
        await authority.check(CALLER, Action.DOWNLOAD, {"device": "a\0b"}, interactive=interactive)
    except LuxusbError as caught:
        got = caught
    assert (type(got) if got else None) is error
    assert said in str(got)
    check = polkit.checks[0]
    # it is asked once more, silently, whether a password would have helped
    assert [other[3] for other in polkit.checks[1:]] == ([0] if interactive and type(got) is NotAuthorizedError else [])
    assert check[0] == ["system-bus-name", {"name": CALLER.bus_name}]
    assert check[1:4] == ["org.luxusb.download", {"device": "a\ufffdb"}, 1 if interactive else 0]
    assert check[4].startswith("luxusbd-")
    assert polkit.cancelled == []


async def test_a_wrong_password_is_told_from_a_rule_that_says_no(asker: Client, polkit: FakePolkit) -> None:
    polkit.when_silent = (False, True, {})
    with pytest.raises(NotAuthorizedError, match=r"the password was not accepted \(org.luxusb.download\)"):
        await PolkitAuthority(asker.connection).check(CALLER, Action.DOWNLOAD, {}, interactive=True)


async def test_an_answer_that_makes_no_sense_is_a_refusal(asker: Client, polkit: FakePolkit) -> None:
    polkit.error = "org.freedesktop.PolicyKit1.Error.Failed"
    with pytest.raises(NotAuthorizedError, match="polkit, which is not running or failed; install and start polkitd"):
        await PolkitAuthority(asker.connection).check(CALLER, Action.DOWNLOAD, {}, interactive=False)


async def test_without_polkit_only_root_may(asker: Client) -> None:
    authority = PolkitAuthority(asker.connection)
    await authority.check(Caller(0, ":1.99"), Action.WRITE_DEVICE, {}, interactive=False)
    with pytest.raises(NotAuthorizedError, match="install and start polkitd, or run the command as root"):
        await authority.check(CALLER, Action.WRITE_DEVICE, {}, interactive=False)


async def test_a_polkit_that_hangs_is_a_refusal_and_is_told_to_stop(asker: Client, polkit: FakePolkit) -> None:
    polkit.answer = None
    authority = PolkitAuthority(asker.connection, silent_timeout=0.05)
    with pytest.raises(NotAuthorizedError, match="did not answer in time"):
        await authority.check(CALLER, Action.WRITE_DEVICE, {}, interactive=False)
    await asyncio.wait_for(polkit.told_to_cancel.wait(), 20)
    assert polkit.cancelled == [polkit.checks[0][4]]


async def test_the_private_authority_knows_one_user() -> None:
    authority = PrivateAuthority(1000)
    for uid in (0, 1000):
        await authority.check(Caller(uid, ":1.1"), Action.WRITE_DEVICE, {}, interactive=False)
    with pytest.raises(NotAuthorizedError, match="private luxusbd of uid 1000; uid 1001 is not allowed"):
        await authority.check(Caller(1001, ":1.1"), Action.WRITE_DEVICE, {}, interactive=True)


@pytest.mark.root
async def test_the_dialogue_gets_the_device_and_the_flag(
    nobody: OtherUser, polkit: FakePolkit, engine: FakeEngine
) -> None:
    answer = await nobody.call("RefreshStick", "oa{sv}", DEVICE, {})
    assert answer["error"] == "org.luxusb.Error.NotAuthorized"
    assert engine.all_jobs == {}
    polkit.answer = (True, False, {})
    assert await nobody.call("RefreshStick", "oa{sv}", DEVICE, {}) == {"body": ["/org/luxusb/jobs/_1"]}
    subject, action, details, flags, _cancellation = polkit.checks[0]
    assert subject == ["system-bus-name", {"name": nobody.name}]
    assert action == "org.luxusb.write-device"
    assert (details["device"], details["model"]) == ("/dev/sdz", "Acme Stick")
    assert flags == 0
    await nobody.ask("interactive", "RefreshStick", "oa{sv}", [DEVICE, {}])
    await nobody.ask("interactive", "RefreshStick", "oa{sv}", [DEVICE, {"no_user_interaction": True}])
    assert [check[3] for check in polkit.checks[2:]] == [1, 0]


@pytest.mark.root
async def test_a_plan_is_authorised_with_all_its_devices(
    nobody: OtherUser, polkit: FakePolkit, engine: FakeEngine
) -> None:
    assert "body" in await nobody.call("PlanStick", "aoasa{sv}", [DEVICE], [], {})
    assert polkit.checks == []
    assert (await nobody.call("CreateStick", "sa{sv}", "token", {}))["error"] == "org.luxusb.Error.NotAuthorized"
    assert polkit.checks[0][2]["device"] == "/dev/sdz"
    assert engine.plans  # a refusal does not use the plan up
    polkit.answer = (True, False, {})
    assert "body" in await nobody.call("CreateStick", "sa{sv}", "token", {})


@pytest.mark.root
async def test_the_disk_that_was_asked_about_is_the_one_that_is_passed_on(
    nobody: OtherUser, polkit: FakePolkit, engine: FakeEngine
) -> None:
    polkit.answer = None
    nobody.begin("AddImages", "oasa{sv}", DEVICE, ["distro:debian"], {})
    await asyncio.wait_for(polkit.asked.wait(), 20)
    shown = next(iter(engine.views.values()))
    engine.remove_device(shown)
    engine.put_device(replace(shown, device=device(seq=8)))
    polkit.release((True, False, {}))
    answer = await nobody.next()
    assert answer["error"] == "org.luxusb.Error.DeviceChanged"
    assert engine.calls[-1][1].disk_seq == 7


@pytest.mark.root
async def test_a_caller_that_goes_takes_its_dialogue_along(
    nobody: OtherUser, polkit: FakePolkit, engine: FakeEngine, service: BusService
) -> None:
    polkit.answer = None
    nobody.begin("Download", "sa{sv}", "debian", {})
    await asyncio.wait_for(polkit.asked.wait(), 20)
    await nobody.stop()
    await asyncio.wait_for(polkit.told_to_cancel.wait(), 20)
    assert polkit.cancelled == [polkit.checks[0][4]]
    polkit.release((True, False, {}))
    assert nobody.name not in service.watchers
    assert engine.calls == []


@pytest.mark.root
async def test_a_service_that_stops_closes_the_dialogue_and_answers(
    nobody: OtherUser, polkit: FakePolkit, service: BusService
) -> None:
    polkit.answer = None
    nobody.begin("Download", "sa{sv}", "debian", {})
    await asyncio.wait_for(polkit.asked.wait(), 20)
    await service.stop()
    assert (await nobody.next())["error"] == "org.luxusb.Error.Failed"


@pytest.mark.root
async def test_other_users_jobs_need_the_right_to_manage_all(
    nobody: OtherUser, polkit: FakePolkit, engine: FakeEngine
) -> None:
    engine.put_job(job(1, 1234))
    theirs = {"path": "/org/luxusb/jobs/_1", "interface": "org.luxusb.Job"}
    refused = await nobody.call("Cancel", "a{sv}", {}, **theirs)
    missing = await nobody.call("Cancel", "a{sv}", {}, path="/org/luxusb/jobs/_2", interface="org.luxusb.Job")
    assert refused["error"] == missing["error"] == "org.freedesktop.DBus.Error.UnknownObject"
    assert refused["text"].replace("_1", "_2") == missing["text"]
    assert [check[1] for check in polkit.checks] == ["org.luxusb.manage-all-jobs"]
    listed = await nobody.call("ListJobs", "a{sv}", {"all_users": True})
    assert listed["error"] == "org.luxusb.Error.NotAuthorized"
    polkit.answer = (True, False, {})
    assert len((await nobody.call("ListJobs", "a{sv}", {"all_users": True}))["body"][0]) == 1
    assert await nobody.call("Cancel", "a{sv}", {}, **theirs) == {"body": []}
    assert engine.calls[-1] == ("cancel_job", 1, False)


@pytest.mark.root
async def test_with_the_mock_of_dbusmock(nobody: OtherUser, asker: Client, address: str, engine: FakeEngine) -> None:
    argv = ("/usr/bin/python3", "-m", "dbusmock", "--system", "--template", "polkitd")
    async with program(address, asker.connection, *argv):
        refused = await nobody.call("Download", "sa{sv}", "debian", {})
        assert refused["error"] == "org.luxusb.Error.NotAuthorized"
        await mock(asker.connection, "SetAllowed", "as", ["org.luxusb.download"])
        assert "body" in await nobody.call("Download", "sa{sv}", "debian", {})
        refused = await nobody.call("RefreshStick", "oa{sv}", DEVICE, {})
        assert refused["error"] == "org.luxusb.Error.NotAuthorized"
        await mock(asker.connection, "SimulateHang", "b", True)
        nobody.begin("RefreshStick", "oa{sv}", DEVICE, {})
        # A stuck polkit holds up its own caller and nobody else.
        assert len(await asker.call("ListImages", "a{sv}", {})) == 1
    # It is gone, and with it the answer: the bus says so, and the call is refused.
    assert (await nobody.next())["error"] == "org.luxusb.Error.NotAuthorized"
    assert len(engine.all_jobs) == 1


@pytest.mark.root
async def test_with_the_real_polkitd_and_the_real_policy(
    nobody: OtherUser, asker: Client, address: str, tmp_path: Path, engine: FakeEngine
) -> None:
    actions, rules = tmp_path / "actions", tmp_path / "rules"
    for directory in (tmp_path, actions, rules):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
    shutil.copy(resources.root() / "polkit" / "org.luxusb.policy", actions)
    (rules / "10-test.rules").write_text(
        "polkit.addRule(function(action, subject) {\n"
        '  if (action.id == "org.luxusb.write-device" && action.lookup("device") == "/dev/sdz"'
        ' && action.lookup("model") == "Acme Stick") return polkit.Result.YES;\n'
        '  if (action.id == "org.luxusb.import-image") return polkit.Result.NO;\n'
        "});\n"
    )
    async with program(address, asker.connection, *real_polkitd(actions, rules)):
        # allow_any of the policy file: a password would help.
        asked = await nobody.call("Download", "sa{sv}", "debian", {})
        assert asked["error"] == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
        asked = await nobody.ask("interactive", "Download", "sa{sv}", ["debian", {}])
        assert asked["error"] == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
        # Administrators' rules see the details.
        assert "body" in await nobody.call("RefreshStick", "oa{sv}", DEVICE, {})
        refused = await nobody.call("DeleteImage", "sa{sv}", "image:1", {})
        assert refused["error"] == "org.luxusb.Error.NotAuthorized"
        assert await asker.call("Download", "sa{sv}", "debian", {}) == "/org/luxusb/jobs/_2"
    refused = await nobody.call("RefreshStick", "oa{sv}", DEVICE, {})
    assert refused["error"] == "org.luxusb.Error.NotAuthorized"
    assert "polkit" in refused["text"]
    assert len(engine.all_jobs) == 2
