"""Who may do what on a machine with sessions: passwords typed on terminals, and what is said where none can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.vm.image import PASSWORD, USERS
from tests.vm.machine import Guest
from tests.vm.terminal import Session, on_terminal

pytestmark = [pytest.mark.vm, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

QUESTION = "Password: "
SMALL = "memtest86plus"
NEEDS = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"

TWICE = """\
import asyncio, sys

sys.path.insert(0, "/usr/lib/luxusb")
from luxusb_cli.agent import TextAgent
from luxusb_cli.client import Client
from luxusb_cli.connection import Connection


async def main():
    async with (
        await Connection.open(None, interactive=True) as connection,
        TextAgent(connection, None, allowed=True) as agent,
    ):
        client = Client(connection, agent.ready)
        for _ in range(2):
            await client.jobs(all_users=True)
            print("LISTED")


asyncio.run(main())
"""
"""A program of alice's that stays, as a desktop app does."""


def asked(session: Session, action: str) -> int:
    """How often the terminal showed the question for an action."""
    return session.said.count(f"AUTHENTICATING FOR org.luxusb.{action}")


async def create(guest: Guest, serial: str, before: str = "") -> str:
    """The command that makes this stick; `before` are options of `luxusb` itself."""
    device = await guest.device(serial)
    return f"luxusb {before} create --yes --device {device['node']} --device-id {device['id']} {SMALL}"


async def jobs(guest: Guest, operation: str) -> list[dict[str, Any]]:
    """The jobs of all users with this operation."""
    known = (await guest.luxusb("jobs --all-users", user="root"))["jobs"]
    return [one for one in known if one["operation"] == operation]


async def test_an_unprivileged_user_is_refused_then_allowed_through_an_agent(guest: Guest, stick: Path) -> None:
    await guest.plug("asked", stick, serial="LUX2001")
    command = await create(guest, "LUX2001")
    before = await jobs(guest, "create")

    wrong = await on_terminal(guest, command, [(QUESTION, "not " + PASSWORD)])
    assert (wrong.status, wrong.unasked, asked(wrong, "write-device")) == (3, (), 1), wrong.said
    # the dialogue names the disk
    assert f"to write to {(await guest.device('LUX2001'))['node']} (" in wrong.said
    assert "the password was not accepted (org.luxusb.write-device)" in wrong.said
    assert await jobs(guest, "create") == before
    assert stick.read_bytes() == bytes(stick.stat().st_size)

    right = await on_terminal(guest, command, [(QUESTION, PASSWORD)], timeout=300)
    assert (right.status, right.unasked, asked(right, "write-device")) == (0, (), 1), right.said
    assert (await guest.device("LUX2001"))["state"] == "luxusb"
    (made,) = [one for one in await jobs(guest, "create") if one["id"] not in {old["id"] for old in before}]
    assert (made["state"], made["owner_uid"]) == ("succeeded", USERS["alice"])


async def test_a_password_is_kept_for_the_program_that_asked(guest: Guest) -> None:
    """polkit keeps what auth_admin_keep allows for the process that it was allowed to, not for the session."""
    listing = "luxusb jobs --all-users >/dev/null"
    again = await on_terminal(guest, f"{listing} && {listing}", [(QUESTION, PASSWORD)] * 2)
    assert (again.status, asked(again, "manage-all-jobs")) == (0, 2), again.said
    await guest.write("/run/twice.py", TWICE)
    once = await on_terminal(guest, "python3 /run/twice.py", [(QUESTION, PASSWORD)])
    assert (once.status, asked(once, "manage-all-jobs"), once.said.count("LISTED")) == (0, 1, 2), once.said


async def test_only_who_sits_at_the_machine_downloads_without_a_password(guest: Guest) -> None:
    await guest.run(f"luxusb download {SMALL} && luxusb delete --yes memtest86+x64.iso", user="alice", timeout=180)
    before = await jobs(guest, "download")
    for user in ("bob", "carol"):
        said = await guest.run(f"luxusb --json download {SMALL}", user=user, check=False)
        assert said.status == 3, said.output
        assert json.loads(said.stdout)["error"]["name"] == NEEDS
    assert await jobs(guest, "download") == before
    # a session in the background, and none at all: both are asked on a terminal
    for user in ("bob", "carol"):
        done = await on_terminal(guest, f"luxusb download {SMALL}", [(QUESTION, PASSWORD)], user=user, timeout=180)
        assert (done.status, done.unasked, asked(done, "download")) == (0, (), 1), (user, done.said)
    owners = {one["owner_uid"] for one in await jobs(guest, "download") if one not in before}
    assert owners == {USERS["bob"], USERS["carol"]}


async def test_what_is_missing_where_no_password_can_be_asked_for(guest: Guest, stick: Path) -> None:
    await guest.plug("mute", stick, serial="LUX2002")
    command = await create(guest, "LUX2002")
    told = await on_terminal(guest, await create(guest, "LUX2002", "--no-ask-password"))
    assert (told.status, asked(told, "write-device")) == (3, 0), told.said
    assert "Leave out --no-ask-password" in told.said

    piped = await guest.run(f"{command} </dev/null", user="alice", check=False)
    assert piped.status == 3
    assert "Run the command from a terminal" in " ".join(piped.stderr.split())

    await guest.run("mv /usr/bin/pkttyagent /usr/bin/pkttyagent.away")
    try:
        bare = await on_terminal(guest, command)
    finally:
        await guest.run("mv /usr/bin/pkttyagent.away /usr/bin/pkttyagent")
    assert (bare.status, asked(bare, "write-device")) == (3, 0), bare.said
    assert "Install pkttyagent" in bare.said
    assert "(package polkitd" in bare.said
    assert stick.read_bytes() == bytes(stick.stat().st_size)
