"""`report`: what somebody else needs to know to help."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luxusb_cli.context import State, json_option, pass_state, run
from luxusb_cli.errors import CliError, ExitCode, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.render import say
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.client import Client

JOBS = 50
_SUFFIXES = (".tar.gz", ".tgz")


@click.command(short_help="Collect what helps to find a fault.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Replace FILE when it is there already.")
@json_option
@pass_state
def report(state: State, file: Path | None, force: bool) -> ExitCode:
    """Collect what helps to find a fault: versions, disks, jobs, settings, the system and its tools.

    It is printed, or saved as FILE: a .tar.gz with a file for each part, or one text under any other name. Home
    directories, names of users and of this machine, serial numbers, network addresses and what stands behind ? in
    addresses are replaced. Read it before you give it away. It is in English, and works without a daemon too.

    \b
    Examples:
      luxusb report
      luxusb report luxusb-report.tar.gz
    """
    if force and file is None:
        raise UsageError(_("--force needs a FILE"))
    parts = _collect(state)
    if file is not None:
        from luxusb_cli.files import new_file

        with new_file(file, force=force, mode=0o600) as opened:
            opened.write(_archive(parts) if file.name.endswith(_SUFFIXES) else _text(parts).encode())
    if state.json:
        state.emit({"report": parts, "file": None if file is None else str(file)})
    elif file is None:
        sys.stdout.write(_text(parts))
    else:
        say(_("Saved as {file}. Read it before you give it away.").format(file=clean(str(file))))
    return ExitCode.DONE


def _collect(state: State) -> dict[str, object]:
    from luxusb_cli import diagnosis
    from luxusb_cli.version import own_version

    said: dict[str, object] = {}
    serials: list[str] = []

    async def ask(client: Client) -> ExitCode:
        said["daemon"] = asdict(await client.service())
        devices = await client.devices()
        serials.extend(device.serial.strip() for device in devices)
        said["devices"] = [asdict(device) for device in devices]
        said["jobs"] = [asdict(job) for job in await client.jobs(limit=JOBS)]
        said["settings"] = await client.settings()
        said["images"] = [asdict(image) for image in await client.images()]
        said["catalog"] = [
            f"{distro.id} ({distro.origin}): {', '.join(release.version for release in distro.releases)}"
            for distro in await client.distributions()
        ]
        return ExitCode.DONE

    problem = ""
    try:
        run(state, ask)
    except CliError as error:
        problem = str(error)
    parts: dict[str, object] = {
        "versions": {"luxusb": own_version(), "luxusbd": said.pop("daemon", None), "problem": problem},
        "system": diagnosis.system(),
        "tools": diagnosis.tools(),
        "devices": [],
        "jobs": [],
        "settings": {},
        "images": [],
        "catalog": [],
    }
    redacted = diagnosis.Redactor(serials).value(parts | said)
    assert isinstance(redacted, dict)
    return redacted


def _text(parts: dict[str, object]) -> str:
    return "".join(f"== {name} ==\n{_pretty(content)}\n" for name, content in parts.items())


def _pretty(content: object) -> str:
    return json.dumps(content, indent=2)


def _archive(parts: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in parts.items():
            data = _pretty(content).encode() + b"\n"
            # Owner and group stay root's 0, so that nobody's name is in it.
            member = tarfile.TarInfo(f"luxusb-report/{name}.json")
            member.size = len(data)
            member.mtime = int(time.time())
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


COMMANDS = (report,)
