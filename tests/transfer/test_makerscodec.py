"""Words of makers and metalinks as they travel, and the answers of a transfer process that may have been taken over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luxusbd.errors import InvalidArgumentError
from luxusbd.transfer.makerscodec import (
    claim_from_json,
    claim_to_json,
    directions_from_json,
    directions_to_json,
    sizes_from_json,
    word_from_json,
    word_to_json,
)
from luxusbd.transfer.model import Claim, Digest, Directions, MakersWord, MirrorUrl, PieceHashes

A = "AB" * 20
DIGEST = Digest("sha256", "a1" * 32)
CLAIM = Claim(A, ("x.iso",), (DIGEST,), "https://a.example/S", "https://a.example/S.gpg", "")
SIGNED = MakersWord(True, "", A, "CD" * 20, (DIGEST,), False, b"\x99key")
DIRECTIONS = Directions(
    (MirrorUrl("https://a.example/x", "DE"),), 5, PieceHashes("sha1", 65536, ("00" * 20,)), (3, 4), "a note"
)


def wire(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_there_and_back() -> None:
    assert claim_from_json(wire(claim_to_json(CLAIM))) == CLAIM
    for word in (SIGNED, MakersWord(False, "why", unreachable=True)):
        assert word_from_json(wire(word_to_json(word))) == word
    for found in (DIRECTIONS, Directions()):
        assert directions_from_json(wire(directions_to_json(found))) == found


def test_a_key_that_is_too_large_is_not_handed_on() -> None:
    assert word_to_json(MakersWord(True, key=bytes(2 << 20)))["key"] == ""


@pytest.mark.parametrize(
    "change",
    [
        {"signed": "yes"},
        {"signed": None},
        {"reason": 5},
        {"fingerprint": ""},
        {"fingerprint": "ab" * 20},
        {"signing_key": "../.."},
        {"digests": [{"algorithm": "md5", "value": "0" * 32}]},
        {"digests": {}},
        {"key": "%%%"},
        {"key": None},
    ],
)
def test_nonsense_words(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        word_from_json({**wire(word_to_json(SIGNED)), **change})
    with pytest.raises(InvalidArgumentError):
        word_from_json([])


@pytest.mark.parametrize(
    "change",
    [
        {"mirrors": None},
        {"mirrors": [5]},
        {"mirrors": [{"url": "file:///etc/passwd", "country": ""}]},
        {"mirrors": [{"url": "https://a.example/ x", "country": ""}]},
        {"mirrors": [{"url": "https://a.example/x", "country": "Germany"}]},
        {"mirrors": [{"url": "https://a.example/x", "country": ""}] * 201},
        {"size": -1},
        {"size": True},
        {"size": 1 << 63},
        {"older": [-1]},
        {"older": [1] * 65},
        {"pieces": {"algorithm": "sha1", "length": 0, "values": []}},
        {"note": None},
    ],
)
def test_nonsense_directions(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        directions_from_json({**wire(directions_to_json(DIRECTIONS)), **change})
    with pytest.raises(InvalidArgumentError):
        directions_from_json(None)


@pytest.mark.parametrize(
    "change", [{"names": []}, {"names": [5]}, {"names": "x"}, {"fingerprint": "AB"}, {"sums_url": None}]
)
def test_nonsense_claims(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        claim_from_json({**wire(claim_to_json(CLAIM)), **change})


def test_a_hostile_reason_is_one_line() -> None:
    word = word_from_json(wire(word_to_json(MakersWord(False, "a\n\x1b[31mb" + "c" * 1000))))
    assert "\n" not in word.reason
    assert len(word.reason) <= 500


def test_how_much_of_each_room_was_written() -> None:
    assert sizes_from_json({"sizes": [0, 7, 10]}, [5, 7, 10]) == (0, 7, 10)
    wrongs: tuple[Any, ...] = ([], {}, {"sizes": 3}, {"sizes": [1, 2]}, {"sizes": [6, 0, 0]}, {"sizes": [-1, 0, 0]})
    for wrong in wrongs:
        with pytest.raises(InvalidArgumentError):
            sizes_from_json(wrong, [5, 7, 10])
    for strange in ("1", True, 1.0, None):
        with pytest.raises(InvalidArgumentError):
            sizes_from_json({"sizes": [strange, 0, 0]}, [5, 7, 10])
