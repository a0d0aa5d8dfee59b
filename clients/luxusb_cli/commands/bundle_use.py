"""`bundle use`, `bundle leave`, `bundle check`: a bundle on the machine without network."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.commands.bundle import bundle, info
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import LUXUSB, CliError, ExitCode
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.model import JobInfo, JobState
from luxusb_cli.render import say
from luxusb_cli.runner import JobOptions, conclude, run_jobs
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.beside import Beside
    from luxusb_cli.bundles.directory import Directory
    from luxusb_cli.bundles.index import BundleImage
    from luxusb_cli.bundles.known import Known
    from luxusb_cli.bundles.opening import Opened
    from luxusb_cli.bundles.using import Importable
    from luxusb_cli.client import Client

_fingerprint = click.option(
    "--fingerprint",
    default="",
    metavar="FINGERPRINT",
    help="The full fingerprint of the key that has to have signed it.",
)


@bundle.command(short_help="Use a bundle on this machine.")
@click.argument("place", shell_complete=completion.directories)
@click.argument("images", metavar="[IMAGE...]", nargs=-1)
@_fingerprint
@click.option("--older", is_flag=True, help="Use it although you used a newer edition of it.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Only write the catalogue for this place into FILE, for an administrator to install.",
)
@json_option
@pass_state
def use(
    state: State, place: str, images: Sequence[str], fingerprint: str, older: bool, output: Path | None
) -> ExitCode:
    """Use the bundle at PLACE, a directory or an address at which one is handed out: all of it, or these images.

    Its distributions take the place of those of the same names in what you see; other users do not see them. From a
    directory the images are imported, and each is checked by its hash and by what its maker signed. From an address
    they are downloaded when they are needed, from there and nowhere else, and checked by their hash.

    \b
    Examples:
      luxusb bundle use /media/usb/school
      luxusb bundle use http://teacher.local:8000/ --fingerprint 843938DF228D22F7B3742BC0D94AA3F0EFE21092
      luxusb bundle use /media/usb/school debian-live && luxusb create debian-live --device /dev/sdb
    """
    from luxusb_cli.bundles.opening import open_bundle, opened_place, wanted_fingerprint

    pinned = wanted_fingerprint(fingerprint)

    async def body(client: Client) -> ExitCode:
        import asyncio

        from luxusb_cli.bundles import known
        from luxusb_cli.bundles.using import chosen

        with opened_place(place) as where:
            opened = await asyncio.to_thread(open_bundle, where, pinned)
            wanted = chosen(opened.index.images, images)
            if output is not None:
                return _write(state, opened, wanted, output)
            bundles = known.read()
            known.check(opened, bundles, older=older)
            return await _use(state, client, opened, wanted, bundles, pinned=bool(pinned))

    return run(state, body)


def _write(state: State, opened: Opened, wanted: Sequence[BundleImage], output: Path) -> ExitCode:
    from luxusb_cli.bundles.using import catalogue_for
    from luxusb_cli.context import to_json
    from luxusb_cli.files import new_file

    with new_file(output, force=True) as file:
        file.write(to_json(catalogue_for(opened, wanted)).encode() + b"\n")
    if state.json:
        _emit(state, opened, [], [], str(output))
    else:
        say(_("Saved as {file}.").format(file=clean(str(output))))
    return ExitCode.DONE


async def _use(
    state: State,
    client: Client,
    opened: Opened,
    wanted: Sequence[BundleImage],
    bundles: Sequence[Known],
    *,
    pinned: bool,
) -> ExitCode:
    from luxusb_cli.bundles.directory import Directory
    from luxusb_cli.bundles.using import keys_known, older_than_known

    before = next((each for each in bundles if each.id == opened.index.id), None)
    keys = await keys_known(client, wanted, before)
    warnings = await older_than_known(client, wanted)
    jobs: list[JobInfo] = []
    if isinstance(opened.place, Directory):
        # who signed the index with a key that the user named also answers for the makers' keys in it
        trusted = {image.proofs.fingerprint for image in wanted if image.proofs is not None} if pinned else set()
        jobs = await _import(state, client, opened, opened.place, wanted, keys, trusted, warnings)
    await _enter(client, opened, wanted, bundles, keys)
    if state.json:
        _emit(state, opened, jobs, warnings, "")
        return ExitCode.DONE
    for warning in warnings:
        say(warning, "yellow")
    if opened.signed_by:
        say(_("The bundle is signed by {fingerprint}.").format(fingerprint=opened.signed_by), "green" if pinned else "")
    else:
        say(_("Nobody signed the bundle: it is as good as whoever gave it to you."), "yellow")
    count = len(wanted)
    said = ngettext("{count} image can be used: {names}", "{count} images can be used: {names}", count)
    say(said.format(count=count, names=", ".join(clean(image.reference) for image in wanted)), "green")
    return ExitCode.DONE


async def _import(
    state: State,
    client: Client,
    opened: Opened,
    directory: Directory,
    wanted: Sequence[BundleImage],
    keys: dict[str, tuple[str, ...]],
    trusted: set[str],
    warnings: list[str],
) -> list[JobInfo]:
    """Take the images into the store that are not there yet, one after the other."""
    from luxusb_cli.bundles.using import importable

    stored = {image.sha256 for image in await client.images()}
    jobs: list[JobInfo] = []
    for image in wanted:
        if image.file.sha256 in stored:
            continue
        with importable(opened, directory, image, (*keys[image.distribution], *trusted), warnings) as ready:
            job = await _imported(state, client, ready, ready.beside)
            if (
                job.error_name == LUXUSB + "VerificationFailed"
                and ready.beside is not None
                and ready.beside.sums is None
            ):
                # an image whose own signature is not good, such as one by a key that has expired, still has its hash
                again = await _imported(state, client, ready, None)
                if again.state is JobState.SUCCEEDED:
                    why = clean(job.error_message)
                    warnings.append(_("{name} counts as unsigned: {why}").format(name=clean(image.reference), why=why))
                    job = again
            jobs.append(job)
        try:
            conclude(jobs[-1:], {"jobs": jobs})
        except CliError as error:
            error.todo = error.todo or _("`luxusb bundle check` says what else is wrong; get the bundle again.")
            raise
    return jobs


async def _imported(state: State, client: Client, ready: Importable, beside: Beside | None) -> JobInfo:
    image = ready.image
    start = partial(
        client.import_image, ready.fd, image.name, sha256=image.file.sha256, size=image.file.size, beside=beside
    )
    # an import needs the file, so that it ends with the command
    (job,) = await run_jobs(state, client, [start], JobOptions(wait=True, cancel_on_interrupt=True))
    return job


async def _enter(
    client: Client,
    opened: Opened,
    wanted: Sequence[BundleImage],
    bundles: Sequence[Known],
    keys: dict[str, tuple[str, ...]],
) -> None:
    """Put the bundle's distributions into the user's own catalogue."""
    from luxusb_cli import own
    from luxusb_cli.bundles import known
    from luxusb_cli.bundles.using import catalogue_for, replaced_by
    from luxusb_cli.files import new_file

    known.location()
    place = own.location()
    assert place is not None
    document = catalogue_for(opened, wanted)
    ids = [entry["id"] for entry in document["distributions"]]
    ours = {name for each in bundles for name in each.distributions}
    replaced = [*replaced_by(place, [name for name in ids if name not in ours])]
    replaced += [entry for each in bundles for entry in each.replaced if each.id == opened.index.id]
    before = next((each for each in bundles if each.id == opened.index.id), None)
    data = own.added_to(place, document)
    await client.import_catalog_bytes(data, str(place))
    entry = known.Known(
        id=opened.index.id,
        serial=opened.index.serial,
        place=opened.place.shown,
        signed_by=opened.signed_by,
        distributions=tuple(dict.fromkeys([*(before.distributions if before is not None else ()), *ids])),
        replaced=tuple(replaced),
        keys={**(before.keys if before is not None else {}), **keys},
    )
    # first what can be taken back
    known.write([*(each for each in bundles if each.id != entry.id), entry])
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with new_file(place, force=True) as file:
        file.write(data)


def _emit(state: State, opened: Opened, jobs: Sequence[JobInfo], warnings: Sequence[str], file: str) -> None:
    state.emit(
        {
            "bundle": info(opened.place.shown, opened.index, opened.signed_by),
            "jobs": jobs,
            "warnings": warnings,
            "file": file,
        }
    )


@bundle.command(short_help="Use no bundle any more.")
@json_option
@pass_state
def leave(state: State) -> ExitCode:
    """Take the distributions of all bundles out of your own catalogue, and put back what they took the place of.

    Images that were imported stay stored.

    \b
    Examples:
      luxusb bundle leave
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli import own
        from luxusb_cli.bundles import known
        from luxusb_cli.bundles.using import without
        from luxusb_cli.files import new_file

        bundles = known.read()
        place = own.location()
        assert place is not None
        ids = tuple(dict.fromkeys(name for each in bundles for name in each.distributions))
        if ids:
            data = without(place, ids, [entry for each in bundles for entry in each.replaced])
            await client.import_catalog_bytes(data, str(place))
            with new_file(place, force=True) as file:
                file.write(data)
        known.write(())
        if state.json:
            state.emit({"left": [each.place for each in bundles], "distributions": ids})
        elif bundles:
            for each in bundles:
                say(_("{place} is not used any more.").format(place=clean(each.place)))
        else:
            say(_("No bundle is used."))
        return ExitCode.DONE

    return run(state, body)


@bundle.command(short_help="Look at all of a bundle, without a daemon.")
@click.argument("directory", type=click.Path(path_type=Path))
@_fingerprint
@json_option
@pass_state
def check(state: State, directory: Path, fingerprint: str) -> ExitCode:
    """Read all of the bundle in DIRECTORY: is every image whole, and every signature good? No daemon is needed.

    \b
    Examples:
      luxusb bundle check /media/usb/school
    """
    import asyncio

    from luxusb_cli.bundles.checking import problems_of
    from luxusb_cli.bundles.directory import BAD, Directory
    from luxusb_cli.bundles.opening import open_bundle, wanted_fingerprint

    with ExitStack() as stack:
        place = stack.enter_context(Directory(directory))
        opened = open_bundle(place, wanted_fingerprint(fingerprint))
        problems = asyncio.run(problems_of(opened, place, progress=not state.json))
    found = info(str(directory), opened.index, opened.signed_by)
    if problems:
        raise CliError(
            ngettext("{count} problem was found", "{count} problems were found", len(problems)).format(
                count=len(problems)
            ),
            "\n".join(problems),
            _("Mend it with the commands `luxusb bundle remove` and `luxusb bundle add`, or get it again."),
            name=BAD,
            document={"bundle": found, "problems": problems},
        )
    if state.json:
        state.emit({"bundle": found, "problems": []})
        return ExitCode.DONE
    for image in found.images:
        by = _("signed by {fingerprint}").format(fingerprint=image.signed_by) if image.signed_by else _("not signed")
        say(f"{clean(image.path)}  {clean(image.reference)}  {by}")
    say(_("The bundle is whole."), "green")
    if opened.signed_by:
        say(_("Signed by {fingerprint}.").format(fingerprint=opened.signed_by))
    return ExitCode.DONE


COMMANDS = ()
