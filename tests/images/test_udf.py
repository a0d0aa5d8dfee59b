from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.errors import MalformedImageError
from luxusbd.images import tree as tree_module
from luxusbd.images import udf
from luxusbd.images.bounded import BoundedReader
from luxusbd.images.details import Container
from luxusbd.images.recognise import inspect, recognise
from luxusbd.images.udf import UdfImage
from tests.images.udf_builder import START, Link, Style, Tree, Udf, tag

LONG_NAME = "ein langer Name, " * 14
TREE: Tree = {
    "sources": {"boot.wim": bytes(range(256)) * 40, "install.wim": b"W" * 5000, "leer": b""},
    "efi": {"boot": {"bootx64.efi": b"MZ"}},
    "Übung Ω.txt": b"text",
    LONG_NAME: b"long",
    "zeros": bytes(9000),
    "mixed": b"x" * 3000 + bytes(7000) + b"y" * 100,
    "link": Link("sources/boot.wim"),
    "absolute": Link("/efi/boot/../boot/bootx64.efi"),
    "loop": Link("loop"),
}

# Debian 12 has the name of the program's own project, p7zip the older one
SEVEN_ZIP = shutil.which("7zz") or "7z"


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[UdfImage]:
    with memory(data) as fd:
        yield UdfImage(BoundedReader(fd))


@contextlib.contextmanager
def memory(data: bytes) -> Iterator[int]:
    fd = os.memfd_create("image")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def flat(tree: Tree, prefix: str = "") -> dict[str, bytes | None]:
    """Paths with their content, None for a directory; links left out."""
    found: dict[str, bytes | None] = {}
    for name, content in tree.items():
        if isinstance(content, bytes):
            found[f"{prefix}/{name}"] = content
        elif not isinstance(content, Link):
            found[f"{prefix}/{name}"] = None
            found |= flat(content, f"{prefix}/{name}")
    return found


def check(image: UdfImage, tree: Tree) -> None:
    wanted = flat(tree)
    links = [name for name, content in tree.items() if isinstance(content, Link)]
    assert sorted(image.walk(10_000)) == sorted([*wanted, *(f"/{name}" for name in links)])
    for path, content in wanted.items():
        if content is not None:
            assert image.read(path, 10**9) == content
            assert image.file_size(path) == len(content)


VARIANTS = {
    "plain": Udf(TREE),
    "long": Udf(TREE, style=Style.LONG),
    "embedded": Udf(TREE, style=Style.EMBEDDED),
    "extended": Udf(TREE, style=Style.EMBEDDED, extended=True),
    "pieces": Udf(TREE, pieces=5),
    "continued": Udf(TREE, pieces=5, continued=True),
    "metadata": Udf(TREE, metadata=True, extended=True, style=Style.EMBEDDED),
    "metadata-continued": Udf(TREE, metadata=True, pieces=4, continued=True),
    "small-blocks": Udf(TREE, block=512),
    "large-blocks": Udf(TREE, block=4096, style=Style.LONG),
    "reserve": Udf(TREE, broken_main=True),
    "last-anchor": Udf(TREE, anchors=(-1,)),
    "other-anchor": Udf(TREE, anchors=(-257,)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_way_of_writing_is_read(name: str) -> None:
    with opened(VARIANTS[name].build()) as image:
        assert (image.volume_id, image.revision, image.names) == ("UDF", "2.50", "udf")
        check(image, TREE)
        assert image.read("/link", 10**9) == flat(TREE)["/sources/boot.wim"]
        assert image.read("/absolute", 10) == b"MZ"
        assert not image.exists("/loop")
        assert image.glob("/sources/*.wim") == ("/sources/boot.wim", "/sources/install.wim")
        assert not image.exists("/SOURCES")
        assert image.read("/mixed", 20, 2990) == b"x" * 10 + bytes(10)


names = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/", max_codepoint=0xFFFF),
    min_size=1,
    max_size=40,
).filter(lambda name: name not in (".", ".."))
trees = st.recursive(
    st.binary(max_size=6000),
    lambda below: st.dictionaries(names, below, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


@settings(max_examples=60, deadline=None)
@given(
    tree=trees,
    label=st.text(st.characters(min_codepoint=33, max_codepoint=0x7E), max_size=30),
    style=st.sampled_from(Style),
    block=st.sampled_from((512, 2048, 4096)),
    pieces=st.integers(1, 4),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_any_tree_is_read_back(
    tree: Tree, label: str, style: Style, block: int, pieces: int, flags: tuple[bool, bool, bool]
) -> None:
    metadata, extended, continued = flags
    written = Udf(tree, label, block, style, pieces, metadata=metadata, extended=extended, continued=continued)
    with opened(written.build()) as image:
        assert image.volume_id == label
        check(image, tree)


def seven_zip(path: Path) -> dict[str, int]:
    """Files and their sizes as 7-Zip lists them."""
    said = subprocess.run(
        [SEVEN_ZIP, "l", "-slt", "-tudf", str(path)], check=True, capture_output=True, text=True
    ).stdout
    found = {}
    for block in said.split("----------\n", 1)[1].split("\n\n"):
        fields = dict(line.split(" = ", 1) for line in block.splitlines() if " = " in line)
        if "Path" in fields and fields.get("Folder") != "+":
            found["/" + fields["Path"]] = int(fields["Size"])
    return found


def udfread(path: Path, files: Iterable[str]) -> dict[str, bytes]:
    """Contents as libudfread, the library of Blu-ray players, reads them."""
    library = ctypes.CDLL("libudfread.so.0")
    library.udfread_init.restype = library.udfread_file_open.restype = ctypes.c_void_p
    library.udfread_file_read.restype = ctypes.c_ssize_t
    disc = ctypes.c_void_p(library.udfread_init())
    assert library.udfread_open(disc, os.fsencode(path)) == 0
    found = {}
    for name in files:
        file = ctypes.c_void_p(library.udfread_file_open(disc, name.encode()))
        assert file.value, name
        buffer = ctypes.create_string_buffer(100_000)
        length = library.udfread_file_read(file, buffer, len(buffer))
        found[name] = buffer.raw[:length]
        library.udfread_file_close(file)
    library.udfread_close(disc)
    return found


@pytest.mark.parametrize("name", ["plain", "long", "extended", "pieces", "metadata", "reserve"])
def test_another_reader_agrees_with_our_own_images(name: str, tmp_path: Path) -> None:
    """The builder is no better than its author's understanding."""
    path = tmp_path / "own.udf"
    path.write_bytes(VARIANTS[name].build())
    files = {file: content for file, content in flat(TREE).items() if content is not None}
    assert udfread(path, files) == files


def test_grub_agrees_about_continued_allocations(tmp_path: Path) -> None:
    """libudfread does not follow them."""
    path = tmp_path / "own.udf"
    path.write_bytes(VARIANTS["continued"].build())
    said = subprocess.run(["grub-fstest", path, "cat", "(loop0)/sources/boot.wim"], check=True, capture_output=True)
    assert said.stdout == flat(TREE)["/sources/boot.wim"]


def test_bridge_image_of_genisoimage(tmp_path: Path) -> None:
    files = {f"dir{n % 7}/file with a long name {n}": bytes([n]) * n * 100 for n in range(60)}
    tree: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        tree.setdefault(name.split("/")[0], {})[name.split("/")[1]] = content
    path = tmp_path / "bridge.iso"
    bridge(path, tree, hidden=False)
    with opened(path.read_bytes()) as image:
        assert image.volume_id == "BRIDGE"
        for name, content in files.items():
            assert image.read(f"/{name}", 10**6) == content
        found = {file for file in image.walk(1000) if file.count("/") == 2}
    assert found == {f"/{name}" for name in files} == set(seven_zip(path))
    with memory(path.read_bytes()) as fd:
        # both trees are the same, and GRUB reads that of ISO 9660
        assert (inspect(fd).details.container, inspect(fd).details.names) == (Container.BRIDGE, "rock-ridge")


@pytest.mark.parametrize("block", [512, 2048, 4096])
@pytest.mark.parametrize("revision", ["0x0102", "0x0150", "0x0201"])
def test_empty_volumes_of_mkudffs(block: int, revision: str, tmp_path: Path) -> None:
    path = tmp_path / "made.udf"
    with path.open("wb") as file:
        file.truncate(8 << 20)
    program = shutil.which("mkudffs", path="/usr/sbin:/usr/bin")
    assert program is not None
    subprocess.run([program, "-b", str(block), "-r", revision, "-l", "Größe", path], check=True, capture_output=True)
    with opened(path.read_bytes()) as image:
        assert (image.volume_id, image.listdir("/")) == ("Größe", ())
        assert image.revision.replace(".", "") == revision[3:]


def bridge(path: Path, tree: Tree, *, hidden: bool) -> bytes:
    """What genisoimage makes of a tree; with `hidden`, its ISO 9660 side holds README.TXT alone, as Microsoft's do."""
    source = path.with_suffix(".d")
    for name, content in flat(tree).items():
        if content is not None:
            (source / name[1:]).parent.mkdir(parents=True, exist_ok=True)
            (source / name[1:]).write_bytes(content)
    hide = [option for name in tree for option in ("-hide", name) if hidden and name != "README.TXT"]
    command = ["genisoimage", "-quiet", "-udf", "-R", "-V", "BRIDGE", *hide, "-o", str(path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return path.read_bytes()


WINDOWS: Tree = {
    "README.TXT": b"This disc contains a UDF file system",
    "bootmgr": b"",
    "efi": {"boot": {"bootx64.efi": b"MZ"}},
    "sources": {"boot.wim": b"W" * 5000},
}


def test_windows_disc_is_known_by_its_udf_side(tmp_path: Path) -> None:
    hidden = bridge(tmp_path / "hidden.iso", WINDOWS, hidden=True)
    for data in (Udf(WINDOWS).build(), bridge(tmp_path / "both.iso", WINDOWS, hidden=False), hidden):
        with memory(data) as fd:
            found = recognise(fd)
        assert (found.recipe, found.architecture, found.bootable) == ("windows", "amd64", False)
        assert "Media Creation Tool" in found.advice
    with memory(hidden) as fd:
        details = inspect(fd).details
    assert (details.container, details.names) == (Container.BRIDGE, "udf")


def test_iso_side_counts_where_the_udf_side_is_broken(tmp_path: Path) -> None:
    data = bytearray(bridge(tmp_path / "bridge.iso", WINDOWS, hidden=True))
    at = 256 * 2048
    data[at : at + 16] = bytes(16)
    end = len(data) - 2048
    while data[end : end + 2] != b"\x02\0":
        end -= 2048
    data[end : end + 16] = bytes(16)
    with memory(bytes(data)) as fd:
        assert recognise(fd).recipe == "windows-udf"


def test_system_in_udf_alone_does_not_start_from_a_file() -> None:
    live: Tree = {"live": {"vmlinuz": b"k", "initrd.img": b"i", "filesystem.squashfs": b"s"}}
    with memory(Udf(live).build()) as fd:
        found = recognise(fd)
    assert (found.recipe, found.entries, found.bootable) == ("live-boot", (), False)
    assert "UDF" in found.reason


def broken(at: int, value: bytes) -> bytes:
    data = bytearray(VARIANTS["plain"].build())
    data[at : at + len(value)] = value
    return bytes(data)


def retagged(data: bytes, block: int, offset: int, value: bytes, *, size: int = 2048) -> bytes:
    """With a field of a descriptor changed and its checksums right again."""
    at = block * size
    identifier, length = struct.unpack_from("<H", data, at)[0], struct.unpack_from("<H", data, at + 10)[0]
    body = bytearray(data[at + 16 : at + 16 + length])
    body[offset - 16 : offset - 16 + len(value)] = value
    location = struct.unpack_from("<I", data, at + 12)[0]
    fresh = tag(identifier, location, bytes(body))
    return data[:at] + fresh + data[at + len(fresh) :]


ROOT = START + 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (broken(256 * 2048, bytes(16)), "no anchor"),
        (broken(257 * 2048, bytes(32 * 2048)), "incomplete"),
        (broken((START + 0) * 2048, bytes(64)), "no file set"),
        (broken(ROOT * 2048 + 60, b"\xff"), "no UDF file entry"),
        (retagged(VARIANTS["plain"].build(), ROOT, 27, b"\x05"), "no root directory"),
        (retagged(VARIANTS["plain"].build(), ROOT, 20, b"\x00\x10"), "strategy 4096"),
        (retagged(VARIANTS["plain"].build(), ROOT, 34, b"\x02\x00"), "kind 2"),
        (retagged(VARIANTS["plain"].build(), ROOT, 56, b"\xff" * 8), "claims 18446744073709551615 bytes"),
        (retagged(VARIANTS["plain"].build(), ROOT, 56, struct.pack("<Q", 1 << 20)), "larger than the space"),
        (retagged(VARIANTS["plain"].build(), ROOT, 176 + 4, b"\xff\xff"), "outside of its partition"),
        (retagged(VARIANTS["plain"].build(), ROOT, 172, b"\xff\xff"), "longer than its block"),
    ],
)
def test_damage_is_named(data: bytes, text: str) -> None:
    with pytest.raises(MalformedImageError, match=text), opened(data) as image:
        image.listdir("/")


def test_rewritable_discs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.udf"
    program = shutil.which("mkudffs", path="/usr/sbin:/usr/bin")
    assert program is not None
    for media, text in (("dvdrw", "sparable"), ("cdr", "virtual")):
        with path.open("wb") as file:
            file.truncate(20 << 20)
        subprocess.run([program, "-m", media, path], check=True, capture_output=True)
        with pytest.raises(MalformedImageError, match=rf"rewritable disc \({text} partition\)"):
            with opened(path.read_bytes()):
                pass
        path.unlink()


def test_truncated_image_tells_what_is_missing() -> None:
    data = Udf({"big": b"x" * 1_000_000}, anchors=(256,)).build()
    with opened(data) as image:
        end = image.reach(100)
    with pytest.raises(MalformedImageError, match=r"truncated.* bytes \(4\d\d\.\d KiB\) are missing"):
        with opened(data[: end - 409_600]):
            pass
    with pytest.raises(MalformedImageError, match=r"truncated.* are missing"), opened(data[: end - 2048]):
        pass
    with opened(data[:end]) as image:
        assert image.read("/big", 10**9) == b"x" * 1_000_000


def test_directory_that_contains_itself() -> None:
    data = Udf({"sub": {"file": b"x"}}).build()
    with opened(data) as image:
        sub = image._lookup("/sub")
    assert sub is not None
    # the entry of /sub is made to name the root's own directory
    at = data.index(b"\x08sub") - 38
    entry = bytearray(data[at : at + 44])
    entry[24:28] = struct.pack("<I", 1)
    fresh = tag(257, 0, bytes(entry[16:]))
    with opened(data[:at] + fresh + data[at + len(fresh) :]) as image:
        assert list(image.walk(100)) == ["/sub"]
        assert image.exists("/sub/sub/sub")
        assert not image.exists("/sub" * 500)


def test_allocations_that_continue_in_themselves_end() -> None:
    data = Udf({"big": b"x" * 9000}, pieces=3, continued=True).build()
    at = next(at for at in range(START, len(data) // 2048) if data[at * 2048 : at * 2048 + 2] == b"\x02\x01")
    further = struct.pack("<II", 2048 | 3 << 30, at - START)
    looping = retagged(data, at, 24, further)
    with pytest.raises(MalformedImageError, match="continue without end"), opened(looping) as image:
        image.read("/big", 100)


def test_metadata_of_the_mirror_is_used_where_the_main_file_is_broken() -> None:
    data = bytearray(VARIANTS["metadata"].build())
    data[(START + 2) * 2048 + 100] ^= 1
    with opened(bytes(data)) as image:
        check(image, TREE)
    data[(START + 3) * 2048 + 100] ^= 1
    with pytest.raises(MalformedImageError, match="no UDF file entry"), opened(bytes(data)):
        pass


def test_extents_and_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(udf, "MAX_EXTENTS", 2)
        with opened(VARIANTS["pieces"].build()) as image:
            with pytest.raises(MalformedImageError, match="more than 2 extents"):
                image.read("/sources/boot.wim", 1)
    monkeypatch.setattr(tree_module, "MAX_ENTRIES", 5)
    with pytest.raises(MalformedImageError, match="more than 5"), opened(VARIANTS["plain"].build()) as image:
        list(image.walk(100))
