"""Bundles without a daemon: web servers, editions, catalogues for a class room, and what the command refuses."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.bundles.directory import BAD, Directory
from luxusb_cli.bundles.index import INDEX, KEY
from luxusb_cli.bundles.known import Known, check
from luxusb_cli.bundles.making import newest_of, with_release
from luxusb_cli.bundles.opening import Opened
from luxusb_cli.bundles.using import catalogue_for, chosen
from luxusb_cli.bundles.web import Site
from luxusb_cli.errors import LUXUSB

from luxusbd.catalog.own import read_own
from tests.cli import bundles, world
from tests.cli.bundles import refused
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

DATA = world.IMAGE_BYTES
HEX = "0123456789abcdef"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.make(tmp_path / "bundle")


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
