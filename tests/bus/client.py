"""A client for tests: calls, signals, descriptors; and the same under another uid in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from luxusbd.bus._lib import Message, MessageFlag, Variant
from luxusbd.bus.connection import BUS_NAME, Connection, RemoteError
from luxusbd.bus.values import variant

SERVICE = "org.luxusb.Manager"
MANAGER_PATH = "/org/luxusb/Manager"
MATCH = f"type='signal',sender='{SERVICE}'"


def plain(value: Any) -> Any:
    """Variants taken off, at every depth."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value


class Client:
    """Calls the service; collects its signals from `watch` on."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.signals: list[Message] = []
        self._arrived = asyncio.Event()
        connection.on_signal = self._signal

    @classmethod
    async def connect(cls, address: str) -> Client:
        return cls(await Connection.open(address))

    @property
    def name(self) -> str:
        return self.connection.unique_name

    def _signal(self, message: Message) -> None:
        if message.sender != BUS_NAME:
            self.signals.append(message)
            self._arrived.set()

    async def watch(self) -> None:
        await self.connection.call_bus("AddMatch", "s", [MATCH])

    async def raw(
        self,
        member: str,
        signature: str = "",
        *args: Any,
        path: str = MANAGER_PATH,
        interface: str = "org.luxusb.Manager",
        fds: Sequence[int] = (),
        flags: MessageFlag = MessageFlag.NONE,
        timeout: float = 20,
    ) -> Message:
        return await self.connection.call(
            SERVICE, path, interface, member, signature, args, unix_fds=fds, flags=flags, timeout=timeout
        )

    async def call(self, member: str, signature: str = "", *args: Any, **named: Any) -> Any:
        """The plain body: None, the one value, or a list."""
        body = plain((await self.raw(member, signature, *args, **named)).body)
        return None if not body else body[0] if len(body) == 1 else body

    async def fails(self, member: str, signature: str = "", *args: Any, **named: Any) -> tuple[str, str]:
        """Name and text of the error that a call has to end with."""
        try:
            await self.raw(member, signature, *args, **named)
        except RemoteError as error:
            return error.remote_name, str(error)
        message = f"{member} was expected to fail"
        raise AssertionError(message)

    async def get_all(self, path: str, interface: str) -> dict[str, Any]:
        got: dict[str, Any] = await self.call(
            "GetAll", "s", interface, path=path, interface="org.freedesktop.DBus.Properties"
        )
        return got

    async def managed(self) -> dict[str, Any]:
        got: dict[str, Any] = await self.call(
            "GetManagedObjects", path="/org/luxusb", interface="org.freedesktop.DBus.ObjectManager"
        )
        return got

    async def until(self, member: str, path: str | None = None, count: int = 1) -> list[Message]:
        """Wait until so many signals of this name are there, and return all of them."""
        async with asyncio.timeout(20):
            while True:
                found = [
                    message for message in self.signals if message.member == member and path in (None, message.path)
                ]
                if len(found) >= count:
                    return found
                self._arrived.clear()
                await self._arrived.wait()

    async def close(self) -> None:
        await self.connection.close()


class OtherUser:
    """A client under another uid."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.name = ""

    @classmethod
    async def start(cls, address: str, uid: int = 65534) -> OtherUser:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bus.client",
            address,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 22,  # the whole catalogue is one line
            user=uid,
            group=uid,
            extra_groups=[],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
        )
        user = cls(process)
        try:
            user.name = (await user._line())["name"]
        except BaseException:
            await user.stop()
            raise
        return user

    async def _line(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            return json.loads(await self._process.stdout.readline())

    async def ask(self, *request: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return await self._line()

    async def call(
        self, member: str, signature: str = "", *args: Any, path: str = MANAGER_PATH, interface: str = SERVICE
    ) -> Any:
        """{"body": [...]} or {"error": name, "text": ...}."""
        return await self.ask("call", path, interface, member, signature, list(args))

    async def bus(self, member: str, signature: str, args: list[Any]) -> Any:
        """Call a method of the bus itself."""
        return await self.ask("bus", member, signature, args)

    async def next(self) -> Any:
        """The answer to what `begin` asked."""
        return await self._line()

    def begin(self, member: str, signature: str, *args: Any) -> None:
        """Call without reading the answer."""
        assert self._process.stdin is not None
        request = ["call", MANAGER_PATH, SERVICE, member, signature, list(args)]
        self._process.stdin.write(json.dumps(request).encode() + b"\n")

    async def signals(self) -> list[Any]:
        """[member, path, plain body] of all that came so far; a call to the service before this is a barrier."""
        found: list[Any] = await self.ask("signals")
        return found

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


async def serve(address: str) -> None:
    """The other side of `OtherUser`."""
    client = await Client.connect(address)
    await client.watch()
    print(json.dumps({"name": client.name}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        kind, *request = json.loads(line)
        answer: Any
        if kind in ("call", "interactive"):
            flags = MessageFlag.NONE
            if kind == "interactive":
                request = [MANAGER_PATH, SERVICE, *request]
                flags = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION
            path, interface, member, signature, args = request
            if signature.endswith("a{sv}"):
                args[-1] = {key: variant(value) for key, value in args[-1].items()}
            fds = [os.memfd_create("sent")] if signature.startswith("h") else []
            try:
                message = await client.raw(
                    member, signature, *args, path=path, interface=interface, flags=flags, fds=fds
                )
                answer = {"body": plain(message.body)}
            except RemoteError as error:
                answer = {"error": error.remote_name, "text": str(error)}
            finally:
                for fd in fds:
                    os.close(fd)
        elif kind == "bus":
            try:
                answer = {"body": plain(await client.connection.call_bus(*request))}
            except RemoteError as error:
                answer = {"error": error.remote_name}
        else:
            answer = [[message.member, message.path, plain(message.body)] for message in client.signals]
        print(json.dumps(answer), flush=True)
    await client.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
