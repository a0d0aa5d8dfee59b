"""Writes docs/cli.md: the commands, and a session with the real service that really took place.

`python -m tests.docs_cli` runs the service on a bus of its own with a mirror on this machine, types the commands of
`SESSION`, and keeps what they print. Nothing outside a temporary directory is touched but the document.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from luxusb_cli.app import cli
from luxusb_cli.errors import ExitCode

from tests.harness.images import RealImage, find
from tests.harness.mirrors import Mirror, write_catalogue
from tests.harness.service import ROOT, Service, environment

DOCUMENT = ROOT / "docs" / "cli.md"
STICK = "--image-file stick.img"
SESSION: tuple[tuple[str, str], ...] = (
    ("What there is", "luxusb --version"),
    ("", "luxusb distros memtest"),
    ("", "luxusb info memtest86plus"),
    ("A download, checked and kept", "luxusb download memtest86plus"),
    ("", "luxusb images"),
    ("Where it came from", "luxusb mirrors memtest86plus"),
    ("", "luxusb mirrors memtest86plus --country DE,AT"),
    ("A file of your own", "luxusb inspect grub-rescue-cdrom.iso"),
    ("A stick, here in an image file", f"luxusb plan {STICK} --size 512MiB memtest86plus ./grub-rescue-cdrom.iso"),
    ("", f"luxusb create {STICK} --size 512MiB memtest86plus ./grub-rescue-cdrom.iso"),
    ("", f"luxusb contents {STICK}"),
    ("", f"luxusb verify {STICK}"),
    ("", f"luxusb remove {STICK} grub-rescue-cdrom.iso --yes"),
    ("", f"luxusb contents {STICK} --json"),
    ("An image out of the store", "luxusb export memtest86+x64.iso memtest.iso"),
    ("", "luxusb export memtest86+x64.iso memtest.iso"),
    ("What was done", "luxusb jobs"),
    ("Names that are not quite right", "luxusb info memtest68plus"),
    ("", "luxusb contnets"),
)
"""Headline (empty: under the one before) and command."""
MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "the command line makes no sense",
    ExitCode.NOT_AUTHORIZED: "not authorised",
    ExitCode.NO_DAEMON: "no daemon, or no bus",
    ExitCode.CANCELLED: "cancelled",
    ExitCode.UPDATES: "`luxusb update --check` or `luxusb bundle update --check` found newer releases",
    ExitCode.PARTLY: "of several disks some are done, and others failed; the error has the command for those",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C; the job goes on",
}
IMAGES = frozenset({"memtest86plus", "grub-rescue"})
INTRODUCTION = """\
# The command `luxusb`

<!-- Written by `python -m tests.docs_cli`; do not edit. -->

`luxusb` asks the service `luxusbd` over D-Bus and shows how far it is. The service goes on when the command ends;
`luxusb watch` comes back to it. `luxusb COMMAND --help` and luxusb(1) have all options.

Every command but `completion` takes `--json` and then prints one document (`watch`: one a line) that fits the schema
of its name in [data/schemas/cli](../data/schemas/cli). Texts are in the language of the user (English, German), JSON is
not translated. Errors go to standard error: what, why, what to do.
"""


def commands(group: click.Group = cli, prefix: str = "luxusb") -> Iterator[tuple[str, str]]:
    """Every command with what it does in a line."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command.get_short_help_str(200)


def command_table() -> str:
    """All commands as a table."""
    rows = [f"| `{name}` | {text} |" for name, text in commands()]
    return "\n".join(["## Commands", "", "| command | what it does |", "|---|---|", *rows]) + "\n"


def exit_table() -> str:
    """Exit codes as a table."""
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *rows]) + "\n"


def session_text(said: list[str]) -> str:
    """The session with what each command printed."""
    lines = ["## A session", "", "On a machine with the service; what it prints is a recording."]
    for (headline, command), output in zip(SESSION, said, strict=True):
        if headline:
            lines += [*(["```"] if lines[-1] != lines[2] else []), "", f"### {headline}", "", "```console"]
        lines += [f"$ {command}", output.rstrip()]
    return "\n".join([*lines, "```"]) + "\n"


async def record(directory: Path) -> list[str]:
    """What each command of the session printed, on both its outputs.

    Raises:
        RuntimeError: the packages of the images are missing.
    """
    (cache := directory / "images").mkdir()
    images = [image for image in (await find(cache)).images if image.id in IMAGES]
    if len(images) != len(IMAGES):
        raise RuntimeError("install the packages memtest86+ and grub-rescue-pc")
    home = directory / "home"
    home.mkdir()
    await asyncio.to_thread(_copy_rescue, images, home)
    async with Mirror({image.path.name: image.path for image in images}) as mirror:
        write_catalogue(directory / "catalogue.json", images, [mirror])
        async with Service(
            directory / "state", catalogue=directory / "catalogue.json", log=directory / "log"
        ) as service:
            return [await asyncio.to_thread(_type, command, service.address, home) for _, command in SESSION]


def _copy_rescue(images: list[RealImage], home: Path) -> None:
    for image in images:
        if image.id == "grub-rescue":
            shutil.copy(image.path, home)


def _type(command: str, address: str, home: Path) -> str:
    program, *arguments = command.split()
    assert program == "luxusb"
    settings = environment() | {"DBUS_SYSTEM_BUS_ADDRESS": address, "LANG": "C.UTF-8", "XDG_CACHE_HOME": str(home)}
    settings = {key: value for key, value in settings.items() if key not in {"LANGUAGE", "LC_ALL", "LC_MESSAGES"}}
    ended = subprocess.run(
        [sys.executable, "-m", "luxusb_cli", *arguments],
        cwd=home,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.stdout


def document(said: list[str]) -> str:
    """The whole text."""
    return "\n".join([INTRODUCTION, command_table(), exit_table(), session_text(said)])


def main() -> None:
    """Record the session and write the document."""
    with tempfile.TemporaryDirectory(prefix="luxusb-docs-") as directory:
        said = asyncio.run(record(Path(directory)))
        if any(str(directory) in output for output in said):
            raise RuntimeError("a path of this machine is in the recording")
    part = DOCUMENT.with_suffix(".part")
    part.write_text(document(said), "utf-8")
    part.replace(DOCUMENT)


if __name__ == "__main__":
    main()
