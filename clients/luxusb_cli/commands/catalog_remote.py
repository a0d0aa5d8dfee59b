"""`catalog status`, `catalog remote` and `catalog sign`: catalogues that a remote keeps up to date."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli.commands.catalog_files import catalog
from luxusb_cli.commands.settings import ORIGINS
from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import ExitCode
from luxusb_cli.i18n import _
from luxusb_cli.render import date, fields, say
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.client import Client
    from luxusb_cli.remote import CatalogStatus, RemoteInfo
    from luxusb_cli.signing import Published


@catalog.command(short_help="Say how up to date the catalogue is.")
@json_option
@pass_state
def status(state: State) -> ExitCode:
    """Say when the catalogue was last updated, from where, until when it is good, and what is wrong with it.

    \b
    Examples:
      luxusb catalog status
    """

    async def body(client: Client) -> ExitCode:
        found = await client.catalog_status()
        if state.json:
            state.emit({"status": found})
        else:
            _print_status(found)
        return ExitCode.DONE

    return run(state, body)


def _print_status(found: CatalogStatus) -> None:
    if found.url or found.serial:
        fields(
            [
                (_("remote"), found.url or _("none")),
                (_("last updated"), date(found.updated) or _("never")),
                (_("last asked"), date(found.checked)),
                (_("made"), date(found.made)),
                (_("serial"), str(found.serial) if found.serial else ""),
                (_("good until"), date(found.expires)),
                (_("signed by"), found.fingerprint),
            ]
        )
    else:
        say(_("The catalogue came with the program and is not updated: no remote is configured (catalog.update_url)."))
    if found.feeds_asked:
        told = found.feeds - len(found.feeds_failed)
        fields(
            [
                (_("makers asked"), date(found.feeds_asked)),
                (_("feeds"), _("{told} of {count} told of their releases").format(told=told, count=found.feeds)),
                (_("failed"), ", ".join(map(clean, found.feeds_failed))),
            ]
        )
    if found.previous:
        say(_("The newest edition cannot be read; the one before it is in force."), "yellow")
    for note in found.migrated:
        say(clean(note))
    for problem in found.problems:
        say(clean(problem), "yellow")


@catalog.command(short_help="Say or change from where the catalogue is kept up to date.")
@click.argument("url", required=False)
@click.option(
    "--key",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The OpenPGP public keys that may sign the catalogue; those that are known if left out.",
)
@click.option(
    "--fingerprint",
    "fingerprints",
    metavar="FINGERPRINT",
    multiple=True,
    help="A key of FILE whose signature counts, 40 or 64 hex digits; all of them if left out.",
)
@click.option("--signature-url", metavar="URL", default="", help="Where the signature is, if not at URL.asc.")
@click.option("--off", is_flag=True, help="Keep it up to date from nowhere.")
@click.option("--reset", is_flag=True, help="Take back what was set; the configuration file counts again.")
@json_option
@pass_state
def remote(
    state: State,
    url: str | None,
    key: Path | None,
    fingerprints: tuple[str, ...],
    signature_url: str,
    off: bool,
    reset: bool,
) -> ExitCode:
    """Say from where the catalogue is kept up to date, or take it from URL from now on.

    URL is an https address of a signed catalogue. Whoever has one of the keys decides which systems this machine lists,
    and by which hashes they are checked: compare the fingerprints with what their owner says. It holds at once and
    after restarts, over the configuration file. Nothing is fetched before `luxusb catalog update`.

    \b
    Examples:
      luxusb catalog remote
      luxusb catalog remote https://school.example/distros.json --key distros.key
      luxusb catalog remote --off
      luxusb catalog remote --reset
    """
    given = bool(key or fingerprints or signature_url)
    if (url is not None) + off + reset > 1:
        raise click.UsageError(_("Give one of URL, --off and --reset."))
    if given and url is None:
        raise click.UsageError(_("A key and a signature belong to an address: give URL, too."))
    if url == "":
        raise click.UsageError(_("The address is empty. To switch the remote off, give --off."))

    async def body(client: Client) -> ExitCode:
        from luxusb_cli.connection import Typed
        from luxusb_cli.remote import RemoteInfo
        from luxusb_cli.targets import open_for_reading

        changed = url is not None or off or reset
        if changed:
            options = {
                **({"fingerprints": Typed("as", list(fingerprints))} if fingerprints else {}),
                **({"signature_url": Typed("s", signature_url)} if signature_url else {}),
                **({"configured": Typed("b", True)} if reset else {}),
            }
            opened = open_for_reading(key) if key is not None else None
            try:
                await client.set_catalog_remote(url or "", options, opened)
            finally:
                if opened is not None:
                    os.close(opened)
        found = RemoteInfo.from_settings(await client.settings(), await client.setting_origins())
        if state.json:
            state.emit({"remote": found})
        else:
            _print_remote(found)
            if changed:
                say(_("Changed."), "green")
        return ExitCode.DONE

    return run(state, body)


def _print_remote(found: RemoteInfo) -> None:
    if not found.url:
        say(_("The catalogue is kept up to date from nowhere."))
        return
    fields(
        [
            (_("remote"), found.url),
            (_("signature"), found.signature_url),
            (_("signed by"), ", ".join(found.fingerprints)),
            (_("from"), _(ORIGINS[found.origin]) if found.origin in ORIGINS else found.origin),
        ]
    )


@catalog.command(short_help="Sign a catalogue file for your own remote, without a daemon.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key", required=True, help="The key to sign with: its fingerprint, id or mail address, as gpg knows it."
)
@click.option(
    "--serial",
    type=click.IntRange(1, 2**53 - 1),
    help="The edition's number; if left out, one more than that of the edition in DIR, or the time.",
)
@click.option("--expires", metavar="DATE", help="When clients refuse this edition; in 60 days if left out.")
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("signed"),
    help="Where the files to publish are put; signed if left out.",
)
@json_option
@pass_state
def sign(state: State, file: Path, key: str, serial: int | None, expires: str | None, output: Path) -> ExitCode:
    """Check a catalogue FILE, give it a serial and an expiry, and sign it with a key of yours (gpg).

    The directory DIR then holds what a web server has to serve: the catalogue, its signature (.asc) and the public key
    (.key). What clients have to have in luxusbd.toml is printed. No daemon is needed.

    \b
    Examples:
      luxusb catalog sign school.json --key admin@school.example
      luxusb catalog sign school.json --key 0xD94AA3F0EFE21092 --expires 2027-07-31 --output /srv/www/luxusb
    """
    from luxusb_cli.signing import publish

    made = publish(file, key, output, serial=serial, expires=expires)
    if state.json:
        state.emit(
            {
                "file": str(made.file),
                "signature": str(made.signature),
                "key": str(made.key),
                "fingerprint": made.fingerprint,
                "serial": made.serial,
                "expires": made.expires,
            }
        )
    else:
        _print_published(made)
    return ExitCode.DONE


def _print_published(made: Published) -> None:
    say(
        _("Signed: {file}, serial {serial}, good until {expires}.").format(
            file=clean(str(made.file)), serial=made.serial, expires=made.expires
        ),
        "green",
    )
    say(_("Let a web server serve it with {signature} beside it.").format(signature=clean(made.signature.name)))
    say(_("Copy {key} to /etc/luxusb of each client, whose luxusbd.toml has to have:").format(key=clean(str(made.key))))
    print()
    print("[catalog]")
    print(f'update_url = "https://SERVER/{clean(made.file.name)}"')
    print(f'update_key = "/etc/luxusb/{clean(made.key.name)}"')
    print(f'update_fingerprints = ["{made.fingerprint}"]')


COMMANDS = ()
"""All belong to the group `catalog`."""
