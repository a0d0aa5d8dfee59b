"""What an image is, by its content. Runs in a thread of the unprivileged child, because it reads foreign bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from luxusbd.errors import MalformedImageError
from luxusbd.images.authenticode import signers
from luxusbd.images.bounded import BoundedReader
from luxusbd.images.derive import derive
from luxusbd.images.details import Container, Details, Inspection, Keeps, ProgramInfo, Toram
from luxusbd.images.disk import DiskImage, read_disk, read_table
from luxusbd.images.eltorito import platforms
from luxusbd.images.foreign import describe_foreign
from luxusbd.images.iso9660 import IsoImage
from luxusbd.images.kernel import inspect_kernel
from luxusbd.images.match import Match, guess_architecture, match
from luxusbd.images.model import BootMethod, Recognition
from luxusbd.images.recipes import Recipe, packaged_recipes
from luxusbd.images.source import ImageSource
from luxusbd.images.tree import FileTree
from luxusbd.images.udf import UdfImage
from luxusbd.images.volumes import Volumes, read_volumes
from luxusbd.text import clean

REASON_LIMIT = 500
LABEL_LIMIT = 128
MAX_PROGRAMS = 16
COMPARED = 2000
"""Files that are counted to find out which of two trees is the fuller one."""

_WRITE_RAW = "Write it to a stick of its own, byte for byte, with `luxusb write-raw`."


@dataclass(frozen=True)
class _Looked:
    """A look at a file: exactly one of `tree` and `disk` is there."""

    reader: BoundedReader
    volumes: Volumes
    tree: FileTree | None = None
    disk: DiskImage | None = None
    match: Match | None = None
    why: str = ""
    """What became of the image's own menus, when there is no match."""


def recognise(source: int | ImageSource, recipes: Sequence[Recipe] | None = None) -> Recognition:
    """Look at an image. Blocks; takes well under a second.

    Args:
        source: what gives its bytes, or a regular file, readable, which stays open and keeps its offset.
        recipes: those to try; the packaged ones by default.

    Raises:
        MalformedImageError: it is no image, or a damaged one; the text says which.
        CatalogError: a packaged recipe is malformed.
    """
    return _recognition(_look(source, recipes))


def inspect(fd: int, recipes: Sequence[Recipe] | None = None) -> Inspection:
    """Everything that can be told about the image behind `fd`; otherwise as `recognise`."""
    looked = _look(fd, recipes)
    recognition = _recognition(looked)
    return Inspection(recognition, _details(looked, recognition))


def _look(source: int | ImageSource, recipes: Sequence[Recipe] | None) -> _Looked:
    reader = BoundedReader(source)
    if reader.size == 0:
        raise MalformedImageError("the file is empty")
    volumes = read_volumes(reader)
    tree = _tree(reader, volumes)
    if tree is not None:
        found, why = _match(tree, packaged_recipes() if recipes is None else recipes)
        return _Looked(reader, volumes, tree=tree, match=found, why=why)
    disk = read_disk(reader)
    if disk is None:
        raise MalformedImageError(describe_foreign(reader))
    return _Looked(reader, volumes, disk=disk)


def _match(tree: FileTree, recipes: Sequence[Recipe]) -> tuple[Match | None, str]:
    """What the recipes say, and where they know nothing, what the image's own menus do."""
    found = match(tree, recipes)
    if isinstance(tree, UdfImage) or (found is not None and (found.refused or found.entries) and not _is_own(found)):
        return found, ""
    derived = derive(tree)
    if found is None or derived.match is None:
        return found or derived.match, derived.reason
    if not found.entries:
        return derived.match, ""
    # the image's own loopback.cfg is a promise of its maker, and comes before what was worked out
    return replace(found, entries=(*found.entries, *derived.match.entries)), ""


def _is_own(found: Match) -> bool:
    """Whether all that is known is that the image has a loopback.cfg."""
    return all(entry.method is BootMethod.LOOPBACK_CFG for entry in found.entries)


def _tree(reader: BoundedReader, volumes: Volumes) -> FileTree | None:
    """The tree that holds the system: that of UDF only where it is the fuller one, since GRUB reads the other."""
    if volumes.primary is None:
        return UdfImage(reader) if volumes.udf else None
    iso = IsoImage(reader, volumes)
    if not volumes.udf:
        return iso
    try:
        udf = UdfImage(reader)
        fuller = sum(1 for _ in udf.walk(COMPARED)) > sum(1 for _ in iso.walk(COMPARED))
    except MalformedImageError:
        return iso  # what GRUB reads is sound
    return udf if fuller else iso


def _recognition(looked: _Looked) -> Recognition:
    if looked.disk is not None:
        return _disk(looked.reader, looked.disk)
    assert looked.tree is not None
    return _unknown(looked) if looked.match is None else _known(looked.tree, looked.match)


def _known(image: FileTree, found: Match) -> Recognition:
    reason, advice = found.reason, found.advice
    if isinstance(image, UdfImage) and not reason:
        reason = "Its files are in a UDF volume, which neither GRUB nor the system's own start reads from a file."
        advice = _WRITE_RAW
    entries = () if reason else found.entries
    return Recognition(
        size=image.size,
        volume_id=clean(image.volume_id, LABEL_LIMIT),
        iso_uuid=image.uuid,
        recipe=found.recipe.id,
        family=found.recipe.family,
        system=found.system,
        version=found.version,
        architecture=found.architecture,
        entries=entries,
        filesystems=found.filesystems,
        reason=clean(reason, REASON_LIMIT),
        advice=clean(advice, REASON_LIMIT),
        firmware=frozenset(firmware for entry in entries for firmware in entry.firmware),
        startfile=found.startfile if entries else None,
        persistence=found.persistence if entries else (),
    )


def _unknown(looked: _Looked) -> Recognition:
    image = looked.tree
    assert image is not None
    label = clean(image.volume_id, LABEL_LIMIT)
    if platforms(looked.volumes.boot_records):
        reason = f"No recipe knows how to start this system from a file. {looked.why}"
        advice = "Write it to a stick of its own, byte for byte, or update the catalogue, which brings newer recipes."
    else:
        reason = "The image has no boot record and holds no known system: it looks like a data disc."
        advice = "Copy it to the stick as a plain file if you only need its content."
    return Recognition(
        size=image.size,
        volume_id=label,
        iso_uuid=image.uuid,
        recipe="",
        family="",
        system=label or "Unknown system",
        version="",
        architecture=guess_architecture(image),
        reason=reason,
        advice=advice,
    )


def _disk(reader: BoundedReader, disk: DiskImage) -> Recognition:
    label = clean(disk.label, LABEL_LIMIT)
    return Recognition(
        size=reader.size,
        volume_id=label,
        iso_uuid="",
        recipe="",
        family="disk-image",
        system=disk.system or label or "Disk image",
        version="",
        architecture="",
        reason=clean(f"It is the image of {disk.description}, which cannot be started from a file.", REASON_LIMIT),
        advice=_WRITE_RAW,
    )


def _details(looked: _Looked, recognition: Recognition) -> Details:
    recipe = looked.match.recipe if looked.match is not None else None
    starts = recipe if recognition.bootable else None
    keeps = recipe.persistence if recipe is not None and recognition.persistence else None
    if looked.disk is not None:
        container = Container.FILESYSTEM if looked.disk.whole is not None else Container.DISK
        table, partitions = looked.disk.table, looked.disk.partitions
    else:
        table, partitions = read_table(looked.reader, complete=False)
        container = Container.UDF if looked.volumes.primary is None else Container.ISO9660
        if looked.volumes.udf and container is Container.ISO9660:
            container = Container.BRIDGE
    return Details(
        container=container,
        names=looked.tree.names if looked.tree is not None else "",
        recipe_version=recipe.version if recipe is not None else 0,
        minimum_memory=looked.match.minimum_memory if looked.match is not None else 0,
        table=table,
        partitions=partitions,
        boot_records=looked.volumes.boot_records,
        programs=_programs(looked.tree, recognition) if looked.tree is not None else (),
        toram=_toram(starts),
        persistence=Keeps(keeps.store.value) if keeps is not None else Keeps.NOWHERE,
        persistence_on=keeps.on if keeps is not None else frozenset(),
    )


def _toram(recipe: Recipe | None) -> Toram:
    if recipe is None:
        return Toram.NO
    if recipe.always_in_ram:
        return Toram.ALWAYS
    return Toram.ENTRY if recipe.toram is not None else Toram.NO


def _programs(tree: FileTree, recognition: Recognition) -> tuple[ProgramInfo, ...]:
    kernels = [
        entry.kernel
        for entry in recognition.entries
        if entry.method in (BootMethod.LINUX, BootMethod.LINUX16, BootMethod.EFI)
    ]
    programs = tree.glob("/[Ee][Ff][Ii]/[Bb][Oo][Oo][Tt]/*.[Ee][Ff][Ii]")
    found = []
    for path in list(dict.fromkeys((*kernels, *sorted(programs))))[:MAX_PROGRAMS]:
        if len(path) > 1024 or not path.isprintable():
            continue
        try:
            facts = inspect_kernel(lambda offset, limit, path=path: tree.read(path, limit, offset))  # type: ignore[misc]
        except MalformedImageError:
            continue  # a directory or a broken program does not keep the rest from being told
        found.append(ProgramInfo(path, facts.architecture, bool(facts.signatures), signers(facts.signatures)[:4]))
    return tuple(found)
