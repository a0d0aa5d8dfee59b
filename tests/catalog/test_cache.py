"""The updated catalogue on the disk: found again, never torn, and used only with its signer's key pinned."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luxusbd.catalog.cache import CatalogCache, Record
from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.model import Layer
from tests.catalog.test_catalog import named

KEY, OTHER = "AB" * 20, "CD" * 20
PINNED = frozenset({KEY})


def edition(serial: int, fingerprint: str = KEY) -> tuple[bytes, Record]:
    data = json.dumps(named("mine", f"Edition {serial}") | {"serial": serial, "expires": "2099-01-01T00:00:00Z"})
    record = Record(
        sha256=hashlib.sha256(data.encode()).hexdigest(),
        url="https://one.example/c.json",
        fingerprint=fingerprint,
        signing_key=fingerprint,
        serial=serial,
        made=1,
        expires=2,
        fetched=3,
        checked=4,
        etag='"v1"',
        last_modified="yesterday",
        signature=b"\x00signature",
    )
    return data.encode(), record


@pytest.fixture
def cache(tmp_path: Path) -> CatalogCache:
    return CatalogCache(tmp_path / "cache" / "distros.json", PINNED)


def in_force(cache: CatalogCache) -> int:
    """Serial of the edition in force, 0 without one."""
    found, _problems = cache.read()
    if found is None:
        return 0
    assert found.document.distributions[0].name == f"Edition {found.record.serial}"
    return found.record.serial


def test_nothing_is_there_at_first(cache: CatalogCache) -> None:
    assert cache.read() == (None, ())
    assert cache.newest() is None


def test_what_is_installed_is_in_force_and_the_one_before_is_kept(cache: CatalogCache) -> None:
    for serial in (1, 2, 3):
        data, record = edition(serial)
        cache.install(data, record)
        found, problems = cache.read()
        assert found is not None
        assert (found.record, found.previous, problems) == (record, False, ())
        assert cache.newest() == record
    assert cache.previous.read_bytes() == edition(2)[0]
    assert {path.name for path in cache.path.parent.iterdir()} == {
        "distros.json", "distros.json.previous", "distros.state.json"
    }  # fmt: skip
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in cache.path.parent.iterdir())


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 100, None])
def test_one_that_cannot_be_read_gives_way_to_the_one_before(cache: CatalogCache, damage: bytes | None) -> None:
    for serial in (1, 2):
        cache.install(*edition(serial))
    if damage is None:
        cache.path.unlink()
    else:
        cache.path.write_bytes(damage)
    found, problems = cache.read()
    assert found is not None
    assert (found.record.serial, found.previous, len(problems)) == (1, True, 1)
    assert str(cache.path) in problems[0]
    # and yet nobody can go back to it
    newest = cache.newest()
    assert newest is not None
    assert newest.serial == 2
    # what mends it is the next edition, or the same one again
    cache.install(*edition(2))
    assert in_force(cache) == 2
    assert cache.previous.read_bytes() == edition(1)[0]


def test_only_what_a_pinned_key_signed_is_used(cache: CatalogCache) -> None:
    cache.install(*edition(1))
    changed = CatalogCache(cache.path, frozenset({OTHER}))
    found, problems = changed.read()
    assert found is None
    assert "no key of catalog.update_fingerprints vouches for it" in problems[0]
    assert changed.newest() is None
    assert CatalogCache(cache.path, frozenset()).read()[0] is None
    # a document that somebody put there
    cache.path.write_bytes(edition(9)[0])
    assert cache.read()[0] is None


@pytest.mark.parametrize(
    "state",
    [
        b"", b"{", b"[]", b"null", b'{"version": 2, "editions": []}', b'{"version": 1, "editions": [{}]}',
        b'{"version": 1, "editions": 5}', b"[" * 100_000, b"\xff",
    ],
)  # fmt: skip
def test_a_state_that_cannot_be_read_vouches_for_nothing(cache: CatalogCache, state: bytes) -> None:
    cache.install(*edition(1))
    cache.state.write_bytes(state)
    assert in_force(cache) == 0
    assert cache.records() == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("serial", "1"),
        ("serial", True),
        ("url", 5),
        ("fingerprint", "AB"),
        ("sha256", "x"),
        ("signature", "?"),
        ("x", 1),
    ],
)
def test_a_record_with_a_wrong_field_vouches_for_nothing(cache: CatalogCache, field: str, value: object) -> None:
    cache.install(*edition(1))
    state = json.loads(cache.state.read_text())
    state["editions"][0][field] = value
    cache.state.write_text(json.dumps(state))
    assert cache.records() == ()


def test_a_remote_that_has_none_newer_is_noted(cache: CatalogCache) -> None:
    for serial in (1, 2):
        cache.install(*edition(serial))
    record = edition(2)[1]
    cache.confirm(record, checked=99, etag='"v2"', last_modified="")
    assert cache.newest() == replace(record, checked=99, etag='"v2"', last_modified="")
    cache.path.unlink()
    assert in_force(cache) == 1


class KilledError(Exception):
    """The process is gone at this point."""


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Ends whatever changes the disk before its n-th step, without a chance to clear up."""
    left = [-1]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
            return real(*args, **kwargs)

        return step

    for owner, name in ((os, "fsync"), (os, "link"), (os, "fchmod"), (Path, "replace"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))

    def at(step: int) -> None:
        left[0] = step

    yield at
    left[0] = -1


@pytest.mark.parametrize("damaged", [False, True])
def test_killed_at_any_step_there_is_a_whole_edition(
    tmp_path: Path, kill: Callable[[int], None], damaged: bool
) -> None:
    """With the newest edition whole, or damaged so that the one before is in force."""
    seen = set()
    for step in range(30):
        cache = CatalogCache(tmp_path / str(step) / "distros.json", PINNED)
        for serial in (1, 2):
            cache.install(*edition(serial))
        if damaged:
            cache.path.write_bytes(b"{")
        before = 1 if damaged else 2
        kill(step)
        try:
            cache.install(*edition(3))
        except KilledError:
            kill(-1)
        else:
            break
        now = in_force(cache)
        seen.add(now)
        assert now in (before, 3), step
        # the next attempt is not hindered by what was left, and a reader of the new state knows the highest serial
        cache.install(*edition(3))
        assert in_force(cache) == 3
        cache.path.unlink()
        assert in_force(cache) == before, step
    else:
        raise AssertionError("it never came to its end")
    assert step > 5
    assert before in seen


def test_a_full_disk_keeps_what_was(cache: CatalogCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.install(*edition(1))

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        cache.install(*edition(2))
    assert in_force(cache) == 1
    assert not [path for path in cache.path.parent.iterdir() if path.name.endswith(".new")]


def test_the_layer_lies_between_the_packaged_one_and_the_admins(tmp_path: Path) -> None:
    (tmp_path / "admin").mkdir()
    packaged = tmp_path / "packaged.json"
    packaged.write_text(json.dumps(named("mine", "Packaged")))
    sources = Sources(packaged, tmp_path / "distros.json", tmp_path / "admin", pinned=PINNED)
    CatalogCache(sources.cache, PINNED).install(*edition(4))
    loaded = Catalog.load(sources)
    assert (loaded.get("mine").name, loaded.get("mine").layer) == ("Edition 4", Layer.CACHE)
    assert loaded.cached is not None
    assert loaded.with_user_layer(5, ()).cached == loaded.cached
    (sources.admin / "a.json").write_text(json.dumps(named("mine", "Admin")))
    assert Catalog.load(sources).get("mine").name == "Admin"
    # another key is pinned: the packaged list counts again
    stale = Catalog.load(replace(sources, pinned=frozenset({OTHER})))
    assert (stale.cached, len(stale.problems)) == (None, 1)


def test_all_who_keep_a_catalogue_see_it_renewed(tmp_path: Path) -> None:
    sources = Sources(None, tmp_path / "distros.json", tmp_path / "admin", pinned=PINNED)
    kept = Catalog.load(sources)
    with_own = kept.with_user_layer(5, Catalog.load(sources).distributions()[:1])
    CatalogCache(sources.cache, PINNED).install(*edition(1))
    for each in (kept, with_own):
        each.renew(Catalog.load(sources))
        assert each.get("mine").name == "Edition 1"
    assert with_own.distributions(5) != with_own.distributions()
