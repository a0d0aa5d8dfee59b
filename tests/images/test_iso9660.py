from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luxusbd.errors import MalformedImageError
from luxusbd.images import bounded, tree
from luxusbd.images.bounded import BoundedReader
from luxusbd.images.eltorito import parse_boot_catalogue, platforms
from luxusbd.images.iso9660 import IsoImage
from luxusbd.images.iso9660_records import parse_system_use
from luxusbd.images.recognise import recognise
from luxusbd.images.volumes import read_volumes
from tests.images.builders import GRUB_RESCUE, MEMTEST, build_iso

FILES = {
    "boot/grub/grub.cfg": b"menu",
    "boot/vmlinuz-6.1.0-18-amd64": b"kernel",
    "Read Me (long name).TXT": b"hello",
    "empty": b"",
    "big.bin": bytes(range(256)) * 40,
}
LONG = "n" * 250


def tree_of(fd: int) -> IsoImage:
    reader = BoundedReader(fd)
    return IsoImage(reader, read_volumes(reader))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IsoImage]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield tree_of(fd)
    finally:
        os.close(fd)


def blkid(path: Path, tag: str) -> str:
    program = shutil.which("blkid", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert program is not None
    command = [program, "-p", "-s", tag, "-o", "value", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def rock_ridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rr")
    source = directory / "rr.iso.d"
    (source / "deep").mkdir(parents=True)
    (source / "link").symlink_to("boot/vmlinuz-6.1.0-18-amd64")
    (source / "dirlink").symlink_to("boot")
    (source / "absolute").symlink_to("/boot/../boot/grub/grub.cfg")
    (source / "loop").symlink_to("loop")
    (source / "deep" / LONG).write_bytes(b"long")
    return build_iso(directory / "rr.iso", FILES, "-R", "-J", "-joliet-long", volume_id="ROCK_RIDGE")


def test_rock_ridge_names_are_exact(rock_ridge: Path) -> None:
    with opened(rock_ridge) as image:
        assert image.names == "rock-ridge"
        assert image.volume_id == "ROCK_RIDGE"
        assert set(image.listdir("/")) == {
            "boot", "Read Me (long name).TXT", "empty", "big.bin", "deep", "link", "dirlink", "absolute", "loop",
        }  # fmt: skip
        assert image.exists("/boot/vmlinuz-6.1.0-18-amd64")
        assert not image.exists("/BOOT")
        assert image.read("/big.bin", 10**9) == FILES["big.bin"]
        assert image.read("/big.bin", 7, 9000) == FILES["big.bin"][9000:9007]
        assert image.read("/big.bin", 100, 10**6) == b""
        assert image.read("/empty", 100) == b""
        assert image.file_size("/big.bin") == 10240
        assert image.glob("/boot/vmlinuz-*-amd64") == ("/boot/vmlinuz-6.1.0-18-amd64",)
        assert image.glob("/b*/g*/*") == ("/boot/grub/grub.cfg",)
        assert image.glob("/boot/vmlinuz-[5-7]*") == ("/boot/vmlinuz-6.1.0-18-amd64",)


def test_names_in_continuation_areas(rock_ridge: Path) -> None:
    with opened(rock_ridge) as image:
        assert image.listdir("/deep") == (LONG,)
        assert image.read(f"/deep/{LONG}", 10) == b"long"


def test_links_are_followed_and_loops_end(rock_ridge: Path) -> None:
    with opened(rock_ridge) as image:
        assert image.read("/link", 10) == b"kernel"
        assert image.read("/dirlink/grub/grub.cfg", 10) == b"menu"
        assert image.read("/absolute", 10) == b"menu"
        assert image.glob("/dirl*/grub/*.cfg") == ("/dirlink/grub/grub.cfg",)
        assert not image.exists("/loop")
        assert image.exists("/boot/../../../boot/grub")


def test_uuid_and_label_are_those_of_blkid(rock_ridge: Path) -> None:
    for path in (rock_ridge, MEMTEST, GRUB_RESCUE):
        with opened(path) as image:
            assert image.uuid == blkid(path, "UUID")
            assert image.volume_id == blkid(path, "LABEL")


def test_joliet_without_rock_ridge(tmp_path: Path) -> None:
    path = tmp_path / "joliet.iso"
    source = tmp_path / "s"
    (source / "Boot").mkdir(parents=True)
    (source / "Boot" / "Übung File.txt").write_bytes(b"x")
    command = ["xorriso", "-outdev", str(path), "-rockridge", "off", "-joliet", "on", "-map", str(source), "/"]
    subprocess.run(command, check=True, capture_output=True)
    with opened(path) as image:
        assert image.names == "joliet"
        assert image.listdir("/Boot") == ("Übung File.txt",)
        assert image.read("/boot/übung file.TXT", 5) == b"x"


def test_plain_names_are_lower_case_and_found_whatever_the_case(tmp_path: Path) -> None:
    path = tmp_path / "plain.iso"
    source = tmp_path / "s"
    (source / "BOOT").mkdir(parents=True)
    (source / "BOOT" / "VMLINUZ").write_bytes(b"k")
    (source / "BOOT" / "INITRD.GZ").write_bytes(b"i")
    command = ["xorriso", "-outdev", str(path), "-rockridge", "off", "-joliet", "off", "-map", str(source), "/"]
    subprocess.run(command, check=True, capture_output=True)
    with opened(path) as image:
        assert image.names == "iso9660"
        assert sorted(image.listdir("/boot")) == ["initrd.gz", "vmlinuz"]
        assert image.read("/Boot/VmLinuz", 5) == b"k"
        assert image.glob("/BOOT/INITRD.*") == ("/boot/initrd.gz",)


def test_deep_directories_relocated_by_rock_ridge(tmp_path: Path) -> None:
    deep = "/".join(f"d{n}" for n in range(1, 13))
    path = build_iso(tmp_path / "deep.iso", {f"{deep}/file": b"deep"}, "-R")
    with opened(path) as image:
        assert image.read(f"/{deep}/file", 10) == b"deep"
        assert f"/{deep}/file" in set(image.walk(1000))


def platforms_of(path: Path) -> frozenset[str]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return platforms(read_volumes(BoundedReader(fd)).boot_records)
    finally:
        os.close(fd)


def test_el_torito_platforms(tmp_path: Path) -> None:
    files = {"bios.img": bytes(2048), "efi.img": bytes(4096)}
    options = ("-R", "-b", "bios.img", "-no-emul-boot", "-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot")
    assert platforms_of(build_iso(tmp_path / "both.iso", files, *options)) == {"bios", "uefi"}
    assert platforms_of(build_iso(tmp_path / "none.iso", files, "-R")) == frozenset()
    assert platforms_of(MEMTEST) == {"bios", "uefi"}


def test_boot_catalogue_skips_extensions_and_entries_that_do_not_boot() -> None:
    validation = bytearray(32)
    validation[0], validation[30:32] = 1, b"\x55\xaa"
    idle = bytes(32)
    header = bytes([0x91, 0xEF]) + struct.pack("<H", 1) + bytes(28)
    extension = b"\x44" + bytes(31)
    bootable = b"\x88" + bytes(31)
    found = parse_boot_catalogue(bytes(validation) + idle + header + extension + bootable)
    assert platforms(found) == {"uefi"}
    assert parse_boot_catalogue(bytes(64)) == ()


def test_files_of_several_extents(rock_ridge: Path, tmp_path: Path) -> None:
    path = tmp_path / "multi.iso"
    data = bytearray(build_iso(path, {"aaaa": b"A" * 2048, "bbbb": b"B" * 100}, "-R").read_bytes())
    # two records become the extents of one file: equal names, and the flag on the first
    with opened(path) as image:
        assert sorted(image.listdir("/")) == ["aaaa", "bbbb"]
    first = data.index(b"AAAA.;1")
    data[first - 33 + 25] |= 0x80
    data[data.index(b"NM\x09\x01\x00bbbb") + 5 : data.index(b"NM\x09\x01\x00bbbb") + 9] = b"aaaa"
    path.write_bytes(data)
    with opened(path) as image:
        assert image.listdir("/") == ("aaaa",)
        assert image.file_size("/aaaa") == 2148
        assert image.read("/aaaa", 10**6) == b"A" * 2048 + b"B" * 100
        assert image.read("/aaaa", 20, 2040) == b"A" * 8 + b"B" * 12


def test_truncated_image_names_both_sizes(rock_ridge: Path, tmp_path: Path) -> None:
    path = build_iso(tmp_path / "big.iso", {"big": bytes(500_000)}, "-R")
    data = path.read_bytes()
    for missing in (4096, 200_000, 400_000):
        cut = len(data) - 307_200 - missing
        path.write_bytes(data[:cut])
        with pytest.raises(MalformedImageError, match=rf"truncated.*{len(data)}.*{cut}, so that {missing + 307_200} "):
            with opened(path):
                pass


def test_padding_that_is_missing_is_no_damage(tmp_path: Path) -> None:
    """mkisofs counts its padding into the volume, and there are copies of such images without it."""
    path = build_iso(tmp_path / "padded.iso", {"a/file": b"x" * 5000}, "-R")
    data = path.read_bytes()
    assert data[-307_200:] == bytes(307_200)
    path.write_bytes(data[:-307_200])
    with opened(path) as image:
        assert image.read("/a/file", 9999) == b"x" * 5000
    path.write_bytes(data[: -307_200 - 2048])
    with pytest.raises(MalformedImageError, match=r"309248 bytes \(302\.0 KiB\) are missing"), opened(path):
        pass


def test_not_a_regular_file(tmp_path: Path) -> None:
    with pytest.raises(MalformedImageError, match="regular"), opened(tmp_path):
        pass


def test_reads_are_bounded(rock_ridge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_READS", 5)
    with pytest.raises(MalformedImageError, match="more reads"), opened(rock_ridge) as image:
        list(image.walk(1000))


def test_entries_are_bounded(rock_ridge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_ENTRIES", 6)
    with pytest.raises(MalformedImageError, match="more than 6"), opened(rock_ridge) as image:
        list(image.walk(1000))


def test_directory_that_contains_itself(tmp_path: Path) -> None:
    path = build_iso(tmp_path / "loop.iso", {"sub/file": b"x"}, "-R")
    data = bytearray(path.read_bytes())
    root = data[16 * 2048 + 156 :][:34]
    sub = data.index(b"SUB", 18 * 2048) - 33
    data[sub + 2 : sub + 18] = root[2:18]
    path.write_bytes(data)
    with opened(path) as image:
        assert list(image.walk(100)) == ["/sub"]
        assert image.exists("/sub/sub/sub")
        assert not image.exists("/sub" * 500)
        assert image.glob("/*/*/*") == ("/sub/sub/sub",)


def test_continuations_without_end() -> None:
    entry = b"CE\x1c\x01" + struct.pack("<IIIIII", 0, 0, 0, 0, 28, 0)
    with pytest.raises(MalformedImageError, match="without end"):
        parse_system_use(entry, lambda *_: entry)


@pytest.fixture(scope="module")
def small_images(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    directory = tmp_path_factory.mktemp("small")
    files = {
        "live/vmlinuz": b"k",
        "live/initrd.img": b"i",
        "live/a.squashfs": b"s",
        ".disk/info": b"Debian 12",
        "boot.img": b"b",
    }
    images = []
    for name, options in (("rr", ("-R",)), ("joliet", ("-R", "-J", "-b", "boot.img", "-no-emul-boot"))):
        path = build_iso(directory / f"{name}.iso", {**files, f"live/{LONG}": b"x"}, *options)
        subprocess.run(["truncate", "-s", str(path.stat().st_size), str(path)], check=True)
        images.append(path.read_bytes())
    return images


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, 1),
    flips=st.lists(st.tuples(st.integers(32768, 32768 + 60 * 2048), st.integers(0, 255)), max_size=24),
    runs=st.lists(st.tuples(st.integers(32768, 32768 + 60 * 2048), st.binary(min_size=1, max_size=64)), max_size=3),
    keep=st.one_of(st.none(), st.integers(0, 200_000)),
)
def test_damaged_images_are_refused_or_read_within_bounds(
    small_images: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    which: int,
    flips: list[tuple[int, int]],
    runs: list[tuple[int, bytes]],
    keep: int | None,
) -> None:
    data = bytearray(small_images[which])
    for at, value in flips:
        if at < len(data):
            data[at] = value
    for at, run in runs:
        if at + len(run) <= len(data):
            data[at : at + len(run)] = run
    reads = 0
    pread = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        nonlocal reads
        reads += 1
        return pread(fd, length, offset)

    fd = os.memfd_create("image")
    try:
        os.pwrite(fd, bytes(data[:keep]), 0)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", counted)
            for use in (lambda: recognise(fd), lambda: list(tree_of(fd).walk(5000))):
                with contextlib.suppress(MalformedImageError):
                    use()
    finally:
        os.close(fd)
    assert reads <= 2 * bounded.MAX_READS


def test_walk_ends_at_its_limit(rock_ridge: Path) -> None:
    with opened(rock_ridge) as image:
        assert len(list(image.walk(3))) == 3


def test_image_opened_for_others_keeps_its_offset(rock_ridge: Path) -> None:
    fd = os.open(rock_ridge, os.O_RDONLY)
    try:
        os.lseek(fd, 123, os.SEEK_SET)
        tree_of(fd).glob("/*/*")
        assert os.lseek(fd, 0, os.SEEK_CUR) == 123
    finally:
        os.close(fd)
