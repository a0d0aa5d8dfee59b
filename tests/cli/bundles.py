"""Bundles as they lie on a disk, made without a daemon."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from dbus_next.signature import Variant
from luxusb_cli.bundles.directory import BAD
from luxusb_cli.bundles.index import INDEX, BundleImage, Index, Part, index_document
from luxusb_cli.errors import CliError

from tests.cli import world
from tests.cli.fake_daemon import FakeDaemon

ID = "ab" * 16
MADE = "2026-11-27T08:00:00Z"


def image(
    data: bytes = world.IMAGE_BYTES, distribution: str = "ubuntu", version: str = "26.04", **more: Any
) -> BundleImage:
    """An image; its file is called after the distribution."""
    name = f"{distribution}.iso"
    part = Part(f"images/{name}", len(data), hashlib.sha256(data).hexdigest())
    fields: dict[str, Any] = {"edition": "", "architecture": "amd64", "proofs": None, **more}
    return BundleImage(distribution, version, name=name, file=part, sha512=hashlib.sha512(data).hexdigest(), **fields)


def index(images: Sequence[BundleImage], serial: int = 7) -> Index:
    """The index of a bundle with these images."""
    entries: dict[str, Any] = {}
    for each in images:
        entry = entries.setdefault(each.distribution, named(each.distribution))
        release = {
            "version": each.version,
            "release_date": "2026-04-01",
            "iso_url": f"https://maker.example/{each.file.path}",
            "sha256": each.file.sha256,
            "size_mb": 0,
            "mirrors": ["https://mirror.example/x.iso"],
            "edition": each.edition,
            "architecture": each.architecture,
            "sums_url": "https://maker.example/SHA256SUMS",
            "rolling": True,
        }
        entry["releases"].append(release)
    catalog = {"version": "2.0", "last_updated": MADE, "distributions": list(entries.values())}
    return Index(ID, serial, MADE, tuple(images), catalog)


def named(distribution: str) -> dict[str, Any]:
    """An entry of a catalogue, without releases."""
    texts = {"description": "", "homepage": "https://maker.example", "logo_url": "", "category": ""}
    return {"id": distribution, "name": distribution.title(), **texts, "popularity_rank": 0, "releases": []}


def make(directory: Path, data: bytes = world.IMAGE_BYTES, serial: int = 7, **more: Any) -> Path:
    """A bundle with one image."""
    (directory / "images").mkdir(parents=True)
    one = image(data, **more)
    (directory / one.file.path).write_bytes(data)
    (directory / INDEX).write_bytes(index_document(index([one], serial)))
    return directory


def changed(directory: Path, **fields: Any) -> None:
    """Write other fields into the index."""
    document = json.loads((directory / INDEX).read_bytes())
    (directory / INDEX).write_text(json.dumps(document | fields))


def known_to(daemon: FakeDaemon) -> None:
    """Let the daemon's catalogue have the image that `make` puts into a bundle, and a download of ubuntu bring it."""
    daemon.downloaded = world.IMAGE_SHA
    for distro in daemon.distros:
        if distro["id"].value == "ubuntu":
            for release in distro["releases"].value:
                release["sha256"] = Variant("s", world.IMAGE_SHA)
                release["architecture"] = Variant("s", "amd64")


@contextlib.contextmanager
def refused(*words: str, name: str = BAD) -> Iterator[None]:
    """The block is refused with this error, whose text has these words."""
    with pytest.raises(CliError) as error:
        yield
    assert error.value.name == name
    said = f"{error.value.what} {error.value.why} {error.value.todo}"
    assert [word for word in words if word not in said] == [], said
