"""The answers of a transfer process that may have been taken over."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from luxusbd.errors import FailedError
from luxusbd.transfer.importcodec import image_proof_from_json, proof_from_json, received_from_json
from luxusbd.transfer.importmodel import Content, Received
from luxusbd.transfer.packing import Packing
from luxusbd.transfer.proof import Proof
from luxusbd.transfer.sums import Sum

HASH = "ab" * 32
CONTENT = Content(5, {"sha256": HASH, "sha512": "cd" * 64})


def wire(value: Any) -> Any:
    return json.loads(json.dumps(asdict(value)))


@pytest.mark.parametrize(
    "value",
    [Received(CONTENT, cloned=True), Received(CONTENT, Packing.ZIP, Content(9, {"sha256": HASH}), "a.iso")],
)
def test_received(value: Received) -> None:
    assert received_from_json(wire(value)) == value


@pytest.mark.parametrize(
    "value", [Proof((Sum("a", "sha512", "0" * 128),)), Proof((Sum("", "sha256", HASH),), "A" * 40)]
)
def test_proof(value: Proof) -> None:
    assert proof_from_json(wire(value)) == value


RECEIVED = wire(Received(CONTENT, Packing.XZ, CONTENT))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {**RECEIVED, "image": None},
        {**RECEIVED, "image": {"size": True, "digests": {"sha256": HASH}}},
        {**RECEIVED, "image": {"size": -1, "digests": {"sha256": HASH}}},
        {**RECEIVED, "image": {"size": 5, "digests": {"sha256": "../../etc"}}},
        {**RECEIVED, "image": {"size": 5, "digests": {"sha512": HASH}}},
        {**RECEIVED, "image": {"size": 5, "digests": {"sha256": HASH, "md5": HASH}}},
        {**RECEIVED, "packing": "rar"},
        {**RECEIVED, "packing": 7},
        {**RECEIVED, "packing": None},
        {**RECEIVED, "packed": None},
        {**RECEIVED, "member": 5},
    ],
)
def test_nonsense_about_an_image(value: object) -> None:
    with pytest.raises(FailedError, match="sent nonsense"):
        received_from_json(value)


def test_a_member_s_name_is_cleaned() -> None:
    value = {**wire(Received(CONTENT, Packing.ZIP, CONTENT)), "member": "a\x1b[2J\u202eb.iso"}
    assert received_from_json(value).member == "a[2Jb.iso"


PROOF = wire(Proof((Sum("a", "sha256", HASH),)))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {**PROOF, "sums": []},
        {**PROOF, "sums": PROOF["sums"] * 17},
        {**PROOF, "sums": ["x"]},
        {**PROOF, "sums": [{**PROOF["sums"][0], "algorithm": "md5"}]},
        {**PROOF, "sums": [{**PROOF["sums"][0], "digest": "x"}]},
        {**PROOF, "fingerprint": "a trusted friend"},
        {**PROOF, "signing_key": None},
    ],
)
def test_nonsense_about_a_proof(value: object) -> None:
    with pytest.raises(FailedError, match="sent nonsense"):
        proof_from_json(value)


def test_who_signed_an_image() -> None:
    signed = {"sums": [], "fingerprint": "AB" * 20, "signing_key": "CD" * 20}
    assert image_proof_from_json(signed) == Proof((), "AB" * 20, "CD" * 20)
    for changed in ({"fingerprint": ""}, {"fingerprint": 1}, {"sums": None}, {"sums": [1]}, {"signing_key": "x"}):
        with pytest.raises(FailedError):
            image_proof_from_json(signed | changed)
