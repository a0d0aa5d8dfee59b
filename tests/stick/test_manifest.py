from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog.model import Trust
from luxusbd.errors import DeviceDamagedError, InternalError
from luxusbd.images.model import BootEntry, BootMethod, Firmware
from luxusbd.stick import codec, manifest
from luxusbd.stick.model import (
    Manifest,
    ManifestImage,
    PartitionRole,
    SourceImage,
    StickContents,
    StickOperation,
    StickOptions,
    StickOrder,
    StickProgress,
)
from tests.stick import helpers

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
FIRMWARE = st.frozensets(st.sampled_from(Firmware))
ENTRIES = st.builds(
    BootEntry,
    title=TEXT,
    method=st.sampled_from(BootMethod),
    firmware=FIRMWARE,
    kernel=TEXT,
    initrds=st.lists(TEXT, max_size=3).map(tuple),
    parameters=st.lists(TEXT, max_size=4).map(tuple),
)
IMAGES = st.builds(
    ManifestImage,
    name=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,30}", fullmatch=True),
    title=TEXT,
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    size=st.integers(1, 1 << 44),
    source=TEXT,
    recipe=TEXT,
    family=TEXT,
    version=TEXT,
    architecture=TEXT,
    volume_id=TEXT,
    iso_uuid=TEXT,
    added=st.integers(0, 1 << 33),
    entries=st.lists(ENTRIES, max_size=3).map(tuple),
    trust=st.sampled_from((None, *Trust)),
)


@given(st.lists(IMAGES, max_size=3, unique_by=lambda item: item.name.lower()), FIRMWARE)
def test_a_manifest_survives_the_way_through_bytes(images: list[ManifestImage], firmware: frozenset[Firmware]) -> None:
    original = dataclasses.replace(helpers.manifest(*images), firmware=firmware)
    assert manifest.decode(manifest.encode(original)) == original


def test_a_lone_surrogate_does_not_spoil_the_manifest() -> None:
    original = helpers.manifest(helpers.image(title="bad \udcff label"))
    assert manifest.decode(manifest.encode(original)).images[0].title == "bad ? label"


def test_a_newer_format_says_so() -> None:
    document = manifest.to_json(helpers.manifest()) | {"format": 2, "surprise": []}
    with pytest.raises(DeviceDamagedError, match=r"format 2.*update luxusbd"):
        manifest.decode(json.dumps(document).encode())


def _broken(**changes: Any) -> bytes:
    return json.dumps(manifest.to_json(helpers.manifest(helpers.image())) | changes).encode()


def _image(**changes: Any) -> bytes:
    document = manifest.to_json(helpers.manifest(helpers.image()))
    document["images"][0] |= changes
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4096,
        b"null",
        b"[1",
        b"[" * 100000,
        b'{"format": 1}',
        b"\xff\xfe",
        b"1" * 5000,
        b" " * (manifest.LIMIT + 1),
        _broken(generation=0),
        _broken(generation=True),
        _broken(generation=1.5),
        _broken(generation=1 << 40),
        _broken(format="1"),
        _broken(kind="ventoy"),
        _broken(data_uuid="$(reboot)"),
        _broken(esp_serial="1a2b-3c4d"),
        _broken(images=[{}]),
        _broken(boot_files=[{"what": "x", "start": -1, "length": 0, "sha256": "0" * 64}]),
        _broken(images=[manifest.image_to_json(helpers.image(name)) for name in ("a.iso", "A.iso")]),
        _image(name="../x"),
        _image(name="a\n"),
        _image(name=""),
        _image(name=".hidden"),
        _image(size=0),
        _image(title="x" * 2000),
        _image(title="\ud800"),
        _image(sha256="0" * 63 + "\n"),
        _image(
            entries=[{"title": "x", "method": "exec", "firmware": [], "kernel": "", "initrds": [], "parameters": []}]
        ),
    ],
)
def test_hostile_manifests_are_damage(data: bytes) -> None:
    with pytest.raises(DeviceDamagedError):
        manifest.decode(data)


@given(st.binary(max_size=200), st.integers(0, 5000))
def test_overwritten_manifests_are_read_or_damage(noise: bytes, at: int) -> None:
    data = bytearray(manifest.encode(helpers.manifest(helpers.image(), helpers.image("two.iso"))))
    data[at : at + len(noise)] = noise
    try:
        assert isinstance(manifest.decode(bytes(data)), Manifest)
    except DeviceDamagedError:
        return


def test_orders_survive_the_way_to_the_worker() -> None:
    original = StickOrder(
        StickOperation.ADD,
        7,
        "/dev/sdx",
        42,
        1 << 33,
        StickOptions(timeout=3, serial_console=True),
        (SourceImage(8, helpers.image()), SourceImage(9, helpers.image("two.iso"))),
        ("old.iso",),
    )
    document = json.loads(json.dumps(codec.order_to_json(original)))
    assert codec.order_fds(original) == (7, 8, 9)
    assert codec.order_from_json(document, (7, 8, 9)) == original
    with pytest.raises(InternalError):
        codec.order_from_json(document, (7, 8))


def test_progress_and_contents_survive_the_way_to_the_core() -> None:
    progress = StickProgress("write-image", 5, 10, "one.iso")
    assert codec.progress_from_json(json.loads(json.dumps(codec.progress_to_json(progress)))) == progress
    contents = StickContents(helpers.manifest(helpers.image()), 77, "a menu is missing")
    assert codec.contents_from_json(json.loads(json.dumps(codec.contents_to_json(contents)))) == contents


def test_partitions_of_images_come_back_and_have_to_be_known() -> None:
    image = helpers.image(partition=PartitionRole.COMPANION)
    options = StickOptions(filesystem="exfat", companion=64 << 20, share=32 << 20)
    made = dataclasses.replace(
        helpers.manifest(image, options=options), data_uuid="1A2B-3C4D", companion_uuid=helpers.UUID
    )
    assert manifest.decode(manifest.encode(made)) == made
    assert made.uuid_of(image) == helpers.UUID
    assert made.uuid_of(helpers.image()) == "1A2B-3C4D"
    with pytest.raises(DeviceDamagedError, match="partition"):
        manifest.decode(manifest.encode(dataclasses.replace(made, companion_uuid="")))
    signed = dataclasses.replace(made, shim="ubuntu")
    assert manifest.decode(manifest.encode(signed)) == signed
    with pytest.raises(DeviceDamagedError, match="shim"):
        manifest.decode(manifest.encode(dataclasses.replace(made, shim="somebody")))
    # what an older version wrote says nothing of any
    plain = manifest.encode(helpers.manifest(helpers.image()))
    assert b"companion" not in plain
    assert b"partition" not in plain
    assert b"shim" not in plain
