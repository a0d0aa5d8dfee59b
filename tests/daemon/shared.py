"""One daemon for all tests of a module, and what bad input is made of."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.daemon.caller import Caller
from tests.daemon.cli import Cli, fingerprint
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB, Images
from tests.daemon.leftovers import Machine
from tests.daemon.loops import detach
from tests.daemon.remote import Remote
from tests.daemon.sticks import run
from tests.harness.mirrors import Mirror, write_catalogue

CONFIG = """
[devices]
allow_loop = ["{place}/*.img"{more}]
"""


@dataclass
class World:
    """A daemon with its mirror, and a place for files and disks."""

    place: Path
    daemon: Daemon
    mirror: Mirror
    images: Images
    cli: Cli
    remote: Remote | None = None
    """Publishes signed catalogues, where the daemon was told of one."""
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """What has to be undone at the end of a test."""

    def file(self, name: str, data: bytes = b"") -> Path:
        """A file that goes at the end of the test."""
        path = self.place / name
        path.write_bytes(data)
        self.undo.callback(path.unlink, missing_ok=True)
        return path

    def disk_file(self, name: str = "disk", size: int = 256 * MIB) -> Path:
        """A sparse file that the configuration allows as a loop device."""
        path = self.file(f"{name}.img")
        os.truncate(path, size)
        return path

    def attach(self, file: Path, *options: str) -> str:
        """A loop device over a file."""
        node = run("losetup", "-P", "-f", "--show", *options, str(file))
        self.undo.callback(detach, node, file)
        return node

    async def shown(self, node: str, fits: Callable[[Any], bool] = lambda _device: True) -> str:
        """Id of the disk at `node`, once the daemon shows the one that is there now, as `fits` wants it."""
        sequence = int(Path("/sys/block", Path(node).name, "diskseq").read_text())
        async with Caller.connect(self.daemon.address) as caller:
            while True:
                known = len(caller.heard)
                for device in await caller.client.devices():
                    if device.node == node and device.disk_seq == sequence and fits(device):
                        return device.id
                await caller.news(known)

    async def forgotten(self, node: str) -> None:
        """Wait until the daemon shows no disk at `node`."""
        async with Caller.connect(self.daemon.address) as caller:
            while True:
                known = len(caller.heard)
                if node not in {device.node for device in await caller.client.devices()}:
                    return
                await caller.news(known)

    @contextlib.asynccontextmanager
    async def untouched(self, *watched: Path) -> AsyncIterator[None]:
        """Whatever happens inside changes neither the watched files nor the store; the daemon works afterwards."""
        state = [self.daemon.state / name for name in ("images", "incoming", "staging")]
        before = fingerprint(*watched, *state)
        yield
        after = fingerprint(*watched, *state)
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        assert not changed, f"touched: {changed}"
        await self.check_well()

    async def check_well(self) -> None:
        """The daemon answers, reads an image in its transfer process, and does not regard anything as in use."""
        found = await self.cli.json("inspect", self.images.alpha.path)
        assert found["image"]["bootable"] is True
        log = self.daemon.log
        assert "Traceback" not in log, log[log.index("Traceback") - 300 :][:4000]


@contextlib.asynccontextmanager
async def world_of(
    images: Images,
    *,
    before: str = "",
    state: Path | None = None,
    config: str = "",
    loops: Sequence[str] = (),
    network: bool = True,
    remote: Remote | None = None,
    logo: str = "",
) -> AsyncIterator[World]:
    """A running daemon over a new directory; `state` is where its state directory leads to, if elsewhere.

    `logo` is the address of the logo that all systems have.
    """
    machine = Machine.now()
    with tempfile.TemporaryDirectory(prefix="lux-") as made:
        place = Path(made)
        place.chmod(0o755)
        if state is not None:
            (place / "s").symlink_to(state)
        async with Mirror({image.path.name: image.path for image in images.all}) as mirror:
            write_catalogue(place / "catalogue.json", [image.for_catalogue() for image in images.all], [mirror], logo)
            daemon = Daemon(
                place,
                catalogues=[place / "catalogue.json"],
                config=CONFIG.format(place=place, more="".join(f', "{name}"' for name in loops))
                + config
                + (remote.config if remote is not None else ""),
                before=before,
                network=network,
            )
            (place / "home").mkdir()
            async with daemon:
                world = World(place, daemon, mirror, images, Cli(daemon.address, place / "home"), remote)
                with world.undo:
                    yield world
            machine.check_nothing_left(daemon)
        shutil.rmtree(place / "home")
