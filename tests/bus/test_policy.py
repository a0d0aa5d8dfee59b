"""The polkit policy: valid, translated, the defaults that were decided; and what its messages show of foreign text."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd import resources
from luxusbd.bus.authority import POLKIT_INTERFACE, POLKIT_NAME, POLKIT_PATH
from luxusbd.bus.members import Action
from luxusbd.bus.service import BusService
from tests.bus.client import Client, OtherUser, plain
from tests.bus.examples import device, view
from tests.bus.fake import FakeEngine
from tests.bus.matrix import SESSIONS, defaults
from tests.bus.polkit import (
    FakePolkit,
    fake_polkit,
    program,
    real_polkitd,
    with_room_for_polkit,
)

POLICY_FILE = resources.root() / "polkit" / "org.luxusb.policy"
EXAMPLE = resources.root() / "polkit" / "50-luxusb.rules.example"
DEVICE = "/org/luxusb/devices/usb_2dAcme_5fStick_2d1"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"


@pytest.fixture
async def address(bus_directory: Path) -> AsyncIterator[str]:
    async with with_room_for_polkit(bus_directory) as running:
        yield running


@pytest.fixture
async def service(address: str, engine: FakeEngine) -> AsyncIterator[BusService]:
    running = BusService(engine, address=address)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def polkit(address: str) -> AsyncIterator[FakePolkit]:
    async with fake_polkit(address) as fake:
        yield fake


def test_it_is_what_polkits_own_grammar_allows() -> None:
    # Comes with polkitd; the file's own DOCTYPE names the same by an address on the net, which --nonet keeps away from.
    grammar = Path("/usr/share/polkit-1/policyconfig-1.dtd")
    command = ["xmllint", "--noout", "--nonet", "--dtdvalid", str(grammar), str(POLICY_FILE)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_german_is_complete_and_shows_the_same_details() -> None:
    for action in ET.parse(POLICY_FILE).getroot().iter("action"):
        for tag in ("description", "message"):
            texts = {node.get(LANG, ""): node.text or "" for node in action.findall(tag)}
            assert set(texts) == {"", "de"}
            shown = [sorted(re.findall(r"\$\((\w+)\)", text)) for text in texts.values()]
            assert shown[0] == shown[1]
            assert texts[""] != texts["de"]


ADMIN = ("auth_admin", "auth_admin")


def test_the_defaults_are_those_that_were_decided() -> None:
    """Whoever sits at the machine fetches images freely; all else needs an administrator."""
    assert SESSIONS == ("active", "inactive", "any")
    assert defaults() == {
        Action.DOWNLOAD: ("yes", *ADMIN),
        Action.IMPORT_IMAGE: ("yes", *ADMIN),
        Action.WRITE_DEVICE: ("auth_admin_keep", *ADMIN),
        Action.UPDATE_CATALOG: ("auth_admin_keep", *ADMIN),
        Action.CONFIGURE: ("auth_admin_keep", *ADMIN),
        Action.MANAGE_ALL_JOBS: ("auth_admin_keep", *ADMIN),
    }


HOSTILE = "Stick\n<b>/dev/sda</b> \u202e$(serial) \x1b[2J, evil\0" + "x" * 500


@pytest.mark.root
async def test_foreign_text_cannot_break_the_dialogue(
    nobody: OtherUser, polkit: FakePolkit, engine: FakeEngine
) -> None:
    shown = view()
    engine.remove_device(shown)
    engine.put_device(replace(shown, device=replace(device(), model=HOSTILE, serial=HOSTILE)))
    await nobody.call("RefreshStick", "oa{sv}", DEVICE, {})
    await nobody.call("Download", "sa{sv}", "distro:" + HOSTILE.replace("\0", ""), {})
    details, reference = polkit.checks[0][2], polkit.checks[1][2]["reference"]
    assert details["device"] == "/dev/sdz"
    assert details["model"].startswith("Acme Stick [b]/dev/sda[/b] $ (serial) [2J evilxxx")
    assert reference.startswith("distro:Stick [b]/dev/sda[/b] $ (serial) [2J, evilxxx")
    assert [len(text) for text in (details["model"], details["serial"], reference)] == [80, 80, 201]
    for message in ET.parse(POLICY_FILE).getroot().iter("message"):
        assert set(re.findall(r"\$\((\w+)\)", message.text or "")) <= {*details, "reference"}


@pytest.mark.root
async def test_a_list_of_devices_is_whole_and_can_be_taken_apart(
    nobody: OtherUser, polkit: FakePolkit, engine: FakeEngine
) -> None:
    """A rule that looks at every bus must see every bus."""
    paths = []
    for number in range(63):
        name = f"usb-{number}"
        other = replace(device(name, node=f"/dev/sd{number}"), model="M, " * 60, bus="ata" if number == 62 else "usb")
        engine.put_device(replace(view(name), device=other))
        paths.append(f"/org/luxusb/devices/usb_2d{number}")
    assert "body" in await nobody.call("PlanStick", "aoasa{sv}", paths, [], {})
    await nobody.call("CreateStick", "sa{sv}", "token", {})
    details = polkit.checks[0][2]
    assert details["bus"].split(", ") == ["usb"] * 62 + ["ata"]
    assert [len(details[key].split(", ")) for key in ("device", "model", "serial", "size")] == [63] * 4


@pytest.mark.root
@pytest.mark.parametrize(
    ("locale", "description"), [("C", "Write a multi-boot stick"), ("de_DE.UTF-8", "Einen Multiboot-Stick schreiben")]
)
async def test_the_real_polkitd_lists_the_actions_and_takes_the_example(
    client: Client, nobody: OtherUser, address: str, tmp_path: Path, locale: str, description: str
) -> None:
    actions, rules = tmp_path / "actions", tmp_path / "rules"
    for directory in (tmp_path, actions, rules):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
    shutil.copy(POLICY_FILE, actions)
    # The test's user stands for the one of the kiosk.
    text = EXAMPLE.read_text(encoding="utf-8").replace('"kiosk"', '"nobody"')
    (rules / "50-luxusb.rules").write_text(text, encoding="utf-8")
    async with program(address, client.connection, *real_polkitd(actions, rules)):
        reply = await client.connection.call(
            POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "EnumerateActions", "s", [locale]
        )
        listed = {entry[0]: entry[1] for entry in plain(reply.body)[0] if entry[0].startswith("org.luxusb.")}
        assert set(listed) == set(Action)
        assert listed[Action.WRITE_DEVICE] == description
        # Without the rule it would be: needs authentication.
        refused = await nobody.call("RefreshStick", "oa{sv}", DEVICE, {})
        assert refused["error"] == "org.luxusb.Error.NotAuthorized"
        assert "body" in await nobody.call("ListImages", "a{sv}", {})
