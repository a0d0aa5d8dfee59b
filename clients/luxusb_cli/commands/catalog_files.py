"""`catalog`: the catalogue as a whole, and catalogue files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli import completion
from luxusb_cli.catalog import DistroInfo, ReleaseInfo
from luxusb_cli.context import State, SuggestingGroup, json_option, pass_state, run
from luxusb_cli.errors import LUXUSB, CliError, ExitCode
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.remote import UpdateResult
from luxusb_cli.render import say, table
from luxusb_cli.runner import JobOptions, conclude, job_options, run_jobs, say_started
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.client import Client


@click.group(cls=SuggestingGroup, short_help="Look at the catalogue, update, import, export or check one.")
@json_option
def catalog() -> None:
    """Look at the catalogue of distributions as a whole, bring it up to date, and work with catalogue files.

    \b
    Examples:
      luxusb catalog show
      luxusb catalog check my.json && luxusb catalog import my.json
    """


@catalog.command(short_help="Say what the catalogue is made of.")
@json_option
@pass_state
def show(state: State) -> ExitCode:
    """Say from which layers the catalogue in force comes, and how much each has.

    \b
    Examples:
      luxusb catalog show
    """

    async def body(client: Client) -> ExitCode:
        found = await client.distributions()
        distributions = Counter(distro.origin for distro in found)
        releases: Counter[str] = Counter()
        for distro in found:
            releases[distro.origin] += len(distro.releases)
        if state.json:
            layers = [
                {"origin": origin, "distributions": count, "releases": releases[origin]}
                for origin, count in distributions.items()
            ]
            state.emit({"layers": layers})
        else:
            rows = [(origin, str(count), str(releases[origin])) for origin, count in distributions.items()]
            table((_("LAYER"), _("DISTRIBUTIONS"), _("RELEASES")), rows)
        return ExitCode.DONE

    return run(state, body)


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

    \b
    Examples:
      luxusb catalog import ~/.config/luxusb/custom_distros.json
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.targets import open_for_reading

        fd = open_for_reading(file)
        try:
            count = await client.import_catalog(fd, str(file))
        finally:
            os.close(fd)
        if state.json:
            state.emit({"distributions": count})
        else:
            message = ngettext("{count} distribution was added.", "{count} distributions were added.", count)
            say(message.format(count=count), "green")
        return ExitCode.DONE

    return run(state, body)


@catalog.command(short_help="Save the catalogue in force as a file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE when it is there already.")
@json_option
@pass_state
def export(state: State, file: Path, force: bool) -> ExitCode:
    """Save the catalogue in force as a catalogue FILE of schema 2.0.

    Where the signatures of a release lie is not told by the daemon and is not in the file; its hash is.

    \b
    Examples:
      luxusb catalog export distros.json
    """

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.context import to_json
        from luxusb_cli.files import new_file

        found = [await client.distribution(distro.id) for distro in await client.distributions()]
        document = {
            "version": "2.0",
            "last_updated": datetime.now(UTC).date().isoformat(),
            "distributions": [entry for entry in map(_entry, found) if entry["releases"]],
        }
        with new_file(file, force=force) as opened:
            opened.write(to_json(document).encode() + b"\n")
        if state.json:
            state.emit({"file": str(file), "distributions": len(document["distributions"])})
        else:
            say(_("Saved as {file}.").format(file=clean(str(file))))
        return ExitCode.DONE

    return run(state, body)


def _entry(distro: DistroInfo) -> dict[str, object]:
    return {
        "id": distro.id,
        "name": distro.name,
        "description": distro.description,
        "homepage": distro.homepage,
        "logo_url": distro.logo_url,
        "category": distro.category,
        "popularity_rank": distro.popularity_rank,
        # Without a hash a release is nothing that another daemon could check.
        "releases": [_release(release) for release in distro.releases if release.sha256 or release.sha512],
    }


def _release(release: ReleaseInfo) -> dict[str, object]:
    return {
        "version": release.version,
        "release_date": release.release_date,
        "iso_url": release.url,
        "sha256": release.sha256,
        **({"sha512": release.sha512} if release.sha512 else {}),
        "size_mb": -(-release.size // 1_000_000),
        "size": release.size,
        "architecture": release.architecture,
        "edition": release.edition,
        **({"end_of_life": release.end_of_life} if release.end_of_life else {}),
        "mirrors": [
            {"url": mirror.url, "country": mirror.country} for mirror in release.mirrors if mirror.url != release.url
        ],
    }


@catalog.command(short_help="Check catalogue files, without a daemon.")
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@json_option
@pass_state
def check(state: State, files: Sequence[Path]) -> ExitCode:
    """Check every catalogue FILE and say what is wrong where. No daemon is needed.

    \b
    Examples:
      luxusb catalog check my.json
    """
    from luxusbd.catalog.model import Layer
    from luxusbd.catalog.schema import MAX_DOCUMENT, parse_document
    from luxusbd.errors import CatalogError

    results: list[dict[str, object]] = []
    problems: list[str] = []
    for file in files:
        wrong: list[str] = []
        count = 0
        try:
            with file.open("rb") as opened:
                # One byte more than is allowed, so that what is too large is refused and not cut.
                found = parse_document(opened.read(MAX_DOCUMENT + 1), str(file), Layer.USER)
            count = len(found)
        except OSError as error:
            wrong = [f"{file}: {error.strerror}"]
        except CatalogError as error:
            wrong = error.message.splitlines()
        results.append({"file": str(file), "distributions": count, "problems": wrong})
        problems += wrong
        if not wrong and not state.json:
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
            _("The format is described in {schema}.").format(schema="data/schemas/catalog.schema.json"),
            name=LUXUSB + "InvalidCatalog",
            document={"files": results},
        )
    if state.json:
        state.emit({"files": results})
    return ExitCode.DONE


COMMANDS = (catalog,)
