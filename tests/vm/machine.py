"""The running virtual machine: commands in it, sticks in its USB ports, its power switch."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from luxusbd.images.model import Firmware
from tests.harness.qemu import Machine, MachineError
from tests.vm.image import USERS, BaseImage

IDENTITIES = ("root", *USERS)
BOOT_TIMEOUT = 600.0
"""Seconds; under TCG a Debian is up after 35 to 50 on an idle machine."""
MEMORY_MIB = 1536


@dataclass(frozen=True)
class Ran:
    """What a command in the machine left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both streams, for a look at what was said."""
        return self.stdout + self.stderr


class Guest(Machine):
    """A machine that starts from `base` and forgets at its end what was written.

    Args:
        base: its disk.
        payload: an archive that it sees as its second disk.
    """

    def __init__(self, base: BaseImage, payload: Path) -> None:
        super().__init__(Firmware.BIOS, memory_mib=MEMORY_MIB)
        self._base = base
        self._payload = payload
        self._ports: dict[str, _Port] = {}
        self._plugged: dict[str, int] = {}
        self._readers: dict[str, bool] = {}

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        assert self._directory is not None
        try:
            for user in IDENTITIES:
                self._ports[user] = await _Port.connect(self._directory / user)
        except BaseException:
            await self._stop()
            raise
        return self

    async def run(
        self,
        command: str,
        *,
        user: str = "root",
        timeout: float = 60.0,
        check: bool = True,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run a bash command in the machine.

        Raises:
            MachineError: it failed (with `check`), or nothing came back.
        """
        order = {
            "command": command,
            "timeout": timeout,
            "input": stdin,
            # busctl's 25 seconds are not for an emulated machine that starts a service on the first call
            "environment": {"LC_ALL": "C.UTF-8", "SYSTEMD_BUS_TIMEOUT": "120s", **(environment or {})},
        }
        try:
            answer = await self._ports[user].ask(order, timeout + 30)
        except TimeoutError:
            raise self.error(f"{user} got no answer to {command!r}") from None
        ran = Ran(int(answer["status"]), str(answer["stdout"]), str(answer["stderr"]))
        if check and ran.status != 0:
            raise self.error(f"{user}: {command!r} ended with {ran.status}:\n{ran.output}")
        return ran

    async def write(self, path: str, text: str) -> None:
        """Write a file in the machine."""
        quoted = shlex.quote(path)
        await self.run(f"mkdir -p $(dirname {quoted}); cat >{quoted}", stdin=text)

    async def booted(self, boot: str = "") -> str:
        """Wait until all identities answer, of another boot than `boot`; returns the boot's id."""
        deadline = asyncio.get_running_loop().time() + BOOT_TIMEOUT
        found = ""
        for user in IDENTITIES:
            try:
                left = deadline - asyncio.get_running_loop().time()
                found = await self._ports[user].greeted(boot, max(left, 1.0))
            except TimeoutError:
                raise self.error(f"{user} was not there after {BOOT_TIMEOUT:g} seconds") from None
        return found

    async def furnish(self) -> None:
        """Unpack the second disk: images, catalogues of them, and packages."""
        # the default is for machines that are not emulated
        limit = '<busconfig><limit name="service_start_timeout">150000</limit></busconfig>'
        await self.write("/etc/dbus-1/system-local.conf", limit)
        await self.run("tar -xf /dev/vdb -C / && systemctl reload dbus", timeout=120)

    async def apt(self, command: str) -> str:
        """Run apt-get, which has no network; what it says.

        Raises:
            MachineError: it failed.
        """
        options = "--yes --no-install-recommends -o Dpkg::Use-Pty=0"
        # Python's byte code is written anew, which an emulated machine takes its time for
        said = await self.run(f"DEBIAN_FRONTEND=noninteractive apt-get {options} {command} 2>&1", timeout=1200)
        return said.stdout

    async def luxusb(self, arguments: str, *, user: str = "alice", timeout: float = 120.0) -> Any:
        """Run the command with --json; returns its document.

        Raises:
            MachineError: it failed.
        """
        return json.loads((await self.run(f"luxusb --json {arguments}", user=user, timeout=timeout)).stdout)

    async def device(self, serial: str, state: str | None = None, timeout: float = 60.0) -> dict[str, Any]:
        """Wait for the stick with this serial number, in this state, as the service shows it."""
        seen: Any = None
        async with asyncio.timeout(timeout):
            while True:
                seen = (await self.luxusb("devices"))["devices"]
                for device in seen:
                    if device["serial"] == serial and state in (None, device["state"]):
                        return dict(device)

    async def devices(self) -> list[dict[str, Any]]:
        """The properties of all devices on the bus, and their paths; takes a tenth of the command's time."""
        command = "busctl --json=short call org.luxusb.Manager /org/luxusb org.freedesktop.DBus.ObjectManager"
        said = await self.run(f"{command} GetManagedObjects", timeout=120)
        return [
            {"path": path, **{name: value["data"] for name, value in device.items()}}
            for path, interfaces in json.loads(said.stdout)["data"][0].items()
            if (device := interfaces.get("org.luxusb.Device")) is not None
        ]

    async def shown(
        self, serial: str, true: Callable[[dict[str, Any]], bool] = lambda _: True, timeout: float = 60.0
    ) -> dict[str, Any]:
        """Wait until a device is there and shows what `true` asks for; returns its properties and its path.

        Raises:
            MachineError: not within `timeout` seconds.
        """
        seen: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(timeout):
                while True:
                    seen = [device for device in await self.devices() if device["Serial"] == serial]
                    if seen and true(seen[0]):
                        return seen[0]
                    await asyncio.sleep(0.3)
        except TimeoutError:
            raise self.error(f"{serial} is not so within {timeout:g} seconds: {seen}") from None

    async def gone(self, serial: str) -> bool:
        """Whether the service shows no stick with this serial number."""
        return all(device["serial"] != serial for device in (await self.luxusb("devices"))["devices"])

    async def until(self, true: Callable[[], Awaitable[bool]], timeout: float = 60.0) -> None:
        """Wait for something to come true.

        Raises:
            MachineError: not within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while not await true():
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise self.error(f"not so within {timeout:g} seconds") from None

    async def reset(self, boot: str) -> str:
        """Press the reset button; returns the id of the next boot."""
        for port in self._ports.values():
            port.forget()
        await self.qmp("system_reset")
        return await self.booted(boot)

    async def plug(
        self, name: str, file: Path, *, serial: str = "", read_only: bool = False, rate: int = 0, port: str = ""
    ) -> None:
        """Put a stick with the content of `file`, which is written to, into a port.

        Args:
            name: for `pull`.
            file: raw content.
            serial: the stick's serial number; sticks without one look the same to the machine.
            read_only: as if its switch were on.
            rate: bytes a second that it writes, 0 for as fast as it goes.
            port: where, such as `3`, or `5.2` for the second port of the hub in the fifth; empty for any.
        """
        top = f"{name}-node"
        backing = {"driver": "file", "filename": os.fspath(file), "read-only": read_only}
        node: dict[str, Any] = {"driver": "raw", "read-only": read_only, "file": backing}
        if rate:
            limits = {"bps-write": rate}
            await self.qmp("object-add", **{"qom-type": "throttle-group", "id": f"{name}-rate", "limits": limits})
            node = {"driver": "throttle", "throttle-group": f"{name}-rate", "file": node}
        await self.qmp("blockdev-add", **{"node-name": top, **node})
        options = {**({"serial": serial} if serial else {}), **({"port": port} if port else {})}
        await self.qmp("device_add", driver="usb-storage", id=name, bus="xhci.0", drive=top, removable=True, **options)
        self._plugged[name] = rate

    async def set_rate(self, name: str, rate: int) -> None:
        """Let a stick that was plugged with a rate write so many bytes a second from now on."""
        limits = {"bps-write": rate}
        await self.qmp("qom-set", path=f"/objects/{name}-rate", property="limits", value=limits)

    async def pull(self, name: str) -> None:
        """Pull a stick out, whatever is going on."""
        await self.qmp("device_del", id=name)
        async with asyncio.timeout(30):
            while True:
                try:
                    await self._let_go(name)
                except MachineError:
                    # the guest has to notice first
                    await asyncio.sleep(0.1)
                else:
                    break
        if self._plugged.pop(name):
            await self.qmp("object-del", id=f"{name}-rate")

    async def pull_all(self) -> None:
        """Pull out every stick and every card reader."""
        for name in tuple(self._plugged):
            await self.pull(name)
        for name in tuple(self._readers):
            await self.eject(name)
            await self._unplug(name)
            del self._readers[name]

    async def plug_hub(self, name: str, port: str) -> None:
        """Put a hub with eight ports into a port; `unplug_hub` takes it out."""
        await self.qmp("device_add", driver="usb-hub", id=name, bus="xhci.0", port=port)

    async def unplug_hub(self, name: str) -> None:
        """Pull out a hub from which the sticks were pulled."""
        await self._unplug(name)

    async def plug_reader(self, name: str, serial: str) -> None:
        """Put a card reader without a card into a port."""
        # a disk cannot be made without something in it, not even one whose medium comes out
        await self.qmp("blockdev-add", **{"node-name": f"{name}-node", "driver": "null-co", "size": 0})
        await self.qmp("device_add", driver="usb-bot", id=name, bus="xhci.0", serial=serial)
        await self.qmp(
            "device_add", driver="scsi-hd", id=f"{name}-slot", bus=f"{name}.0", drive=f"{name}-node", removable=True
        )
        self._readers[name] = True
        await self.eject(name)
        await self.qmp("qom-set", path=f"/machine/peripheral/{name}", property="attached", value=True)

    async def insert(self, name: str, card: Path) -> None:
        """Put a card with the content of `card` into a reader, in place of one that may be in it."""
        await self.eject(name)
        backing = {"driver": "file", "filename": os.fspath(card)}
        await self.qmp("blockdev-add", **{"node-name": f"{name}-node", "driver": "raw", "file": backing})
        await self.qmp("blockdev-open-tray", id=f"{name}-slot", force=True)
        await self.qmp("blockdev-insert-medium", id=f"{name}-slot", **{"node-name": f"{name}-node"})
        await self.qmp("blockdev-close-tray", id=f"{name}-slot")
        self._readers[name] = True

    async def eject(self, name: str) -> None:
        """Take the card out of a reader."""
        if not self._readers[name]:
            return
        await self.qmp("blockdev-open-tray", id=f"{name}-slot", force=True)
        await self.qmp("blockdev-remove-medium", id=f"{name}-slot")
        await self.qmp("blockdev-close-tray", id=f"{name}-slot")
        await self._let_go(name)
        self._readers[name] = False

    async def _unplug(self, name: str) -> None:
        await self.qmp("device_del", id=name)
        async with asyncio.timeout(30):
            while any(item["name"] == name for item in await self.qmp("qom-list", path="/machine/peripheral")):
                await asyncio.sleep(0.1)

    async def _let_go(self, name: str) -> None:
        await self.qmp("blockdev-del", **{"node-name": f"{name}-node"})

    async def _stop(self) -> None:
        for port in self._ports.values():
            await port.close()
        await super()._stop()

    def _arguments(self, directory: Path, qmp_fd: int) -> list[str]:
        arguments = super()._arguments(directory, qmp_fd)
        arguments.remove("-no-reboot")
        arguments[arguments.index("-smp") + 1] = "2"
        arguments += ["-kernel", os.fspath(self._base.kernel), "-initrd", os.fspath(self._base.initrd)]
        arguments += ["-append", "root=/dev/vda rw console=tty0 console=ttyS0 quiet panic=10 net.ifnames=0"]
        for at, (file, how) in enumerate(((self._base.root, "snapshot=on"), (self._payload, "readonly=on"))):
            arguments += ["-drive", f"if=none,id=disk{at},format=raw,{how},file={file}"]
            arguments += ["-device", f"virtio-blk-pci,drive=disk{at}"]
        arguments += [
            "-device",
            "virtio-rng-pci",
            "-device",
            "qemu-xhci,id=xhci,p2=15,p3=15",
            "-device",
            "virtio-serial-pci",
        ]
        for user in IDENTITIES:
            arguments += ["-chardev", f"socket,id=port-{user},path={directory / user},server=on,wait=off"]
            arguments += ["-device", f"virtserialport,chardev=port-{user},name=org.luxusb.{user}"]
        return arguments


class _Port:
    """A line of JSON messages to one identity in the machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._boot = ""
        self._news = asyncio.Condition()
        self._reading = asyncio.get_running_loop().create_task(self._read(reader))

    @classmethod
    async def connect(cls, path: Path) -> _Port:
        return cls(*await asyncio.open_unix_connection(path, limit=64 * 1024 * 1024))

    async def ask(self, order: dict[str, Any], timeout: float) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(json.dumps({"id": number, **order}).encode() + b"\n")
            await self._writer.drain()
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            del self._waiting[number]

    async def greeted(self, not_boot: str, timeout: float) -> str:
        async with self._news, asyncio.timeout(timeout):
            await self._news.wait_for(lambda: self._boot not in ("", not_boot))
        return self._boot

    def forget(self) -> None:
        self._boot = ""

    async def close(self) -> None:
        self._reading.cancel()
        self._writer.close()
        await asyncio.gather(self._reading, self._writer.wait_closed(), return_exceptions=True)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            # a reset cuts the line of the boot before
            message = _parsed(line)
            if "hello" in message:
                async with self._news:
                    self._boot = str(message["boot"])
                    self._news.notify_all()
            elif (waiting := self._waiting.get(int(message.get("id", 0)))) is not None and not waiting.done():
                waiting.set_result(message)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line[line.rfind(b'{"hello"') :] if b'{"hello"' in line else line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
