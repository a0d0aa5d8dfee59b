"""Images that a caller named for a stick: what is known of each, and what is said of them in a plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from luxusbd.catalog.model import Distribution, Release, Trust
from luxusbd.errors import NotBootableError, NotEnoughSpaceError
from luxusbd.images.fithints import expected_to_start
from luxusbd.images.model import Firmware, Recognition, StoredImage
from luxusbd.jobs import changes, fitting, planfirmware
from luxusbd.jobs.changes import Asked
from luxusbd.jobs.views import PlannedImage
from luxusbd.stick import layout as stick_layout
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import Layout, ManifestImage, PartitionRole, StickOptions
from luxusbd.stick.text import sanitise_name
from luxusbd.text import size_text


@dataclass(frozen=True)
class Wanted:
    """One image that a caller named, resolved."""

    reference: str
    """`image:<sha256>` when it is stored, else the full `distro:` reference."""
    content: str
    """sha256 of a stored one; else the `Release.content` of what is to be downloaded."""
    size: int
    """Bytes; from the rounded hint of the catalogue when nothing better is known."""
    exact: bool
    """Whether `size` is exact."""
    name: str
    title: str
    stored: StoredImage | None
    trust: Trust
    """Of a stored one; else what its download can reach at best."""
    distribution: Distribution | None = None
    release: Release | None = None
    called: str = ""
    """Its own name, where the one on the stick (`name`) may have had to be another."""
    persistence: int = 0
    """Bytes that its system is to have for changes."""

    @property
    def guest(self) -> fitting.Guest:
        """What has to be known of it to choose a filesystem."""
        return fitting.Guest(self.name, self.size, self.stored.recognition.filesystems if self.stored else ())

    def manifest_image(self, stored: StoredImage, added: int) -> ManifestImage:
        """The manifest's entry, once the image is stored; `added` is 0 until it is on the stick."""
        recognition = stored.recognition
        return ManifestImage(
            name=self.name,
            title=self.title,
            sha256=stored.sha256,
            size=stored.size,
            source=stored.source,
            recipe=recognition.recipe,
            family=recognition.family,
            version=recognition.version,
            architecture=recognition.architecture,
            volume_id=recognition.volume_id,
            iso_uuid=recognition.iso_uuid,
            added=added,
            entries=recognition.entries,
            trust=stored.trust,
            persistence=recognition.persistence,
        )

    def changes(self, partition: PartitionRole) -> tuple[Asked, ...]:
        """The room for changes that it is to get, where it goes onto this partition."""
        if not self.persistence:
            return ()
        ways = self.stored.recognition.persistence if self.stored is not None else None
        recipe = self.release.recipe if self.release is not None else ""
        return (Asked(self.name, self.persistence, partition, ways, recipe),)


def fetched_sizes(images: Sequence[Wanted]) -> list[int]:
    """Bytes, rounded, of the files that start images and have to be fetched, as far as images are there to say so."""
    found = [image.stored.recognition.startfile for image in images if image.stored is not None]
    return list({(one.archives, one.kernel_sha256): one.size for one in found if one is not None}.values())


def check_bootable(stored: StoredImage) -> None:
    """Refuse an image that cannot be started from a file.

    Raises:
        NotBootableError: with the reason and what to do instead.
    """
    if not stored.recognition.bootable:
        raise NotBootableError(f"{stored.name} cannot be started from a stick: {why_not_bootable(stored.recognition)}")


def why_not_bootable(recognition: Recognition) -> str:
    """The reason, and what to do instead."""
    reason = recognition.reason or "no way of starting it is known"
    advice = f" {recognition.advice}" if recognition.advice else ""
    return f"{reason}.{advice}".replace("..", ".")


def recognised_title(recognition: Recognition, fallback: str) -> str:
    """A name for people, from what the image says about itself."""
    if recognition.version and recognition.version in recognition.system:
        return recognition.system
    return " ".join(part for part in (recognition.system, recognition.version) if part) or fallback


def room_for_changes(images: Sequence[Wanted], options: StickOptions) -> Mapping[PartitionRole, int]:
    """Bytes that the rooms for changes take on a new stick.

    Raises:
        InvalidArgumentError: one cannot be.
    """
    kind = Kind(options.filesystem)
    asked = [
        one
        for wanted in images
        for one in wanted.changes(fitting.home(kind, wanted.guest, companion=options.companion > 0))
    ]
    return changes.needed(asked, kind, partition=options.persistence > 0)


def check_companion(name: str, sizes: Sequence[int], layout: Layout, *, changes: int = 0) -> None:
    """Refuse images, and bytes for their changes, that do not fit onto the companion partition.

    Raises:
        NotEnoughSpaceError: with the figures.
    """
    needed = (stick_layout.bytes_needed(sizes) if sizes else 0) + changes
    if needed > (capacity := stick_layout.companion_capacity(layout)):
        raise NotEnoughSpaceError(
            f"{name}: the images that go onto the companion partition need {size_text(needed)} and it has room for"
            f" {size_text(capacity)}; plan with a larger one (option companion; --companion)"
        )


def weaker(kind: Kind, *, companion: bool) -> list[str]:
    """What a stick with this filesystem does less well than one with ext4."""
    warnings: list[str] = []
    if kind is Kind.EXFAT:
        warnings.append(
            "exfat: no signed GRUB reads it, so that the stick will not start under Secure Boot; choose fat32 or ext4"
            " for that"
        )
    if kind is not Kind.EXT4 and not companion:
        warnings.append(
            f"{kind}: an image whose system cannot be started from it is refused, if need be after its download"
        )
    return warnings


def streamable(image: Wanted, kind: Kind, *, companion: bool) -> bool:
    """Whether an image may be written to a new stick before all of it is there.

    Not where what it turns out to be decides whether it may be at all, and it can be refused before anything is erased:
    room for changes is kept by some images only, and exFAT and FAT32 start some only, by what is expected of their
    recipes; the others may go onto a companion partition.
    """
    if image.persistence or not arriving(image):
        return False
    if kind is Kind.EXT4:
        return True
    recipe = image.release.recipe if image.release is not None and not companion else ""
    return not fitting.obstacle(kind, image.guest) and expected_to_start(recipe, kind)


def passable(image: Wanted) -> bool:
    """Whether an image may be written to sticks without being kept here.

    Not where its room for changes depends on what it turns out to be before a disk is erased, and not where its maker
    signed the image itself and nothing else, which is checked over all of it.
    """
    if image.release is None or not arriving(image) or image.persistence:
        return False
    return image.release.trust is not Trust.SIGNED or bool(image.release.sums_url)


def passing_by(images: Sequence[Wanted], *, companion: bool) -> list[str]:
    """What is said of images that are not to be kept here; on which of two partitions each goes is known too late."""
    going = [image.name for image in images if not companion and passable(image)]
    warnings = []
    if going:
        warnings.append(
            f"{', '.join(going)}: not kept on this machine; the disk is erased before all is there, what does not come"
            " is left out, and another stick needs the whole download again"
        )
    return warnings + kept_all_the_same(staying(images, companion=companion))


def staying(images: Sequence[Wanted], *, companion: bool) -> list[str]:
    """Names of those that have to be kept here, although the others are not to be."""
    return [image.name for image in images if image.stored is None and (companion or not passable(image))]


def kept_all_the_same(names: Sequence[str]) -> list[str]:
    """What is said of images that are `staying`."""
    if not names:
        return []
    return [
        f"{', '.join(names)}: needs room on this machine all the same, since it cannot be checked without being kept"
    ]


def arriving(image: Wanted) -> bool:
    """Whether an image is still to be downloaded, and known by its sha256."""
    return image.stored is None and image.release is not None and bool(image.release.sha256)


def erased_early(images: Sequence[Wanted]) -> list[str]:
    """What is said of images that are written while they come."""
    if not images:
        return []
    them = ", ".join(image.name for image in images)
    text = f"{them}: written while downloaded, so that the disk is erased before all is there; what does not come is"
    return [f"{text} left out. The option download_first (--download-first) downloads everything before"]


def renamed(images: Sequence[Wanted]) -> list[str]:
    """What is said of images whose name another one has already."""
    plain = [sanitise_name(image.called) for image in images]
    return [
        f"{image.called}: another image has that name too; on the stick this one is called {image.name}"
        for image, name in zip(images, plain, strict=True)
        if image.name != name
    ]


def planned_image(wanted: Wanted, served: frozenset[Firmware], options: StickOptions, shim: str) -> PlannedImage:
    """What a plan says of an image, on a stick that serves these firmwares."""
    warnings: list[str] = []
    firmware: frozenset[Firmware] = frozenset()
    if wanted.stored is not None:
        firmware, warnings = planfirmware.of_image(
            wanted.stored.recognition.entries, served, shim, options.certificates
        )
    if wanted.stored is not None and (file := wanted.stored.recognition.startfile) is not None:
        warnings.append(
            f"is started by a file that is fetched before the stick is written: {file.file}, at most"
            f" {size_text(file.size)}, from {urlsplit(file.archives[0]).hostname}"
        )
    if not wanted.exact:
        warnings.append("its exact size is not known before the download")
    kind = Kind(options.filesystem)
    home = fitting.home(kind, wanted.guest, companion=options.companion > 0)
    if home is PartitionRole.COMPANION:
        warnings.append(f"goes onto the ext4 companion partition: {fitting.obstacle(kind, wanted.guest)}")
    return PlannedImage(
        partition=home,
        reference=wanted.reference,
        name=wanted.name,
        title=wanted.title,
        size=wanted.size if wanted.exact else 0,
        firmware=firmware,
        warnings=tuple(warnings),
        download=wanted.stored is None,
        trust=wanted.trust,
        persistence=wanted.persistence,
        keeps=changes.keeps(
            wanted.stored.recognition.persistence if wanted.stored is not None else None,
            wanted.release.recipe if wanted.release is not None else "",
            Kind.EXT4 if home is PartitionRole.COMPANION else kind,
        ),
        reckoned=wanted.size,
        custom=wanted.stored.custom if wanted.stored is not None else bool(wanted.release and wanted.release.custom),
    )
