"""Who signed a catalogue, and whether it is one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import pytest

from luxusbd.errors import CatalogError, InterruptedJobError, VerificationError
from luxusbd.transfer.vouch import Vouched, vouch, vouched_from_json
from tests.catalog.test_schema import document
from tests.transfer.keys import Keys

DATA = json.dumps(document() | {"serial": 1, "expires": "2099-01-01T00:00:00Z"}).encode()


@pytest.fixture(scope="module")
def maker(keys: Keys) -> str:
    return keys.make("maker")


@pytest.fixture(scope="module")
def other(keys: Keys) -> str:
    return keys.make("other")


async def ask(keys: Keys, data: bytes, signature: bytes, *pinned: str, ring: str = "") -> Vouched:
    return await vouch(data, signature, keys.export(ring or pinned[0]), frozenset(pinned), "x.json")


async def test_a_pinned_key_vouches(keys: Keys, maker: str) -> None:
    for armor in (False, True):
        found = await ask(keys, DATA, keys.sign(DATA, maker, armor=armor), maker)
        assert found == Vouched(hashlib.sha256(DATA).hexdigest(), maker, maker)


async def test_a_key_of_the_file_that_is_not_pinned_does_not(keys: Keys, maker: str, other: str) -> None:
    both = keys.export(maker) + keys.export(other)
    with pytest.raises(VerificationError, match=f"made by the key {other}, which is not one of those that may sign"):
        await vouch(DATA, keys.sign(DATA, other), both, frozenset({maker}), "x")
    # signed by both, in either order: the pinned one counts
    for signers in ((maker, other), (other, maker)):
        found = await vouch(DATA, keys.sign(DATA, *signers), both, frozenset({maker}), "x")
        assert found.fingerprint == maker


async def test_a_stranger_does_not(keys: Keys, maker: str, other: str) -> None:
    with pytest.raises(VerificationError, match=f"{other}, which is not among the keys given.*stays as it is"):
        await ask(keys, DATA, keys.sign(DATA, other), maker)


async def test_a_changed_document(keys: Keys, maker: str) -> None:
    with pytest.raises(VerificationError, match="does not fit the catalogue"):
        await ask(keys, DATA + b" ", keys.sign(DATA, maker), maker)


async def test_a_key_that_has_expired(keys: Keys) -> None:
    old = keys.make("old", "2020-02-01", at="20200101T000000")
    with pytest.raises(VerificationError, match=f"the key {old} that signed has expired"):
        await ask(keys, DATA, keys.sign(DATA, old, at="20200102T000000"), old)


async def test_a_document_with_its_signature_inside_is_none(keys: Keys, maker: str) -> None:
    with pytest.raises(VerificationError):
        await ask(keys, keys.clearsign(DATA, maker), b"", maker)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not valid JSON"),
        (b"{}", r"x\.json: \$: found an object, expected an object with version"),
        (json.dumps(document() | {"serial": -1}).encode(), r"x\.json: \$\.serial: found -1"),
        (json.dumps(document() | {"version": "3.0"}).encode(), "update luxusbd to read this catalogue"),
    ],
)
async def test_a_signature_makes_no_catalogue(keys: Keys, maker: str, data: bytes, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        await ask(keys, data, keys.sign(data, maker), maker)


GOOD: dict[str, Any] = asdict(Vouched("a" * 64, "B" * 40, "C" * 64))


@pytest.mark.parametrize(
    "value",
    [None, [], {}, 5, *({**GOOD, key: bad} for key in GOOD for bad in (None, "", "x", 5, GOOD[key] + "0"))],
)
def test_nonsense(value: object) -> None:
    with pytest.raises(InterruptedJobError, match="nonsense"):
        vouched_from_json(value)


def test_sense() -> None:
    assert asdict(vouched_from_json(GOOD)) == GOOD
