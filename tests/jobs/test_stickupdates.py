"""What an update of a stick is to do: which images, whether there is room, and what is said when there is not."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog.catalog import Catalog
from luxusbd.catalog.model import Distribution, Layer, Release, Trust
from luxusbd.devices.model import DeviceIdentity, DeviceState
from luxusbd.errors import ImageNotFoundError, LuxusbError, NotEnoughSpaceError, UntrustedError
from luxusbd.images.store import ImageStore
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.planning import Planner
from luxusbd.jobs.registry import DeviceRegistry
from luxusbd.jobs.stickcomparison import StickComparer
from luxusbd.jobs.stickupdates import StickUpdates, UpdatePlan
from luxusbd.jobs.trust import TrustPolicy
from luxusbd.jobs.views import Caller, DeviceView, UpdateWishes
from luxusbd.jobs.workshop import Workshop
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.layout import bytes_needed
from luxusbd.stick.model import MIB, ManifestImage, PartitionRole
from tests.jobs.disks import plain_stick
from tests.stick import helpers

ME = Caller(1000, ":1.1")
TODAY = datetime.date(2026, 11, 26)


def release(version: str, size: int = 10 * MIB, **changes: Any) -> Release:
    values: dict[str, Any] = {
        "version": version,
        "release_date": "",
        "iso_url": f"https://example.org/{version}.iso",
        "sha256": f"{hash(version) & 0xFFFFFFFFFF:064x}",
        "size_mb": 1,
        "mirrors": (),
        "size": size,
        "architecture": "amd64",
    }
    return Release(**{**values, **changes})


def distribution(name: str, *releases: Release) -> Distribution:
    return Distribution(name, name.title(), "", "", "", "", 0, releases, Layer.PACKAGED)


def on_stick(name: str, version: str = "1.0", size: int = 10 * MIB, **changes: Any) -> ManifestImage:
    title = f"{name.title()} {version}"
    source = f"distro:{name}@{version}"
    return helpers.image(f"{name}.iso", title, source=source, size=size, version=version, **changes)


def view(*images: ManifestImage, free: int = 1 << 40) -> DeviceView:
    identity = DeviceIdentity("usb-stick", 7, 8 << 30)
    return DeviceView(plain_stick(identity), DeviceState.LUXUSB, images=images, free_bytes=free)


class Bench:
    def __init__(self, place: Path, *entries: Distribution, minimum: Trust = Trust.NONE) -> None:
        self.catalog = catalog = Catalog(entries)
        policy = TrustPolicy(Keyring(place / "admin", place / "kept"), minimum)
        store = ImageStore(place / "images")
        self.comparer = StickComparer(catalog, policy, lambda: TODAY)
        planner = Planner(catalog, store, cast("DeviceRegistry", None), policy)
        self.updates = StickUpdates(self.comparer, planner, cast("Workshop", None))

    def plan(self, shown: DeviceView, **wishes: Any) -> UpdatePlan:
        return self.updates.plan(ME, shown, UpdateWishes(**wishes))

    def names(self, shown: DeviceView, **wishes: Any) -> list[str]:
        return [chosen.found.image.name for chosen in self.plan(shown, **wishes).chosen]


def refused(bench: Bench, shown: DeviceView, **wishes: Any) -> LuxusbError:
    with pytest.raises(LuxusbError) as error:
        bench.plan(shown, **wishes)
    return error.value


def test_what_is_chosen(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path,
        distribution("alpha", release("2.0"), release("1.1")),
        distribution("beta", release("1.0")),
        distribution("gamma", release("1.2")),
    )
    shown = view(on_stick("alpha"), on_stick("beta", sha256=release("1.0").sha256), on_stick("gamma"), helpers.image())
    plan = bench.plan(shown)
    assert [(chosen.found.image.name, chosen.image.name, chosen.image.title) for chosen in plan.chosen] == [
        ("alpha.iso", "2.0.iso", "Alpha 2.0"),
        ("gamma.iso", "1.2.iso", "Gamma 1.2"),
    ]
    assert [chosen.image.content for chosen in plan.chosen] == [release("2.0").sha256, release("1.2").sha256]
    assert bench.names(shown, images=("distro:gamma@1.0",)) == ["gamma.iso"]
    assert bench.names(shown, images=(f"image:{shown.images[0].sha256}", "beta.iso")) == ["alpha.iso"]
    assert bench.plan(shown, same_series=True).chosen[0].image.title == "Alpha 1.1"
    error = refused(bench, shown, images=("delta.iso",))
    assert isinstance(error, ImageNotFoundError)
    assert "gamma.iso" in error.message
    assert bench.plan(view()).result()["updates"] == []


def test_what_is_on_the_companion_takes_no_room_of_the_data_partition(tmp_path: Path) -> None:
    bench = Bench(tmp_path, distribution("alpha", release("2.0", size=50 * MIB)), distribution("beta", release("1.1")))
    images = on_stick("alpha", partition=PartitionRole.COMPANION), on_stick("beta")
    shown = replace(view(*images, free=bytes_needed([10 * MIB], Kind.EXFAT)), filesystem=Kind.EXFAT, companion=True)
    plan = bench.plan(shown)
    assert len(plan.chosen) == 2
    assert plan.beside == plan.one_at_a_time == bytes_needed([10 * MIB], Kind.EXFAT)
    assert isinstance(refused(bench, replace(shown, companion=False)), NotEnoughSpaceError)


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    bench = Bench(tmp_path, distribution("alpha", release("2.0", iso_url="https://example.org/alpha.iso")))
    (chosen,) = bench.plan(view(on_stick("alpha"))).chosen
    assert chosen.image.name == "alpha-2.iso"


def test_a_title_that_somebody_chose_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path, distribution("alpha", release("2.0")))
    mine = replace(on_stick("alpha"), title="For the school")
    assert bench.plan(view(mine)).chosen[0].image.title == "For the school"
    other = replace(on_stick("alpha"), title="Alpha Linux (1.0)")
    assert bench.plan(view(other)).chosen[0].image.title == "Alpha 2.0"


def test_one_release_takes_one_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path, distribution("alpha", release("3.0"), release("2.0")))
    old, newer = on_stick("alpha"), replace(on_stick("alpha", "1.5", sha256="5" * 64), name="later.iso")
    assert bench.names(view(old, newer)) == ["later.iso"]
    there = replace(on_stick("alpha", "3.0", sha256=release("3.0").sha256), name="newest.iso")
    assert bench.names(view(old, newer, there)) == []


def test_less_trust_has_to_be_allowed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, distribution("alpha", release("2.0")), distribution("beta", release("1.2")))
    signed = on_stick("alpha", trust=Trust.SIGNED)
    shown = view(signed, on_stick("beta", trust=Trust.HASH))
    plan = bench.plan(shown)
    assert [chosen.found.image.name for chosen in plan.chosen] == ["beta.iso"]
    (skipped,) = plan.result()["skipped"]
    assert (skipped["name"], skipped["less_trust"], "--less-trust" in skipped["reason"]) == ("alpha.iso", True, True)
    assert bench.names(shown, less_trust=True) == ["alpha.iso", "beta.iso"]
    for only, wishes in ((view(signed), {}), (shown, {"images": ("alpha.iso",)})):
        assert isinstance(refused(bench, only, **wishes), UntrustedError)
        assert len(bench.plan(only, check=True, **wishes).skipped) == 1
    demanding = Bench(tmp_path / "other", distribution("beta", release("1.2")), minimum=Trust.SIGNED)
    assert demanding.names(shown) == []


def test_a_name_of_a_users_own_catalogue_means_nothing_to_others(tmp_path: Path) -> None:
    bench = Bench(tmp_path, distribution("alpha", release("2.0")))
    custom = replace(on_stick("alpha"), source="custom:alpha@1.0")
    assert bench.names(view(custom)) == []
    bench.catalog.import_layer(ME.uid, [distribution("alpha", release("1.7"))])
    assert bench.comparer.updates([custom]) == ()
    assert [found.release.version for found in bench.comparer.find([custom], ME.uid)] == ["2.0"]
    assert bench.comparer.find([custom], ME.uid + 1) == ()
    assert bench.names(view(custom), images=("distro:alpha@1.0",)) == ["alpha.iso"]


def test_the_room_that_is_needed(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path,
        distribution("alpha", release("2.0", 30 * MIB)),
        distribution("beta", release("1.2", 20 * MIB)),
        distribution("gamma", release("1.3", 5 * MIB)),
    )
    images = (on_stick("alpha"), on_stick("beta"), on_stick("gamma", size=6 * MIB))
    plan = bench.plan(view(*images))
    assert [chosen.found.image.name for chosen in plan.chosen] == ["gamma.iso", "beta.iso", "alpha.iso"]
    assert plan.beside == bytes_needed([30 * MIB, 20 * MIB, 5 * MIB])
    # what gamma gives back and what beta takes more counts when alpha comes
    assert plan.one_at_a_time == bytes_needed([30 * MIB]) - MIB + 10 * MIB
    assert plan.replacing == bytes_needed([30 * MIB]) - MIB + 10 * MIB - 10 * MIB
    for free, wishes, hint in (
        (plan.beside - 1, {}, "--one-at-a-time"),
        (plan.one_at_a_time - 1, {}, "--replace-first"),
        (plan.one_at_a_time - 1, {"one_at_a_time": True}, "--replace-first"),
        (plan.replacing - 1, {"one_at_a_time": True}, "update fewer"),
        (plan.replacing - 1, {"replace": True}, "even when the old ones go first"),
    ):
        error = refused(bench, view(*images, free=free), **wishes)
        assert isinstance(error, NotEnoughSpaceError)
        assert hint in error.message
        assert len(bench.plan(view(*images, free=free), check=True, **wishes).chosen) == 3
    for free, wishes in (
        (plan.beside, {}),
        (plan.one_at_a_time, {"one_at_a_time": True}),
        (plan.replacing, {"replace": True}),
    ):
        assert len(bench.plan(view(*images, free=free), **wishes).chosen) == 3


@given(st.lists(st.tuples(st.integers(1, 1 << 33), st.integers(1, 1 << 33)), min_size=1, max_size=5))
def test_one_after_the_other_never_needs_more_than_all_at_once(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]]
) -> None:
    names = [f"system{number}" for number in range(len(sizes))]
    entries = [
        distribution(name, release(f"2.{number}", new))
        for number, (name, (_old, new)) in enumerate(zip(names, sizes, strict=True))
    ]
    images = [on_stick(name, size=old) for name, (old, _new) in zip(names, sizes, strict=True)]
    plan = Bench(tmp_path_factory.mktemp("bench"), *entries).plan(view(*images, free=1 << 50))
    assert plan.replacing <= plan.one_at_a_time <= plan.beside
    free = plan.one_at_a_time
    for chosen in plan.chosen:
        assert bytes_needed([chosen.image.size]) <= free
        free += chosen.found.image.size - chosen.image.size


def test_an_end_of_support_is_told(tmp_path: Path) -> None:
    entry = distribution("alpha", release("2.0"), release("1.0", end_of_life="2026-11-25"))
    bench = Bench(tmp_path, entry)
    (update,) = bench.comparer.updates([on_stick("alpha", "1.0")])
    assert (update.end_of_life, update.ended, update.series_change) == ("2026-11-25", True, True)
    assert update.to_json()["trust"] == "hash"
