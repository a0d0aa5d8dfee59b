"""Debian's installer from its image in a stick, by the initrd that is fetched with it: `make boot-installer`.

Two images of installers lie on each stick, and the one that was chosen in the menu has to be the one whose components
are loaded. The archive from which luxusbd fetches the initrd is one of the test's own, with a key of its own: a mirror
may be without the files of hd-media, and then `tests.matrix.hdmedia` makes what it would have.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from luxusbd.errors import LuxusbError
from luxusbd.resources import data
from tests.harness.maker import Maker
from tests.harness.qemu import MachineError
from tests.harness.service import ROOT, Service, ServiceError
from tests.harness.tls import make_authority
from tests.images.builders import build_iso
from tests.matrix import boots, hdmedia, results, run, sticks
from tests.matrix.cases import INSTALLER, Filesystem, Refuser, Result, Row, rows
from tests.matrix.hdmedia import Parts
from tests.matrix.results import Record
from tests.transfer.keys import Keys

HERE = ROOT / "build" / "matrix" / "installer"
BUILD = "20230607"
IMAGES = f"dists/{{suite}}/main/installer-amd64/{BUILD}/images"
OTHER = "debian-other"
"""The image that lies beside it."""
SAYS = r"installer: Linux .*"
"""What the installer says in the end, see `tests.matrix.hdmedia`."""


def main() -> int:
    """Start it from each filesystem under each firmware; 0 when every row ended as expected."""
    parser = argparse.ArgumentParser(prog="make boot-installer", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of filesystems and firmware; all rows without any")
    only = parser.parse_args().only
    try:
        return asyncio.run(_run(rows([INSTALLER, *only])))
    except (ValueError, FileNotFoundError, RuntimeError, ServiceError, MachineError, LuxusbError) as error:
        print(f"boot-installer: {error}", file=sys.stderr)
        return 1


async def _run(chosen: Sequence[Row]) -> int:
    HERE.mkdir(parents=True, exist_ok=True)
    parts = await hdmedia.parts(HERE)
    images = {name: _image(parts, name, version) for name, version in ((OTHER, "12.1"), (INSTALLER, "12.2"))}
    seen: list[Record] = []

    def report(record: Record) -> None:
        seen.append(record)
        results.save(results.merge(results.load(), [record]))
        _say(f"{' / '.join(filter(None, record.key))}: {record.result} ({record.seconds} s): {record.evidence}")

    refused = [row for row in chosen if row.expected.refuser is Refuser.PLAN]
    await run.run(refused, images, run.Workplace(HERE, HERE, _say, report))
    for place in dict.fromkeys(row.filesystem for row in chosen if row not in refused):
        stick = await _stick(parts, images, place)
        shown = stick.images[INSTALLER]
        for row in chosen:
            if row.filesystem == place and row not in refused:
                # whichever image it takes, that is the end of the start
                either = replace(row, system=replace(row.system, sign=SAYS))
                started = await boots.start(stick.path, shown.title, either, HERE)
                report(run.record(row, shown.sha256, shown.recipe, started))
    return 1 if any(record.result == Result.FAILED for record in seen) else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _image(parts: Parts, name: str, version: str) -> Path:
    file = HERE / f"{name}.iso"
    tree = HERE / f"{name}.iso.d"
    if tree.exists():
        shutil.rmtree(tree)
    return build_iso(file, hdmedia.disc(parts, version), "-R", volume_id=f"Debian {version} amd64 n")


async def _stick(parts: Parts, images: dict[str, Path], place: Filesystem) -> sticks.Stick:
    state = HERE / f"state-{os.getpid()}"
    keys = Keys(HERE / "gnupg")
    if keys.home.exists():
        shutil.rmtree(keys.home)
    keys.home.mkdir(mode=0o700)
    authority = make_authority(HERE)
    os.environ["SSL_CERT_FILE"] = str(authority.file)
    signer = keys.make("archive")
    try:
        async with Maker(authority.good) as maker:
            _publish(maker, parts, keys, signer)
            _trust(state, maker.url, signer, keys.export(signer, armor=True))
            async with Service(state, catalogue=None, log=HERE / "luxusbd.log") as service:
                return await sticks.make(service, HERE / f"{place.name}.img", place, images)
    finally:
        keys.gpg("--list-keys")
        subprocess.run(["gpgconf", "--homedir", keys.home, "--kill", "all"], check=True, capture_output=True)
        shutil.rmtree(state, ignore_errors=True)


def _publish(maker: Maker, parts: Parts, keys: Keys, signer: str) -> None:
    """What an archive has of a build: the list that is signed, the list of hashes in it, and the initrd."""
    images = IMAGES.format(suite=parts.suite)
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  ./hd-media/{name}\n"
        for name, content in (("initrd.gz", parts.initrd), ("vmlinuz", parts.kernel))
    ).encode()
    listed = f"{images.split('/', 2)[2]}/SHA256SUMS"
    release = f"Origin: Debian\nSHA256:\n {hashlib.sha256(sums).hexdigest()} {len(sums)} {listed}\n".encode()
    maker.put(f"dists/{parts.suite}/InRelease", keys.clearsign(release, signer))
    maker.put(f"{images}/SHA256SUMS", sums)
    maker.put(f"{images}/hd-media/initrd.gz", parts.initrd)


def _trust(state: Path, url: str, signer: str, key: bytes) -> None:
    """The packaged recipe, with that archive and its key in place of Debian's."""
    recipe = json.loads(data("recipes", "debian-installer-cd.json").read_text("utf-8"))
    recipe["version"] += 1
    recipe["variants"][0]["fetch"] |= {"archives": [url], "keys": [signer]}
    for name, file, content in (
        ("recipes.d", "debian-installer-cd.json", json.dumps(recipe).encode()),
        ("keys.d", f"{signer}.asc", key),
    ):
        (state / name).mkdir(parents=True)
        (state / name / file).write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
