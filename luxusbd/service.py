"""Builds the parts of the daemon and owns their lifetime."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from luxusbd.bus.authority import PrivateAuthority
from luxusbd.bus.logind import Logind
from luxusbd.bus.private import private_bus
from luxusbd.bus.service import BusService
from luxusbd.bus.udisks import Udisks
from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.takeover import take_over
from luxusbd.children.launch import Launcher, Spawner, Units
from luxusbd.children.supervisor import Identity
from luxusbd.config import Config
from luxusbd.errors import ConfigError, FailedError, host_error
from luxusbd.images.store import ImageStore
from luxusbd.jobs.engine import LuxusbEngine
from luxusbd.jobs.parts import Parts
from luxusbd.jobs.remote import pinned_fingerprints
from luxusbd.settings import FILE_NAME, ChangedSettings
from luxusbd.systemd import notify, watchdog
from luxusbd.transfer.network import load as load_network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What the command line says beside the configuration."""

    private: Path | None = None
    """Directory of a private instance, with its own bus."""
    catalogs: tuple[Path, ...] = ()
    """Further catalogue files."""
    sockets: Path | None = None
    """Where systemd listens for the children; None to start them ourselves."""
    until_eof: bool = False
    """End when standard input is closed."""


async def run(config: Config, options: Options, announce: Callable[[str], None]) -> bool:
    """Run the daemon until a signal, the end of the bus, or idleness.

    SIGHUP ends it as soon as that cuts no job that could not go on (`Retirement`).

    Args:
        config: the settings in force.
        options: what the command line says.
        announce: gets the bus address of a private instance once callers can start.

    Returns:
        Whether it is to be started again, in whatever version is there by now.

    Raises:
        LuxusbError: it cannot start, or the bus went away.
    """
    prepare_directories(config)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_only_instance(Path(config.paths.state_dir)))
        settings = ChangedSettings(config, Path(config.paths.state_dir) / FILE_NAME)
        network = await asyncio.to_thread(load_network, config.network)
        address = None
        if options.private is not None:
            address = await stack.enter_async_context(private_bus(options.private))
        files = (*(Path(name) for name in config.catalog.files), *options.catalogs)
        older = await asyncio.to_thread(take_over, config.catalog.migrate_from, Path(config.paths.state_dir))
        sources = Sources(
            cache=Path(config.paths.cache_dir) / "distros.json",
            pinned=pinned_fingerprints(settings.config.catalog),
            admin=Path(config.paths.catalog_dir),
            command_line=files,
            feeds=Path(config.paths.cache_dir) / "feeds.json",
            feed_files=tuple(Path(name) for name in config.catalog.feed_files),
            migrated=older.catalogue,
            notes=older.notes,
        )
        catalog = await asyncio.to_thread(Catalog.load, sources)
        images = await asyncio.to_thread(ImageStore, Path(config.paths.state_dir) / "images")
        launcher = _launcher(config, options)
        parts = Parts(
            settings,
            catalog,
            sources,
            images,
            launcher,
            network=network,
            owned_marks=options.sockets / "owned" if options.sockets is not None else None,
        )
        engine = LuxusbEngine(parts)
        bus = BusService(engine, address=address)
        engine.use_desktop(Udisks(bus))
        if config.authorization.backend == "private":
            bus.authority = PrivateAuthority()
        ended = _until_signal()
        if options.until_eof:
            stack.enter_context(_until_eof(ended))
        await engine.start()
        stack.push_async_callback(engine.stop)
        await bus.start()
        stack.push_async_callback(bus.stop)
        await engine.use_power(Logind(bus))
        notify("READY=1")
        if address is not None:
            announce(address)
        # who runs a private instance in a terminal and closes that wants it to end
        renewed = _renewed() if options.private is None else asyncio.Event()
        again = await _wait(bus, engine, launcher, config, ended, renewed)
        notify("STOPPING=1")
    return again


def _launcher(config: Config, options: Options) -> Launcher:
    memory = config.transfer.memory * 1024 * 1024
    if options.sockets is not None:
        return Units(options.sockets, memory=memory)
    return Spawner(user=config.transfer.user, memory=memory, staging=Path(config.paths.state_dir) / "staging")


async def _wait(
    bus: BusService,
    engine: LuxusbEngine,
    launcher: Launcher,
    config: Config,
    ended: asyncio.Event,
    renewed: asyncio.Event,
) -> bool:
    async def trouble() -> str:
        return launcher.deadlines.overdue() or await bus.trouble()

    async def retire() -> None:
        await renewed.wait()
        await engine.retire()

    idle = _Idle(config.daemon.idle_exit, lambda: engine.busy or bool(bus.watchers))
    alive = asyncio.ensure_future(watchdog(trouble))
    waits = {
        asyncio.ensure_future(ended.wait()): "a signal",
        asyncio.ensure_future(bus.wait_disconnected()): "",
        asyncio.ensure_future(idle.wait()): "idleness",
        asyncio.ensure_future(retire()): "a newer version",
    }
    try:
        done, _pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (alive, *waits):
            task.cancel()
    reasons = [waits[task] for task in done]
    if reasons == [""]:
        raise FailedError("the connection to the bus is gone")
    log.info("ending because of %s", " and ".join(filter(None, reasons)))
    return reasons == ["a newer version"]


class _Idle:
    """Waits until nothing has needed the daemon for a while."""

    def __init__(self, seconds: int, needed: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._needed = needed

    async def wait(self) -> None:
        """Return after `seconds` in a row without need; never with 0."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while self._seconds == 0 or loop.time() - since < self._seconds:
            await asyncio.sleep(min(self._seconds, 5) or 3600)
            if self._needed():
                since = loop.time()


def prepare_directories(config: Config) -> None:
    """Make the directories of the daemon with the owners that the processes need.

    Raises:
        ConfigError: they cannot be made, or the two are not on one filesystem.
    """
    state, incoming = Path(config.paths.state_dir), Path(config.paths.download_dir)
    try:
        identity = Identity.of_user(config.transfer.user) if config.transfer.user and os.geteuid() == 0 else None
        # whatever our umask, the other user has to get through to its own directory; what is there is left as it is
        passable = 0o700 if identity is None else 0o711
        for directory, mode in (
            (state, passable),
            (state / "staging", 0o700),
            (incoming.parent, passable),
            (incoming, 0o700),
        ):
            if not directory.is_dir():
                directory.mkdir(parents=True)
                directory.chmod(mode)
        if identity is not None:
            os.chown(incoming, identity.uid, identity.gid)
        if state.stat().st_dev != incoming.stat().st_dev:
            raise ConfigError(f"paths.download_dir: {incoming} has to be on the filesystem of {state}")
    except OSError as error:
        raise ConfigError(f"{error.filename}: the daemon's directories cannot be made: {error.strerror}") from error


@contextlib.contextmanager
def _only_instance(state: Path) -> Iterator[None]:
    try:
        fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise host_error(error, f"opening {state / 'lock'}") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedError(f"another luxusbd already uses {state}; stop it first") from None
        yield
    finally:
        os.close(fd)


def _until_signal() -> asyncio.Event:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    return ended


def _renewed() -> asyncio.Event:
    renewed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, renewed.set)
    return renewed


@contextlib.contextmanager
def _until_eof(ended: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(stdin, 4096):
            loop.remove_reader(stdin)
            ended.set()

    try:
        loop.add_reader(stdin, readable)
    except OSError as error:
        raise ConfigError("--until-eof: standard input is no pipe, socket or terminal") from error
    try:
        yield
    finally:
        loop.remove_reader(stdin)
