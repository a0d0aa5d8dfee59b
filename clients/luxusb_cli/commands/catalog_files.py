"""`catalog`: the catalogue as a whole, and catalogue files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.context import State, SuggestingGroup, json_option, pass_state, run
from luxusb_cli.errors import LUXUSB, CliError, ExitCode
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.remote import UpdateResult
from luxusb_cli.render import say
from luxusb_cli.runner import JobOptions, conclude, job_options, run_jobs, say_started
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.client import Client

SCHEMA = "data/schemas/catalog.schema.json"


@click.group(cls=SuggestingGroup, short_help="Look at the catalogue, update, import, export or check one.")
@json_option
def catalog() -> None:
    """Look at the catalogue of distributions as a whole, bring it up to date, and work with catalogue files.

    \b
    Examples:
      luxusb catalog show
      luxusb catalog check my.json && luxusb catalog import my.json
    """


@catalog.command("update", short_help="Fetch the newest catalogue.")
@click.argument("ids", metavar="[ID...]", nargs=-1, shell_complete=completion.distributions)
@click.option("--feeds", is_flag=True, help="Ask the makers for newer releases, too: all, or those of each ID.")
@job_options
@json_option
@pass_state
def update_catalog(state: State, ids: tuple[str, ...], feeds: bool, options: JobOptions) -> ExitCode:
    """Fetch the newest signed catalogue from the remote that catalog.update_url in luxusbd.toml names.

    One that is not signed by the right key, is older than the one in force or has expired is refused, and nothing
    changes. With --feeds the makers of the systems are asked, too, and a remote is not needed; a maker who cannot be
    asked, or whose list of hashes is not signed by the right key, leaves his releases as they are.

    \b
    Examples:
      luxusb catalog update
      luxusb catalog update --feeds
      luxusb catalog update --feeds kali opensuse-tumbleweed
    """
    if ids and not feeds:
        raise click.UsageError(_("An ID says whose feed is asked: give --feeds, too."))

    async def body(client: Client) -> ExitCode:
        start = partial(client.update_catalog, feeds=feeds, ids=[name.removeprefix("distro:") for name in ids])
        jobs = await run_jobs(state, client, [start], options)
        document: dict[str, object] = {"job": jobs[0]}
        if options.wait:
            conclude(jobs, document)
        if state.json:
            state.emit(document)
        elif options.wait:
            _print_update(UpdateResult.from_wire(jobs[0].result))
        else:
            say_started(jobs)
        return ExitCode.DONE

    return run(state, body)


def _print_update(result: UpdateResult) -> None:
    for head, style, names in (
        (_("new:"), "green", result.added),
        (_("changed:"), "yellow", result.changed),
        (_("gone:"), "yellow", result.removed),
    ):
        if names:
            say(f"{head} {', '.join(map(clean, names))}", style)
    if result.feeds_asked:
        _print_feeds(result)
    if not result.serial:
        # only the feeds were asked
        return
    if result.updated:
        say(_("The catalogue was updated (serial {serial}).").format(serial=result.serial), "green")
    else:
        say(_("The catalogue is up to date (serial {serial}).").format(serial=result.serial), "green")


def _print_feeds(result: UpdateResult) -> None:
    for problem in result.feed_problems:
        say(clean(problem), "yellow")
    said = ngettext(
        "{count} feed was asked: {changed} with newer releases, {unchanged} without, {failed} failed.",
        "{count} feeds were asked: {changed} with newer releases, {unchanged} without, {failed} failed.",
        result.feeds_asked,
    ).format(
        count=result.feeds_asked,
        changed=result.feeds_changed,
        unchanged=result.feeds_unchanged,
        failed=result.feeds_failed,
    )
    say(said, "yellow" if result.feeds_failed else "green")


@catalog.command("import", short_help="Add a catalogue file for yourself.")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_state
def import_catalog(state: State, file: Path) -> ExitCode:
    """Add the distributions of a catalogue FILE to what you see; other users do not see them.

    They are put into your own catalogue, ~/.config/luxusb/custom_distros.json, where they replace those of the same id.

    \b
    Examples:
      luxusb catalog import my.json
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli import own
        from luxusb_cli.files import new_file

        data, document, count = _own_file(file)
        place = own.location()
        if place is None:
            raise CliError(
                _("You have no catalogue of your own here"),
                _("The home directory belongs to another user."),
                _("Run it without sudo, or set XDG_CONFIG_HOME."),
            )
        if not (place.exists() and place.samefile(file)):
            data = own.added_to(place, document)
        await client.import_catalog_bytes(data, str(file))
        if not (place.exists() and place.samefile(file)):
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with new_file(place, force=True) as opened:
                opened.write(data)
        if state.json:
            state.emit({"distributions": count})
        else:
            message = ngettext("{count} distribution was added.", "{count} distributions were added.", count)
            say(message.format(count=count), "green")
        return ExitCode.DONE

    return run(state, body)


def _own_file(file: Path) -> tuple[bytes, Mapping[str, object], int]:
    """A file that is to be the user's own: its bytes, what stands in it, and how many distributions that are."""
    from luxusb_cli.targets import open_for_reading
    from luxusbd.catalog.own import MAX_OWN, read_own
    from luxusbd.catalog.schema import decode
    from luxusbd.errors import CatalogError

    fd = open_for_reading(file)
    try:
        data = os.pread(fd, MAX_OWN + 1, 0)
    finally:
        os.close(fd)
    try:
        found = read_own(data, str(file))
    except CatalogError as error:
        raise CliError(
            _("Could not import {name}").format(name=clean(str(file))),
            error.message,
            _("The format is described in {schema}.").format(schema=SCHEMA),
            name=LUXUSB + "InvalidCatalog",
        ) from error
    document = decode(data, str(file))
    assert isinstance(document, dict)
    return data, document, len(found.distributions)


@catalog.command(short_help="Save the catalogue in force as a file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE when it is there already.")
@json_option
@pass_state
def export(state: State, file: Path, force: bool) -> ExitCode:
    """Save the catalogue in force, with all layers merged, as a catalogue FILE of schema 2.0.

    What stands in your own catalogue is in it, too.

    \b
    Examples:
      luxusb catalog export distros.json
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.context import to_json
        from luxusb_cli.exporting import document_of
        from luxusb_cli.files import new_file

        found = [await client.distribution_wire(distro.id) for distro in await client.distributions()]
        document = document_of(found)
        with new_file(file, force=force) as opened:
            opened.write(to_json(document).encode() + b"\n")
        count = len(document["distributions"])
        if state.json:
            state.emit({"file": str(file), "distributions": count})
        else:
            say(_("Saved as {file}.").format(file=clean(str(file))))
        return ExitCode.DONE

    return run(state, body)


@catalog.command(short_help="Check catalogue files, without a daemon.")
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@json_option
@pass_state
def check(state: State, files: Sequence[Path]) -> ExitCode:
    """Check every catalogue FILE and say what is wrong where. No daemon is needed.

    What a newer version has added is a warning. The exit code is 1 when a file is wrong or cannot be read.

    \b
    Examples:
      luxusb catalog check my.json
    """
    results: list[dict[str, object]] = []
    problems: list[str] = []
    for file in files:
        count, warnings, wrong = _checked(file)
        results.append({"file": str(file), "distributions": count, "problems": wrong, "warnings": warnings})
        problems += wrong
        if state.json:
            continue
        for warning in warnings:
            say(_("Warning: {warning}").format(warning=clean(warning)), "yellow")
        if not wrong:
            say(
                ngettext("{file}: good, {count} distribution", "{file}: good, {count} distributions", count).format(
                    file=clean(str(file)), count=count
                ),
                "green",
            )
    if problems:
        raise CliError(
            ngettext("{count} problem was found", "{count} problems were found", len(problems)).format(
                count=len(problems)
            ),
            "\n".join(problems),
            _("The format is described in {schema}.").format(schema=SCHEMA),
            name=LUXUSB + "InvalidCatalog",
            document={"files": results},
        )
    if state.json:
        state.emit({"files": results})
    return ExitCode.DONE


def _checked(file: Path) -> tuple[int, list[str], list[str]]:
    """How many distributions a file has, what in it was not understood, and what is wrong with it."""
    from luxusbd.catalog.model import Layer
    from luxusbd.catalog.schema import MAX_DOCUMENT, read_document
    from luxusbd.errors import CatalogError
    from luxusbd.images.recipebook import read_documents

    try:
        with file.open("rb") as opened:
            # One byte more than is allowed, so that what is too large is refused and not cut.
            found = read_document(opened.read(MAX_DOCUMENT + 1), str(file), Layer.USER)
    except OSError as error:
        return 0, [], [f"{file}: {error.strerror}"]
    except CatalogError as error:
        return 0, [], error.message.splitlines()
    return len(found.distributions), list(found.warnings), list(read_documents(list(found.recipes), str(file)).problems)


COMMANDS = (catalog,)
