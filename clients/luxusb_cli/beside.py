"""Files that stand beside an image and vouch for it: a list of hashes, its signature, the key for that."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from luxusb_cli.errors import CliError, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.targets import open_for_reading
from luxusb_cli.text import clean

AUTO = "auto"
"""What --sums says to have the list looked for."""
MAX_SUMS = 4 * 1024 * 1024
"""Bytes of a list that are searched for a name; the daemon takes no longer ones."""
_OWN = (".sha256", ".sha512", ".sha256sum", ".sha512sum", ".sha256.txt")
_COMMON = (
    *("SHA256SUMS", "SHA256SUM", "sha256sum.txt", "sha256sums.txt", "SHA256SUMS.txt", "SHA512SUMS", "sha512sum.txt"),
    "CHECKSUM",
)
_SIGNATURES = (".gpg", ".sign", ".asc", ".sig")


@dataclass(frozen=True)
class Vouchers:
    """What --sums, --signature and --key say."""

    sums: str = ""
    """A path, `AUTO`, or empty."""
    signature: Path | None = None
    key: Path | None = None

    def check(self) -> None:
        """Raise `UsageError` when they do not go together."""
        if self.key and not self.sums and not self.signature:
            raise UsageError(
                _("--key needs what was signed by it"),
                todo=_("Name the list of hashes with --sums, or the signature of the image with --signature."),
            )
        if self.signature and not self.key:
            raise UsageError(
                _("A signature proves nothing without the key of its maker"), todo=_("Name the key with --key.")
            )


@dataclass(frozen=True)
class Beside:
    """Open files beside an image."""

    sums: int | None
    """None where the signature is one of the image itself."""
    sums_path: Path | None
    name: str
    """What the image is called in the list, empty for its display name."""
    signature: int | None = None
    key: int | None = None


def find_sums(image: Path) -> Path:
    """The list of hashes beside an image: one of its own, or one of many files, if possible one that names it.

    Raises:
        CliError: there is none.
    """
    directory = image.parent
    known = [*(image.name + suffix for suffix in _OWN), *_COMMON]
    # Fedora's begin with the name of the release
    candidates = [*(directory / name for name in known), *sorted(directory.glob("*-CHECKSUM"))]
    present = [path for path in candidates if path.is_file()]
    if not present:
        raise CliError(
            _("No list of hashes stands beside {image}").format(image=clean(str(image))),
            _("These were looked for: {names}.").format(names=", ".join([*known, "*-CHECKSUM"])),
            _("Get it from where the image came from, or name it with --sums FILE."),
        )
    return next((path for path in present if _names(path, image.name)), present[0])


def find_signature(sums: Path) -> Path | None:
    """The detached signature beside a list of hashes, None when there is none."""
    candidates = [sums.with_name(sums.name + suffix) for suffix in _SIGNATURES]
    return next((path for path in candidates if path.is_file()), None)


@contextmanager
def open_beside(vouchers: Vouchers, image: Path | None) -> Iterator[Beside | None]:
    """The files that `vouchers` name, open for the length of the block; None when there are none.

    Args:
        vouchers: the options.
        image: None for what comes through standard input.

    Raises:
        CliError: one cannot be opened, or the list was not found.
    """
    vouchers.check()
    if not vouchers.sums and vouchers.signature is None:
        yield None
        return
    if not vouchers.sums:
        with ExitStack() as stack:
            of_image = [None if path is None else _open(stack, path) for path in (vouchers.signature, vouchers.key)]
            yield Beside(None, None, "", *of_image)
        return
    if vouchers.sums != AUTO:
        sums, signature = Path(vouchers.sums), vouchers.signature
    elif image is None:
        raise UsageError(_("Nothing stands beside standard input"), todo=_("Name the list of hashes with --sums FILE."))
    else:
        sums = find_sums(image)
        signature = vouchers.signature or (find_signature(sums) if vouchers.key else None)
    with ExitStack() as stack:
        name = "" if image is None else os.fsencode(image.name).decode(errors="replace")
        others = [None if path is None else _open(stack, path) for path in (signature, vouchers.key)]
        yield Beside(_open(stack, sums), sums, name, *others)


def _open(stack: ExitStack, path: Path) -> int:
    fd = open_for_reading(path)
    stack.callback(os.close, fd)
    return fd


def _names(sums: Path, name: str) -> bool:
    try:
        with sums.open("rb") as file:
            return os.fsencode(name) in file.read(MAX_SUMS)
    except OSError:
        return False


def descriptors(beside: Beside | None) -> Sequence[tuple[str, int]]:
    """The descriptors by the names of the daemon's options."""
    if beside is None:
        return ()
    given = (("sums", beside.sums), ("signature", beside.signature), ("key", beside.key))
    return tuple((name, fd) for name, fd in given if fd is not None)
