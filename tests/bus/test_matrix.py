"""Every method against every answer of polkit: allowed, and the engine works once, or refused, and it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from luxusbd.bus.contract import JOB, interfaces
from luxusbd.bus.service import BusService
from luxusbd.bus.tree import device_path, job_path
from luxusbd.bus.values import variant
from luxusbd.jobs.views import Caller
from tests.bus import matrix, wire
from tests.bus.client import MANAGER_PATH, SERVICE, Client, OtherUser
from tests.bus.counting import CountingEngine, engine_method
from tests.bus.examples import SHA, job, view
from tests.bus.fake import FEATURES
from tests.bus.matrix import Row
from tests.bus.polkit import NOBODY, FakePolkit, fake_polkit, with_room_for_polkit
from tests.bus.raw import RawClient

STRANGER = 1234
IMAGE = f"image:{SHA}"
ERROR = "org.luxusb.Error."
STANDARD = "org.freedesktop.DBus.Error."

ARGUMENTS: dict[str, Any] = {
    "distribution": "debian",
    "reference": IMAGE,
    "image": IMAGE,
    "name": "a.iso",
    "pinned": True,
    "images": [IMAGE],
    "references": [IMAGE],
    "names": ["a.iso"],
    "token": "token",
    "size": 0,
    "keys": ["limits.jobs"],
}
"""By the name of an argument; a device, devices and the options are filled in by `body`."""
BY_TYPE: dict[str, Any] = {"s": "debian", "h": 0, "t": 0, "b": True, "as": [IMAGE]}


@pytest.fixture
async def address(bus_directory: Path) -> AsyncIterator[str]:
    async with with_room_for_polkit(bus_directory) as running:
        yield running


@pytest.fixture
def engine() -> CountingEngine:
    shown = view()
    return CountingEngine(views={shown.device.identity.id: shown})


@pytest.fixture
async def service(address: str, engine: CountingEngine) -> AsyncIterator[BusService]:
    running = BusService(engine, address=address)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def polkit(address: str) -> AsyncIterator[FakePolkit]:
    async with fake_polkit(address) as fake:
        yield fake


def body(row: Row, *, foreign: bool) -> tuple[str, str, list[Any]]:
    """Object path, signature and arguments of a call that would succeed."""
    method = interfaces()[row.interface].methods[row.member]
    device = device_path("usb-theirs" if foreign else "usb-Acme_Stick-1")
    arguments: list[Any] = []
    for argument in method.inputs:
        if argument.type in ("o", "ao"):
            arguments.append(device if argument.type == "o" else [device])
        elif argument.type == "a{sv}":
            arguments.append(dict(row.options))
        else:
            standard = BY_TYPE[argument.type]
            found = ARGUMENTS.get(argument.name, standard)
            arguments.append(found if type(found) is type(standard) else standard)
    path = MANAGER_PATH if row.interface != JOB else job_path(2 if foreign else 1)
    return path, method.in_signature, arguments


def prepare(engine: CountingEngine, owner: int) -> None:
    """The objects as they are before each call."""
    for shown in (view(), view("usb-theirs", owner=Caller(STRANGER, ":1.77"))):
        engine.put_device(shown)
    engine.put_job(job(1, owner))
    engine.put_job(job(2, STRANGER))
    engine.plans["token"] = (view(),)
    engine.acted.clear()


ANSWERS: dict[str, tuple[tuple[bool, bool, dict[str, str]], str]] = {
    "yes": ((True, False, {}), ""),
    "no": ((False, False, {}), ERROR + "NotAuthorized"),
    "challenge": ((False, True, {}), STANDARD + "InteractiveAuthorizationRequired"),
    "dismissed": ((False, True, {"polkit.dismissed": "true"}), ERROR + "NotAuthorizedDismissed"),
}


def expected(row: Row, refusal: str, *, foreign: bool, root: bool) -> str:
    """The name of the error, or an empty string."""
    if row.interface != JOB and row.member not in FEATURES:
        return ERROR + "NotSupported"
    if root:
        return ""
    if foreign:
        return STANDARD + "UnknownObject" if row.others == "hidden" or refusal else ""
    return "" if row.owner_is_free else refusal


def asks(row: Row, *, foreign: bool, root: bool) -> list[str]:
    """The actions that polkit is asked about."""
    if root or row.action is None or (row.interface != JOB and row.member not in FEATURES):
        return []
    if foreign:
        return [row.action.value] if row.others == "asked" else []
    return [] if row.owner_is_free else [row.action.value]


Cell = tuple[str, list[str], list[str]]
"""Error, what the engine was asked to do, what polkit was asked."""


def wanted(row: Row, refusal: str, *, foreign: bool, root: bool = False) -> Cell:
    error = expected(row, refusal, foreign=foreign, root=root)
    return error, [] if error else [engine_method(row)], asks(row, foreign=foreign, root=root)


def rows(*, foreign: bool) -> list[Row]:
    return [row for row in matrix.rows() if row.others or not foreign]


@pytest.mark.root
@pytest.mark.parametrize("foreign", [False, True], ids=["own", "another-users"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_every_method_and_every_answer(
    nobody: OtherUser, polkit: FakePolkit, engine: CountingEngine, answer: str, foreign: bool
) -> None:
    polkit.answer, refusal = ANSWERS[answer]
    got: dict[str, Cell] = {}
    for row in rows(foreign=foreign):
        prepare(engine, NOBODY)
        polkit.checks.clear()
        path, signature, arguments = body(row, foreign=foreign)
        said = await nobody.call(row.member, signature, *arguments, path=path, interface=row.interface)
        got[row.name] = said.get("error", ""), list(engine.acted), [check[1] for check in polkit.checks]
    assert got == {row.name: wanted(row, refusal, foreign=foreign) for row in rows(foreign=foreign)}


@pytest.mark.root
@pytest.mark.parametrize("foreign", [False, True], ids=["own", "another-users"])
async def test_without_polkit(nobody: OtherUser, engine: CountingEngine, foreign: bool) -> None:
    got: dict[str, Cell] = {}
    for row in rows(foreign=foreign):
        prepare(engine, NOBODY)
        path, signature, arguments = body(row, foreign=foreign)
        said = await nobody.call(row.member, signature, *arguments, path=path, interface=row.interface)
        got[row.name] = said.get("error", ""), list(engine.acted), []
    refusal = ERROR + "NotAuthorized"
    assert got == {row.name: (*wanted(row, refusal, foreign=foreign)[:2], []) for row in rows(foreign=foreign)}


@pytest.mark.root
@pytest.mark.parametrize("foreign", [False, True], ids=["own", "another-users"])
@pytest.mark.parametrize("present", [True, False], ids=["polkit-says-no", "no-polkit"])
async def test_root_may_everything(
    client: Client, address: str, engine: CountingEngine, foreign: bool, present: bool
) -> None:
    async def call_all() -> dict[str, Cell]:
        got: dict[str, Cell] = {}
        for row in rows(foreign=foreign):
            prepare(engine, 0)
            path, signature, arguments = body(row, foreign=foreign)
            filled = [{k: variant(v) for k, v in a.items()} if isinstance(a, dict) else a for a in arguments]
            fds = [0] if signature.startswith("h") else []
            named: dict[str, Any] = {"path": path, "interface": row.interface, "fds": fds}
            error = ""
            if expected(row, "", foreign=foreign, root=True):
                error = (await client.fails(row.member, signature, *filled, **named))[0]
            else:
                await client.raw(row.member, signature, *filled, **named)
            got[row.name] = error, list(engine.acted), []
        return got

    want = {row.name: wanted(row, "", foreign=foreign, root=True) for row in rows(foreign=foreign)}
    if not present:
        assert await call_all() == want
        return
    async with fake_polkit(address) as polkit:
        assert await call_all() == want
        assert polkit.checks == []


@pytest.mark.root
@pytest.mark.parametrize("foreign", [False, True], ids=["own", "another-users"])
async def test_a_caller_that_leaves_while_polkit_thinks(
    service: BusService, client: Client, address: str, polkit: FakePolkit, engine: CountingEngine, foreign: bool
) -> None:
    polkit.answer = None
    for row in rows(foreign=foreign):
        if not asks(row, foreign=foreign, root=False):
            continue
        prepare(engine, NOBODY)
        polkit.asked.clear()
        polkit.told_to_cancel.clear()
        path, signature, arguments = body(row, foreign=foreign)
        filled = [{k: wire.V("b", v) for k, v in a.items()} if isinstance(a, dict) else a for a in arguments]
        fds = [0] if signature.startswith("h") else []
        data = wire.build(
            wire.METHOD_CALL,
            SERVICE,
            path=path,
            interface=row.interface,
            member=row.member,
            signature=signature,
            body=wire.encode(signature, filled),
            fds=len(fds),
        )
        caller = await RawClient.connect(address, NOBODY)
        await caller.send(data, fds)
        await asyncio.wait_for(polkit.asked.wait(), 20)
        caller.close()
        await asyncio.wait_for(polkit.told_to_cancel.wait(), 20)
        # The answer that comes too late is for nobody.
        polkit.release((True, False, {}))
        await client.call("ListImages", "a{sv}", {})
        assert engine.acted == ["list_images"], row.name


def test_the_table_in_the_documentation_is_current() -> None:
    text = matrix.DOCUMENT.read_text(encoding="utf-8")
    assert matrix.written(text) == text, "run python -m tests.bus.matrix"


def test_the_table_has_a_row_for_every_method() -> None:
    methods = {(name, member) for name, interface in interfaces().items() for member in interface.methods}
    assert {(row.interface, row.member) for row in matrix.rows()} == methods
