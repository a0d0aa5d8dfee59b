"""Bundles without a daemon: the index, hostile directories and servers, copies that were cut, and who signed what."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import http.server
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from luxusb_cli.bundles import directory as directories
from luxusb_cli.bundles import gpg
from luxusb_cli.bundles.directory import BAD, Directory, write_all
from luxusb_cli.bundles.index import INDEX, KEY, SIGNATURE, BundleImage, Part, Proofs, index_document, read_index
from luxusb_cli.bundles.known import Known, check
from luxusb_cli.bundles.making import Digests, copy_image, newest_of, path_of, with_release
from luxusb_cli.bundles.opening import Opened, check_list, open_bundle, opened_place, proof_data, wanted_fingerprint
from luxusb_cli.bundles.using import catalogue_for, chosen
from luxusb_cli.bundles.web import Site
from luxusb_cli.copying import CHUNK
from luxusb_cli.errors import LUXUSB, CliError, UsageError
from luxusb_cli.images import ImageInfo

from luxusbd.catalog.own import read_own
from luxusbd.errors import CatalogError
from tests.cli import bundles, world
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
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


@contextlib.contextmanager
def refused(*words: str, name: str = BAD) -> Iterator[None]:
    with pytest.raises(CliError) as error:
        yield
    assert error.value.name == name
    said = f"{error.value.what} {error.value.why} {error.value.todo}"
    assert [word for word in words if word not in said] == [], said


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


# Web servers


@contextlib.contextmanager
def serving(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def sent(data: bytes, status: int = 200, **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(data)

    return answer


def test_servers_that_send_something_else() -> None:
    for answer, said, name in (
        (sent(b"x" * (2 << 20)), "more than 1024 KiB", BAD),
        (sent(b"", 404), "no such file", BAD),
        (sent(b"", 500), "500", LUXUSB + "NetworkFailed"),
        (sent(b"", 302, Location="file:///etc/passwd"), "302", LUXUSB + "NetworkFailed"),
        (sent(b"{}", 302, Location="http://127.0.0.1:1/"), "302", LUXUSB + "NetworkFailed"),
        (sent(b"short", Content_Length="99"), "", LUXUSB + "NetworkFailed"),
    ):
        with serving(answer) as address, refused(said, name=name):
            Site(address).read(INDEX, 1 << 20)
    with serving(sent(b"")) as address:
        pass
    with refused("Could not fetch", name=LUXUSB + "NetworkFailed"):
        Site(address).read(INDEX, 1 << 20)


@pytest.mark.parametrize("address", ["http://", "http://a:b@host/", "http://host/?x", "http://host:0/", "http://[::1/"])
def test_what_is_no_address(address: str) -> None:
    with refused("cannot be used"):
        Site(address)


def test_addresses_of_files() -> None:
    for address in ("http://host:8000", "http://host:8000/", "HTTP://host:8000/bundle.json"):
        assert Site(address).at("images/a+b.iso") == "http://host:8000/images/a%2Bb.iso"
    assert Site("https://host/our school").address == "https://host/our%20school/"


# Using


def test_the_catalogue_for_a_class_room_names_nothing_beyond_it() -> None:
    index = bundles.index([bundles.image(), bundles.image(b"other", "debian")])
    site = catalogue_for(Opened(Site("http://host/"), index, ""), chosen(index.images, ["ubuntu"]))
    (entry,) = site["distributions"]
    assert entry["replace"] is True
    (release,) = entry["releases"]
    assert release["iso_url"] == "http://host/images/ubuntu.iso"
    assert "example" not in json.dumps(release)
    assert not release.keys() & {"sums_url", "rolling"}


def test_images_by_their_names() -> None:
    found = (
        bundles.image(),
        bundles.image(b"kde", "debian", "13.1", edition="kde"),
        bundles.image(b"x", "debian", "13.1"),
    )
    for name, count in (
        *(("debian", 2), ("debian/kde", 1), ("debian@13.1", 2), ("debian@13.1/kde", 1)),
        *(("distro:ubuntu", 1), ("ubuntu.iso", 1)),
    ):
        assert len(chosen(found, [name])) == count
    assert chosen(found, []) == found
    with refused("Did you mean", name=LUXUSB + "ImageNotFound"):
        chosen(found, ["ubunut@26.04"])


def test_an_older_edition_and_another_signer() -> None:
    opened = Opened(Site("http://host/"), bundles.index([bundles.image()], serial=5), "AB" * 20)
    known = Known(bundles.ID, 5, "", "AB" * 20, (), (), {})
    check(opened, [known], older=False)
    check(opened, [replace(known, id="cd" * 16, serial=9)], older=False)
    with refused("--older", "serial is 5, and was 6", name=LUXUSB + "NotTrusted"):
        check(opened, [replace(known, serial=6)], older=False)
    check(opened, [replace(known, serial=6)], older=True)
    for signer in ("", "CD" * 20):
        with refused("bundle leave", name=LUXUSB + "NotTrusted"):
            check(replace(opened, signed_by=signer), [known], older=True)


def test_leaving_puts_back_what_was_there(luxusb: Run, daemon: object, bundle: Path) -> None:
    del daemon
    mine = Path(os.environ["XDG_CONFIG_HOME"]) / "luxusb" / "custom_distros.json"
    mine.parent.mkdir()
    own = [{**bundles.named(name), "releases": bundles.index([bundles.image()]).catalog["distributions"][0]["releases"]}
           for name in ("ubuntu", "other")]  # fmt: skip
    mine.write_text(json.dumps({"version": "2.0", "last_updated": "2026-01-01", "distributions": own}))
    for _time in range(2):
        assert luxusb("bundle", "use", str(bundle)).code == 0
    entries = {entry["id"]: entry for entry in json.loads(mine.read_bytes())["distributions"]}
    assert (entries["ubuntu"].get("replace"), entries["other"].get("replace")) == (True, None)
    assert "not used any more" in luxusb("bundle", "leave").out
    assert json.loads(mine.read_bytes())["distributions"] == [own[1], own[0]]
    assert "No bundle is used" in luxusb("bundle", "leave").out


def test_the_catalogue_for_an_administrator(luxusb: Run, daemon: object, bundle: Path, tmp_path: Path) -> None:
    del daemon
    output = tmp_path / "bundle-catalogue.json"
    assert luxusb("bundle", "use", str(bundle), "--output", str(output)).code == 0
    assert luxusb("catalog", "check", str(output)).code == 0


# Making


def release(version: str, sha256: str = "", sha512: str = "", **more: Any) -> dict[str, Any]:
    """One as GetDistribution tells it."""
    texts = {"edition": "", "architecture": "amd64", "url": "https://maker.example/x.iso", "release_date": "2026-04-01"}
    mirrors = [{"url": f"https://mirror{number}.example/x.iso", "country": "DE"} for number in range(50)]
    return {"version": version, "sha256": sha256, "sha512": sha512, "mirrors": mirrors, **texts, **more}


def distribution(*releases: dict[str, Any]) -> dict[str, Any]:
    return {**bundles.named("ubuntu"), "releases": list(releases)}


def test_what_is_known_by_its_sha512_alone_gets_a_sha256() -> None:
    image = bundles.image()
    told = release(
        "26.04", sha512=image.sha512, mirror_list="ubuntu", mirror_path="x.iso", metalink="https://a.example/m"
    )
    before = bundles.index([bundles.image(b"old", version="24.04"), bundles.image(b"x", "debian")]).catalog
    catalog = with_release(before, distribution(told), told, image)
    (found,) = read_own(json.dumps(catalog).encode(), "x").distributions[:1]
    assert [(one.version, one.sha256) for one in found.releases] == [
        ("26.04", image.file.sha256),
        ("24.04", hashlib.sha256(b"old").hexdigest()),
    ]
    assert (found.releases[0].sha512, found.releases[0].size) == (image.sha512, image.file.size)
    # a machine without network has no use for all of them, and a user's own catalogue no room
    assert len(found.releases[0].mirrors) < 12
    assert (found.releases[0].mirror_list, found.releases[0].metalink) == ("", "")


def test_which_release_an_image_is_updated_to() -> None:
    image = bundles.image(version="24.10")
    same = release("24.10", sha512=image.sha512)
    newer, newest = release("26.04", "b" * 64), release("26.10", "c" * 64)
    assert newest_of(distribution(same), image) is None
    assert newest_of(distribution(release("24.04", "a" * 64)), image) is None
    assert newest_of(distribution(), image) is None
    assert newest_of(distribution(newer, newest, same), image) == newest
    # the same version, which its maker has made anew
    again = release("24.10", "d" * 64)
    assert newest_of(distribution(again), image) == again
    for other in ({"edition": "server"}, {"architecture": "arm64"}):
        assert newest_of(distribution(release("26.04", "b" * 64, **other)), image) is None


def test_no_room_is_told_before_anything_is_copied(
    luxusb: Run, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.do(lambda: bundles.known_to(daemon))
    monkeypatch.setattr(Directory, "free", lambda _self: 1000)
    result = luxusb("bundle", "create", tmp_path / "new", "ubuntu", "--json")
    assert (result.code, result.document["error"]["name"]) == (1, LUXUSB + "NotEnoughSpace")
    assert "are needed, and 1000 B are free" in result.document["error"]["message"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == [INDEX]


def test_a_signed_bundle_that_was_cut_has_to_be_signed(luxusb: Run, daemon: FakeDaemon, bundle: Path) -> None:
    daemon.do(lambda: bundles.known_to(daemon))
    (bundle / KEY).write_bytes(b"a key")
    result = luxusb("bundle", "remove", bundle, "ubuntu")
    assert result.code == 2
    assert "Name the key with --sign KEY" in result.err
    assert (bundle / "images" / "ubuntu.iso").exists()


def test_what_is_no_bundle_is_left_alone(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.do(lambda: bundles.known_to(daemon))
    assert "There is no bundle.json in it" in luxusb("bundle", "add", tmp_path, "ubuntu").err
    (tmp_path / "letter.txt").write_text("mine")
    assert "something else in it" in luxusb("bundle", "create", tmp_path, "ubuntu").err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
