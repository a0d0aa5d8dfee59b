"""Signing a catalogue for publication, with the gpg and the keys of whoever runs this. No daemon is needed."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luxusb_cli.errors import LUXUSB, CliError, UsageError
from luxusb_cli.files import new_file
from luxusb_cli.i18n import _
from luxusb_cli.text import clean

VALID_DAYS = 60
"""How long an edition is good when nobody says; clients refuse it afterwards."""
_LAYOUT = ("version", "last_updated", "serial", "expires")


@dataclass(frozen=True)
class Published:
    """The files to publish, and what clients have to know."""

    file: Path
    signature: Path
    key: Path
    fingerprint: str
    serial: int
    expires: str


def publish(file: Path, key: str, output: Path, *, serial: int | None, expires: str | None) -> Published:
    """Check a catalogue, give it serial and expiry, sign it, and write document, signature and public key.

    Args:
        file: the catalogue.
        key: fingerprint, id or address of a key that gpg has a secret key for.
        output: the directory to write to; an edition in there is the one before.
        serial: None for one more than that of the edition before, or the time where there is none.
        expires: a date or a time in UTC; None for in `VALID_DAYS` days.

    Raises:
        CliError: the catalogue is malformed, gpg refused, or the files cannot be written.
    """
    from luxusbd.catalog.model import Layer
    from luxusbd.catalog.schema import MAX_DOCUMENT, decode, read_document, shortened
    from luxusbd.errors import CatalogError
    from luxusbd.images.recipebook import read_documents

    target = output / file.name
    if target.resolve() == file.resolve():
        raise UsageError(
            _("{file} would be replaced by its signed edition").format(file=clean(str(file))),
            todo=_("Take another directory with --output."),
        )
    fingerprint = find_key(key)
    try:
        with file.open("rb") as opened:
            document = decode(opened.read(MAX_DOCUMENT + 1), str(file))
        if not isinstance(document, dict):
            document = {"version": document}  # what follows says what is wrong with it
        now = int(time.time())
        moment = _expiry(expires, now)
        number = _serial(serial, target, now)
        fields = {**document, "last_updated": _text(now), "serial": number, "expires": moment}
        ordered = {name: fields[name] for name in _LAYOUT if name in fields} | fields
        data = json.dumps(ordered, indent=1).encode() + b"\n"
        found = read_document(data, str(file), Layer.CACHE)
        if problems := read_documents(list(found.recipes), str(file)).problems:
            # machines would leave these out and go on, so that nobody but the publisher could notice
            raise CatalogError("\n".join(shortened(problems)))
    except OSError as error:
        raise CliError(_("Could not read {file}").format(file=clean(str(file))), f"{error.strerror}.") from error
    except CatalogError as error:
        raise CliError(
            _("{file} is no catalogue that could be published").format(file=clean(str(file))),
            error.message,
            _("The format is described in {schema}.").format(schema="data/schemas/catalog.schema.json"),
            name=LUXUSB + "InvalidCatalog",
        ) from error
    signature = gpg("--armor", "--local-user", fingerprint, "--detach-sign", data=data)
    public = gpg("--armor", "--export", fingerprint)
    made = Published(
        target,
        target.with_name(target.name + ".asc"),
        target.with_name(target.stem + ".key"),
        fingerprint,
        number,
        moment,
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(_("Could not write {file}").format(file=clean(str(output))), f"{error.strerror}.") from error
    # who fetches in between gets a signature that does not fit, and asks again
    for path, content in ((made.key, public), (made.signature, signature), (made.file, data)):
        with new_file(path, force=True) as written:
            written.write(content)
    return made


def find_key(name: str) -> str:
    """The full fingerprint of the one key that can sign and goes by this name.

    Raises:
        CliError: gpg has none, or several.
    """
    listed = gpg("--with-colons", "--list-secret-keys", "--", name, finds=True).decode("utf-8", "replace")
    found: list[str] = []
    bad: set[str] = set()
    wanted, state = False, ""
    for line in listed.splitlines():
        words = line.split(":")
        if words[0] in ("sec", "ssb"):
            wanted = words[0] == "sec"
            state = words[1] if wanted else ""
        elif words[0] == "fpr" and wanted and len(words) > 9:
            found.append(words[9])
            wanted = False
            if state in ("e", "r", "d", "i"):
                bad.add(words[9])
    if len(found) > 1:
        raise CliError(
            _("{key} names more than one key").format(key=clean(name)),
            ", ".join(found),
            _("Give one of the fingerprints."),
        )
    if not found or found[0] in bad:
        raise CliError(
            _("The key {key} cannot sign").format(key=clean(name)),
            _("It has expired, was revoked, or gpg does not have its secret part."),
            _("See your keys with `gpg --list-secret-keys`."),
        )
    return found[0]


def _serial(asked: int | None, target: Path, now: int) -> int:
    try:
        before: Any = json.loads(target.read_bytes())
        last = int(before["serial"])
    except FileNotFoundError:
        return now if asked is None else asked
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        if asked is not None:
            return asked
        raise CliError(
            _("The edition before, {file}, cannot be read").format(file=clean(str(target))),
            str(error),
            _("Give a serial that is larger than that of any edition before with --serial."),
        ) from error
    if asked is None:
        return last + 1
    if asked <= last:
        raise UsageError(
            _("The serial {serial} is not larger than {last}, that of the edition before").format(
                serial=asked, last=last
            ),
            _("Clients would take it for an attempt to go back to an older catalogue."),
            _("Leave out --serial."),
        )
    return asked


def _expiry(asked: str | None, now: int) -> str:
    if asked is None:
        return _text(now + VALID_DAYS * 86400)
    try:
        moment = datetime.datetime.fromisoformat(asked)
        zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
        seconds = int(zoned.timestamp())
    except (ValueError, OverflowError):
        raise UsageError(
            _("{date} is no date").format(date=clean(asked)), todo=_("Give one such as 2027-01-31.")
        ) from None
    if seconds <= now:
        raise UsageError(
            _("{date} has passed").format(date=clean(asked)), _("Clients would refuse the catalogue at once.")
        )
    return _text(seconds)


def _text(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def gpg(*arguments: str, data: bytes = b"", finds: bool = False) -> bytes:
    """Standard output of gpg; with `finds` nothing where it did not find what was asked for."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    if sys.stdin is not None and sys.stdin.isatty():
        # where the agent asks for the passphrase on a terminal
        environment.setdefault("GPG_TTY", os.ttyname(sys.stdin.fileno()))
    try:
        ended = subprocess.run(
            ["gpg", "--batch", "--quiet", *arguments], input=data, capture_output=True, check=False, env=environment
        )
    except FileNotFoundError:
        raise CliError(
            _("{program} is not installed").format(program="gpg"),
            todo=_("Install the package {package}.").format(package="gnupg"),
            name=LUXUSB + "ToolMissing",
        ) from None
    if not finds and (ended.returncode != 0 or not ended.stdout):
        said = clean(ended.stderr.decode("utf-8", "replace"), lines=True).strip()[-1000:]
        raise CliError(
            _("gpg failed"),
            said or _("{program} ended with status {status}.").format(program="gpg", status=ended.returncode),
            _("See your keys with `gpg --list-secret-keys`."),
            name=LUXUSB + "ToolFailed",
        )
    return ended.stdout
