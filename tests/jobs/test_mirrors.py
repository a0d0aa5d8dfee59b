"""What is known and wanted of mirrors, with the store behind it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.catalog.catalog import Catalog
from luxusbd.catalog.model import Distribution, Layer, Mirror, Release
from luxusbd.config import MirrorsConfig
from luxusbd.errors import DistributionNotFoundError, InvalidArgumentError, LimitExceededError, NoMirrorError
from luxusbd.jobs import mirrors as module
from luxusbd.jobs.mirrorchoice import MirrorState
from luxusbd.jobs.mirrors import Mirrors, mirrors_of, params_of
from luxusbd.jobs.mirrorwishes import WishChange
from luxusbd.store import MirrorRow, Store, WishRow
from luxusbd.transfer.model import SourceShare, SourceState

NOW = 1_800_000_000
MIB = 1024 * 1024
FAST, SLOW = Mirror("https://fast.example/a.iso", "DE"), Mirror("https://slow.example/a.iso", "US")
OTHER = Mirror("https://other.example/b.iso")


def entry(name: str, *mirrors: Mirror) -> Distribution:
    release = Release("1", "2026-01-01", mirrors[0].url, "ab" * 32, 600, mirrors)
    return Distribution(name, name, "", "", "", "", 1, (release,), Layer.PACKAGED)


CATALOG = Catalog([entry("debian", FAST, SLOW), entry("ubuntu", OTHER)]).with_user_layer(7, [entry("mine", OTHER)])


def share(mirror: Mirror, measured: int, state: SourceState = SourceState.SERVING) -> SourceShare:
    return SourceShare(mirror.url, "x", state, 0, MIB, measured, 0.1, successes=4, reason="said")


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "jobs.sqlite")
    await store.open()
    yield store
    await store.close()


def over(store: Store, clock: Clock, config: MirrorsConfig | None = None) -> Mirrors:
    return Mirrors(store, CATALOG, config or MirrorsConfig(), rng=random.Random(1), clock=clock)


async def test_what_was_learnt_outlives_the_daemon_and_is_for_all(store: Store, clock: Clock) -> None:
    first = over(store, clock)
    urls = [FAST.url, SLOW.url]
    first.learn(urls, [share(FAST, 9 * MIB), share(SLOW, MIB), share(OTHER, MIB)], verified=True)
    first.learn([OTHER.url], [share(OTHER, 0, SourceState.GIVEN_UP)], verified=False)
    again = over(store, clock)
    await again.load()
    for uid in (0, 1000, 1001):
        found = await again.standings(uid, "debian", (SLOW, FAST))
        assert [(one.url, one.rate, one.success) for one in found] == [(FAST.url, 9 * MIB, 1), (SLOW.url, MIB, 1)]
    (other,) = await again.standings(0, "ubuntu", [OTHER])
    assert (other.state, other.until, other.reason) == (MirrorState.COOLING, NOW + 3600, "said")
    chosen = await again.choose(0, "debian", (SLOW, FAST))
    assert chosen.urls == (FAST.url, SLOW.url)
    assert [(hint.url, hint.rate) for hint in chosen.hints] == [(FAST.url, 9 * MIB), (SLOW.url, MIB)]


async def test_a_ban_is_told_and_ends(store: Store, clock: Clock) -> None:
    mirrors = over(store, clock)
    mirrors.learn([FAST.url, SLOW.url], [share(FAST, MIB, SourceState.BANNED), share(SLOW, MIB)], verified=True)
    assert (await mirrors.choose(0, "debian", (FAST, SLOW))).urls == (SLOW.url,)
    only = await mirrors.choose(0, "debian", [FAST])
    assert only.urls == (FAST.url,)
    assert "wrong bytes" in only.notes[0]
    clock.now += 86400
    assert set((await mirrors.choose(0, "debian", (FAST, SLOW))).urls) == {FAST.url, SLOW.url}


async def test_preferences_belong_to_a_user_and_outlive_the_daemon(store: Store, clock: Clock) -> None:
    first = over(store, clock)
    await first.prefer(1000, "debian", WishChange(pinned="https://slow.example/"))
    await first.prefer(1000, "", WishChange(exclude=("us",)))
    await first.prefer(0, "", WishChange(prefer=("US",)))
    again = over(store, clock)
    await again.load()
    assert (await again.choose(1000, "debian", (FAST, SLOW))).urls == (SLOW.url,)
    assert (await again.choose(1000, "elsewhere", (FAST, SLOW))).urls == (FAST.url,)
    assert (await again.choose(0, "debian", (FAST, SLOW))).urls == (SLOW.url, FAST.url)
    assert set((await again.choose(1001, "debian", (FAST, SLOW))).urls) == {FAST.url, SLOW.url}
    await again.prefer(1000, "distro:debian", WishChange(pinned=""))
    await again.prefer(1000, "", WishChange(exclude=()))
    await again.prefer(0, "", WishChange(prefer=()))
    assert await store.wishes() == []


async def test_a_pinned_mirror_that_lied_is_asked_and_told(store: Store, clock: Clock) -> None:
    mirrors = over(store, clock)
    await mirrors.prefer(1, "debian", WishChange(pinned=FAST.url))
    mirrors.learn([FAST.url, SLOW.url], [share(FAST, MIB, SourceState.BANNED), share(SLOW, MIB)], verified=True)
    chosen = await mirrors.choose(1, "debian", (FAST, SLOW))
    assert chosen.urls == (FAST.url,)
    assert chosen.notes == ("fast.example is asked since it is pinned, though: said",)
    with pytest.raises(NoMirrorError, match=r"pinned for debian .*luxusb mirrors debian --unpin"):
        await mirrors.choose(1, "debian", [SLOW])


async def test_the_administrators_defaults(store: Store, clock: Clock) -> None:
    mirrors = over(store, clock, MirrorsConfig(exclude=("US",)))
    assert (await mirrors.choose(1, "debian", (FAST, SLOW))).urls == (FAST.url,)
    with pytest.raises(NoMirrorError, match="administrator excluded"):
        await mirrors.choose(1, "debian", [SLOW])
    # the way out that the text names
    await mirrors.prefer(1, "debian", WishChange(prefer=("US",)))
    assert (await mirrors.choose(1, "debian", [SLOW])).urls == (SLOW.url,)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "debian",
            WishChange(pinned="https://fast.exampl"),
            "is no mirror of debian; it has https://fast.example/a.iso",
        ),
        ("debian", WishChange(pinned=OTHER.url), "is no mirror of debian"),
        ("", WishChange(pinned="https://none.example/"), "is no mirror of any distribution"),
        ("debian", WishChange(pinned=SLOW.url, exclude=("US",)), "is in US, which you exclude"),
        ("debian", WishChange(prefer=("DEU",)), "no country code of two letters"),
        ("debian", WishChange(prefer=("DE",), exclude=("DE",)), "cannot be preferred and excluded"),
        ("debian@1", WishChange(pinned=""), "call it debian"),
        ("no such name", WishChange(), "no image reference"),
    ],
)
async def test_wishes_that_make_no_sense(store: Store, clock: Clock, name: str, change: WishChange, said: str) -> None:
    mirrors = over(store, clock)
    with pytest.raises(InvalidArgumentError, match=said):
        await mirrors.prefer(1, name, change)
    assert await store.wishes() == []


async def test_names_are_looked_up_for_the_caller(store: Store, clock: Clock) -> None:
    mirrors = over(store, clock)
    with pytest.raises(DistributionNotFoundError, match="did you mean debian"):
        await mirrors.prefer(1, "debain", WishChange(prefer=("DE",)))
    await mirrors.prefer(7, "mine", WishChange(prefer=("DE",)))
    with pytest.raises(DistributionNotFoundError):
        await mirrors.prefer(8, "mine", WishChange(prefer=("DE",)))


async def test_one_user_cannot_fill_the_database(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WISHES", 1)
    mirrors = over(store, clock)
    await mirrors.prefer(1, "debian", WishChange(prefer=("DE",)))
    with pytest.raises(LimitExceededError, match="--auto"):
        await mirrors.prefer(1, "ubuntu", WishChange(prefer=("DE",)))
    await mirrors.prefer(1, "debian", WishChange(prefer=("AT",)))
    await mirrors.prefer(2, "ubuntu", WishChange(prefer=("DE",)))


async def test_memory_is_bounded_as_the_store_is(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 4)
    mirrors = over(store, clock)
    for number in range(20):
        clock.now += 1
        one = Mirror(f"https://m{number}.example/a.iso")
        mirrors.learn([one.url], [share(one, MIB)], verified=True)
    assert len(mirrors._hosts) <= 8
    assert [row.address for row in await store.mirrors()] == [f"m{number}.example" for number in (19, 18, 17, 16)]
    clock.now += 100 * 86400
    mirrors.learn([FAST.url], [share(FAST, MIB)], verified=True)
    assert [row.address for row in await store.mirrors()] == ["fast.example"]


async def test_damaged_rows_do_no_harm(store: Store, clock: Clock) -> None:
    await store.save_mirrors([MirrorRow("fast.example", NOW, {"rate": "x"})], most=10, not_before=0)
    await store.save_wish(WishRow(1, "debian", {"pinned": 5}))
    mirrors = over(store, clock)
    await mirrors.load()
    assert {one.state for one in await mirrors.standings(1, "debian", (FAST, SLOW))} == {MirrorState.UNTRIED}


def test_jobs_keep_their_mirrors() -> None:
    distribution = entry("debian", FAST, OTHER)
    params = params_of(distribution.releases[0])
    assert mirrors_of(params) == (FAST, OTHER)
    assert params["shared"] is True
    assert params_of(replace(distribution.releases[0], layer=Layer.USER))["shared"] is False
    # of an older version of this program
    assert mirrors_of({"urls": [FAST.url]}) == (Mirror(FAST.url),)
