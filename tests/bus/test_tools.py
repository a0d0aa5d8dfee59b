"""The tools that administrators use."""

from __future__ import annotations

import json
import os

from luxusbd import process
from luxusbd.bus import contract
from luxusbd.bus.service import BusService
from tests.bus.examples import job
from tests.bus.fake import FakeEngine

DEVICE = "/org/luxusb/devices/usb_2dAcme_5fStick_2d1"


async def busctl(address: str, *argv: str) -> str:
    done = await process.run(["busctl", f"--address={address}", "--no-pager", *argv], timeout=30)
    return done.stdout.decode()


async def test_busctl(address: str, service: BusService, engine: FakeEngine) -> None:
    nodes = ["/", "/org", "/org/luxusb", "/org/luxusb/Manager", "/org/luxusb/devices", DEVICE, "/org/luxusb/jobs"]
    assert (await busctl(address, "tree", "--list", "org.luxusb.Manager")).split() == nodes
    engine.put_job(job(1, os.getuid()))
    tree = (await busctl(address, "tree", "--list", "org.luxusb.Manager")).split()
    assert tree == [*nodes, "/org/luxusb/jobs/_1"]
    shown = await busctl(address, "introspect", "org.luxusb.Manager", "/org/luxusb/Manager")
    for method in contract.interfaces()[contract.MANAGER].methods:
        assert f".{method} " in shown
    assert "const" in shown
    answer = await busctl(
        address,
        "--json=short",
        "call",
        "org.luxusb.Manager",
        "/org/luxusb/Manager",
        "org.luxusb.Manager",
        "ListDistributions",
        "a{sv}",
        "1",
        "text",
        "s",
        "deb",
    )
    assert json.loads(answer)["data"][0][0]["id"]["data"] == "debian"
    state = await busctl(address, "get-property", "org.luxusb.Manager", DEVICE, "org.luxusb.Device", "State")
    assert state == 's "luxusb"\n'


async def test_gdbus(address: str, service: BusService) -> None:
    argv = ["gdbus", "introspect", "--address", address, "--dest", "org.luxusb.Manager", "--object-path"]
    shown = (await process.run([*argv, DEVICE], timeout=30)).stdout.decode()
    assert "interface org.luxusb.Device {" in shown
    assert "readonly s Id = 'usb-Acme_Stick-1';" in shown
    assert '@org.freedesktop.DBus.Property.EmitsChangedSignal("const")' in shown
