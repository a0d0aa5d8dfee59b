"""What steers all downloads together: settings that change while the service runs, and what a start takes up again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobInfo, JobState

from tests.daemon.caller import Caller
from tests.daemon.cli import Cli, Refusal
from tests.daemon.daemon import TRANSFER, Daemon
from tests.daemon.daemon import DaemonError as StartError
from tests.daemon.images import MIB, Images
from tests.daemon.sticks import run
from tests.harness.mirrors import Mirror, write_catalogue
from tests.transfer.proxies import Proxy

ERROR = "org.luxusb.Error."
SLOW = 2 * MIB


@pytest.fixture
def cli(daemon: Daemon, place: Path) -> Cli:
    (place / "home").mkdir(exist_ok=True)
    return Cli(daemon.address, place / "home")


async def jobs(caller: Caller) -> dict[str, JobInfo]:
    return {job.path: job for job in await caller.client.jobs(unfinished=True)}


async def test_a_limit_of_all_holds_at_once_and_after_restarts(
    daemon: Daemon, caller: Caller, mirror: Mirror, cli: Cli, place: Path
) -> None:
    told = await cli.text("settings", "downloads.bandwidth=64KiB")
    assert "65536" in told
    before = (place / "config.toml").read_bytes()
    # at this rate it would take more than six minutes
    path = await caller.client.download("distro:large")
    await caller.progress(path, 1)
    # a transfer process that comes new is told of it, too
    (pid,) = daemon.pids(TRANSFER)
    os.kill(pid, signal.SIGKILL)
    reached = (await caller.client.job(path)).bytes_done
    await caller.progress(path, reached + 1)
    assert await daemon.stop() == 0
    await daemon.start()
    cli.address = daemon.address
    assert (place / "config.toml").read_bytes() == before
    found = await cli.json("settings")
    assert (found["settings"]["downloads.bandwidth"], found["origins"]["downloads.bandwidth"]) == (65536, "set")
    assert found["origins"]["devices.allow_loop"] == "configured"
    assert found["origins"]["limits.jobs"] == "default"
    async with Caller.connect(daemon.address) as again:
        done = (await again.client.job(path)).bytes_done
        await again.progress(path, done + 1)
        assert (await again.client.job(path)).state is JobState.RUNNING
        await cli.json("settings", "--reset", "downloads.bandwidth")
        await again.succeeded(path)
        (heard,) = again.signals("/org/luxusb/Manager", "SettingsChanged")
        assert heard.signal.body == [["downloads.bandwidth"]]
    assert (await cli.json("settings"))["origins"]["downloads.bandwidth"] == "default"


@pytest.mark.parametrize("settings", ["[limits]\nactive_downloads = 1\n"])
async def test_more_downloads_at_once_start_at_once(caller: Caller, mirror: Mirror) -> None:
    mirror.rate = SLOW
    first = await caller.client.download("distro:large")
    second = await caller.client.download("distro:huge")
    await caller.progress(first, 1)
    assert (await caller.client.job(second)).state is JobState.QUEUED
    await caller.client.change_settings({"limits.active_downloads": Typed("u", 2)})
    await caller.progress(second, 1)
    # fewer stop nobody who runs
    await caller.client.change_settings({"limits.active_downloads": Typed("u", 1)})
    assert {job.state for job in (await jobs(caller)).values()} == {JobState.RUNNING}
    third = await caller.client.download("distro:alpha")
    assert (await caller.client.job(third)).state is JobState.QUEUED
    mirror.rate = 0
    for path in (first, second, third):
        await caller.succeeded(path)


async def test_settings_that_cannot_be(daemon: Daemon, caller: Caller, cli: Cli) -> None:
    before = await caller.client.settings()
    for key, value, said in (
        ("limits.active_downloads", "0", "has to be a whole number from 1 to 32, not 0"),
        ("downloads.resume", "never", "has to be one of auto, ask, not 'never'"),
        ("paths.state_dir", "/elsewhere", "cannot be changed while the service runs: write it into"),
    ):
        await cli.refused(Refusal("InvalidArgument", [said, key], [], code=2), "settings", f"{key}={value}")
    with pytest.raises(DaemonError) as mixed:
        await caller.client.change_settings({"limits.jobs": Typed("u", 5), "limits.active_downloads": Typed("s", "x")})
    assert mixed.value.name == ERROR + "InvalidArgument"
    assert await caller.client.settings() == before
    assert not (daemon.state / "settings.json").exists()


async def test_what_was_set_is_damaged(daemon: Daemon, caller: Caller) -> None:
    """It is no reason not to start; what can be read of it is in force."""
    await caller.client.change_settings({"limits.jobs": Typed("u", 5)})
    await daemon.stop()
    file = daemon.state / "settings.json"
    changed = json.loads(file.read_text())
    assert changed == {"limits.jobs": 5}
    file.write_text(json.dumps(changed | {"paths.state_dir": "/elsewhere", "limits.active_downloads": "many", "x": 1}))
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        found = await again.client.settings()
        assert (found["limits.jobs"], found["limits.active_downloads"]) == (5, 3)
        assert found["paths.state_dir"] == str(daemon.state)
    assert "paths.state_dir is left out" in daemon.log
    await daemon.stop()
    file.write_text("{")
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        assert (await again.client.settings())["limits.jobs"] == 64
        await again.client.change_settings({"limits.jobs": Typed("u", 7)})
    assert json.loads(file.read_text()) == {"limits.jobs": 7}


async def interrupted(daemon: Daemon, mirror: Mirror, *, killed: bool) -> list[str]:
    """Downloads of which one runs and one waits, and a daemon that ended in the middle."""
    mirror.rate = SLOW
    async with Caller.connect(daemon.address) as caller:
        paths = [await caller.client.download(f"distro:{name}") for name in ("large", "huge")]
        await caller.progress(paths[0], 4 * MIB)
        assert (await caller.client.job(paths[1])).state is JobState.QUEUED
    if killed:
        await daemon.kill()
    else:
        await daemon.stop()
    mirror.rate = 0
    return paths


@pytest.mark.parametrize("settings", ['[limits]\nactive_downloads = 1\n[downloads]\nresume = "ask"\n'])
@pytest.mark.parametrize("killed", [False, True])
async def test_downloads_from_before_are_asked_about(
    daemon: Daemon, mirror: Mirror, place: Path, images: Images, killed: bool
) -> None:
    paths = await interrupted(daemon, mirror, killed=killed)
    (place / "home").mkdir()
    requests = len(mirror.served)
    # a process that is killed leaves what its last checkpoint has claimed
    claims = json.loads((daemon.state / "incoming" / f"{images.large.sha256}.part.json").read_text())
    there = claims["downloaded_bytes"]
    assert killed or there >= MIB
    for _start in range(2):
        await daemon.start()
        cli = Cli(daemon.address, place / "home")
        found = (await cli.json("jobs", "--unfinished"))["jobs"]
        assert [(job["path"], job["state"], job["details"]["pause_reason"]) for job in found] == [
            (paths[1], "paused", "restart"),
            (paths[0], "paused", "restart"),
        ]
        # how much there is of it is known before it goes on
        assert found[1]["bytes_done"] == found[1]["resumed_bytes"] == there
        assert found[1]["bytes_total"] == images.large.size
        assert found[0]["bytes_done"] == 0
        said = await cli.text("jobs", "--unfinished")
        assert "2 downloads from before a restart wait: `luxusb resume --all`" in said
        # the unit that starts the service after boot has nothing to start it for
        assert not (daemon.state / "unfinished").exists()
        assert len(mirror.served) == requests
        await daemon.stop()
    await daemon.start()
    cli = Cli(daemon.address, place / "home")
    await cli.json("cancel", paths[1].rpartition("_")[2])
    async with Caller.connect(daemon.address) as caller:
        resumed = (await cli.json("resume", "--all"))["jobs"]
        assert [job["path"] for job in resumed] == [paths[0]]
        job = await caller.succeeded(paths[0])
        assert job.resumed_bytes == there
        assert job.details.pause_reason == ""


@pytest.mark.parametrize("settings", ['[downloads]\nresume = "ask"\n'])
async def test_a_download_from_before_is_dropped(daemon: Daemon, mirror: Mirror) -> None:
    mirror.rate = SLOW
    async with Caller.connect(daemon.address) as caller:
        paths = [await caller.client.download(f"distro:{name}") for name in ("large", "huge")]
        for path in paths:
            await caller.progress(path, MIB)
    await daemon.stop()
    await daemon.start()
    async with Caller.connect(daemon.address) as caller:
        await caller.client.cancel(paths[0])
        await caller.client.cancel(paths[1], keep_partial=True)
        for path in paths:
            assert (await caller.finished(path)).state is JobState.CANCELLED
        left = {entry.name.partition(".")[2] for entry in (daemon.state / "incoming").iterdir()}
        assert len({entry.name.partition(".")[0] for entry in (daemon.state / "incoming").iterdir()}) == 1
        assert {"part", "part.json"} <= left


@pytest.mark.parametrize("settings", ["[limits]\nactive_downloads = 1\n"])
async def test_what_goes_on_by_itself_is_known_before(daemon: Daemon, mirror: Mirror) -> None:
    """The first one of two runs, the other one waits for it and has bytes from before."""
    mirror.rate = SLOW
    async with Caller.connect(daemon.address) as caller:
        second = await caller.client.download("distro:large")
        await caller.progress(second, 4 * MIB)
        first = await caller.client.download("distro:huge", priority=5)
    await daemon.stop()
    await daemon.start()
    async with Caller.connect(daemon.address) as caller:
        job = await caller.client.job(second)
        assert job.state is JobState.QUEUED
        assert job.bytes_done == job.resumed_bytes >= MIB
        assert (await caller.client.job(first)).state is JobState.RUNNING
        mirror.rate = 0
        await caller.succeeded(first)
        assert (await caller.succeeded(second)).resumed_bytes >= MIB


@pytest.mark.root
async def test_a_download_waits_for_a_network(place: Path, images: Images) -> None:
    """The daemon is in a network of its own, without anything; then it gets a way out, and the mirror is there."""
    port = 8099
    mirror = Mirror({})
    mirror.url = f"http://127.0.0.1:{port}"
    write_catalogue(place / "catalogue.json", [image.for_catalogue() for image in images.all], [mirror])
    async with Daemon(place, catalogues=[place / "catalogue.json"], network=False) as daemon:
        async with Caller.connect(daemon.address) as caller:
            path = await caller.client.download("distro:alpha")
            await caller.stage(path, "wait-for-network")
            inside = ("nsenter", "--net", "--target", str(daemon.core))
            run(*inside, "sh", "-c", "ip link set lo up; ip route add default dev lo")
            folder = str(images.alpha.path.parent)
            server = await asyncio.create_subprocess_exec(
                *(*inside, sys.executable, "-m", "http.server", str(port), "--directory", folder),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                job = await caller.succeeded(path)
            finally:
                server.terminate()
                await server.wait()
            assert "waiting for the network" in " ".join(job.details.log)


PROXIED = """
[network]
proxy = "http://luxusb:s3cret@127.0.0.1:{port}"
no_proxy = []
"""


@pytest.mark.parametrize("known", [True, False])
async def test_a_proxy_by_configuration(
    place: Path, catalogue: Path, mirror: Mirror, images: Images, known: bool
) -> None:
    async with Proxy({"127.0.0.1": int(mirror.url.rpartition(":")[2])}) as proxy:
        proxy.credentials = "luxusb:s3cret" if known else "somebody:else"
        config = PROXIED.format(port=proxy.port)
        async with Daemon(place, catalogues=[catalogue], config=config) as daemon:
            (place / "home").mkdir()
            cli = Cli(daemon.address, place / "home")
            if known:
                await cli.json("download", "alpha")
                assert {asked.target for asked in proxy.log} == {f"{mirror.url}/alpha.iso"}
            else:
                said = ["the proxy http://127.0.0.1", "does not take our user name and password (407)"]
                await cli.refused(Refusal("ProxyFailed", said, ["administrator"]), "download", "alpha")
                assert mirror.served == []
            shown = await cli.text("settings", "network.proxy")
            assert f"http://127.0.0.1:{proxy.port}" in shown
            assert "s3cret" not in shown
            report = json.dumps(await cli.json("report"))
            assert "s3cret" not in report
        assert "s3cret" not in daemon.log


async def test_a_configuration_of_the_network_that_cannot_be(place: Path) -> None:
    daemon = Daemon(place, config='[network]\nca_file = "/nowhere.pem"\n')
    with pytest.raises(StartError):
        await daemon.start()
    assert "network.ca_file: /nowhere.pem cannot be read: No such file or directory" in daemon.log
    assert "Traceback" not in daemon.log
