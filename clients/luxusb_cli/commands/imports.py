"""`import`: a user's own image, from a file or from standard input, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli.beside import Beside, Vouchers, open_beside
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.i18n import N_, _
from luxusb_cli.model import JobInfo
from luxusb_cli.params import to_size
from luxusb_cli.render import say
from luxusb_cli.results import StoredResult
from luxusb_cli.runner import JobOptions, conclude, job_options, say_started, start_import
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

if TYPE_CHECKING:
    from luxusb_cli.client import Client

STANDARD_INPUT = "-"


@click.command("import", short_help="Copy a file into the image store.")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--name", default="", help="Name to show, in place of the file's.")
@click.option("--sha256", default="", metavar="HASH", help="The sha256 that it has to have.")
@click.option("--size", callback=to_size, metavar="SIZE", help="How many bytes have to come.")
@click.option(
    "--sums",
    default="",
    metavar="FILE",
    help="A list of hashes; auto: the one beside FILE.",
)
@click.option(
    "--signature",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The signature of the list, if it is apart; without --sums, of the image.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="OpenPGP keys, one of which has to have signed.",
)
@job_options
@json_option
@pass_state
def import_command(
    state: State,
    file: Path,
    name: str,
    sha256: str,
    size: int | None,
    sums: str,
    signature: Path | None,
    key: Path | None,
    options: JobOptions,
) -> ExitCode:
    """Copy FILE into the image store and find out what it is; - takes what comes in on standard input.

    With `curl URL | luxusb import -` an image needs no place but the store; --size tells a cut one from a whole one.

    What is compressed (.xz .gz .zst .bz2 .zip) is unpacked. An image that is in the catalogue is named; for others, a
    list of hashes such as SHA256SUMS and its signature can vouch. HASH is that of FILE or of the image in it.

    \b
    Examples:
      luxusb import ~/Downloads/my.iso
      luxusb import rescue.iso --name "Our rescue system" --sha256 9f86d0...
      luxusb import debian.iso --sums SHA512SUMS --signature SHA512SUMS.sign --key debian-keyring.gpg
      luxusb import - --name x.iso < x.iso
    """

    async def body(client: Client) -> ExitCode:
        source = None if str(file) == STANDARD_INPUT else file
        vouchers = Vouchers(sums, signature, key)
        with open_beside(vouchers, source) as beside:
            job = await start_import(
                state, client, source, options, name=name, sha256=sha256.strip().lower(), size=size or 0, beside=beside
            )
            return show_stored(state, [job], options, {"job": job}, beside)

    return run(state, body)


def show_stored(
    state: State,
    jobs: Sequence[JobInfo],
    options: JobOptions,
    document: dict[str, object],
    beside: Beside | None = None,
) -> ExitCode:
    """Tell what jobs that bring images into the store have made: one document, or some lines for each."""
    if options.wait:
        conclude(jobs, document)
    if state.json:
        state.emit(document)
    elif not options.wait:
        say_started(jobs)
    else:
        for job in jobs:
            result = StoredResult.from_wire(job.result)
            trust = _(", trust: {trust}").format(trust=clean(result.trust)) if result.trust else ""
            say(
                _("Stored {result} ({size}{trust}) as {image}").format(
                    result=clean(result.name), size=format_size(result.size), trust=trust, image=result.image
                ),
                "green",
            )
            if job.operation == "import":
                _say_origin(result, beside)
            elif result.signed_by:
                say(_("Signed by its maker's key {fingerprint}.").format(fingerprint=clean(result.signed_by)), "green")
            elif result.unsigned_reason:
                say(_("Not signed: {reason}").format(reason=clean(result.unsigned_reason)))
    return ExitCode.DONE


_MATCHED = {
    "image": N_("The hash given is that of the image."),
    "packed": N_("The hash given is that of the compressed file."),
}


def _say_origin(result: StoredResult, beside: Beside | None) -> None:
    """Who vouches for an imported image."""
    if result.unpacked_from:
        say(_("Unpacked from {format}.").format(format=clean(result.unpacked_from)))
    if result.matched in _MATCHED:
        say(_(_MATCHED[result.matched]))
    if result.signed_by:
        signed = _("The image")
        if beside is not None and beside.sums_path is not None:
            signed = clean(beside.sums_path.name)
        say(
            _("{sums} is signed by the key you gave: {fingerprint}").format(
                sums=signed, fingerprint=clean(result.signed_by)
            ),
            "green",
        )
    if result.genuine:
        say(
            _("This is {genuine}, genuine (sha256 matches the catalogue).").format(genuine=clean(result.genuine)),
            "green",
        )
    elif result.signed_by:
        say(_("Not in the catalogue: the signature alone vouches for it."))
    elif result.matched:
        say(_("Not in the catalogue: only the hash that you gave vouches for it."))
    else:
        say(_("Not in the catalogue: nobody vouches for it."), "yellow")
