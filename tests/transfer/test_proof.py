"""Signed lists of hashes: keys, signatures and lists made by gpg, checked as an import does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luxusbd import process
from luxusbd.errors import InvalidArgumentError, LuxusbError, MalformedImageError, ToolMissingError, VerificationError
from luxusbd.transfer.openpgp import MAX_KEY
from luxusbd.transfer.proof import Proof, prove, read_small
from luxusbd.transfer.sums import Sum
from tests.transfer.keys import Keys

A, B = "a1" * 32, "b2" * 32
SUMS = f"{A}  x.iso\n{B}  y.iso\n".encode()
NAMES = ("x.iso",)
RIGHT = (Sum("x.iso", "sha256", A),)


@pytest.fixture(scope="module")
def maker(keys: Keys) -> str:
    return keys.make("maker")


@pytest.fixture(scope="module")
def other(keys: Keys) -> str:
    return keys.make("other")


@pytest.mark.parametrize("armored_key", [False, True])
@pytest.mark.parametrize("armored", [False, True])
async def test_a_detached_signature(keys: Keys, maker: str, armored: bool, armored_key: bool) -> None:
    proof = await prove(SUMS, keys.sign(SUMS, maker, armor=armored), keys.export(maker, armor=armored_key), NAMES)
    assert proof == Proof(RIGHT, maker, maker)


async def test_a_signature_inside(keys: Keys, maker: str) -> None:
    signed = keys.clearsign(b"- a dash\n" + SUMS, maker)
    assert await prove(signed, None, keys.export(maker), NAMES) == Proof(RIGHT, maker, maker)
    # without a key nobody looks at the signature, and nobody claims it
    assert await prove(signed, None, None, NAMES) == Proof(RIGHT)


async def test_only_what_was_signed_counts(keys: Keys, maker: str) -> None:
    signed = keys.clearsign(SUMS, maker)
    forged = f"{B}  x.iso\n".encode()
    for text in (forged + signed, signed + forged, forged + signed + forged):
        assert (await prove(text, None, keys.export(maker), NAMES)).sums == RIGHT
    hidden = signed.replace(b"\nHash:", b"\n" + forged + b"Hash:")
    with pytest.raises(VerificationError):
        await prove(hidden, None, keys.export(maker), NAMES)
    with pytest.raises(VerificationError):
        await prove(signed.replace(A.encode(), B.encode()), None, keys.export(maker), NAMES)


async def test_a_second_text_that_nobody_signed(keys: Keys, maker: str) -> None:
    """A frame without a valid signature behind one that has it."""
    signed = keys.clearsign(f"{B}  y.iso\n{B}  z.iso\n".encode(), maker)
    second = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + SUMS
    for text in (signed + second, second + signed):
        with pytest.raises(VerificationError):
            await prove(text, None, keys.export(maker), NAMES)


async def test_one_of_several_keys(keys: Keys, maker: str, other: str) -> None:
    both = keys.export(maker) + keys.export(other)
    assert (await prove(SUMS, keys.sign(SUMS, other), both, NAMES)).fingerprint == other
    armored = keys.export(maker, armor=True) + b"\n" + keys.export(other, armor=True)
    assert (await prove(SUMS, keys.sign(SUMS, other), armored, NAMES)).fingerprint == other
    # signed by two, of whom one is known
    twice = keys.sign(SUMS, other, maker)
    assert (await prove(SUMS, twice, keys.export(maker), NAMES)).fingerprint == maker


async def test_a_subkey_signs_for_its_key(keys: Keys) -> None:
    primary = keys.make("sub")
    subkey = keys.add_subkey(primary)
    proof = await prove(SUMS, keys.sign(SUMS, subkey), keys.export(primary), NAMES)
    assert (proof.fingerprint, proof.signing_key) == (primary, subkey)


async def test_another_s_signature(keys: Keys, maker: str, other: str) -> None:
    with pytest.raises(VerificationError, match=f"made by the key {other}, which is not among the keys"):
        await prove(SUMS, keys.sign(SUMS, other), keys.export(maker), NAMES)


async def test_a_changed_list(keys: Keys, maker: str) -> None:
    with pytest.raises(VerificationError, match="does not fit the list of hashes"):
        await prove(SUMS + b" ", keys.sign(SUMS, maker), keys.export(maker), NAMES)


async def test_an_expired_key(keys: Keys) -> None:
    old = keys.make("old", "2020-02-01", at="20200101T000000")
    signature = keys.sign(SUMS, old, at="20200102T000000")
    with pytest.raises(VerificationError, match=f"the key {old} that signed has expired"):
        await prove(SUMS, signature, keys.export(old), NAMES)


async def test_a_revoked_key(keys: Keys) -> None:
    gone = keys.make("gone")
    signature = keys.sign(SUMS, gone)
    keys.revoke(gone)
    with pytest.raises(VerificationError, match=f"the key {gone} that signed was revoked"):
        await prove(SUMS, signature, keys.export(gone), NAMES)


@pytest.mark.parametrize(
    ("signature", "key", "kind", "said"),
    [
        (b"rubbish", None, VerificationError, "no signature that could be checked"),
        (b"", None, VerificationError, "no signature that could be checked"),
        (None, None, VerificationError, "is not signed"),
        (b"x", b"rubbish", MalformedImageError, "no OpenPGP public key"),
        (b"x", b"", MalformedImageError, "no OpenPGP public key"),
        (b"x", b"\x99\xff\xff\xff", VerificationError, "no signature"),
        (
            b"x",
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!!\n-----END PGP PUBLIC KEY BLOCK-----\n",
            MalformedImageError,
            "key file is damaged",
        ),
    ],
)
async def test_files_that_are_none(
    keys: Keys, maker: str, signature: bytes | None, key: bytes | None, kind: type[LuxusbError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        await prove(SUMS, signature, keys.export(maker) if key is None else key, NAMES)


async def test_a_signature_without_a_key() -> None:
    with pytest.raises(InvalidArgumentError, match="without a key proves nothing"):
        await prove(SUMS, b"signature", None, NAMES)


async def test_without_gpgv(keys: Keys, maker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("setpriv",):
        (tmp_path / name).symlink_to(process.find_program(name))
    monkeypatch.setattr(process, "SEARCH_PATH", str(tmp_path))
    signature, key = keys.sign(SUMS, maker), keys.export(maker)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="install the package gpgv"):
        await prove(SUMS, signature, key, NAMES)


async def test_no_descriptor_is_left(keys: Keys, maker: str) -> None:
    signature, key = keys.sign(SUMS, maker), keys.export(maker)
    await prove(SUMS, signature, key, NAMES)
    before = len(list(Path("/proc/self/fd").iterdir()))
    await prove(SUMS, signature, key, NAMES)
    with pytest.raises(VerificationError):
        await prove(SUMS + b"x", signature, key, NAMES)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_reading_what_a_user_passed(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"x" * 100)
    read, write = os.pipe()
    with path.open("rb") as file, path.open("ab") as writing:
        assert read_small(file.fileno(), 100, "the key") == b"x" * 100
        for fd, said in ((read, "no regular file"), (writing.fileno(), "cannot be read")):
            with pytest.raises(InvalidArgumentError, match=said):
                read_small(fd, MAX_KEY, "the key")
        with pytest.raises(InvalidArgumentError, match="more than 99 bytes"):
            read_small(file.fileno(), 99, "the key")
    os.close(read)
    os.close(write)
