from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from luxusbd.children import transfer_progress
from luxusbd.children.transfer_main import TransferChild
from luxusbd.errors import LuxusbError
from luxusbd.resources import import_root
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import DownloadProgress, DownloadRequest, DownloadResult, PieceHashes, SourceHint
from luxusbd.transfer.pace import Control
from luxusbd.transfer.source import default_session
from tests.harness.maker import Maker
from tests.harness.tls import Authority, make_authority
from tests.transfer.child import Core, connected
from tests.transfer.fault_server import FaultServer
from tests.transfer.keys import Keys, made
from tests.transfer.passing import Reader

if TYPE_CHECKING:
    from tests.transfer.mirrored import Mirrors

# the machine may be busy: how long one example takes says nothing
settings.register_profile("transfer", deadline=None)
settings.load_profile("transfer")

DATA = random.Random(7).randbytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()

FAST = TransferLimits(
    header_timeout=5.0,
    stall_timeout=5.0,
    backoff_first=0.01,
    backoff_cap=0.05,
    attempts=5,
    network_attempts=5,
    batch_min=8 * 1024,
    batch_age=0.02,
    batch_max=16 * 1024,
    checkpoint_bytes=128 * 1024,
    checkpoint_age=0.2,
    lock_patience=0.05,
    skip_limit=32 * 1024,
    space_reserve=0,
)
IMPATIENT = replace(FAST, header_timeout=0.4, stall_timeout=0.4, attempts=12, network_attempts=12)
"""For servers that are silent; the good ones get enough attempts to be slow now and then on a busy machine."""


@dataclass
class Outcome:
    """What a download came to; one of `result` and `error` is set."""

    result: DownloadResult | None
    error: LuxusbError | None
    seen: list[DownloadProgress]
    content: bytes | None
    left: set[str] = field(default_factory=set)


@dataclass
class Client:
    directory: Path
    context: ssl.SSLContext | None = None

    async def fetch(
        self,
        urls: Sequence[str],
        *,
        sha256: str = SHA256,
        size: int = 0,
        limits: TransferLimits = FAST,
        control: Control | None = None,
        watch: Callable[[DownloadProgress], None] = lambda _progress: None,
        bandwidth: int = 0,
        pieces: PieceHashes | None = None,
        hints: tuple[SourceHint, ...] = (),
    ) -> Outcome:
        seen: list[DownloadProgress] = []
        downloader = Downloader(lambda: default_session(self.context), limits)
        request = DownloadRequest(tuple(urls), sha256, size, str(self.directory), "file.iso", bandwidth)
        request = replace(request, pieces=pieces, hints=hints)
        result, error = None, None

        def report(progress: DownloadProgress) -> None:
            seen.append(progress)
            watch(progress)

        try:
            result = await downloader.download(request, report, control=control)
        except LuxusbError as failed:
            error = failed
        finally:
            await downloader.close()
        final = self.directory / "file.iso"
        content = final.read_bytes() if final.exists() else None
        return Outcome(result, error, seen, content, {path.name for path in self.directory.iterdir()})

    async def fetch_error(self, urls: Sequence[str]) -> str:
        """The text of the failure that the download must end in."""
        downloader = Downloader(lambda: default_session(self.context), FAST)
        request = DownloadRequest(tuple(urls), SHA256, 0, str(self.directory), "file.iso")
        try:
            with pytest.raises(LuxusbError) as caught:
                await downloader.download(request, lambda _progress: None)
        finally:
            await downloader.close()
        return caught.value.message


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: these tests sync hundreds of times, and kill processes, not disks."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared, prefix="luxusbd-test-") as name:
        yield Path(name)


@pytest.fixture
def client(memory_path: Path) -> Client:
    return Client(memory_path)


@pytest.fixture
async def mirrors() -> AsyncIterator[Mirrors]:
    from tests.transfer import mirrored  # which takes its limits from here

    async with AsyncExitStack() as stack:
        servers = [FaultServer(mirrored.DATA, address=f"127.0.0.{host}") for host in range(2, 10)]
        yield mirrored.Mirrors([await stack.enter_async_context(server) for server in servers])


@pytest.fixture
def reader(memory_path: Path) -> Iterator[Reader]:
    made = Reader(memory_path, 64 * 1024)
    yield made
    made.close()


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with FaultServer(DATA) as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_client(memory_path: Path, authority: Authority) -> Client:
    return Client(memory_path, authority.client)


@pytest.fixture
async def tls_server(authority: Authority) -> AsyncIterator[FaultServer]:
    async with FaultServer(DATA, authority.good) as running:
        yield running


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    # the agent's socket needs a short path
    with tempfile.TemporaryDirectory(prefix="lux-") as place, made(Path(place) / "gpg") as found:
        yield found


@pytest.fixture
async def maker(authority: Authority) -> AsyncIterator[Maker]:
    async with Maker(authority.good) as running:
        yield running


@pytest.fixture
async def process() -> AsyncIterator[Core]:
    """A real child process."""
    ours, theirs = socket.socketpair()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "luxusbd.children.transfer_main", str(theirs.fileno())),
        pass_fds=(theirs.fileno(),),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(import_root())},
    )
    theirs.close()
    async with connected(ours) as core:
        core.pid = child.pid
        yield core
    async with asyncio.timeout(20):
        assert await child.wait() == 0


@pytest.fixture
async def core(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Core]:
    """A child in this process, with short limits."""
    monkeypatch.setattr(transfer_progress, "PROGRESS_INTERVAL", 0.01)
    ours, theirs = socket.socketpair()
    # patient but where a test is about the end of patience
    limits = FAST if "started_twice" in request.node.name else replace(FAST, lock_patience=10.0)
    child = asyncio.create_task(TransferChild(theirs, limits).run())
    async with connected(ours) as core:
        yield core
    await child
