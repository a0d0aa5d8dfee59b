"""Servers of the benchmark, each in a process of its own: nginx, and mirrors of a chosen rate that stall or die."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from luxusbd.process import find_program
from tests.harness.mirrors import Faults, Mirror

_NGINX = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
    log_format bytes '$body_bytes_sent $http_range $uri';
    access_log {directory}/access.log bytes;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {directory}/tmp; proxy_temp_path {directory}/tmp; fastcgi_temp_path {directory}/tmp;
    uwsgi_temp_path {directory}/tmp; scgi_temp_path {directory}/tmp;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


class Served:
    """A running server and what it has sent."""

    def __init__(self, url: str, process: asyncio.subprocess.Process, log: Path | None = None) -> None:
        self.url = url
        self._process = process
        self._log = log
        self._killed = False

    def sent(self) -> int:
        """Bytes of bodies that nginx has sent since `forget`, of requests that have ended."""
        assert self._log is not None
        return sum(int(line.split(" ", 1)[0]) for line in self._log.read_text().splitlines())

    def forget(self) -> None:
        """Begin to count anew."""
        assert self._log is not None
        os.truncate(self._log, 0)

    def kill(self) -> None:
        """End it at once, with all its connections."""
        if not self._killed and self._process.returncode is None:
            self._killed = True
            os.killpg(self._process.pid, signal.SIGKILL)


@asynccontextmanager
async def nginx(directory: Path, root: Path) -> AsyncIterator[Served]:
    """Serve the files in `root` as fast as it goes."""
    directory.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, root=root, port=port))
    process = await asyncio.create_subprocess_exec(
        *(find_program("nginx"), "-e", str(directory / "error.log"), "-c", str(config)), start_new_session=True
    )
    served = Served(f"http://127.0.0.1:{port}", process, directory / "access.log")
    try:
        await _answers(port)
        yield served
    finally:
        served.kill()
        await process.wait()


@asynccontextmanager
async def mirror(
    file: Path, rate: int, *, host: int, stall_at: int = 0, log: Path | None = None
) -> AsyncIterator[Served]:
    """Serve `file` with `rate` bytes a second; nothing comes from byte `stall_at` on, if that is not 0.

    Mirrors with different `host` (2 to 254) are on different hosts, each of which is given its own connections.

    `log` gets a line for every request that ends, in the form of nginx's.
    """
    arguments = [str(file), str(rate), str(stall_at), str(log or os.devnull), f"127.0.0.{host}"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.servers", *arguments),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    served = Served((await process.stdout.readline()).decode().strip(), process, log)
    try:
        yield served
    finally:
        served.kill()
        await process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


async def _answers(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def _serve(file: Path, rate: int, stall_at: int, log: Path, address: str) -> None:
    faults = Faults(stall_at=stall_at or None)
    async with Mirror({file.name: file}, rate=rate, faults=faults, address=address) as server:
        print(server.url, flush=True)
        while True:
            await asyncio.sleep(0.05)
            # bytes of requests that still run count too: a mirror that dies has no chance to tell them at its end
            log.write_text("".join(f"{one.sent} {one.range} /{one.name}\n" for one in server.served))


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5]))
