"""Mirrors of the real daemon: measured by downloads and races, chosen by what they did and by what a user prefers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from luxusb_cli.catalog import MirrorState
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobState
from luxusb_cli.wire import text, wires

from tests.daemon.caller import Caller
from tests.daemon.conftest import CONFIG
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB, Images
from tests.harness.mirrors import Faults, Mirror, catalogue

ERROR = "org.luxusb.Error."
COUNTRIES = ("DE", "AT", "US")


@pytest.fixture
async def mirrors(images: Images) -> AsyncIterator[list[Mirror]]:
    """Three mirrors, of which the second is the fastest."""
    files = {image.path.name: image.path for image in images.all}
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Mirror(files, rate=rate * MIB)) for rate in (2, 64, 8)]


@pytest.fixture
def catalogue_of_three(images: Images, mirrors: Sequence[Mirror], place: Path) -> Path:
    document = catalogue([image.for_catalogue() for image in images.all], mirrors)
    for distribution in document["distributions"]:
        (release,) = distribution["releases"]
        release["mirrors"] = [
            {"url": url, "country": country} for url, country in zip(release["mirrors"], COUNTRIES, strict=True)
        ]
    path = place / "three.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
async def daemon(place: Path, catalogue_of_three: Path, settings: str) -> AsyncIterator[Daemon]:
    async with Daemon(place, catalogues=[catalogue_of_three], config=CONFIG.format(place=place) + settings) as running:
        yield running


async def listed(caller: Caller, name: str = "large") -> list[MirrorState]:
    return list(await caller.client.mirrors(name))


async def prefer(caller: Caller, name: str, **said: str | list[str]) -> None:
    options = {key: Typed("s" if isinstance(value, str) else "as", value) for key, value in said.items()}
    await caller.client.prefer_mirrors(name, options)


@contextlib.contextmanager
def far_apart(mirrors: Sequence[Mirror]) -> Iterator[None]:
    """A race takes a fast mirror milliseconds: a machine that stands still for some must not decide it."""
    before = [mirror.rate for mirror in mirrors]
    mirrors[0].rate, mirrors[1].rate, mirrors[2].rate = MIB // 4, 0, MIB
    yield
    for mirror, rate in zip(mirrors, before, strict=True):
        mirror.rate = rate


def asked(mirrors: Sequence[Mirror]) -> list[bool]:
    return [bool(mirror.served) for mirror in mirrors]


async def test_a_race_measures_and_keeps_what_it_learnt(
    daemon: Daemon, caller: Caller, mirrors: Sequence[Mirror]
) -> None:
    assert {mirror.state for mirror in await listed(caller)} == {"untried"}
    with far_apart(mirrors):
        job = await caller.succeeded(await caller.client.race_mirrors("large"))
    assert job.operation == "race-mirrors"
    urls = [text(mirror, "url") for mirror in wires(job.result["mirrors"], "mirrors")]
    assert urls == [f"{mirrors[index].url}/large.iso" for index in (1, 2, 0)]
    assert list((daemon.state / "incoming").iterdir()) == [], "without an unfinished download nothing is kept"
    found = await listed(caller)
    assert [mirror.url for mirror in found] == urls
    assert {mirror.state for mirror in found} == {"ok"}
    assert all(mirror.rate and mirror.measured for mirror in found)
    # also of another file of theirs, and after a restart
    await daemon.stop()
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        assert [mirror.host for mirror in await listed(again, "huge")] == [mirror.host for mirror in found]


async def test_a_race_goes_on_after_a_restart(daemon: Daemon, caller: Caller, mirrors: Sequence[Mirror]) -> None:
    mirrors[0].faults = Faults(stall_at=MIB)
    path = await caller.client.race_mirrors("large")
    await caller.progress(path, 1)
    assert await caller.client.race_mirrors("large") == path, "the same race twice is one"
    await daemon.stop()
    mirrors[0].faults = Faults()
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        job = await again.succeeded(path)
        assert len(wires(job.result["mirrors"], "mirrors")) == len(mirrors)


async def test_a_race_goes_into_an_unfinished_download(
    daemon: Daemon, caller: Caller, mirrors: Sequence[Mirror], images: Images
) -> None:
    await caller.raced_into("large", MIB)
    assert (daemon.state / "images" / f"{images.large.sha256}.iso").stat().st_size == images.large.size


async def test_a_download_teaches_which_mirror_is_fast(caller: Caller, mirrors: Sequence[Mirror]) -> None:
    await caller.succeeded(await caller.client.download("huge"))
    found = await listed(caller)
    measured = {mirror.url: mirror.rate for mirror in found if mirror.rate}
    assert measured, "whoever served was measured"
    fastest = max(measured, key=lambda url: measured[url])
    assert found[0].url == fastest


@pytest.mark.parametrize("name", ["large", "huge"])
async def test_a_liar_is_banned_and_named(caller: Caller, mirrors: Sequence[Mirror], name: str) -> None:
    liar = mirrors[1]
    with far_apart(mirrors):
        await caller.succeeded(await caller.client.race_mirrors(name))
    assert (await listed(caller))[0].url == f"{liar.url}/large.iso"
    liar.faults = Faults(corrupt_at=MIB)
    await caller.succeeded(await caller.client.download(name))
    assert any(served.sent for served in liar.served), "it was asked"
    # not only for the file about which it lied
    (banned,) = [mirror for mirror in await listed(caller, "alpha") if mirror.state == "banned"]
    assert banned.url == f"{liar.url}/alpha.iso"
    assert banned.until > banned.measured
    assert banned.reason
    liar.faults = Faults()
    for mirror in mirrors:
        mirror.served.clear()
    await caller.succeeded(await caller.client.download("alpha"))
    await caller.succeeded(await caller.client.race_mirrors("alpha"))
    assert asked(mirrors)[1] is False


async def test_only_the_pinned_mirror_is_asked(caller: Caller, mirrors: Sequence[Mirror], daemon: Daemon) -> None:
    await prefer(caller, "large", mode="pinned", url=f"{mirrors[2].url}/")
    assert [mirror.state for mirror in await listed(caller)] == ["pinned", "excluded", "excluded"]
    await caller.succeeded(await caller.client.download("large"))
    assert asked(mirrors) == [False, False, True]
    # it stays so when it is worse, and after a restart; for others it says nothing
    await daemon.stop()
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        assert (await listed(again))[0].url == f"{mirrors[2].url}/large.iso"
        assert {mirror.state for mirror in await listed(again, "alpha")} <= {"ok", "untried"}
        await prefer(again, "large", mode="auto")
        assert {mirror.state for mirror in await listed(again)} == {"ok", "untried"}


async def test_a_pin_that_is_gone_is_an_error_at_once(
    caller: Caller, mirrors: Sequence[Mirror], daemon: Daemon, catalogue_of_three: Path
) -> None:
    pinned = f"{mirrors[2].url}/large.iso"
    await prefer(caller, "large", mode="pinned", url=pinned)
    document = json.loads(catalogue_of_three.read_text())
    for distribution in document["distributions"]:
        distribution["releases"][0]["mirrors"].pop()
    await daemon.stop()
    catalogue_of_three.write_text(json.dumps(document))
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        with pytest.raises(DaemonError) as gone:
            await again.client.download("large")
        assert gone.value.name == ERROR + "NoMirror"
        assert pinned in gone.value.why
        assert "luxusb mirrors large --unpin" in gone.value.why
        assert await again.client.jobs() == ()
        await prefer(again, "large", mode="auto")
        await again.succeeded(await again.client.download("large"))


@pytest.mark.parametrize("settings", ['[mirrors]\nexclude = ["us"]\nprefer = ["AT"]\n'])
async def test_excluded_countries_are_never_asked(caller: Caller, mirrors: Sequence[Mirror]) -> None:
    found = await listed(caller)
    assert [(mirror.country, mirror.state, mirror.preferred) for mirror in found] == [
        ("AT", "untried", True),
        ("DE", "untried", False),
        ("US", "excluded", False),
    ]
    await caller.succeeded(await caller.client.race_mirrors("large"))
    await caller.succeeded(await caller.client.download("large"))
    assert asked(mirrors) == [True, True, False]
    # the user's own word counts more, and that for one distribution most
    await prefer(caller, "", exclude=["DE", "AT"])
    assert {mirror.country for mirror in await listed(caller) if mirror.state == "excluded"} == {"DE", "AT"}
    await prefer(caller, "large", exclude=["DE", "AT", "US"])
    await prefer(caller, "alpha", prefer=["DE"])
    assert {mirror.country for mirror in await listed(caller, "alpha") if mirror.state == "excluded"} == {"AT"}
    with pytest.raises(DaemonError) as none:
        await caller.client.race_mirrors("large")
    assert none.value.name == ERROR + "NoMirror"
    assert "luxusb mirrors large --auto" in none.value.why


async def test_a_network_that_is_away_blames_nobody(caller: Caller, mirrors: Sequence[Mirror]) -> None:
    for mirror in mirrors:
        mirror.faults = Faults(status=404)
    failed = await caller.finished(await caller.client.race_mirrors("large"))
    assert (failed.state, failed.error_name) == (JobState.FAILED, ERROR + "NetworkFailed")
    assert failed.error_message.count("answered 404") == len(mirrors)
    for mirror in mirrors:
        mirror.faults = Faults()
    await caller.succeeded(await caller.client.download("large"))


async def test_preferences_that_make_no_sense(caller: Caller) -> None:
    for name, said, error in (
        ("larg", {"prefer": ["DE"]}, "DistributionNotFound"),
        ("large", {"prefer": ["UK"]}, "InvalidArgument"),
        ("large", {"mode": "pinned", "url": "https://elsewhere.example/"}, "InvalidArgument"),
    ):
        with pytest.raises(DaemonError) as refused:
            await prefer(caller, name, **said)
        assert refused.value.name == ERROR + error


async def test_features_name_the_three(caller: Caller) -> None:
    features = (await caller.client.service()).features
    assert {"ListMirrors", "RaceMirrors", "SetMirrorPreference"} <= set(features)
