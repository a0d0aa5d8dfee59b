"""The word of an image's maker: keys, signatures and lists made by gpg, fetched from a server with TLS."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd import process
from luxusbd.errors import MalformedImageError, NetworkError, UntrustedError, VerificationError
from luxusbd.transfer.makers import Vouching
from luxusbd.transfer.model import Claim, Digest, MakersWord
from luxusbd.transfer.pinned import pinned_key
from luxusbd.transfer.small import SmallFiles
from luxusbd.transfer.source import default_session
from tests.harness.maker import Maker
from tests.harness.service import environment
from tests.harness.tls import Authority
from tests.transfer.keys import Keys

IMAGE = b"an image" * 1000
SHA256, SHA512 = (hashlib.new(name, IMAGE).hexdigest() for name in ("sha256", "sha512"))
OTHER = "0b" * 32
SUMS = f"{OTHER} *y.iso\n{SHA256} *x.iso\n".encode()


@pytest.fixture(scope="module")
def pinned(keys: Keys) -> str:
    return keys.make("maker")


@pytest.fixture(scope="module")
def stranger(keys: Keys) -> str:
    return keys.make("stranger")


@pytest.fixture
async def vouching(authority: Authority) -> AsyncIterator[Vouching]:
    async with SmallFiles(lambda: default_session(authority.client), patience=5.0) as files:
        yield Vouching(files, pause=0.01)


@pytest.fixture
def claim(maker: Maker, pinned: str) -> Claim:
    return Claim(
        fingerprint=pinned,
        names=("x.iso",),
        digests=(Digest("sha256", SHA256),),
        sums_url=maker.at("SHA256SUMS"),
        signature_url=maker.at("SHA256SUMS.gpg"),
    )


def publish(maker: Maker, keys: Keys, key: str, sums: bytes = SUMS, name: str = "SHA256SUMS") -> None:
    maker.put(name, sums)
    maker.put(f"{name}.gpg", keys.sign(sums, key))


def check_signed(word: MakersWord, primary: str, signing: str = "") -> None:
    assert word.signed, word.reason
    assert (word.fingerprint, word.signing_key, word.reason) == (primary, signing or primary, "")


def check_silent(word: MakersWord, said: str, *, unreachable: bool = False) -> None:
    assert not word.signed
    assert said in word.reason
    assert (word.unreachable, word.fingerprint, word.digests) == (unreachable, "", ())


async def test_a_signed_list(vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str) -> None:
    publish(maker, keys, pinned)
    word = await vouching.by_list(claim, keys.export(pinned))
    check_signed(word, pinned)
    assert word.digests == (Digest("sha256", SHA256),)
    assert all(one.headers["Cache-Control"] == "no-cache" for one in maker.asked)


async def test_a_list_with_the_signature_in_it(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str
) -> None:
    body = f"# x.iso: 1 bytes\nSHA256 (x.iso) = {SHA256}\nSHA256 (y.iso) = {OTHER}\n".encode()
    url = maker.put("x-CHECKSUM", keys.clearsign(body, pinned))
    alone = replace(claim, sums_url=url, signature_url="")
    check_signed(await vouching.by_list(alone, keys.export(pinned, armor=True)), pinned)
    maker.put("x-CHECKSUM", body)
    check_silent(await vouching.by_list(alone, keys.export(pinned)), "the list of hashes is not signed")


async def test_a_subkey_is_resolved_to_its_key(vouching: Vouching, maker: Maker, claim: Claim, keys: Keys) -> None:
    primary = keys.make("withsub")
    subkey = keys.add_subkey(primary)
    publish(maker, keys, subkey)
    check_signed(await vouching.by_list(replace(claim, fingerprint=primary), keys.export(primary)), primary, subkey)
    # the subkey's own fingerprint is not what is pinned
    word = await vouching.by_list(replace(claim, fingerprint=subkey), keys.export(primary))
    check_silent(word, f"no copy of the key is here: {subkey}")


async def test_a_foreign_subkey_is_no_part_of_a_key(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str
) -> None:
    """Somebody puts the subkey of his own key behind the pinned one: only the primary key can bind it."""
    thief = keys.make("thief")
    subkey = keys.add_subkey(thief)
    publish(maker, keys, subkey)
    whole = keys.export(thief)
    start = whole.rindex(keys.packet_of(thief, subkey))
    forged = keys.export(pinned) + whole[start:]
    assert pinned_key(forged, pinned) == forged
    word = await vouching.by_list(claim, forged)
    check_silent(word, f"made by the key {subkey}, which is not among the keys given, or cannot be used")


async def test_a_list_of_another_algorithm(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str
) -> None:
    publish(maker, keys, pinned, f"{SHA512}  x.iso\n".encode(), "SHA512SUMS")
    longer = replace(claim, sums_url=maker.at("SHA512SUMS"), signature_url=maker.at("SHA512SUMS.gpg"))
    word = await vouching.by_list(longer, keys.export(pinned))
    check_signed(word, pinned)
    assert word.digests == (Digest("sha512", SHA512),)


async def test_the_maker_names_another_hash(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str
) -> None:
    sums = f"{OTHER} *x.iso\n".encode()
    maker.put("SHA256SUMS", sums)
    maker.put("SHA256SUMS.gpg", keys.sign(sums, pinned))
    with pytest.raises(VerificationError) as refused:
        await vouching.by_list(claim, keys.export(pinned))
    for word in (OTHER, SHA256, pinned, "catalogue that is out of date, or was forged", "SHA256SUMS"):
        assert word in refused.value.message


async def test_a_list_that_does_not_name_it(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str
) -> None:
    publish(maker, keys, pinned, f"{OTHER} *y.iso\n{OTHER} *z.iso\n".encode())
    check_silent(await vouching.by_list(claim, keys.export(pinned)), "does not name x.iso; it names y.iso, z.iso")
    publish(maker, keys, pinned, b"d41d8cd98f00b204e9800998ecf8427e  x.iso\n")
    check_silent(await vouching.by_list(claim, keys.export(pinned)), "MD5 alone, which prove nothing")


async def test_a_forged_list(vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str) -> None:
    publish(maker, keys, pinned)
    maker.put("SHA256SUMS", SUMS.replace(SHA256.encode(), OTHER.encode()))
    check_silent(await vouching.by_list(claim, keys.export(pinned)), "does not fit the list of hashes")
    # the list came anew with its signature twice before that was believed
    assert maker.paths().count("SHA256SUMS") == maker.paths().count("SHA256SUMS.gpg") == 3


async def test_another_s_key(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str, stranger: str
) -> None:
    publish(maker, keys, stranger)
    check_silent(await vouching.by_list(claim, keys.export(pinned)), f"made by the key {stranger}")
    # a file of keys that holds both: only the pinned one counts
    both = keys.export(pinned) + keys.export(stranger)
    check_silent(await vouching.by_list(claim, both), f"made by the key {stranger}")


async def test_no_signature(vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str) -> None:
    maker.put("SHA256SUMS", SUMS)
    check_silent(await vouching.by_list(claim, keys.export(pinned)), "answered 404", unreachable=True)
    maker.put("SHA256SUMS.gpg", b"<html>not what you think</html>")
    check_silent(await vouching.by_list(claim, keys.export(pinned)), "no signature that could be checked")


async def test_a_list_that_is_newer_than_its_signature(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str
) -> None:
    """A server in the middle of an update: the pair is fetched again, and nothing unsigned is taken."""
    old = keys.sign(b"the list of yesterday", pinned)
    new = keys.sign(SUMS, pinned)
    answers = iter([old, old, new])
    maker.put("SHA256SUMS", SUMS)
    maker.put("SHA256SUMS.gpg", lambda: next(answers))
    check_signed(await vouching.by_list(claim, keys.export(pinned)), pinned)


async def test_a_pair_from_two_servers(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str, authority: Authority
) -> None:
    async with Maker(authority.good) as mirror:
        publish(mirror, keys, pinned)
        maker.redirects["SHA256SUMS"] = mirror.at("SHA256SUMS")
        maker.put("SHA256SUMS.gpg", keys.sign(b"the list of yesterday", pinned))
        check_signed(await vouching.by_list(claim, keys.export(pinned)), pinned)
        assert "SHA256SUMS.gpg" in mirror.paths()


async def test_a_list_for_many_images_is_fetched_once(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str
) -> None:
    publish(maker, keys, pinned)
    key = keys.export(pinned)
    check_signed(await vouching.by_list(claim, key), pinned)
    other = replace(claim, names=("y.iso",), digests=(Digest("sha256", OTHER),))
    check_signed(await vouching.by_list(other, key), pinned)
    assert [(one.path, one.status) for one in maker.asked[2:]] == [("SHA256SUMS", 304)]
    # a new list comes with a new signature
    publish(maker, keys, pinned, f"{OTHER} *z.iso\n{OTHER} *y.iso\n".encode())
    check_signed(await vouching.by_list(other, key), pinned)
    check_silent(await vouching.by_list(claim, key), "does not name x.iso")


async def test_an_expired_key_and_its_newer_copy(vouching: Vouching, maker: Maker, claim: Claim, keys: Keys) -> None:
    old = keys.make("old", "2020-02-01", at="20200101T000000")
    maker.put("SHA256SUMS", SUMS)
    maker.put("SHA256SUMS.gpg", keys.sign(SUMS, old, at="20200102T000000"))
    expired = keys.export(old)
    theirs = replace(claim, fingerprint=old)
    check_silent(await vouching.by_list(theirs, expired), f"the key {old} that signed has expired")
    url = maker.put("key.asc", expired)
    check_silent(await vouching.by_list(replace(theirs, key_url=url), expired), "has expired")
    keys.gpg("--quick-set-expire", old, "0")
    maker.put("key.asc", keys.export(old, armor=True))
    word = await vouching.by_list(replace(theirs, key_url=url), expired)
    check_signed(word, old)
    assert word.key == keys.export(old)


async def test_a_revoked_key(vouching: Vouching, maker: Maker, claim: Claim, keys: Keys) -> None:
    gone = keys.make("gone")
    publish(maker, keys, gone)
    keys.revoke(gone)
    word = await vouching.by_list(replace(claim, fingerprint=gone), keys.export(gone))
    check_silent(word, f"the key {gone} that signed was revoked")


async def test_keys_that_are_fetched(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str, stranger: str
) -> None:
    publish(maker, keys, pinned)
    check_silent(await vouching.by_list(claim, None), f"no copy of the key is here: {pinned}")
    url = maker.put("keys.asc", keys.export(stranger, armor=True))
    fetched = replace(claim, key_url=url)
    check_silent(await vouching.by_list(fetched, None), f"is not the key {pinned}")
    maker.put("keys.asc", keys.export(stranger, armor=True) + keys.export(pinned, armor=True))
    for at_hand in (None, keys.export(stranger)):
        word = await vouching.by_list(fetched, at_hand)
        check_signed(word, pinned)
        assert word.key == keys.export(pinned)
    maker.put("keys.asc", b"<html>moved</html>")
    check_silent(await vouching.by_list(fetched, None), "no OpenPGP public key")
    check_silent(await vouching.by_list(claim, b"rubbish"), "no OpenPGP public key")


async def test_addresses_that_are_not_safe(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str, authority: Authority
) -> None:
    publish(maker, keys, pinned)
    key = keys.export(pinned)
    async with Maker(None) as plain:
        publish(plain, keys, pinned)
        insecure = replace(claim, sums_url=plain.at("SHA256SUMS"))
        check_silent(await vouching.by_list(insecure, key), "which is no https address", unreachable=True)
        maker.redirects["SHA256SUMS"] = plain.at("SHA256SUMS")
        check_silent(await vouching.by_list(claim, key), "which is no https address", unreachable=True)
        assert plain.asked == []
    del maker.redirects["SHA256SUMS"]
    maker.redirects["loop"] = maker.at("loop")
    check_silent(await vouching.by_list(replace(claim, sums_url=maker.at("loop")), key), "more than", unreachable=True)
    async with Maker(authority.expired) as bad:
        publish(bad, keys, pinned)
        invalid = replace(claim, sums_url=bad.at("SHA256SUMS"))
        check_silent(await vouching.by_list(invalid, key), "cannot be had", unreachable=True)
    maker.put("SHA256SUMS.gpg", bytes(300 * 1024))
    check_silent(await vouching.by_list(claim, key), "has more than 256 KiB", unreachable=True)


async def test_a_silent_server(maker: Maker, claim: Claim, keys: Keys, pinned: str, authority: Authority) -> None:
    publish(maker, keys, pinned)
    maker.silent.add("SHA256SUMS")
    async with SmallFiles(lambda: default_session(authority.client), patience=0.2) as files:
        word = await Vouching(files).by_list(claim, keys.export(pinned))
    check_silent(word, "did not come within 0.2 seconds", unreachable=True)


async def test_without_gpgv(
    vouching: Vouching,
    maker: Maker,
    claim: Claim,
    keys: Keys,
    pinned: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    publish(maker, keys, pinned)
    key = keys.export(pinned)
    (tmp_path / "setpriv").symlink_to(process.find_program("setpriv"))
    monkeypatch.setattr(process, "SEARCH_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    check_silent(await vouching.by_list(claim, key), "install the package gpgv")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data, ""),
        (lambda data: data[:-1] + b"!", "does not fit the file"),
        (lambda data: b"", "does not fit the file"),
    ],
)
async def test_the_signature_of_the_image_itself(
    vouching: Vouching,
    maker: Maker,
    claim: Claim,
    keys: Keys,
    pinned: str,
    tmp_path: Path,
    change: Callable[[bytes], bytes],
    said: str,
) -> None:
    path = tmp_path / "x.iso"
    path.write_bytes(change(IMAGE))
    url = maker.put("x.iso.sig", keys.sign(IMAGE, pinned))
    own = replace(claim, sums_url="", signature_url=url)
    fd = os.open(path, os.O_RDONLY)
    try:
        word = await vouching.by_image(own, keys.export(pinned), fd)
    finally:
        os.close(fd)
    if said:
        check_silent(word, said)
    else:
        check_signed(word, pinned)


async def test_what_a_word_rests_on(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str, stranger: str
) -> None:
    publish(maker, keys, pinned)
    found = await vouching.material(claim, keys.export(pinned) + keys.export(stranger))
    assert (found.sums, found.signature) == (SUMS, maker.files["SHA256SUMS.gpg"])
    # the pinned key and no other, as gpgv reads it
    assert pinned_key(found.key, pinned) == found.key
    assert pinned_key(found.key, stranger) is None
    # a list that holds its signature
    inline = replace(claim, sums_url=maker.put("CHECKSUM", keys.clearsign(SUMS, pinned)), signature_url="")
    found = await vouching.material(inline, keys.export(pinned))
    assert (found.sums, found.signature) == (maker.files["CHECKSUM"], b"")
    # an image that is signed itself, with a key that is fetched
    own = replace(claim, sums_url="", signature_url=maker.put("x.iso.sig", b"a signature"))
    own = replace(own, key_url=maker.put("key.asc", keys.export(pinned, armor=True)))
    found = await vouching.material(own, None)
    assert (found.sums, found.signature) == (b"", b"a signature")
    assert pinned_key(found.key, pinned) == found.key


async def test_no_word_has_nothing_to_rest_on(
    vouching: Vouching, maker: Maker, claim: Claim, keys: Keys, pinned: str, stranger: str
) -> None:
    with pytest.raises(NetworkError, match="404"):
        await vouching.material(claim, keys.export(pinned))
    publish(maker, keys, stranger)
    with pytest.raises(UntrustedError, match=r"x\.iso: "):
        await vouching.material(claim, keys.export(pinned))
    with pytest.raises(UntrustedError, match="no copy of the key"):
        await vouching.material(claim, None)
    publish(maker, keys, pinned, SUMS.replace(SHA256.encode(), OTHER.encode()))
    with pytest.raises(VerificationError, match="the catalogue says"):
        await vouching.material(claim, keys.export(pinned))


AS_NOBODY = """
import asyncio, os, sys
from luxusbd.transfer.openpgp import verify_file
os.setgroups([]); os.setgid(65534); os.setuid(65534)
signature, key = (open(int(fd), "rb").read() for fd in sys.argv[2:4])
pinned = frozenset({sys.argv[4]})
print(asyncio.run(verify_file(int(sys.argv[1]), signature, key, pinned=pinned)).fingerprint)
"""


@pytest.mark.root
def test_an_image_that_only_its_descriptor_lets_read(keys: Keys, pinned: str, tmp_path: Path) -> None:
    """The store belongs to root, and whoever checks signatures is a user without privileges."""
    path = tmp_path / "x.iso"
    path.write_bytes(IMAGE)
    path.chmod(0o600)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("rb"))]
        for name, data in (("sig", keys.sign(IMAGE, pinned)), ("key", keys.export(pinned))):
            (tmp_path / name).write_bytes(data)
            files.append(stack.enter_context((tmp_path / name).open("rb")))
        fds = [file.fileno() for file in files]
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *map(str, fds), pinned],
            pass_fds=fds,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.stdout.strip() == pinned, done.stderr


def test_the_pinned_key_among_others(keys: Keys, pinned: str, stranger: str) -> None:
    mine, other = keys.export(pinned), keys.export(stranger)
    for data in (mine + other, other + mine, keys.export(stranger, armor=True) + keys.export(pinned, armor=True)):
        assert pinned_key(data, pinned) == mine
    assert pinned_key(other, pinned) is None
    assert pinned_key(mine, pinned[-16:]) is None
    for damaged in (mine[:-1], mine + b"\x00", mine + b"\xc2", b"\x99\xff\xff\xff", b"\x9b" + mine):
        with pytest.raises(MalformedImageError):
            pinned_key(damaged, pinned)


def test_an_rsa_key_is_found_by_its_fingerprint(keys: Keys) -> None:
    key = keys.make("rsa", algorithm="rsa2048")
    assert pinned_key(keys.export(key), key) == keys.export(key)
