"""Reading and writing FAT32 and exFAT: against a model, against other readers, and with the power cut."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luxusbd.errors import InvalidArgumentError, NotEnoughSpaceError
from luxusbd.stick import clusterfsck, fatnames
from luxusbd.stick.clusterblocks import FileBlocks
from luxusbd.stick.clusters import SECTOR
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.survey import survey
from tests.stick.clusterimage import fsck, make
from tests.stick.clustermodel import (
    CLUSTER,
    DIRECTORIES,
    KINDS,
    LARGE,
    MTOOLS,
    SIZE,
    Log,
    Step,
    apply,
    check_same,
    content,
    empty,
    fresh,
    put_big,
    steps,
    writer_of,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=3, max_size=14))
def test_what_is_written_is_what_a_model_holds(kind: Kind, tmp_path: Path, given_steps: list[Step]) -> None:
    log = Log(empty(kind))
    writer = writer_of(log, kind)
    for directory in DIRECTORIES:
        writer.make_directory(directory)
    model: dict[str, bytes] = {}
    path = tmp_path / "image"
    for number, step in enumerate(given_steps):
        apply(log, writer, model, step, number)
        check_same(fresh(log.read, kind), model)
        found = survey(fresh(log.read, kind), writer.used)
        assert (found.problems, found.lost, found.overlong, found.tables_differ) == ((), (), (), False)
        assert fresh(log.read, kind).free_bytes() == writer.used.count(0) * CLUSTER
        writer.finish()
        path.write_bytes(log.durable)
        fsck(path, kind)
        assert fresh(log.read, kind).clean
    check_with_grub(path, model)


def check_with_grub(path: Path, model: dict[str, bytes]) -> None:
    """GRUB reads the same."""
    for name, data in list(model.items())[:12]:
        if not name.isascii() or "(" in name:
            # grub-fstest takes brackets for those of a device
            continue
        done = subprocess.run(
            ["grub-fstest", path, "cat", f"(loop0){name}"], capture_output=True, check=False, timeout=60
        )
        assert (done.stdout, done.stderr) == (data, b""), name


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=10, max_size=20))
def test_mtools_read_the_same(tmp_path: Path, given_steps: list[Step]) -> None:
    path = tmp_path / "image"
    make(path, Kind.FAT32, LARGE, SECTOR)
    fd = os.open(path, os.O_RDWR)
    try:
        blocks = FileBlocks(fd, 0)
        writer = clusterfsck.open_filesystem(blocks, Kind.FAT32, LARGE)
        for directory in DIRECTORIES:
            writer.make_directory(directory)
        model: dict[str, bytes] = {}
        for number, step in enumerate(given_steps):
            if step[0] != "big":
                apply(Log(b""), writer, model, step, number)
        writer.finish()
    finally:
        os.close(fd)
    for directory in DIRECTORIES:
        done = subprocess.run(["mdir", "-b", "-i", path, f"::{directory}"], capture_output=True, env=MTOOLS)
        names = {line.decode().removeprefix("::") for line in done.stdout.splitlines()}
        assert names == {_as_mtools(name) for name in model if name.startswith(f"{directory}/")}
    for name, data in [item for item in model.items() if _as_mtools(item[0]) == item[0]][:12]:
        done = subprocess.run(["mtype", "-i", path, f"::{name}"], capture_output=True, env=MTOOLS)
        assert done.stdout == data, (name, done.stderr)


def _as_mtools(name: str) -> str:
    """It knows no surrogates, and shows and finds a character beyond 16 bits as two that it does not know."""
    return "".join(letter if ord(letter) < 0x10000 else "__" for letter in name)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(st.lists(steps, min_size=1, max_size=6), st.integers(0, 2**32))
def test_a_power_cut_anywhere_leaves_it_whole(kind: Kind, given_steps: list[Step], seed: int) -> None:
    """Each step is cut at some of its writes, with the unflushed ones lost, kept and swapped."""
    rng = random.Random(seed)
    log = Log(empty(kind))
    writer = writer_of(log, kind)
    for directory in DIRECTORIES:
        writer.make_directory(directory)
    writer.finish()
    model: dict[str, bytes] = {}
    for number, step in enumerate(given_steps):
        before = dict(model)
        cuts: list[bytes] = []

        often = 0.02 if step[0] in ("many", "thin") else 0.25

        def maybe(cuts: list[bytes] = cuts, often: float = often) -> None:
            if rng.random() < often:
                cuts.append(log.cut(rng))

        log.on_write = maybe
        apply(log, writer, model, step, number)
        cuts.append(log.cut(rng))
        log.on_write = None
        for index, cut in enumerate(rng.sample(cuts, min(len(cuts), 4))):
            check_cut(cut, kind, step, before, model, thorough=index == 0)
        writer.finish()


def check_cut(
    data: bytes, kind: Kind, step: Step, before: dict[str, bytes], after: dict[str, bytes], *, thorough: bool
) -> None:
    log = Log(data)
    looked = clusterfsck.look(log, kind, SIZE)
    assert looked.survey.problems == ()
    assert looked.whole
    named = {path for path in (step[1], step[2]) if isinstance(path, str)}
    if step[0] in ("many", "thin"):
        named = {path for path in {**before, **after} if path.startswith(f"{step[1]}/one of many")}
    filesystem = looked.writer.fs
    for path in {**before, **after}:
        found = filesystem.read_file(path, SIZE)
        if path not in named:
            assert found == before[path], f"{path}, which nobody touched"
        elif step[0] != "big":
            allowed = [before.get(path), after.get(path)]
            if step[0] == "publish" and path == step[2] and step[1] in before:
                # two sectors: for a moment there is only the old name
                allowed += [None] if filesystem.read_file(step[1], SIZE) == before[step[1]] else []
            assert found in allowed, path
    if step[0] == "publish" and step[1] in before and _fits(step, before, kind):
        assert after[str(step[2])] in (filesystem.read_file(str(step[2]), SIZE), filesystem.read_file(step[1], SIZE))
    clusterfsck.tidy(looked)
    again = clusterfsck.look(log, kind, SIZE)
    assert again.tidy
    if not thorough:
        return
    with tempfile.TemporaryDirectory() as name:
        path_of_copy = Path(name) / "image"
        path_of_copy.write_bytes(log.durable)
        fsck(path_of_copy, kind)


def _fits(step: Step, before: dict[str, bytes], kind: Kind) -> bool:
    """Whether a rename surely has room in the sector of the old name: within a directory, to a shorter name."""
    old, new = step[1], str(step[2])
    return old.rpartition("/")[0] == new.rpartition("/")[0] and len(new) <= len(old) and new not in before


@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_that_grows_is_cut_at_every_write(kind: Kind) -> None:
    log = Log(empty(kind))
    writer = writer_of(log, kind)
    for directory in DIRECTORIES:
        writer.make_directory(directory)
    model: dict[str, bytes] = {}
    states: set[str] = set()
    looked_at: set[tuple[int, frozenset[tuple[int, bytes]]]] = set()

    def cut() -> None:
        for seed in (1, 2, 3):
            sectors = log.pick(random.Random(seed))
            # most of the cuts leave what another one has left
            same = log.flushes, frozenset(sectors.items())
            if same in looked_at:
                continue
            looked_at.add(same)
            hurt = Log(log.with_sectors(sectors))
            looked = clusterfsck.look(hurt, kind, SIZE)
            assert looked.survey.problems == ()
            states.update(("overlong",) if looked.survey.overlong else ())
            for path, data in model.items():
                assert looked.writer.fs.read_file(path, 99) == data
            clusterfsck.tidy(looked)
            assert clusterfsck.look(hurt, kind, SIZE).tidy

    for index in range(60):
        # files in turn, so that neither directory finds its next cluster free
        path = f"{DIRECTORIES[index % 2]}/a name of two slots, {index}"
        log.on_write = cut if index in range(8, 60) and index % 16 in range(8) else None
        writer.write_small(path, b"%d" % index)
        model[path] = b"%d" % index
        writer.finish()
    assert ("overlong" in states) == (kind is Kind.EXFAT)


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_is_replaced_by_one_write(kind: Kind) -> None:
    """What a stick does with every change: a new manifest beside the old one, in the sector of the old one."""
    log = Log(empty(kind))
    writer = writer_of(log, kind)
    writer.make_directory("/luxusb")
    for number in range(12):
        writer.write_small("/luxusb/stick.json.new", b"%d" % number)
        writer.write_small(f"/luxusb/menu-{'ab'[number % 2]}.cfg", content(number, 3000))
        writer.finish()
        seen: set[bytes | None] = set()

        def look(seen: set[bytes | None] = seen) -> None:
            for seed in range(6):
                seen.add(fresh(Log(log.cut(random.Random(seed))).read, kind).read_file("/luxusb/stick.json", 99))

        log.on_write = look
        writer.publish("/luxusb/stick.json.new", "/luxusb/stick.json")
        log.on_write = None
        assert seen <= {b"%d" % number, b"%d" % (number - 1) if number else None}


@pytest.mark.parametrize("kind", KINDS)
def test_files_in_pieces(kind: Kind) -> None:
    log = Log(empty(kind))
    writer = writer_of(log, kind)
    for directory in DIRECTORIES:
        writer.make_directory(directory)
    count = writer.used.count(0) // 2 - 40
    for index in range(count // 20):
        writer.write_small(f"/iso/{index}", bytes(20 * CLUSTER))
        writer.write_small(f"/luxusb/{index}", bytes(20 * CLUSTER))
    for index in range(count // 20):
        writer.remove(f"/iso/{index}")
    data = content(1, 100 * 20 * CLUSTER)
    runs = writer.allocate("/iso/pieces", len(data))
    assert len(runs) > 50
    put_big(log, writer, "/iso/pieces", data)
    writer.finish()
    filesystem = fresh(log.read, kind)
    assert filesystem.read_file("/iso/pieces", SIZE) == data
    extents = filesystem.extents("/iso/pieces")
    assert len(extents) == len(runs)
    assert b"".join(log.read(e.physical * SECTOR, e.length * SECTOR) for e in extents)[: len(data)] == data
    assert survey(filesystem, writer.used).problems == ()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "image"
        path.write_bytes(log.durable)
        fsck(path, kind)
        check_with_grub(path, {"/iso/pieces": data})
    with pytest.raises(NotEnoughSpaceError):
        writer.allocate("/iso/more", SIZE)
    with pytest.raises(InvalidArgumentError, match="may have"):
        writer.write_small("/iso/" + "n" * 230, b"")


def test_files_of_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "image"
    make(path, Kind.FAT32, LARGE, SECTOR)
    source = tmp_path / "source"
    source.write_bytes(content(3, 70_000))
    subprocess.run(["mmd", "-i", path, "::/iso"], check=True, env=MTOOLS)
    names = ("short.iso", "LOUD.ISO", "Ein längerer Name mit Ümläuten.iso", "a.b.c.d.iso", "~tilde~", "x" * 200)
    for name in names:
        subprocess.run(["mcopy", "-i", path, source, f"::/iso/{name}"], check=True, env=MTOOLS)
    fd = os.open(path, os.O_RDWR)
    try:
        writer = clusterfsck.open_filesystem(FileBlocks(fd, 0), Kind.FAT32, LARGE)
        assert {name.lower() for name in writer.fs.list("/iso")} == {name.lower() for name in names}
        for name in names:
            assert writer.fs.read_file(f"/iso/{name}", SIZE) == source.read_bytes(), name
        # one whose slots lie in more sectors than one
        writer.publish("/iso/" + "x" * 200, "/iso/renamed.iso")
        writer.write_small("/iso/short.iso", b"new")
        writer.remove("/iso/a.b.c.d.iso")
        writer.finish()
        assert writer.fs.read_file("/iso/renamed.iso", SIZE) == source.read_bytes()
    finally:
        os.close(fd)
    fsck(path, Kind.FAT32)
    done = subprocess.run(["mdir", "-b", "-i", path, "::/iso"], capture_output=True, text=True, env=MTOOLS)
    assert sorted(line.rsplit("/", 1)[1] for line in done.stdout.split("\n") if "/" in line) == sorted(
        ["short.iso", "LOUD.ISO", "Ein längerer Name mit Ümläuten.iso", "~tilde~", "renamed.iso"]
    )


def test_aliases() -> None:
    assert fatnames.exact_alias("README.TXT") == b"README  TXT"
    assert fatnames.exact_alias("readme.txt") is None
    assert fatnames.exact_alias("A.B.C") is None
    assert fatnames.make_alias("debian-12.iso", ()) == b"DEBIAN~1ISO"
    assert fatnames.make_alias("debian-13.iso", {b"DEBIAN~1ISO"}) == b"DEBIAN~2ISO"
    assert fatnames.make_alias("...", ()) == b"_~1     " + b"   "
    assert fatnames.short_name(b"README  TXT", 0x08) == "readme.TXT"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=120))
def test_long_names_come_back(name: str) -> None:
    if len(name.encode("utf-16-le")) > 510:
        return
    alias = b"ALIAS   ISO"
    slots = fatnames.long_slots(name, alias)
    assert fatnames.long_name(slots, alias) == name
    assert fatnames.long_name(slots, b"OTHER   ISO") is None
    assert fatnames.long_name(slots[1:], alias) in (None, name) if len(slots) == 1 else True


@given(st.integers(315532800, 4354819199))
def test_times_come_back_to_two_seconds(moment: int) -> None:
    assert fatnames.unstamp(fatnames.stamp(moment)) == moment // 2 * 2
