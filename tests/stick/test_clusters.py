"""Reading and writing FAT32 and exFAT: against a model, against other readers, and with the power cut."""

from __future__ import annotations

import functools
import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luxusbd.errors import DeviceDamagedError, InvalidArgumentError, MalformedImageError, NotEnoughSpaceError
from luxusbd.stick import clusterfsck, detect, fatnames
from luxusbd.stick.clusterblocks import FileBlocks
from luxusbd.stick.clusters import SECTOR, ClusterFilesystem
from luxusbd.stick.clusterwriter import ClusterWriter
from luxusbd.stick.exfat import ExFat
from luxusbd.stick.fat32 import Fat32
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.survey import survey
from tests.stick.clusterimage import UUID, fsck, make

KINDS = (Kind.FAT32, Kind.EXFAT)
SIZE = 6 * 1024 * 1024
LARGE = 36 * 1024 * 1024
"""mtools take for a FAT16 what has fewer clusters than a FAT32 should have."""
MTOOLS = {**os.environ, "MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"}
CLUSTER = 1024
DIRECTORIES = ("/iso", "/luxusb")
NAMES = (
    "A",
    "stick.json",
    "stick.json.new",
    "menu-a.cfg",
    "Some longer name (2024) with blanks.iso",
    "Ärger + 你好 🐧.iso",
    "x" * 180 + ".iso",
    "x" * 171 + ".iso.lux-part",
    "x" * 40 + ".one",
    "x" * 40 + ".two",
    "UPPER.ISO",
    "...dots",
)
Step = tuple[str, str, object]
Writer = ClusterWriter[Fat32] | ClusterWriter[ExFat]


def fresh(read: Callable[[int, int], bytes], kind: Kind) -> ClusterFilesystem:
    return Fat32(read, SIZE) if kind is Kind.FAT32 else ExFat(read, SIZE)


@functools.cache
def empty(kind: Kind) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "image"
        make(path, kind, SIZE, CLUSTER)
        return path.read_bytes()


class Log:
    """A medium in memory that keeps what was written between flushes, sector by sector."""

    def __init__(self, data: bytes) -> None:
        self.durable = bytearray(data)
        self.now = bytearray(data)
        self.tail: list[tuple[int, bytes]] = []
        self.on_write: Callable[[], None] | None = None

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= len(self.now), "a read outside of the partition"
        return bytes(self.now[offset : offset + length])

    def write(self, data: bytes | memoryview, offset: int) -> None:
        assert offset % SECTOR == 0
        assert len(data) % SECTOR == 0
        assert offset + len(data) <= len(self.now), "a write outside of the partition"
        for at in range(0, len(data), SECTOR):
            self.tail.append((offset + at, bytes(data[at : at + SECTOR])))
        self.now[offset : offset + len(data)] = data
        if self.on_write is not None:
            self.on_write()

    def flush(self) -> None:
        for place, sector in self.tail:
            self.durable[place : place + SECTOR] = sector
        self.tail.clear()

    def cut(self, rng: random.Random) -> bytes:
        """What the medium may hold when the power goes now: any version of each sector since the last flush."""
        versions: dict[int, list[bytes]] = {}
        for place, sector in self.tail:
            versions.setdefault(place, [bytes(self.durable[place : place + SECTOR])]).append(sector)
        made = bytearray(self.durable)
        style = rng.random()
        for place, known in versions.items():
            made[place : place + SECTOR] = known[-1] if style < 0.1 else known[0] if style < 0.2 else rng.choice(known)
        return bytes(made)


def writer_of(log: Log, kind: Kind) -> Writer:
    return clusterfsck.open_filesystem(log, kind, SIZE)


def content(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


paths = st.builds(lambda directory, name: f"{directory}/{name}", st.sampled_from(DIRECTORIES), st.sampled_from(NAMES))
sizes = st.one_of(st.integers(0, 5000), st.sampled_from([0, 1023, 1024, 1025, 200_000]))
steps = st.one_of(
    st.tuples(st.just("small"), paths, sizes),
    st.tuples(st.just("big"), paths, sizes),
    st.tuples(st.just("publish"), paths, paths),
    st.tuples(st.just("remove"), paths, st.just(0)),
    st.tuples(st.just("many"), st.sampled_from(DIRECTORIES), st.integers(1, 40)),
    st.tuples(st.just("thin"), st.sampled_from(DIRECTORIES), st.just(0)),
    st.tuples(st.just("finish"), st.just(""), st.just(0)),
)


def apply(log: Log, writer: Writer, model: dict[str, bytes], step: Step, number: int) -> None:
    """Do one step, and to the model what it means."""
    what, path, value = step
    if what == "small":
        assert isinstance(value, int)
        data = content(number, value)
        writer.write_small(path, data)
        model[path] = data
    elif what == "big":
        assert isinstance(value, int)
        data = content(number, value)
        put_big(log, writer, path, data)
        model[path] = data
    elif what == "publish":
        assert isinstance(value, str)
        if path not in model:
            with pytest.raises(DeviceDamagedError):
                writer.publish(path, value)
        else:
            writer.publish(path, value)
            model[value] = model.pop(path)
    elif what == "remove":
        writer.remove(path)
        model.pop(path, None)
    elif what == "many":
        assert isinstance(value, int)
        for index in range(value):
            name = f"{path}/one of many, number {index}"
            writer.write_small(name, b"%d" % index)
            model[name] = b"%d" % index
    elif what == "thin":
        for name in [name for name in model if name.startswith(f"{path}/one of many")][::2]:
            writer.remove(name)
            del model[name]
    else:
        writer.finish()


def put_big(log: Log, writer: Writer, path: str, data: bytes) -> None:
    runs = writer.allocate(path, len(data))
    rest = data
    for run in runs:
        piece = rest[: run.count * CLUSTER]
        log.write(piece + bytes(-len(piece) % SECTOR), writer.fs.place(run.first))
        rest = rest[len(piece) :]
    writer.publish(path, path)


def check_same(filesystem: ClusterFilesystem, model: dict[str, bytes]) -> None:
    found = {f"{directory}/{name}" for directory in DIRECTORIES for name in filesystem.list(directory)}
    assert found == set(model)
    for path, data in model.items():
        assert filesystem.read_file(path, SIZE) == data, path
        assert filesystem.read_file(path.upper(), SIZE) == data, path


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
        assert names == {name for name in model if name.startswith(f"{directory}/")}
    for name, data in list(model.items())[:12]:
        done = subprocess.run(["mtype", "-i", path, f"::{name}"], capture_output=True, env=MTOOLS)
        assert done.stdout == data, (name, done.stderr)


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

    def cut() -> None:
        for seed in (1, 2, 3):
            hurt = Log(log.cut(random.Random(seed)))
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


@functools.cache
def populated(kind: Kind) -> bytes:
    """A small filesystem with everything in it that a reader can meet."""
    log = Log(empty(kind))
    writer = writer_of(log, kind)
    for directory in (*DIRECTORIES, "/iso/below"):
        writer.make_directory(directory)
    for index in range(45):
        writer.write_small(f"/iso/file {index} of many.txt", b"%d" % index)
    for index in range(0, 45, 3):
        writer.remove(f"/iso/file {index} of many.txt")
    writer.write_small("/luxusb/stick.json", b"{}" * 3000)
    put_big(log, writer, "/iso/big.iso", content(5, 90_000))
    writer.finish()
    return bytes(log.durable)


def use_everything(read: Callable[[int, int], bytes]) -> None:
    """Whatever a reader may be asked; ends, and raises no other error."""
    kind_of: list[Kind] = []
    for kind in KINDS:
        try:
            filesystem = detect.open_as(kind, read, SIZE)
        except MalformedImageError:
            continue
        kind_of.append(kind)
        assert isinstance(filesystem, ClusterFilesystem)
        for look in (
            lambda fs=filesystem: fs.free_bytes(),
            lambda fs=filesystem: fs.list("/iso"),
            lambda fs=filesystem: fs.entries("/iso/below", 10),
            lambda fs=filesystem: fs.read_file("/luxusb/stick.json", 1 << 20),
            lambda fs=filesystem: fs.extents("/iso/big.iso"),
            lambda fs=filesystem: survey(fs, bytearray(fs.clusters + 2)),
        ):
            try:
                look()
            except MalformedImageError:
                continue


@functools.cache
def metadata(kind: Kind) -> tuple[int, ...]:
    touched: set[int] = set()
    data = populated(kind)

    def read(offset: int, length: int) -> bytes:
        touched.update(range(offset, offset + min(length, 2048), 32))
        return data[offset : offset + length]

    use_everything(read)
    return tuple(sorted(touched))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_hostile_bytes_are_read_or_refused(kind: Kind, data: st.DataObject) -> None:
    hurt = bytearray(populated(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.sampled_from(metadata(kind))) + data.draw(st.integers(0, 31))
        noise = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([b"\0" * 32, b"\xff" * 32, b"\xff\xff", b"\x02\0\0\0", b"\x03\0\0\0", b"\0\0"]),
            )
        )
        hurt[at : at + len(noise)] = noise
    if kind is Kind.EXFAT:
        # a checksum is no hindrance for whoever means it
        from luxusbd.stick import exfat

        hurt[: 12 * SECTOR] = exfat.with_serial(bytes(hurt[: 12 * SECTOR]), UUID)
    medium = Log(bytes(hurt[:SIZE].ljust(SIZE, b"\0")))
    use_everything(medium.read)


@pytest.mark.parametrize("kind", KINDS)
def test_chains_in_circles_and_into_each_other(kind: Kind) -> None:
    data = bytearray(populated(kind))
    filesystem = fresh(Log(bytes(data)).read, kind)
    root = filesystem.root.first
    # the root directory's chain leads back to itself
    data[filesystem.table_start + root * 4 : filesystem.table_start + root * 4 + 4] = root.to_bytes(4, "little")
    hurt = writer_of(Log(bytes(data)), kind)
    with pytest.raises(MalformedImageError, match="no end"):
        list(hurt.fs.slots(hurt.fs.root))
    assert survey(hurt.fs, hurt.used).problems[0] == "'/' shares clusters with another file"
    data = bytearray(populated(kind))
    # a file that says to begin where another one does
    one, other = (filesystem.lookup(f"/iso/file {index} of many.txt") for index in (1, 2))
    assert one is not None
    assert other is not None
    writer = writer_of(Log(bytes(data)), kind)
    slots = writer._with_clusters(other.raw, one.first, 1, 1, row=True)
    for place, slot in zip(other.slots, slots, strict=True):
        data[place : place + 32] = slot
    writer = writer_of(Log(bytes(data)), kind)
    found = survey(writer.fs, writer.used)
    assert any("shares clusters" in problem for problem in found.problems)
    assert found.lost


def walk(kind: Kind) -> Iterator[str]:
    yield from fresh(Log(populated(kind)).read, kind).list("/iso")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_volume_that_is_marked_as_broken_is_looked_through(kind: Kind, tmp_path: Path) -> None:
    data = bytearray(populated(kind))
    if kind is Kind.FAT32:
        data[fresh(Log(bytes(data)).read, kind).table_start + 7] &= 0xFB
    else:
        data[106] |= 4
    log = Log(bytes(data))
    assert fresh(log.read, kind).has_errors
    assert not await clusterfsck.is_sound(log, kind, SIZE, tmp_path)
    assert (await clusterfsck.mend(log, kind, SIZE, tmp_path)).forced
    assert await clusterfsck.is_sound(log, kind, SIZE, tmp_path)
    assert not fresh(log.read, kind).has_errors


@pytest.mark.parametrize("kind", KINDS)
async def test_bad_clusters_stay_bad(kind: Kind, tmp_path: Path) -> None:
    log = Log(populated(kind))
    writer = writer_of(log, kind)
    bad = writer.find_room(1)[0]
    writer.begin()
    writer._allocate([bad])
    mark = (writer.fs.table_limit + 1).to_bytes(4, "little")
    place = writer.fs.table_start + bad.first * 4
    sector = bytearray(log.read(place // SECTOR * SECTOR, SECTOR))
    sector[place % SECTOR : place % SECTOR + 4] = mark
    log.write(bytes(sector), place // SECTOR * SECTOR)
    log.flush()
    await clusterfsck.mend(log, kind, SIZE, tmp_path)
    assert writer_of(log, kind).used[bad.first]
    assert fresh(log.read, kind).table(bad.first) == writer.fs.table_limit + 1


@pytest.mark.parametrize("kind", KINDS)
async def test_fsck_mends_what_is_broken(kind: Kind, tmp_path: Path) -> None:
    data = bytearray(populated(kind))
    filesystem = fresh(Log(bytes(data)).read, kind)
    one, other = (filesystem.lookup(f"/iso/file {index} of many.txt") for index in (1, 2))
    assert one is not None
    assert other is not None
    big = filesystem.read_file("/iso/big.iso", SIZE)
    writer = writer_of(Log(bytes(data)), kind)
    for place, slot in zip(other.slots, writer._with_clusters(other.raw, one.first, 1, 1, row=True), strict=True):
        data[place : place + 32] = slot
    log = Log(bytes(data))
    assert not await clusterfsck.is_sound(log, kind, SIZE, tmp_path)
    mended = await clusterfsck.mend(log, kind, SIZE, tmp_path)
    assert mended.forced
    assert any("shares clusters" in line for line in mended.lines)
    assert await clusterfsck.is_sound(log, kind, SIZE, tmp_path)
    assert fresh(log.read, kind).read_file("/iso/big.iso", SIZE) == big
    assert len(list(walk(kind))) - 2 <= len(fresh(log.read, kind).list("/iso"))
    assert list(tmp_path.iterdir()) == []
