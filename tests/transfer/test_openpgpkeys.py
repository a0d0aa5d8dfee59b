"""Which keys are in a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import MalformedImageError
from luxusbd.transfer.openpgpkeys import MAX_KEYS, primary_fingerprints
from tests.transfer.keys import Keys


@pytest.fixture(scope="module")
def two(keys: Keys) -> tuple[str, str]:
    first = keys.make("first")
    keys.add_subkey(first)
    return first, keys.make("second", algorithm="rsa3072")


def test_keys_of_gpg(keys: Keys, two: tuple[str, str]) -> None:
    first, second = two
    assert primary_fingerprints(keys.export(first)) == (first,)
    assert primary_fingerprints(keys.export(second, armor=True)) == (second,)
    assert primary_fingerprints(keys.export(first) + keys.export(second) + keys.export(first)) == two
    assert primary_fingerprints(keys.export(first, armor=True) + b"\n" + keys.export(second, armor=True)) == two


def test_what_is_no_file_of_keys(keys: Keys, two: tuple[str, str]) -> None:
    whole = keys.export(two[0])
    for wrong, said in (
        (b"", "no OpenPGP public key"),
        (b"<html>", "no OpenPGP public key"),
        (keys.sign(b"x", two[0]), "no OpenPGP public key"),
        (whole[:-1], "damaged"),
        (whole + b"\x01", "damaged"),
        (whole[:1], "damaged"),
        (b"\x99\xff", "damaged"),
        (b"\xc6\xe1" + bytes(40), "damaged"),
        (b"\x9b" + bytes(40), "no OpenPGP public key"),
        (b"\x98\x01\x03", "version that is not known"),
        (whole * (MAX_KEYS + 1), "17 keys"),
        (bytes(8) + b"KBXf" + bytes(20), "gpg --export"),
    ):
        with pytest.raises(MalformedImageError, match=said):
            primary_fingerprints(wrong)


def test_both_ways_to_say_a_length() -> None:
    # a key of version 6, in a packet of the newer format: one, two and five octets of length
    for body in (b"\x06" + bytes(50), b"\x06" + bytes(500), b"\x06" + bytes(9000)):
        size = len(body)
        if size < 192:
            head = bytes([size])
        elif size < 8384:
            head = bytes([((size - 192) >> 8) + 192, (size - 192) & 0xFF])
        else:
            head = b"\xff" + size.to_bytes(4, "big")
        (found,) = primary_fingerprints(b"\xc6" + head + body)
        assert len(found) == 64


@given(st.binary(max_size=60))
def test_nonsense_is_refused(data: bytes) -> None:
    try:
        found = primary_fingerprints(b"\xc6" + data)
    except MalformedImageError:
        return
    assert all(len(each) in (40, 64) for each in found)
