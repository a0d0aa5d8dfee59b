"""Several disks by one command: what is shown of each, and what came of each."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from dbus_next.signature import Variant
from hypothesis import given
from hypothesis import strategies as st
from luxusb_cli.several import again

from tests.cli import world
from tests.cli.conftest import Run, Spawn
from tests.cli.fake_daemon import FakeDaemon

MIB = 1024**2
BOTH = ("--device", "sdb", "--device", "sdc")
CONSENT = ("--yes", "--device-id", world.USB_ID, "--device-id", world.STICK_ID)
PULLED = "/dev/sdc (Ultra) went away during the job; plug it in again and leave it in"


def share(id_: str, node: str, model: str, state: str, error: str = "") -> dict[str, Variant]:
    name = "org.luxusb.Error.DeviceNotFound" if error else ""
    return {
        "id": Variant("s", id_),
        "node": Variant("s", node),
        "model": Variant("s", model),
        "state": Variant("s", state),
        "stage": Variant("s", "write-image"),
        "bytes_done": Variant("t", 300 * MIB),
        "bytes_total": Variant("t", 400 * MIB),
        "rate": Variant("t", 5 * MIB),
        "error_name": Variant("s", name),
        "error_message": Variant("s", error),
    }


def half_done(daemon: FakeDaemon) -> None:
    daemon.shares = [
        share(world.USB_ID, "/dev/sdb", "Kingston DataTraveler", "succeeded"),
        share(world.STICK_ID, "/dev/sdc", "SanDisk Ultra", "failed", PULLED),
    ]
    daemon.fail_with = ("org.luxusb.Error.PartlyFailed", f"1 of 2 sticks were made; /dev/sdc: {PULLED}")


def test_one_of_two_that_fails_is_told_and_how_it_is_made_again(luxusb: Run, daemon: FakeDaemon) -> None:
    half_done(daemon)
    result = luxusb("create", *BOTH, "ubuntu", *CONSENT)
    assert result.code == 7
    lines = result.out.splitlines()
    assert "  /dev/sdb Kingston DataTraveler: succeeded, 300 MiB of 400 MiB" in lines
    assert [line.split()[-1] for line in lines[-2:]] == ["ready", "failed"]
    assert f"/dev/sdc SanDisk Ultra: {PULLED}" in result.err
    command = f"luxusb create --device {world.STICK_ID} --device-id {world.STICK_ID} ubuntu --yes"
    assert f"When the disk is in order: {command}" in result.err.replace("\n", " ")
    assert world.USB_ID not in result.err


def test_json_has_each_disk_and_the_command(luxusb: Run, daemon: FakeDaemon) -> None:
    half_done(daemon)
    result = luxusb("create", *BOTH, "ubuntu", *CONSENT, "--json")
    assert result.code == 7
    document = result.document
    assert document["error"]["name"] == "org.luxusb.Error.PartlyFailed"
    assert [each["state"] for each in document["job"]["details"]["devices"]] == ["succeeded", "failed"]
    assert [each["id"] for each in document["job"]["result"]["devices"]] == [world.USB_ID, world.STICK_ID]
    assert document["again"].split()[:4] == ["luxusb", "create", "--device", world.STICK_ID]


def test_json_lines_of_a_watch_have_the_figures_of_each(luxusb: Run, daemon: FakeDaemon) -> None:
    half_done(daemon)
    daemon.do(lambda: daemon.new_job("create", "sticks"))
    result = luxusb("watch", "1", "--json")
    assert result.code == 7
    events: list[Any] = [json.loads(line) for line in result.out.splitlines()]
    devices = events[0]["job"]["details"]["devices"]
    assert [(each["node"], each["rate"]) for each in devices] == [("/dev/sdb", 5 * MIB), ("/dev/sdc", 5 * MIB)]


def test_a_terminal_shows_a_row_for_each(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.auto = False
    daemon.shares = [
        share(world.USB_ID, "/dev/sdb", "Kingston", "running"),
        share(world.STICK_ID, "/dev/sdc", "SanDisk", "failed", PULLED),
    ]
    daemon.do(lambda: daemon.new_job("create", "two sticks"))
    shown = spawn("watch", "1", terminal=True)
    shown.wait_for("/dev/sdb Kingston")
    shown.wait_for("failed")
    daemon.do(lambda: daemon.finish(daemon.jobs["/org/luxusb/jobs/_1"], "succeeded"))
    assert shown.finish() == 0
    assert "300 MiB of 400 MiB" in shown.output
    assert "5 MiB/s" in shown.output


@pytest.mark.parametrize("command", [("verify",), ("refresh",), ("add", "ubuntu"), ("repair",), ("update",)])
def test_the_same_on_two_sticks_is_a_job_each(luxusb: Run, daemon: FakeDaemon, command: tuple[str, ...]) -> None:
    daemon.do(lambda: daemon.devices[world.USB].update(State="luxusb"))
    result = luxusb(*command, *BOTH)
    assert result.code == 0, result.err
    assert [job.values["Devices"] for job in daemon.jobs.values() if job.values["Parent"] == "/"] == [
        [world.USB],
        [world.STICK],
    ]
    assert [line.split() for line in result.out.splitlines()[-2:]] == [
        ["/dev/sdb", world.USB_ID, "ready"],
        ["/dev/sdc", world.STICK_ID, "ready"],
    ]
    assert len(luxusb(*command, *BOTH, "--json").document["jobs"]) == 2


def test_one_that_is_refused_stops_no_other(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.do(lambda: daemon.devices[world.USB].update(BlockedReason="It is in use."))
    result = luxusb("verify", *BOTH)
    assert result.code == 7
    assert "1 of 2 disks failed" in result.err
    assert "/dev/sdb: " in result.err
    assert f"luxusb verify --device {world.USB_ID}" in result.err.replace("\n", " ")
    assert [line.split()[-1] for line in result.out.splitlines()[-2:]] == ["failed", "ready"]


def test_two_that_are_probed_of_which_one_is_counterfeit(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.probed_at[world.STICK] = world.probed("wraps", 8 * world.GIB)
    result = luxusb("probe", *BOTH, *CONSENT)
    assert result.code == 7
    assert "It has 8 GiB and not 16 GiB" in result.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["verify", "--device=sdb", "--device", "sdc"], "luxusb verify --device X"),
        (["create", "a b.iso", "--device", "sdb"], "luxusb create 'a b.iso' --device X"),
        (["--no-ask-password", "probe", "--device", "a", "--yes", "--device-id=a"],
         "luxusb --no-ask-password probe --device X --device-id X --yes"),
        (["add", "--device", "a", "--", "--device"], "luxusb add --device X -- --device"),
    ],
)  # fmt: skip
def test_the_command_again(arguments: list[str], expected: str) -> None:
    assert again(arguments, ["X"]) == expected


@given(st.lists(st.sampled_from(["--device", "--device=x", "--device-id", "--", "y", "--yes", "a b"])), st.booleans())
def test_the_command_again_names_the_disks_and_no_other(words: list[str], two: bool) -> None:
    ids = ["one", "two"] if two else ["one"]
    said = shlex.split(again(["verify", "--device", "sdb", *words], ids))
    own = said[: said.index("--")] if "--" in said else said
    given_ = [own[at + 1] for at, word in enumerate(own) if word == "--device"]
    assert given_ == ids
