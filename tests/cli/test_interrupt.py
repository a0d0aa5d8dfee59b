"""Ctrl-C, and the daemon going away in the middle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from luxusb_cli.client import Client
from luxusb_cli.connection import Connection
from luxusb_cli.errors import NoDaemonError
from luxusb_cli.progress import BACK, LOST, SilentReporter
from luxusb_cli.watch import JobSession

from tests.cli import world
from tests.cli.conftest import Spawn
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.fake_jobs import TOTAL

JOB = "/org/luxusb/jobs/_1"


@pytest.fixture
def held(daemon: FakeDaemon) -> FakeDaemon:
    daemon.auto = False
    return daemon


def test_ctrl_c_leaves_the_job_running(spawn: Spawn, held: FakeDaemon) -> None:
    command = spawn("download", "ubuntu")
    command.wait_for("job 1 download ubuntu: transfer")
    command.interrupt()
    assert command.finish() == 130
    assert command.errors.splitlines() == [
        "luxusb: Stopped watching; job 1 goes on",
        "  what to do: Come back with `luxusb watch 1`.",
    ]
    assert held.called("Cancel") == []
    assert held.jobs[JOB].values["State"] == "running"


def test_ctrl_c_with_json(spawn: Spawn, held: FakeDaemon) -> None:
    command = spawn("create", "--device", "sdb", "ubuntu", "--yes", "--device-id", world.USB_ID, "--json")
    held.wait_for_call("ListJobs")
    command.interrupt()
    assert command.finish() == 130
    document = json.loads(command.output)
    assert document["error"]["name"] == "org.luxusb.Client.Interrupted"
    assert document["jobs"][0]["path"] == JOB
    assert held.jobs[JOB].values["State"] == "running"


def test_ctrl_c_can_cancel(spawn: Spawn, held: FakeDaemon) -> None:
    command = spawn("download", "ubuntu", "--cancel-on-interrupt")
    command.wait_for("job 1 download ubuntu: transfer")
    command.interrupt()
    assert command.finish() == 5
    (call,) = held.called("Cancel")
    assert call.body[0]["keep_partial"].value is True
    assert held.jobs[JOB].values["State"] == "cancelled"


def test_a_second_ctrl_c_does_not_wait_for_the_cancelling(spawn: Spawn, held: FakeDaemon) -> None:
    held.silent.add("Cancel")
    command = spawn("watch", "--cancel-on-interrupt")
    held.do(lambda: None)
    assert command.finish() == 0
    held.do(lambda: held.new_job("download", "ubuntu"))
    command = spawn("watch", "--cancel-on-interrupt")
    command.wait_for("job 1 download ubuntu: transfer")
    command.interrupt()
    held.wait_for_call("Cancel")
    command.interrupt()
    assert command.finish() == 130


def test_ctrl_c_cancels_an_image_file(spawn: Spawn, held: FakeDaemon, tmp_path: Path) -> None:
    command = spawn("create", "--image-file", tmp_path / "stick.img", "--size", "4MiB", f"image:{world.SHA_A}")
    command.wait_for("job 1 create a stick: partition")
    command.interrupt()
    assert command.finish() == 5
    assert "An image file is written only while this command runs: cancelling." in command.output
    assert held.jobs[JOB].values["State"] == "cancelled"


def test_ctrl_c_before_the_daemon_answers(spawn: Spawn, held: FakeDaemon) -> None:
    held.silent.add("Download")
    command = spawn("download", "ubuntu")
    held.wait_for_call("Download")
    command.interrupt()
    assert command.finish() == 130
    assert command.errors.startswith("luxusb: Interrupted before the daemon answered\n")


def test_ctrl_c_outside_a_job(spawn: Spawn, held: FakeDaemon) -> None:
    held.silent.add("GetManagedObjects")
    command = spawn("devices")
    held.wait_for_call("GetManagedObjects")
    command.interrupt()
    assert command.finish() == 5
    assert command.errors == "luxusb: Interrupted\n"


def test_a_daemon_that_comes_back_is_watched_on(spawn: Spawn, held: FakeDaemon) -> None:
    held.do(lambda: held.new_job("download", "ubuntu"))
    command = spawn("watch", "1")
    command.wait_for("job 1 download ubuntu: transfer, 100 MiB")
    held.wait_for_call("ListJobs")
    held.vanish()
    command.wait_for(LOST)
    job = held.jobs[JOB]
    held.do(lambda: job.values.update(ResumedBytes=TOTAL // 4, Stage="verify"))
    held.come_back()
    command.wait_for(f"{BACK}\njob 1 download ubuntu: verify, 100 MiB of 400 MiB (100 MiB resumed)\n")
    held.wait_for_call("ListJobs", 2)
    held.do(lambda: held.finish(job, "succeeded"))
    assert command.finish() == 0


def test_a_job_that_ended_while_the_daemon_was_away(spawn: Spawn, held: FakeDaemon) -> None:
    held.do(lambda: held.new_job("create", "a stick"))
    command = spawn("watch", "1", "--json")
    held.wait_for_call("ListJobs")
    held.vanish()
    command.wait_for('"state": "lost"')
    cut = ("org.luxusb.Error.Interrupted", "The daemon ended while the stick was written. Make it again.")
    held.do(lambda: held.finish(held.jobs[JOB], "failed", *cut))
    held.come_back()
    assert command.finish() == 1
    events = [json.loads(line) for line in command.output.splitlines()]
    assert [event["event"] for event in events[-4:]] == ["daemon", "daemon", "finished", "error"]
    assert events[-1]["error"]["name"] == "org.luxusb.Error.Interrupted"


def test_ctrl_c_while_the_daemon_is_away(spawn: Spawn, held: FakeDaemon) -> None:
    held.do(lambda: held.new_job("download", "ubuntu"))
    command = spawn("watch", "1")
    held.wait_for_call("ListJobs")
    held.vanish()
    command.wait_for(LOST)
    command.interrupt()
    assert command.finish() == 130
    assert "Come back with `luxusb watch 1`." in command.errors


def test_an_image_file_goes_with_the_daemon(spawn: Spawn, held: FakeDaemon, tmp_path: Path) -> None:
    command = spawn(
        "create", "--image-file", tmp_path / "stick.img", "--size", "4MiB", f"image:{world.SHA_A}", "--json"
    )
    held.wait_for_call("ListJobs")
    held.vanish()
    assert command.finish() == 1
    assert json.loads(command.output)["error"]["name"] == "org.luxusb.Client.TargetGone"


async def test_a_daemon_that_does_not_come_back(held: FakeDaemon) -> None:
    job = held.do(lambda: held.new_job("download", "ubuntu"))
    async with await Connection.open(held._address, interactive=False) as connection:
        client = Client(connection)
        assert not (await client.job(job.path)).state.finished
        async with JobSession(client, SilentReporter(), back_within=0.0) as session:
            held.vanish()
            with pytest.raises(NoDaemonError, match="did not come back") as raised:
                await session.follow([job.path])
    assert raised.value.code == 4
    assert "luxusb watch 1" in raised.value.todo
