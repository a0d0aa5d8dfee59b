"""The user's own catalogue, `~/.config/luxusb/custom_distros.json`, and how the daemon comes to know it.

The daemon opens no path and keeps no user's catalogue on its disk: it is handed the bytes, whenever what it has is
another edition.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from luxusb_cli.errors import LUXUSB, CliError
from luxusb_cli.i18n import _
from luxusb_cli.takeover import take_over
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.client import Client

MAX_BYTES = 512 * 1024
"""As much as the daemon takes."""
NAME = "custom_distros.json"
EMPTY = b'{"version": "2.0", "last_updated": "2026-01-01", "distributions": []}'


def directory(variable: str, below_home: str) -> Path | None:
    """`luxusb` in a directory of the user (XDG Base Directory specification); None where the home is another user's."""
    named = os.environ.get(variable, "")
    if named.startswith("/"):
        return Path(named) / "luxusb"
    try:
        # Under sudo this may be another user's home, whose files root should not trust.
        mine = Path.home().stat().st_uid == os.geteuid()
    except (OSError, RuntimeError):
        return None
    return Path.home() / below_home / "luxusb" if mine else None


def location() -> Path | None:
    """Where the user's own catalogue lies, whether it is there or not."""
    place = directory("XDG_CONFIG_HOME", ".config")
    return place / NAME if place is not None else None


def read(path: Path) -> bytes | None:
    """The bytes of the user's own catalogue; None without one.

    Raises:
        CliError: it cannot be read, is no regular file of this user, or too large.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, f"{error.strerror}.") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(path, _("It is no regular file."))
        if status.st_uid != os.geteuid():
            raise _unusable(path, _("It belongs to another user."))
        data = os.pread(fd, MAX_BYTES + 1, 0)
    except OSError as error:
        raise _unusable(path, f"{error.strerror}.") from error
    finally:
        os.close(fd)
    if len(data) > MAX_BYTES:
        raise _unusable(path, _("It has more than {size} KiB.").format(size=MAX_BYTES // 1024))
    return data


async def pass_on(client: Client) -> None:
    """Hand the user's own catalogue to the daemon, if that has another edition; nothing of it stops a command."""
    try:
        await _pass_on(client)
    except CliError as error:
        if error.name == LUXUSB + "NotSupported":
            return
        lines = error.why.splitlines() or [error.what]
        more = _(" (and {count} more)").format(count=len(lines) - 1) if len(lines) > 1 else ""
        print(_("Your own catalogue is not used: {why}{more}").format(why=clean(lines[0]), more=more), file=sys.stderr)


async def _pass_on(client: Client) -> None:
    path = location()
    if path is None:
        return
    data = read(path)
    if data is None:
        data = await take_over(client, path)
    mark = _mark()
    if data is None:
        if mark is None or not mark.exists():
            return
        # it was there at an earlier command, and is to be forgotten
        await client.import_catalog_bytes(EMPTY, str(path))
        with suppress(OSError):
            mark.unlink()
        return
    if (await client.catalog_status()).own == hashlib.sha256(data).hexdigest():
        return
    await client.import_catalog_bytes(data, str(path))
    if mark is not None:
        with suppress(OSError):
            mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark.touch(mode=0o600)


def _mark() -> Path | None:
    """A file that is there as long as the daemon may have a catalogue of this user."""
    place = directory("XDG_CACHE_HOME", ".cache")
    return place / "own-catalogue" if place is not None else None


def added_to(path: Path, document: Mapping[str, object]) -> bytes:
    """The user's own catalogue with the distributions of another one in it, which replace those of the same id.

    Raises:
        CliError: the one that is there is broken.
    """
    from luxusbd.catalog.own import read_own
    from luxusbd.catalog.schema import decode
    from luxusbd.errors import CatalogError

    before = read(path)
    if before is None:
        kept: list[object] = []
        version = "2.0"
    else:
        try:
            read_own(before, str(path))
        except CatalogError as error:
            raise _unusable(path, error.message) from error
        found = decode(before, str(path))
        assert isinstance(found, dict)
        kept, version = found["distributions"], found["version"]
    fresh = document["distributions"]
    assert isinstance(fresh, list)
    ids = {entry["id"] for entry in fresh}
    both = [entry for entry in kept if isinstance(entry, dict) and entry["id"] not in ids] + fresh
    combined = {
        # of two minor versions the newer one, whose fields the other does not have
        "version": max(version, str(document["version"]), key=lambda text: [int(part) for part in text.split(".")]),
        "last_updated": datetime.now(UTC).date().isoformat(),
        "distributions": both,
    }
    return json.dumps(combined, indent=1).encode() + b"\n"


@contextmanager
def in_memory(data: bytes) -> Iterator[int]:
    """A descriptor of these bytes, so that the daemon gets what was looked at and waits for no filesystem."""
    fd = os.memfd_create("catalogue", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        yield fd
    finally:
        os.close(fd)


def _unusable(path: Path, why: str) -> CliError:
    return CliError(
        _("{file} cannot be used").format(file=clean(str(path))),
        f"{path}: {why}" if not why.startswith(str(path)) else why,
        _("`luxusb catalog check {file}` says more.").format(file=clean(str(path))),
        name=LUXUSB + "InvalidCatalog",
    )
