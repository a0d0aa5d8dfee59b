"""Two users of one daemon, on a bus with polkit, as the system service runs: caps, visibility, tokens."""

from __future__ import annotations

import contextlib
import json
import pwd
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.connection import Typed
from luxusb_cli.model import JobState

from luxusbd import resources
from luxusbd.bus.private import private_bus
from tests.bus.client import OtherUser
from tests.bus.polkit import POLICY, mock, program, real_polkitd
from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.daemon import TRANSFER, Daemon
from tests.daemon.daemon import DaemonError as StartError
from tests.daemon.images import MIB, Images
from tests.daemon.leftovers import Machine
from tests.harness.mirrors import Mirror, catalogue

pytestmark = pytest.mark.root

ERROR = "org.luxusb.Error."
NOBODY = 65534
OBJECTS = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
JOB = "org.luxusb.Job"
MOCK = ("/usr/bin/python3", "-m", "dbusmock", "--system", "--template", "polkitd")

CONFIG = """
[daemon]
idle_exit = 0
[paths]
state_dir = "{place}/s"
download_dir = "{place}/s/incoming"
cache_dir = "{place}/s/cache"
catalog_dir = "{place}/s/distros.d"
[transfer]
user = "nobody"
[devices]
allow_loop = ["{place}/*.img"]
"""


@pytest.fixture
async def address(place: Path) -> AsyncIterator[str]:
    bus = place / "b"
    users = [NOBODY, *(entry.pw_uid for entry in pwd.getpwall() if entry.pw_name == "polkitd")]
    async with private_bus(bus, users=users, extra_policy=POLICY) as running:
        bus.chmod(0o755)
        yield running


@pytest.fixture
def many(images: Images, mirror: Mirror, place: Path) -> Path:
    """A catalogue with the images, and a dozen more whose hash nothing has."""
    document = catalogue([image.for_catalogue() for image in images.all], [mirror])
    template = json.dumps(document["distributions"][0])
    for number in range(12):
        extra = json.loads(template.replace('"alpha"', f'"extra{number}"').replace("alpha.iso", f"extra{number}.iso"))
        extra["releases"][0]["sha256"] = f"{number:064x}"
        document["distributions"].append(extra)
        mirror.files[f"extra{number}.iso"] = images.alpha.path
    path = place / "many.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
async def service(place: Path, address: str, many: Path, settings: str) -> AsyncIterator[Daemon]:
    """The daemon as the system service: polkit decides, and the transfer process runs as another user."""
    machine = Machine.now()
    daemon = Daemon(place, catalogues=[many], config=CONFIG.format(place=place) + settings, address=address)
    async with daemon:
        yield daemon
    machine.check_nothing_left(daemon)


@pytest.fixture
async def root(service: Daemon) -> AsyncIterator[Caller]:
    async with Caller.connect(service.address) as connected:
        yield connected


@pytest.fixture
async def nobody(service: Daemon) -> AsyncIterator[OtherUser]:
    user = await OtherUser.start(service.address, NOBODY)
    yield user
    await user.stop()


@contextlib.asynccontextmanager
async def mocked_polkit(address: str, *allowed: str) -> AsyncIterator[None]:
    from luxusbd.bus.connection import Connection

    connection = await Connection.open(address)
    try:
        async with program(address, connection, *MOCK):
            await mock(connection, "SetAllowed", "as", [f"org.luxusb.{action}" for action in allowed])
            yield
    finally:
        await connection.close()


async def path_of(answer: dict[str, Any]) -> str:
    assert "body" in answer, answer
    path: str = answer["body"][0]
    return path


async def test_a_user_has_eight_jobs_and_the_downloads_of_a_stick_do_not_count(
    service: Daemon,
    address: str,
    root: Caller,
    nobody: OtherUser,
    mirror: Mirror,
    attach: Callable[[Path], str],
    stick: Path,
    images: Images,
) -> None:
    mirror.rate = 64 * 1024
    device = (await root.disk(attach(stick))).path
    async with mocked_polkit(address, "download", "write-device"):
        for number in range(7):
            await path_of(await nobody.call("Download", "sa{sv}", f"distro:extra{number}", {}))
        plan = await nobody.call("PlanStick", "aoasa{sv}", [device], ["distro:alpha", "distro:beta"], {})
        create = await path_of(await nobody.call("CreateStick", "sa{sv}", plan["body"][0]["token"], {}))
        refused = await nobody.call("Download", "sa{sv}", "distro:extra9", {})
        assert refused["error"] == ERROR + "LimitExceeded"
        assert "8 jobs" in refused["text"]
        listed = (await nobody.call("ListJobs", "a{sv}", {}))["body"][0]
        assert len([job for job in listed if job["Parent"] == "/"]) == 8
        # root is not counted, nor does it wait behind the cap of another
        await root.client.download("distro:extra10")
        for job in listed:
            if job["path"] != create and job["Parent"] == "/":
                await root.client.cancel(job["path"])
        mirror.rate = 0
        await root.succeeded(create)
        listed = (await nobody.call("ListJobs", "a{sv}", {}))["body"][0]
        assert [job["State"] for job in listed if job["Parent"] == create] == ["succeeded", "succeeded"]
        assert sticks.check(stick) == {"alpha.iso": images.alpha.sha256, "beta.iso": images.beta.sha256}
        await path_of(await nobody.call("Download", "sa{sv}", "distro:alpha", {}))


async def test_nobody_sees_what_root_does(
    service: Daemon,
    root: Caller,
    nobody: OtherUser,
    address: str,
    mirror: Mirror,
    images: Images,
    attach: Callable[[Path], str],
    stick: Path,
    place: Path,
) -> None:
    imported = await root.imported(images.beta.path)
    target = await root.target(place / "own.img", 256 * MIB)
    mirror.rate = 2 * MIB
    path = await root.client.download("distro:large")
    await root.progress(path, 1)
    device = (await root.disk(attach(stick))).path
    plan = await root.plan([device], [images.beta.reference])

    async with mocked_polkit(address, "write-device", "download", "import-image"):
        managed = (await nobody.call("GetManagedObjects", "", path="/org/luxusb", interface=OBJECTS))["body"][0]
        assert device in managed
        assert {path, imported.path, target}.isdisjoint(managed)
        for hidden in (path, imported.path, target):
            answer = await nobody.call("GetAll", "s", JOB, path=hidden, interface=PROPERTIES)
            assert answer["error"] == "org.freedesktop.DBus.Error.UnknownObject"
        for member in ("Pause", "Cancel"):
            answer = await nobody.call(member, "a{sv}", {}, path=path, interface=JOB)
            assert answer["error"] == "org.freedesktop.DBus.Error.UnknownObject"
        assert (await nobody.call("ListJobs", "a{sv}", {}))["body"][0] == []
        assert (await nobody.call("ListImages", "a{sv}", {}))["body"][0] == []
        answer = await nobody.call("OpenImage", "sa{sv}", images.beta.reference, {})
        assert answer["error"] == ERROR + "ImageNotFound"
        answer = await nobody.call("PlanStick", "aoasa{sv}", [device], [images.beta.reference], {})
        assert answer["error"] == ERROR + "ImageNotFound"
        answer = await nobody.call("CreateStick", "sa{sv}", plan.token, {})
        assert answer["error"] == ERROR + "PlanExpired"
        answer = await nobody.call("ListJobs", "a{sv}", {"all_users": True})
        assert answer["error"] == ERROR + "NotAuthorized"

        mirror.rate = 0
        await root.succeeded(path)
        # what the catalogue names is for everybody, once it is there
        listed = (await nobody.call("ListImages", "a{sv}", {}))["body"][0]
        assert [image["sha256"] for image in listed] == [images.large.sha256]
        told = {about for _member, about, _body in await nobody.signals()}
        assert {path, imported.path, target}.isdisjoint(told)

        # the other way round root sees everything
        theirs = await path_of(await nobody.call("Download", "sa{sv}", "distro:alpha", {}))
        job = await root.succeeded(theirs)
        assert job.owner_uid == NOBODY
        assert "Finished" in {member for member, about, _body in await nobody.signals() if about == theirs}
        assert theirs in {job.path for job in await root.client.jobs(all_users=True)}
    # without polkit nobody may do anything, and root everything
    answer = await nobody.call("Download", "sa{sv}", "distro:rescue", {})
    assert answer["error"] == ERROR + "NotAuthorized"
    await root.succeeded(await root.client.download("distro:rescue"))


async def test_a_catalogue_of_ones_own_is_nothing_to_others(
    service: Daemon, root: Caller, nobody: OtherUser, address: str, mirror: Mirror, images: Images, place: Path
) -> None:
    document = catalogue([images.beta.for_catalogue(), images.large.for_catalogue()], [mirror])
    document["distributions"][0].update(id="secret", name="Secret", popularity_rank=1)
    # and another image under the name of one that all know
    document["distributions"][1].update(id="alpha", name="Alpha")
    assert await root.client.import_catalog_bytes(json.dumps(document).encode(), "own.json") == 2
    assert "secret" in {distro.id for distro in await root.client.distributions()}
    assert (await root.client.distribution("alpha")).releases[0].sha256 == images.large.sha256
    assert (await root.client.catalog_status()).own
    assert not (await nobody.call("GetCatalogStatus", "a{sv}", {}))["body"][0]["own"]
    listed = (await nobody.call("ListDistributions", "a{sv}", {}))["body"][0]
    assert "secret" not in {distro["id"] for distro in listed}
    assert {distro["origin"] for distro in listed}.isdisjoint({"user"})
    answer = await nobody.call("GetDistribution", "sa{sv}", "secret", {})
    assert answer["error"] == ERROR + "DistributionNotFound"
    assert "secret" not in answer["text"].replace("'secret'", "")
    alpha = (await nobody.call("GetDistribution", "sa{sv}", "alpha", {}))["body"][0]
    assert [release["sha256"] for release in alpha["releases"]] == [images.alpha.sha256]
    async with mocked_polkit(address, "download"):
        await root.succeeded(await root.client.download("distro:secret"))
        await root.succeeded(await root.client.download("distro:alpha"))
        assert {image.source for image in await root.client.images()} == {"custom:secret@1.0", "custom:alpha@1.0"}
        # neither the image nor its name is there for others, who get the real one
        assert (await nobody.call("ListImages", "a{sv}", {}))["body"][0] == []
        theirs = await path_of(await nobody.call("Download", "sa{sv}", "distro:alpha", {}))
        await root.succeeded(theirs)
        (image,) = (await nobody.call("ListImages", "a{sv}", {}))["body"][0]
        assert (image["sha256"], image["source"]) == (images.alpha.sha256, "distro:alpha@1.0")
    told = json.dumps(await nobody.signals()).lower()
    assert "secret" not in told
    assert "own.json" not in told
    # an empty one takes it away
    document["distributions"] = []
    assert await root.client.import_catalog_bytes(json.dumps(document).encode(), "own.json") == 0
    assert "secret" not in {distro.id for distro in await root.client.distributions()}


async def test_the_real_polkit(
    service: Daemon, root: Caller, nobody: OtherUser, address: str, place: Path, images: Images
) -> None:
    from luxusbd.bus.connection import Connection

    actions, rules = place / "actions", place / "rules"
    for directory in (actions, rules):
        directory.mkdir()
        directory.chmod(0o755)
    shutil.copy(resources.root() / "polkit" / "org.luxusb.policy", actions)
    (rules / "10-test.rules").write_text(
        "polkit.addRule(function(action, subject) {\n"
        '  if (action.id == "org.luxusb.download" && subject.user == "nobody") return polkit.Result.YES;\n'
        "});\n"
    )
    connection = await Connection.open(address)
    try:
        async with program(address, connection, *real_polkitd(actions, rules)):
            path = await path_of(await nobody.call("Download", "sa{sv}", "distro:alpha", {}))
            assert (await root.succeeded(path)).state is JobState.SUCCEEDED
            answer = await nobody.call("DeleteImage", "sa{sv}", images.alpha.reference, {})
            assert answer["error"] == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
            await root.client.delete_image(images.alpha.reference)
    finally:
        await connection.close()


async def test_the_transfer_process_has_no_privileges(
    service: Daemon, root: Caller, mirror: Mirror, images: Images
) -> None:
    mirror.rate = 2 * MIB
    path = await root.client.download("distro:large")
    await root.progress(path, 1)
    (pid,) = service.pids(TRANSFER)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == [str(NOBODY)] * 4
    assert status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"].split() == []
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert await service.stop() == 0
    mirror.rate = 0
    await service.start()
    async with Caller.connect(service.address) as again:
        assert (await again.succeeded(path)).resumed_bytes > 0
        # the file that it wrote belongs to the daemon now, and is nobody's to change
        stored = service.state / "images" / f"{images.large.sha256}.iso"
        assert (stored.stat().st_uid, stored.stat().st_mode & 0o777) == (0, 0o400)


async def test_the_bus_goes_away(place: Path, catalogue: Path) -> None:
    """The daemon ends with an error, and takes its children along."""
    daemon = Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place))
    bus = private_bus(place / "b", users=[NOBODY], extra_policy=POLICY)
    daemon = Daemon(place, config=CONFIG.format(place=place), address=await bus.__aenter__())
    try:
        await daemon.start()
    finally:
        await bus.__aexit__(None, None, None)
    assert await daemon.ended() == 1
    assert "connection to the bus is gone" in daemon.log


async def test_a_name_that_is_taken(service: Daemon, address: str, place: Path) -> None:
    other = place / "o"
    other.mkdir()
    second = Daemon(other, config=CONFIG.format(place=other), address=address)
    with pytest.raises(StartError, match="did not start"):
        await second.start()
    assert "luxusbd: another luxusbd already runs on this bus" in second.log
    assert "Traceback" not in second.log


@pytest.mark.parametrize("settings", ['[images]\nquota_per_user = "4MiB"\n'])
async def test_what_others_have_is_nobodys_business(
    service: Daemon,
    root: Caller,
    nobody: OtherUser,
    address: str,
    mirror: Mirror,
    images: Images,
    attach: Callable[[Path], str],
    stick: Path,
) -> None:
    await root.imported(images.alpha.path)
    device = (await root.disk(attach(stick))).path
    plan = await nobody.call("PlanStick", "aoasa{sv}", [device], ["distro:alpha"], {})
    assert plan["body"][0]["images"][0]["download"] is True
    (mine,) = (await root.plan([device], ["distro:alpha"])).images
    assert mine.download is False
    async with mocked_polkit(address, "download", "import-image"):

        async def download(name: str) -> JobState:
            job = await root.finished(await path_of(await nobody.call("Download", "sa{sv}", f"distro:{name}", {})))
            assert (job.state is JobState.FAILED) == ("your quota of 4MiB" in job.error_message), job
            return job.state

        async def seen() -> dict[str, Any]:
            return {image["sha256"]: image for image in (await nobody.call("ListImages", "a{sv}", {}))["body"][0]}

        requests = len(mirror.served)
        assert await download("alpha") is JobState.SUCCEEDED
        assert len(mirror.served) > requests
        (shown,) = (await seen()).values()
        assert (shown["in_use"], shown["pinned"], "owners" in shown) == (True, False, False)
        assert [image.owners for image in await root.client.images()] == [2]
        # his two plans and the quota of a user: what root imported stays, only his own view of it may go
        assert (await nobody.call("PinImage", "sba{sv}", images.alpha.reference, True, {}))["body"] == []
        assert await download("beta") is JobState.FAILED
        assert (await nobody.call("PinImage", "sba{sv}", images.alpha.reference, False, {}))["body"] == []
        assert await download("large") is JobState.FAILED
        # what root asked for, too, counts for nobody
        await root.succeeded(await root.client.download("distro:alpha"))
        assert await download("beta") is JobState.SUCCEEDED
        assert set(await seen()) == {images.alpha.sha256, images.beta.sha256}
        await root.client.pin_image(images.beta.reference, pinned=True)
        assert (await seen())[images.beta.sha256]["pinned"] is True
        answer = await nobody.call("DeleteImage", "sa{sv}", images.beta.reference, {})
        assert answer["error"] == ERROR + "ImagePinned"
        assert (await nobody.call("PruneImages", "a{sv}", {}))["body"] == [[]]
    answer = await nobody.call("PinImage", "sba{sv}", images.alpha.reference, True, {})
    assert answer["error"] == ERROR + "NotAuthorized"


async def test_preferences_of_mirrors_are_of_one_user(root: Caller, nobody: OtherUser, mirror: Mirror) -> None:
    pin = {"mode": Typed("s", "pinned"), "url": Typed("s", f"{mirror.url}/")}
    await root.client.prefer_mirrors("alpha", pin)

    async def state_of_nobody() -> str:
        (one,) = (await nobody.call("ListMirrors", "sa{sv}", "alpha", {}))["body"][0]
        state: str = one["state"]
        return state

    assert [one.state for one in await root.client.mirrors("alpha")] == ["pinned"]
    assert await state_of_nobody() == "untried"
    # without polkit: nobody is asked for what belongs to himself
    answer = await nobody.call("SetMirrorPreference", "sa{sv}", "", {"exclude": ["DE"]})
    assert answer["body"] == []
    assert [one.state for one in await root.client.mirrors("alpha")] == ["pinned"]
    refused = await nobody.call("RaceMirrors", "sa{sv}", "alpha", {})
    assert refused["error"] == ERROR + "NotAuthorized"
    # what was measured is for all
    await root.client.prefer_mirrors("alpha", {"mode": Typed("s", "auto")})
    await root.succeeded(await root.client.race_mirrors("alpha"))
    assert await state_of_nobody() == "ok"
