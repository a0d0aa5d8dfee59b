"""Who gives way: the least recently used, never what is pinned, in use or only somebody's own; and what is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import NotEnoughSpaceError
from luxusbd.images.keeping import (
    Holding,
    Kind,
    Limits,
    Need,
    Situation,
    charged_to,
    make_room,
    taken,
)

ALICE, BOB, ROOT = 1000, 1001, 0
MIB = 1024 * 1024
PLENTY = 1 << 40


def image(key: str, size: int, used: int, **fields: object) -> Holding:
    kind = fields.pop("kind", Kind.IMAGE)
    assert isinstance(kind, Kind)
    return Holding(key, kind, size, used, **fields)  # type: ignore[arg-type]


def keys(gone: tuple[Holding, ...]) -> list[str]:
    return [one.key for one in gone]


def test_the_least_recently_used_go_and_no_more_than_needed() -> None:
    there = (image("new", 10, 30), image("old", 10, 10), image("middle", 10, 20))
    now = Situation(there, free=PLENTY)
    assert keys(make_room(Need(ALICE, 5), now, Limits(quota=35))) == []
    assert keys(make_room(Need(ALICE, 6), now, Limits(quota=35))) == ["old"]
    assert keys(make_room(Need(ALICE, 25), now, Limits(quota=35))) == ["old", "middle"]
    assert keys(make_room(Need(ALICE, 0), now, Limits(quota=1))) == []
    with pytest.raises(NotEnoughSpaceError):
        make_room(Need(ALICE, 36), now, Limits(quota=35))


def test_the_disk_keeps_its_reserve() -> None:
    now = Situation((image("old", 10, 1), image("new", 10, 2)), free=7)
    assert keys(make_room(Need(ALICE, 5), now, Limits(reserve=2))) == []
    assert keys(make_room(Need(ALICE, 6), now, Limits(reserve=2))) == ["old"]
    with pytest.raises(NotEnoughSpaceError, match="filesystem"):
        make_room(Need(ALICE, 26), now, Limits(reserve=2))


def test_what_was_promised_is_not_promised_again() -> None:
    now = Situation(promised={BOB: 60}, free=100)
    assert make_room(Need(ALICE, 40), now, Limits(quota=100)) == ()
    for limits in (Limits(quota=100), Limits()):
        with pytest.raises(NotEnoughSpaceError, match="60 bytes are in use or promised"):
            make_room(Need(ALICE, 41), now, limits)


def test_what_stays_whatever_happens() -> None:
    there = (
        image("pinned", 10, 1, pinned=True),
        image("busy", 10, 1, in_use=True),
        image("own", 10, 1, kind=Kind.IMPORT),
        image("orphan", 10, 1, kind=Kind.ORPHAN),
        image("part", 10, 5, kind=Kind.PARTIAL),
    )
    now = Situation(there, free=PLENTY)
    assert keys(make_room(Need(ALICE, 10), now, Limits(quota=50))) == ["part"]
    assert keys(make_room(Need(ALICE, 20), now, Limits(quota=50, clean_imports=True))) == ["own", "part"]
    with pytest.raises(NotEnoughSpaceError) as refused:
        make_room(Need(ALICE, 11), now, Limits(quota=50))
    assert str(refused.value) == (
        "the image store has no room: 11 bytes more are needed and 0 bytes are free and 10 bytes could be removed,"
        " limited by the quota of 50 bytes ([images] quota); 10 bytes are pinned, 10 bytes are in use or promised to"
        " jobs, 10 bytes are imported images, which only their owners remove, 10 bytes are damaged"
        " (`luxusb images --prune`); delete or unpin images (`luxusb images`), wait until jobs have ended, or let the"
        " administrator raise the quota"
    )


def test_a_user_has_his_own_quota_and_root_has_none() -> None:
    there = (
        image("hers", 10, 1, charged=frozenset({ALICE})),
        image("his", 10, 0, charged=frozenset({BOB})),
        image("everybody's", 10, 0),
    )
    now = Situation(there, {ALICE: 5}, free=PLENTY)
    limits = Limits(quota_per_user=20)
    assert (charged_to(ALICE, now), charged_to(BOB, now), taken(now)) == (15, 10, 35)
    assert make_room(Need(ALICE, 5), now, limits) == ()
    assert keys(make_room(Need(ALICE, 6), now, limits)) == ["hers"]
    with pytest.raises(NotEnoughSpaceError, match=r"your quota of 20 bytes \(\[images\] quota_per_user\)"):
        make_room(Need(ALICE, 16), now, limits)
    assert make_room(Need(ROOT, 1000), now, limits) == ()


def test_a_file_that_was_larger_than_promised_is_held_against_the_quotas_alone() -> None:
    now = Situation((image("old", 10, 1), image("written", 50, 9, kind=Kind.PARTIAL, in_use=True)), free=0)
    assert keys(make_room(Need(ALICE, 0, written=True), now, Limits(quota=55, reserve=100))) == ["old"]
    with pytest.raises(NotEnoughSpaceError, match="15 bytes more are needed"):
        make_room(Need(ALICE, 0, written=True), now, Limits(quota=45, reserve=100))


UIDS = st.sampled_from([ROOT, ALICE, BOB])
HOLDINGS = st.lists(
    st.builds(
        Holding,
        key=st.uuids().map(str),
        kind=st.sampled_from(Kind),
        size=st.integers(0, 50),
        last_used=st.integers(0, 9),
        pinned=st.booleans(),
        in_use=st.booleans(),
        charged=st.frozensets(UIDS),
    ),
    max_size=8,
    unique_by=lambda one: one.key,
).map(tuple)
SITUATIONS = st.builds(
    Situation, HOLDINGS, promised=st.dictionaries(UIDS, st.integers(0, 50)), free=st.integers(0, 300)
)
LIMITS = st.builds(
    Limits, st.integers(0, 300), st.integers(0, 150), reserve=st.integers(0, 50), clean_imports=st.booleans()
)


@given(SITUATIONS, LIMITS, UIDS, st.integers(1, 200))
def test_whatever_is_granted_fits(now: Situation, limits: Limits, uid: int, missing: int) -> None:
    may_go = [
        one
        for one in now.holdings
        if not one.pinned
        and not one.in_use
        and one.size
        and (one.kind in (Kind.IMAGE, Kind.PARTIAL) or (limits.clean_imports and one.kind is Kind.IMPORT))
    ]

    def fits(gone: tuple[Holding, ...]) -> bool:
        left = tuple(one for one in now.holdings if one not in gone)
        after = Situation(left, now.promised, now.free + sum(one.size for one in gone))
        return (
            after.free - sum(now.promised.values()) - missing >= limits.reserve
            and (not limits.quota or taken(after) + missing <= limits.quota)
            and (not limits.quota_per_user or uid == ROOT or charged_to(uid, after) + missing <= limits.quota_per_user)
        )

    try:
        gone = make_room(Need(uid, missing), now, limits)
    except NotEnoughSpaceError:
        assert not fits(tuple(may_go))
        return
    assert fits(gone)
    assert set(gone) <= set(may_go)
    assert len(set(gone)) == len(gone)
    # without the last one it would not have been enough
    assert not gone or not fits(gone[:-1])
    # nobody went while something that was used longer ago stayed, unless for the quota of one user
    stayed = [one for one in may_go if one not in gone]
    if gone and not (limits.quota_per_user and uid != ROOT):
        assert max(one.last_used for one in gone) <= min([one.last_used for one in stayed], default=99)
