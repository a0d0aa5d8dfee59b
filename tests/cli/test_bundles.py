"""Bundles without a daemon: the index, hostile directories, copies that were cut, and who signed what."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from luxusb_cli.bundles import directory as directories
from luxusb_cli.bundles import gpg
from luxusb_cli.bundles.directory import Directory, write_all
from luxusb_cli.bundles.index import INDEX, KEY, SIGNATURE, BundleImage, Part, Proofs, index_document, read_index
from luxusb_cli.bundles.making import Digests, copy_image, path_of
from luxusb_cli.bundles.opening import check_list, open_bundle, opened_place, proof_data, wanted_fingerprint
from luxusb_cli.copying import CHUNK
from luxusb_cli.errors import LUXUSB, CliError, UsageError
from luxusb_cli.images import ImageInfo

from luxusbd.errors import CatalogError
from tests.cli import bundles, world
from tests.cli.bundles import refused
from tests.transfer.keys import Keys, made

DATA = world.IMAGE_BYTES
HEX = "0123456789abcdef"


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with tempfile.TemporaryDirectory(prefix="lux-") as place, made(Path(place) / "gpg") as found:
        yield found


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.make(tmp_path / "bundle")


def check_unreadable(bundle: Path, *words: str) -> None:
    with opened_place(str(bundle)) as place, refused(*words):
        open_bundle(place)


# The index

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,30}", fullmatch=True)
hashes = st.text(HEX, min_size=64, max_size=64)
words = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/@"), min_size=1, max_size=20)
parts = st.builds(
    Part, st.builds("images/{}".format, names), st.integers(1, 1 << 40), hashes
)  # fmt: skip
proofs = st.builds(
    Proofs,
    st.text("0123456789ABCDEF", min_size=40, max_size=40),
    st.builds(Part, st.just("proofs/key.gpg"), st.just(9), st.just("a" * 64)),
    st.builds(Part, st.builds("proofs/a/{}".format, names), st.integers(1, 99), hashes),
    st.none() | st.builds(Part, st.builds("proofs/b/{}".format, names), st.integers(1, 99), hashes),
    names,
)
images = st.builds(
    BundleImage,
    st.from_regex(r"[a-z0-9][a-z0-9.+_-]{0,20}", fullmatch=True),
    words,
    st.just("") | words,
    st.sampled_from(["", "amd64", "i386", "arm64"]),
    words,
    parts,
    st.text(HEX, min_size=128, max_size=128),
    st.none() | proofs,
)


def unlike(found: list[BundleImage]) -> list[BundleImage]:
    """Those that may be in one bundle."""
    kept: list[BundleImage] = []
    for one in found:
        paths = {
            part.path.casefold() for each in kept for part in (each.file, *(each.proofs.parts if each.proofs else ()))
        }
        mine = {part.path.casefold() for part in (one.file, *(one.proofs.parts if one.proofs else ()))}
        # catalogues tell editions apart without regard to case, and take an empty architecture for itself
        same = any(
            each.file.sha256 == one.file.sha256
            or (each.distribution, each.version, each.edition.casefold())
            == (one.distribution, one.version, one.edition.casefold())
            for each in kept
        )
        if not same and not paths & (mine - {"proofs/key.gpg"}):
            kept.append(one)
    return kept


@given(st.lists(images, max_size=4).map(unlike), st.integers(1, 1 << 50))
@settings(max_examples=60, deadline=None)
def test_an_index_is_read_as_it_was_written(found: list[BundleImage], serial: int) -> None:
    index = bundles.index(found, serial)
    assert read_index(index_document(index), "x") == index


def part(path: str) -> dict[str, Any]:
    return {"path": path, "size": len(DATA), "sha256": world.IMAGE_SHA}


@pytest.mark.parametrize(
    "path",
    [
        *("../up.iso", "images/../../up.iso", "/etc/passwd", "images//x", "images/.hidden", "images/a/b/c/d", "x.iso"),
        *("images/", "images/ x", "images/x\n", "images/a\\b", "images/\u202ex", "proofs/../x", "images/" + "x" * 121),
    ],
)
def test_paths_that_lead_elsewhere(bundle: Path, path: str) -> None:
    document = json.loads((bundle / INDEX).read_bytes())
    document["images"][0]["file"] = part(path)
    bundles.changed(bundle, images=document["images"])
    check_unreadable(bundle, "expected a path")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": "3.0"}, "expected 2.x"),
        ({"serial": 0}, "whole number"),
        ({"id": "x"}, "32 hex digits"),
        ({"images": []}, "expected one for each of 0 images"),
        ({"surprise": 1}, "unknown field"),
        ({"catalog": {}}, "version"),
    ],
)
def test_what_is_no_index(bundle: Path, fields: dict[str, Any], said: str) -> None:
    bundles.changed(bundle, **fields)
    check_unreadable(bundle, said)


def test_images_that_contradict_each_other() -> None:
    one = bundles.image()
    other = bundles.image(b"other", "debian")
    for pair, said in (
        ((one, replace(other, file=replace(other.file, path="images/UBUNTU.iso"))), "twice with different contents"),
        ((one, replace(other, file=one.file)), "an image twice"),
    ):
        with pytest.raises(CatalogError, match=said):
            read_index(index_document(bundles.index(pair)), "x")
    renamed = replace(bundles.index([one]), images=(replace(one, version="1"),))
    with pytest.raises(CatalogError, match=r"expected a release of \$\.catalog"):
        read_index(index_document(renamed), "x")


# Directories of strangers


def test_links_are_not_followed(bundle: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(DATA)
    file = bundle / "images" / "ubuntu.iso"
    file.unlink()
    file.symlink_to(secret)
    with Directory(bundle) as opened, refused("link"):
        opened.open("images/ubuntu.iso")
    (bundle / "images").rename(tmp_path / "moved")
    (bundle / "images").symlink_to(tmp_path / "moved")
    with Directory(bundle) as opened:
        with refused("link"):
            opened.open("images/ubuntu.iso")
        with refused("link"):
            opened.write("images/new", b"x")
        opened.remove("proofs/none")
    assert not (tmp_path / "moved" / "new").exists()
    (bundle / INDEX).unlink()
    (bundle / INDEX).symlink_to("/dev/zero")
    check_unreadable(bundle, "link")


def test_a_link_in_the_place_of_a_part_is_not_written_through(bundle: Path, tmp_path: Path) -> None:
    (bundle / "images" / ".new.part").symlink_to(tmp_path / "target")
    with Directory(bundle) as opened, refused("link"):
        opened.write("images/new", b"x")
    assert not (tmp_path / "target").exists()


def test_what_is_no_regular_file_hangs_nobody(bundle: Path) -> None:
    file = bundle / "images" / "ubuntu.iso"
    file.unlink()
    os.mkfifo(file)
    with Directory(bundle) as opened, refused("no regular file"):
        opened.open("images/ubuntu.iso")
    (bundle / INDEX).unlink()
    os.mkfifo(bundle / INDEX)
    check_unreadable(bundle, "no regular file")
    (bundle / INDEX).unlink()
    check_unreadable(bundle, "No such file")


def test_an_index_without_end(bundle: Path) -> None:
    with (bundle / INDEX).open("wb") as file:
        file.truncate(1 << 40)
    check_unreadable(bundle, "more than 1024 KiB")


@pytest.mark.parametrize(
    ("number", "said", "name"),
    [
        (errno.ENOSPC, "what is there is kept", LUXUSB + "NotEnoughSpace"),
        (errno.EDQUOT, "what is there is kept", LUXUSB + "NotEnoughSpace"),
        (errno.EROFS, "write protection", ""),
        (errno.EFBIG, "FAT32 ends at 4 GiB", ""),
        (errno.EACCES, "of your own", ""),
    ],
)
def test_what_disks_refuse(bundle: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str, name: str) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(directories, "write_all", refuse)
    with Directory(bundle) as opened, pytest.raises(CliError) as error:
        opened.write("images/new", b"x")
    assert said in f"{error.value.why} {error.value.todo}"
    if name:
        assert error.value.name == name
    assert not (bundle / "images" / "new").exists()


# Copies


def copied(directory: Path, data: bytes, sha256: str = "") -> Digests:
    fd = os.memfd_create("image")
    try:
        os.write(fd, data)
        with Directory(directory) as opened:
            wanted = sha256 or hashlib.sha256(data).hexdigest()
            return asyncio.run(copy_image(fd, opened, "images/x.iso", wanted, progress=False))
    finally:
        os.close(fd)


BIG = bytes(range(256)) * 40_000


@pytest.mark.parametrize("there", [b"", BIG[:5_000_000], BIG, BIG + b"more", b"wrong" * 1000, BIG[:-1] + b"!"])
def test_a_copy_that_was_cut_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bytes) -> None:
    written: list[int] = []
    write = write_all

    def counted(fd: int, data: bytes, offset: int) -> None:
        written.append(len(data))
        write(fd, data, offset)

    monkeypatch.setattr("luxusb_cli.bundles.making.write_all", counted)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / ".x.iso.part").write_bytes(there)
    done = copied(tmp_path, BIG)
    assert (done.sha256, done.sha512) == (hashlib.sha256(BIG).hexdigest(), hashlib.sha512(BIG).hexdigest())
    assert (tmp_path / "images" / "x.iso").read_bytes() == BIG
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["x.iso"]
    # bytes that were there are not written again
    if BIG.startswith(there):
        assert sum(written) == len(BIG) - len(there)


def test_a_damaged_image_is_not_kept(tmp_path: Path) -> None:
    with refused("damaged", name=LUXUSB + "VerificationFailed"):
        copied(tmp_path, b"other", world.IMAGE_SHA)
    assert list((tmp_path / "images").iterdir()) == []


def test_a_full_disk_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = write_all

    def full(fd: int, data: bytes, offset: int) -> None:
        if offset >= CHUNK:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd, data, offset)

    monkeypatch.setattr("luxusb_cli.bundles.making.write_all", full)
    with refused("run the command again", name=LUXUSB + "NotEnoughSpace"):
        copied(tmp_path, BIG)
    assert (tmp_path / "images" / ".x.iso.part").read_bytes() == BIG[:CHUNK]
    monkeypatch.setattr("luxusb_cli.bundles.making.write_all", write)
    assert copied(tmp_path, BIG).size == len(BIG)


def stored(name: str) -> ImageInfo:
    wire = world.stored(name, world.IMAGE_SHA)
    return ImageInfo.from_wire({key: value.value for key, value in wire.items()})


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("debian-13.iso", "images/debian-13.iso"),
        ("../../etc/passwd", "images/etc_passwd"),
        ("Über uns (1).iso", "images/ber_uns_1.iso"),
        (".iso", "images/image.iso"),
        ("ARCH.ISO", f"images/ARCH-{world.IMAGE_SHA[:8]}.ISO"),
        ("x" * 300 + ".iso", f"images/{'x' * 80}.iso"),
    ],
)
def test_names_of_files(name: str, path: str) -> None:
    assert path_of(stored(name), ["images/arch.iso"]) == path


# Signatures


def signed_image(keys: Keys, key: str, sums: bytes, signature: bytes | None, bundle: Path) -> BundleImage:
    """The image of a bundle with these proofs."""
    files = {"proofs/key.gpg": keys.export(key), "proofs/a/SHA256SUMS": sums}
    if signature is not None:
        files["proofs/a/SHA256SUMS.gpg"] = signature
    (bundle / "proofs" / "a").mkdir(parents=True)
    found = {}
    for path, data in files.items():
        (bundle / path).write_bytes(data)
        found[path] = Part(path, len(data), hashlib.sha256(data).hexdigest())
    proof = Proofs(
        key, found["proofs/key.gpg"], found["proofs/a/SHA256SUMS"], found.get("proofs/a/SHA256SUMS.gpg"), "u.iso"
    )
    return bundles.image(proofs=proof)


SUMS = f"{world.IMAGE_SHA} *u.iso\n".encode()


def test_a_signed_list(keys: Keys, bundle: Path) -> None:
    key = keys.make("list")
    image = signed_image(keys, key, SUMS, keys.sign(SUMS, key), bundle)
    with Directory(bundle) as opened:
        found = proof_data(opened, image)
        assert found is not None
        assert (found.sums, found.fingerprint) == (SUMS, key)
        # other bytes than the index names
        (bundle / "proofs" / "a" / "SHA256SUMS").write_bytes(SUMS.replace(b"u.iso", b"v.iso"))
        with refused("not what the index"):
            proof_data(opened, image)


def test_a_list_with_the_signature_in_it(keys: Keys, bundle: Path) -> None:
    key = keys.make("inline")
    image = signed_image(keys, key, keys.clearsign(SUMS, key), None, bundle)
    with Directory(bundle) as opened:
        assert proof_data(opened, image) is not None


def test_signatures_that_prove_nothing(keys: Keys, bundle: Path) -> None:
    key, other = keys.make("owner"), keys.make("other")
    image = signed_image(keys, key, SUMS, keys.sign(SUMS, key), bundle)
    wrong = SUMS.replace(world.IMAGE_SHA.encode(), b"0" * 64)
    for sums, signature, ring, said in (
        (SUMS, keys.sign(wrong, key), keys.export(key), "other bytes"),
        (SUMS, keys.sign(SUMS, other), keys.export(key), "another key"),
        (SUMS, keys.sign(SUMS, other), keys.export(other), "another key"),
        (wrong, keys.sign(wrong, key), keys.export(key), "another hash"),
        (b"# nothing\n", keys.sign(b"# nothing\n", key), keys.export(key), "hash|list|SHA"),
        (SUMS, b"no signature", keys.export(key), "no signature"),
        (SUMS, keys.sign(SUMS, key), b"no key", "no signature|another key"),
    ):
        with pytest.raises(gpg.BadSignatureError, match=said):
            check_list(image, sums, signature, ring)


def test_who_signed_the_index(keys: Keys, bundle: Path) -> None:
    key, other = keys.make("teacher"), keys.make("somebody")
    data = (bundle / INDEX).read_bytes()
    (bundle / KEY).write_bytes(keys.export(key))
    (bundle / SIGNATURE).write_bytes(keys.sign(data, key, armor=True))
    with opened_place(str(bundle / INDEX)) as place:
        assert open_bundle(place).signed_by == key
        assert open_bundle(place, key).signed_by == key
        with refused(key, "the fingerprint", name=LUXUSB + "NotTrusted"):
            open_bundle(place, other)
        bundles.changed(bundle, serial=8)
        with refused("other bytes"):
            open_bundle(place)
        (bundle / SIGNATURE).unlink()
        with refused("Nobody signed it", name=LUXUSB + "NotTrusted"):
            open_bundle(place, key)
        assert open_bundle(place).signed_by == ""


@pytest.mark.parametrize("text", ["ABCD1234", "x" * 40, "AB" * 19])
def test_names_of_keys_that_anybody_can_have(text: str) -> None:
    with pytest.raises(UsageError):
        wanted_fingerprint(text)


def test_fingerprints_as_people_write_them() -> None:
    assert wanted_fingerprint("abab " * 10) == "AB" * 20
    assert wanted_fingerprint("") == ""
