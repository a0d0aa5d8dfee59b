"""`bundle`: images, catalogue and signatures in a directory, for machines without network; making and changing one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.context import State, SuggestingGroup, json_option, pass_state, run
from luxusb_cli.errors import CliError, ExitCode, UsageError
from luxusb_cli.i18n import N_, _, ngettext
from luxusb_cli.render import say
from luxusb_cli.runner import JobOptions, conclude, run_jobs
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.bundles.directory import Directory
    from luxusb_cli.bundles.index import BundleImage, Index
    from luxusb_cli.bundles.making import Bundle, Chosen
    from luxusb_cli.client import Client

TO_THE_END = JobOptions(wait=True, cancel_on_interrupt=False)
"""A download goes on when the command is interrupted: it is wanted the next time."""

_FAILED = N_("Could not make a bundle")


@dataclass(frozen=True)
class BundleInfo:
    """A bundle for a program."""

    place: str
    id: str
    serial: int
    made: str
    signed_by: str
    images: tuple[ImageLine, ...]


@dataclass(frozen=True)
class ImageLine:
    """An image of a bundle for a program."""

    reference: str
    architecture: str
    path: str
    size: int
    sha256: str
    signed_by: str
    """Fingerprint of the maker's key, empty where nothing of him is there."""


@dataclass(frozen=True)
class Update:
    """A newer release than the one in a bundle."""

    reference: str
    version: str
    """The newer one."""


def info(place: str, index: Index, signed_by: str) -> BundleInfo:
    """A bundle for a program."""
    return BundleInfo(place, index.id, index.serial, index.made, signed_by, tuple(map(_line, index.images)))


def _line(image: BundleImage) -> ImageLine:
    signer = image.proofs.fingerprint if image.proofs is not None else ""
    return ImageLine(image.reference, image.architecture, image.file.path, image.file.size, image.file.sha256, signer)


@click.group(cls=SuggestingGroup, short_help="Make or use a directory of images for machines without network.")
@json_option
def bundle() -> None:
    """Put images, what vouches for them and their part of the catalogue into a directory, and use that elsewhere.

    \b
    Examples:
      luxusb bundle create /media/usb/school debian-live ubuntu/desktop
      luxusb bundle use /media/usb/school
      luxusb bundle use http://teacher.local:8000/
    """


_sign = click.option("--sign", default="", metavar="KEY", help="Sign the index with this key of your gpg.")
_directory = click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
_references = click.argument(
    "references",
    metavar="DISTRO[@VERSION][/EDITION]...",
    nargs=-1,
    required=True,
    shell_complete=completion.distributions,
)


@bundle.command(short_help="Make a bundle.")
@_directory
@_references
@_sign
@json_option
@pass_state
def create(state: State, directory: Path, references: Sequence[str], sign: str) -> ExitCode:
    """Make DIRECTORY a bundle with these images; what is not stored yet is downloaded first.

    What was cut is gone on with by the same command. Each image is checked while it is copied, and the signed list of
    hashes of its maker, the signature and the key come with it.

    \b
    Examples:
      luxusb bundle create /media/usb/school debian-live ubuntu@24.04
      luxusb bundle create ./lab fedora/workstation --sign admin@school.example
    """
    return _change(state, directory, sign, _adding(state, references), make=True)


@bundle.command(short_help="Add images to a bundle.")
@_directory
@_references
@_sign
@json_option
@pass_state
def add(state: State, directory: Path, references: Sequence[str], sign: str) -> ExitCode:
    """Add images to the bundle in DIRECTORY. A bundle that is signed is signed again with the same key.

    \b
    Examples:
      luxusb bundle add /media/usb/school arch
    """
    return _change(state, directory, sign, _adding(state, references))


@bundle.command(short_help="Take images out of a bundle.")
@_directory
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@_sign
@json_option
@pass_state
def remove(state: State, directory: Path, images: Sequence[str], sign: str) -> ExitCode:
    """Take images out of the bundle in DIRECTORY: IMAGE is a distribution, with or without version, or a file name.

    \b
    Examples:
      luxusb bundle remove /media/usb/school debian-live@12.5.0
    """

    async def change(made: Bundle, client: Client) -> Changes:
        del client
        from luxusb_cli.bundles.using import chosen

        gone = chosen(made.index.images, images)
        made.remove(gone)
        return Changes(removed=tuple(image.reference for image in gone))

    return _change(state, directory, sign, change)


@bundle.command(short_help="Bring a bundle up to date.")
@_directory
@click.option("--check", is_flag=True, help="Only say what there is; the exit status is then 6.")
@_sign
@json_option
@pass_state
def update(state: State, directory: Path, check: bool, sign: str) -> ExitCode:
    """Replace the images of the bundle in DIRECTORY by newer releases of the same edition, as your catalogue has them.

    The new image is there before the old one goes, so there has to be room for both.

    \b
    Examples:
      luxusb bundle update /media/usb/school --check
      luxusb catalog update && luxusb bundle update /media/usb/school
    """
    if check:
        return _check_updates(state, directory)

    async def change(made: Bundle, client: Client) -> Changes:
        found = await _updates(made.index, client)
        changes = await _add(state, made, client, references=[reference for _image, reference, _new in found])
        had = {image.key for image in made.index.images}
        gone = [image for image, _reference, new in found if image.key in had and _has(made, image, new)]
        made.remove(gone)
        return Changes(changes.added, tuple(image.reference for image in gone))

    return _change(state, directory, sign, change)


def _has(made: Bundle, old: BundleImage, version: str) -> bool:
    """Whether the newer image is there, so that the old one may go."""
    wanted = (old.distribution, version, old.edition, old.architecture)
    return old.version != version and any(image.key == wanted for image in made.index.images)


@dataclass(frozen=True)
class Changes:
    """What a command changed."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def _change(
    state: State, path: Path, sign: str, change: Callable[[Bundle, Client], Awaitable[Changes]], *, make: bool = False
) -> ExitCode:
    async def body(client: Client) -> ExitCode:
        from luxusb_cli.bundles.directory import Directory
        from luxusb_cli.bundles.making import Bundle

        if make:
            await client.require("GetProofs", _(_FAILED))
            _make_directory(path)
        with Directory(path) as directory:
            key = _key_of(directory, sign, make=make)
            made = Bundle.begin(directory, key)
            changes = await change(made, client)
            made.finish()
            _tell(state, made, changes, info(str(path), made.index, key))
        return ExitCode.DONE

    return run(state, body)


def _key_of(directory: Directory, sign: str, *, make: bool) -> str:
    """The fingerprint of the key that signs: the one asked for, else the one that signed before, else empty."""
    from luxusb_cli.bundles.directory import damaged
    from luxusb_cli.bundles.index import INDEX, KEY, SIGNATURE
    from luxusb_cli.bundles.opening import open_bundle
    from luxusb_cli.signing import find_key

    if not directory.has(INDEX) and not make:
        raise damaged(directory.shown, _("There is no bundle.json in it."), _("Make one with `luxusb bundle create`."))
    if sign:
        return find_key(sign)
    if not directory.has(INDEX):
        return ""
    if directory.has(KEY) and not directory.has(SIGNATURE):
        raise UsageError(
            _("The bundle was signed, and its last change was cut"),
            _("Nobody can tell by which key it was."),
            _("Name the key with --sign KEY."),
        )
    before = open_bundle(directory).signed_by
    return find_key(before) if before else ""


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(_("Could not make {file}").format(file=clean(str(path))), f"{error.strerror}.") from error


def _adding(state: State, references: Sequence[str]) -> Callable[[Bundle, Client], Awaitable[Changes]]:
    async def change(made: Bundle, client: Client) -> Changes:
        return await _add(state, made, client, references=references)

    return change


async def _add(state: State, made: Bundle, client: Client, *, references: Sequence[str]) -> Changes:
    """Download what is missing, then copy all of it."""
    await client.require("GetProofs", _(_FAILED))
    chosen = await _chosen(state, client, references)
    made.check_room(chosen)
    added = []
    for each in chosen:
        if not state.json:
            size = format_size(each.image.size)
            say(_("Copying {name} ({size})").format(name=clean(each.image.name), size=size))
        if (image := await made.add(client, each, progress=not state.json)) is not None:
            added.append(image.reference)
    return Changes(tuple(added))


async def _chosen(state: State, client: Client, references: Sequence[str]) -> list[Chosen]:
    from luxusb_cli.bundles.making import Chosen
    from luxusb_cli.references import Catalogued, check_catalogued
    from luxusb_cli.results import StoredResult

    if not references:
        return []
    wanted = [Catalogued(f"distro:{reference.removeprefix('distro:')}") for reference in references]
    await check_catalogued(client, wanted)
    jobs = await run_jobs(state, client, [partial(client.download, each.reference) for each in wanted], TO_THE_END)
    conclude(jobs, {"jobs": jobs})
    stored = {image.reference: image for image in await client.images()}
    found: dict[str, Chosen] = {}
    for each, job in zip(wanted, jobs, strict=True):
        reference = StoredResult.from_wire(job.result).image
        if reference in stored and reference not in found:
            found[reference] = Chosen(stored[reference], await client.distribution_wire(each.distribution))
    return list(found.values())


async def _updates(index: Index, client: Client) -> list[tuple[BundleImage, str, str]]:
    """Images with a newer release: the image, under which reference to get it, and its version."""
    from luxusb_cli.bundles.making import newest_of
    from luxusb_cli.errors import LUXUSB, DaemonError
    from luxusb_cli.wire import text

    found = []
    for image in index.images:
        try:
            release = newest_of(await client.distribution_wire(image.distribution), image)
        except DaemonError as error:
            if error.name != LUXUSB + "DistributionNotFound":
                raise
            continue
        if release is None:
            continue
        # an architecture may stand in the place of an edition
        edition = image.edition or (image.architecture if image.architecture not in ("", "amd64") else "")
        version = text(release, "version")
        found.append((image, f"{image.distribution}@{version}" + (f"/{edition}" if edition else ""), version))
    return found


def _check_updates(state: State, path: Path) -> ExitCode:
    async def body(client: Client) -> ExitCode:
        from luxusb_cli.bundles.directory import Directory
        from luxusb_cli.bundles.opening import open_bundle

        with Directory(path) as directory:
            opened = open_bundle(directory)
            found = await _updates(opened.index, client)
        updates = tuple(Update(image.reference, version) for image, _reference, version in found)
        if state.json:
            bundle_info = info(str(path), opened.index, opened.signed_by)
            state.emit({"bundle": bundle_info, "added": [], "removed": [], "updates": updates, "warnings": []})
        elif not updates:
            say(_("All images are the newest ones."), "green")
        else:
            for each in updates:
                say(f"{clean(each.reference)} → {clean(each.version)}")
        return ExitCode.UPDATES if updates else ExitCode.DONE

    return run(state, body)


def _tell(state: State, made: Bundle, changes: Changes, bundle_info: BundleInfo) -> None:
    if state.json:
        state.emit(
            {
                "bundle": bundle_info,
                "added": changes.added,
                "removed": changes.removed,
                "updates": [],
                "warnings": made.warnings,
            }
        )
        return
    for warning in made.warnings:
        say(warning, "yellow")
    for head, names in ((_("new:"), changes.added), (_("gone:"), changes.removed)):
        if names:
            say(f"{head} {', '.join(map(clean, names))}")
    size = format_size(sum(part.size for part in made.index.parts))
    count = len(made.index.images)
    say(
        ngettext("{place} has {count} image ({size}).", "{place} has {count} images ({size}).", count).format(
            place=clean(bundle_info.place), count=count, size=size
        ),
        "green",
    )
    if bundle_info.signed_by:
        say(_("Signed by {fingerprint}.").format(fingerprint=bundle_info.signed_by))


COMMANDS = (bundle,)
