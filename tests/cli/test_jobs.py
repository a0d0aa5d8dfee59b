"""`jobs`, `watch`, `pause`, `resume`, `cancel`, `modify`."""

from __future__ import annotations

import json

from dbus_next.signature import Variant

from tests.cli.conftest import Run, Spawn
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.fake_jobs import TOTAL, FakeJob

JOB = "/org/luxusb/jobs/_1"


def held(daemon: FakeDaemon, title: str = "ubuntu") -> FakeJob:
    """A job that stays where it is."""
    daemon.auto = False
    outcome = {"image": Variant("s", "image:ab"), "name": Variant("s", "ubuntu.iso")}
    return daemon.do(lambda: daemon.new_job("download", title, outcome=outcome))


def test_jobs(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("jobs").out == "There is no job.\n"
    job = held(daemon)
    held(daemon, "debian")
    daemon.do(lambda: daemon.finish(job, "succeeded"))
    lines = luxusb("jobs").out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["2", "download", "debian", "transfer"],
        ["1", "download", "ubuntu", "succeeded"],
    ]
    assert "100 MiB of 400 MiB" in lines[1]
    unfinished = luxusb("jobs", "--unfinished", "--limit", "1", "--json").document["jobs"]
    assert [item["id"] for item in unfinished] == [2]
    assert unfinished[0]["details"]["title"] == "debian"
    assert luxusb("jobs", "--all-users").code == 0
    assert {key: value.value for key, value in daemon.called("ListJobs")[-1].body[0].items()} == {"all_users": True}


def test_pause_resume_modify_cancel(luxusb: Run, daemon: FakeDaemon) -> None:
    held(daemon)
    assert luxusb("pause", "1").out == "Job 1 (ubuntu) is paused.\n"
    assert luxusb("resume", "_1", "--json").document["job"]["state"] == "running"
    assert luxusb("modify", JOB, "--priority", "-3", "--limit-rate", "1MiB").code == 0
    details = luxusb("jobs", "--json").document["jobs"][0]["details"]
    assert (details["priority"], details["bandwidth"]) == (-3, 1024**2)
    assert luxusb("cancel", "1", "--keep-partial", "--json").document["job"]["state"] == "cancelled"
    assert daemon.called("Cancel")[0].body[0]["keep_partial"].value is True


def test_all_paused_jobs_go_on(luxusb: Run, daemon: FakeDaemon) -> None:
    held(daemon)
    held(daemon, "debian")
    held(daemon, "arch")
    assert luxusb("resume", "--all").out == "No job is paused.\n"
    for number in ("1", "3"):
        assert luxusb("pause", number).code == 0
    assert luxusb("resume", "--all").out == "Job 1 (ubuntu) goes on.\nJob 3 (arch) goes on.\n"
    assert luxusb("pause", "3").code == 0
    document = luxusb("resume", "--all", "--json").document
    assert [(job["id"], job["state"]) for job in document["jobs"]] == [(3, "running")]
    for wrong in (["resume"], ["resume", "1", "--all"]):
        result = luxusb(*wrong)
        assert result.code == 2
        assert "Give a job, or --all" in result.err


def test_jobs_that_nobody_paused(luxusb: Run, daemon: FakeDaemon) -> None:
    for number, reason, message in (
        (1, "restart", ""),
        (2, "restart", ""),
        (3, "space", "the disk is full"),
        (4, "user", ""),
    ):
        job = held(daemon, f"image{number}")
        details = {
            **job.values["Details"],
            "pause_reason": Variant("s", reason),
            "pause_message": Variant("s", message),
        }
        daemon.do(lambda job=job, details=details: daemon.change(job, State="paused", Details=details))  # type: ignore[misc]
    lines = luxusb("jobs").out.splitlines()
    assert "paused  " in lines[1]
    assert "paused, the disk is full" in lines[2]
    assert "paused since a restart" in lines[3]
    assert lines[5:] == [
        "job 3: the disk is full",
        (
            "2 downloads from before a restart wait: `luxusb resume --all` goes on with them, `luxusb cancel JOB` drops"
            " one."
        ),
    ]
    jobs = luxusb("jobs", "--json").document["jobs"]
    assert [job["details"]["pause_reason"] for job in jobs] == ["user", "space", "restart", "restart"]


def test_what_a_job_cannot_do(luxusb: Run, daemon: FakeDaemon) -> None:
    held(daemon)
    result = luxusb("resume", "1")
    assert result.code == 1
    assert "  why: The job is not paused." in result.err


def test_an_unknown_job(luxusb: Run, daemon: FakeDaemon) -> None:
    held(daemon)
    for command in ("pause", "cancel", "watch"):
        result = luxusb(command, "77")
        assert result.code == 1
        assert result.err.startswith("luxusb: There is no job 77\n")
        assert luxusb(command, "77", "--json").document["error"]["name"].endswith("UnknownObject")


def test_watch_follows_to_the_end(spawn: Spawn, daemon: FakeDaemon) -> None:
    job = held(daemon)
    watching = spawn("watch", "1")
    watching.wait_for("job 1 download ubuntu: transfer, 100 MiB of 400 MiB\n")
    daemon.do(lambda: daemon.progress(job, TOTAL // 2))
    daemon.do(lambda: daemon.change(job, Stage="verify"))
    watching.wait_for("job 1 download ubuntu: verify, 200 MiB of 400 MiB\n")
    daemon.do(lambda: daemon.finish(job, "succeeded"))
    assert watching.finish() == 0
    assert watching.output.splitlines()[-1] == "job 1 download ubuntu: succeeded, 200 MiB of 400 MiB"


def test_old_news_is_not_told_after_the_first_look(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.auto = False
    downloading = spawn("download", "ubuntu")
    daemon.wait_for_call("ListJobs")
    daemon.do(lambda: daemon.finish(daemon.jobs[JOB], "succeeded"))
    downloading.finish()
    assert [line.partition(": ")[2] for line in downloading.output.splitlines()[:2]] == [
        "transfer, 100 MiB of 400 MiB",
        "succeeded, 100 MiB of 400 MiB",
    ]


def test_the_end_is_told_with_the_last_figures(spawn: Spawn, daemon: FakeDaemon) -> None:
    job = held(daemon)
    watching = spawn("watch", "1")
    watching.wait_for("transfer, 100 MiB of 400 MiB\n")
    daemon.do(lambda: job.values.update(BytesDone=TOTAL))
    daemon.do(lambda: daemon.finish(job, "succeeded"))
    assert watching.finish() == 0
    assert watching.output.splitlines()[-1] == "job 1 download ubuntu: succeeded, 400 MiB of 400 MiB"


def test_the_operation_is_named_once(spawn: Spawn, daemon: FakeDaemon) -> None:
    held(daemon, "download of the year")
    watching = spawn("watch")
    watching.wait_for("job 1 download of the year: transfer")


def test_watch_json_is_a_document_a_line(spawn: Spawn, daemon: FakeDaemon) -> None:
    job = held(daemon)
    watching = spawn("watch", "--json")
    watching.wait_for("\n")
    daemon.do(lambda: daemon.progress(job, TOTAL // 2))
    daemon.do(lambda: daemon.finish(job, "failed", "org.luxusb.Error.NotEnoughSpace", "The disk is full."))
    assert watching.finish() == 1
    events = [json.loads(line) for line in watching.output.splitlines()]
    assert [event["event"] for event in events[-2:]] == ["finished", "error"]
    assert 0.5 in [event["job"]["progress"] for event in events if event["event"] == "job"]
    assert events[-1]["error"] == {"name": "org.luxusb.Error.NotEnoughSpace", "message": "The disk is full."}
    assert watching.errors == ""


def test_watch_shows_children_that_come_later(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.auto = False
    parent = daemon.do(lambda: daemon.new_job("create", "a stick"))
    watching = spawn("watch", "1")
    watching.wait_for("job 1 create")
    daemon.wait_for_call("ListJobs")
    child = daemon.do(lambda: daemon.new_job("download", "fedora", parent=parent.path))
    watching.wait_for("\n  job 2 download fedora: transfer")
    daemon.do(lambda: daemon.finish(child, "succeeded"))
    daemon.do(lambda: daemon.finish(parent, "succeeded"))
    assert watching.finish() == 0


def test_an_end_is_told_once(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.auto = False
    parent = daemon.do(lambda: daemon.new_job("create", "a stick"))
    child = daemon.do(lambda: daemon.new_job("download", "fedora", parent=parent.path))
    watching = spawn("watch", "1", "--json")
    watching.wait_for(child.path)
    daemon.do(lambda: daemon.finish(child, "succeeded"))
    daemon.do(lambda: daemon.change(child, Details={"finished": Variant("t", 1_700_000_100)}))
    daemon.do(lambda: daemon.finish(parent, "succeeded"))
    assert watching.finish() == 0
    ends = [
        event["job"]["id"] for event in map(json.loads, watching.output.splitlines()) if event["event"] == "finished"
    ]
    assert ends == [2, 1]


def test_watch_nothing_and_what_is_over(luxusb: Run, daemon: FakeDaemon) -> None:
    assert (luxusb("watch").out, luxusb("watch").code) == ("No job runs or waits.\n", 0)
    assert luxusb("watch", "--json").out == ""
    job = held(daemon)
    daemon.do(lambda: daemon.finish(job, "succeeded"))
    assert luxusb("watch", "1").code == 0


def test_watch_everything(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.do(lambda: daemon.new_job("download", "one"))
    daemon.do(lambda: daemon.new_job("download", "two"))
    held(daemon, "three")
    daemon.do(lambda: daemon.finish(daemon.jobs["/org/luxusb/jobs/_3"], "cancelled"))
    assert luxusb("watch").code == 0


def test_a_cancelled_job_is_code_5(spawn: Spawn, daemon: FakeDaemon) -> None:
    job = held(daemon)
    watching = spawn("watch", "1")
    watching.wait_for("job 1")
    daemon.do(lambda: daemon.finish(job, "cancelled", "org.luxusb.Error.Cancelled", "The job was cancelled."))
    assert watching.finish() == 5
    assert watching.errors.startswith("luxusb: Job 1 (download ubuntu) was cancelled\n")


def test_a_job_whose_object_is_gone_is_found_in_the_records(spawn: Spawn, daemon: FakeDaemon) -> None:
    job = held(daemon)
    daemon.do(lambda: daemon.finish(job, "succeeded"))
    daemon.errors["GetAll"] = ("org.freedesktop.DBus.Error.UnknownObject", "gone")
    assert spawn("watch", "1").finish() == 0


def test_the_end_is_not_missed_when_it_comes_before_the_first_look(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.eager = True
    for _ in range(5):
        result = luxusb("download", "ubuntu", "--json")
        assert result.document["jobs"][0]["state"] == "succeeded"
        assert result.document["jobs"][0]["result"]["image"].startswith("image:")


def serving(daemon: FakeDaemon, job: FakeJob, *states: str, host: str = "m{number}.example") -> None:
    """Let mirrors of a job be in these states."""
    mirrors = [
        {
            "host": Variant("s", host.format(number=number)),
            "country": Variant("s", "DE"),
            "state": Variant("s", state),
            "rate": Variant("t", number << 20),
            "bytes_done": Variant("t", 5 << 20),
        }
        for number, state in enumerate(states, 1)
    ]
    details = job.values["Details"] | {"mirrors": Variant("aa{sv}", mirrors)}
    daemon.do(lambda: daemon.change(job, Details=details))


def test_the_mirrors_of_a_download(luxusb: Run, spawn: Spawn, daemon: FakeDaemon) -> None:
    job = held(daemon)
    serving(daemon, job, "serving", "given-up")
    assert "m1.example" not in luxusb("jobs").out
    assert luxusb("jobs", "-v").out.splitlines()[-3:] == [
        "job 1 is served by:",
        "  m1.example (DE): 1 MiB/s, 5 MiB",
        "  m2.example (DE): given-up, 5 MiB",
    ]
    (shown,) = luxusb("jobs", "--json").document["jobs"]
    assert shown["details"]["mirrors"][0] == {
        "host": "m1.example",
        "country": "DE",
        "state": "serving",
        "rate": 1 << 20,
        "bytes_done": 5 << 20,
    }
    plain, verbose, lines = spawn("watch", "1"), spawn("watch", "1", "-v"), spawn("watch", "1", "--json")
    for command in (plain, verbose, lines):
        command.wait_for("transfer")
    verbose.wait_for("  m1.example (DE): 1 MiB/s, 5 MiB\n")
    serving(daemon, job, "waiting", "given-up")
    verbose.wait_for("  m1.example (DE): waiting, 5 MiB\n")
    daemon.do(lambda: daemon.finish(job, "succeeded"))
    assert [command.finish() for command in (plain, verbose, lines)] == [0, 0, 0]
    assert "example" not in plain.output
    assert verbose.output.count("m2.example") == 1, "a mirror is named again when its state changes"
    assert '"state": "waiting"' in lines.output


def test_several_mirrors_on_one_host_serve_at_once(spawn: Spawn, daemon: FakeDaemon) -> None:
    job = held(daemon)
    verbose = spawn("watch", "1", "-v")
    verbose.wait_for("transfer")
    serving(daemon, job, "serving", "serving", "connect", host="one.example")
    verbose.wait_for("  one.example (DE): connect, 5 MiB\n")
    for _ in range(3):
        serving(daemon, job, "serving", "serving", "serving", host="one.example")
        serving(daemon, job, "serving", "serving", "banned", host="one.example")
    verbose.wait_for("  one.example (DE): banned, 5 MiB\n")
    daemon.do(lambda: daemon.finish(job, "succeeded"))
    assert verbose.finish() == 0
    assert verbose.output.count("(DE): 1 MiB/s") == verbose.output.count("(DE): 2 MiB/s") == 1
