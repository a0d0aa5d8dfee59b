from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.errors import ExitCode, exit_code
from luxusb_cli.model import JobInfo, JobState, job_number
from luxusb_cli.progress import Bar, amount, divide, line, remaining
from luxusb_cli.references import Catalogued, LocalFile, Stored, classify
from luxusb_cli.watch import order
from luxusb_cli.wire import ProtocolError

MIB = 1024**2


def job(number: int = 1, /, **values: Any) -> JobInfo:
    wire: dict[str, object] = {"Operation": "download", "State": "running", "Stage": "transfer", "Progress": 0.5}
    return JobInfo.from_wire(f"/org/luxusb/jobs/_{number}", wire | values)


def test_missing_properties_are_empty_and_wrong_ones_an_error() -> None:
    assert JobInfo.from_wire("/x", {}).bytes_total == 0
    for key, value in {
        "BytesDone": "many",
        "Rate": True,
        "Details": [],
        "Devices": [1],
        "Progress": 1,
        "Stage": 5,
    }.items():
        with pytest.raises(ProtocolError):
            job(**{key: value})


def test_states_of_a_newer_daemon_are_unknown_and_not_finished() -> None:
    state = job(State="hibernating").state
    assert state is JobState.UNKNOWN
    assert not state.finished


def test_a_finished_job_stays_finished() -> None:
    ended = job().updated({"State": "succeeded", "Result": {"image": "x"}})
    assert ended.state is JobState.SUCCEEDED
    assert ended.updated({"BytesDone": 1}).bytes_done == 1
    assert ended.updated({"State": "running", "Result": {}}) is ended
    assert ended.updated({"ErrorMessage": "late"}).result == {"image": "x"}


@pytest.mark.parametrize(
    ("path", "number"), [("/org/luxusb/jobs/_12", 12), ("/org/luxusb/jobs/_x", 0), ("/elsewhere/_1", 0), ("", 0)]
)
def test_job_numbers(path: str, number: int) -> None:
    assert job_number(path) == number


@pytest.mark.parametrize(
    ("values", "bar"),
    [
        ({"BytesDone": 0, "BytesTotal": 100}, Bar(0, 0, 10)),
        ({"BytesDone": 50, "BytesTotal": 100}, Bar(0, 5, 5)),
        ({"BytesDone": 50, "BytesTotal": 100, "ResumedBytes": 30}, Bar(3, 2, 5)),
        ({"BytesDone": 50, "BytesTotal": 100, "ResumedBytes": 1}, Bar(1, 4, 5)),
        ({"BytesDone": 5, "BytesTotal": 100, "ResumedBytes": 5}, Bar(0, 0, 10)),
        ({"BytesDone": 200, "BytesTotal": 100}, Bar(0, 10, 0)),
        ({"Progress": 0.3}, Bar(0, 3, 7)),
        ({"Progress": -1.0}, Bar(0, 0, 10)),
    ],
)
def test_bars(values: dict[str, Any], bar: Bar) -> None:
    assert divide(job(**values), 10) == bar


def test_figures() -> None:
    half = job(BytesDone=50 * MIB, BytesTotal=100 * MIB, ResumedBytes=20 * MIB, Rate=10 * MIB, ExpectedEnd=0)
    assert amount(half) == "50 MiB of 100 MiB (20 MiB resumed)"
    assert amount(job(BytesDone=5 * MIB)) == "5 MiB"
    assert remaining(half, 1000.0) == "0:05"
    assert remaining(job(ExpectedEnd=1090), 1000.0) == "1:30"
    assert remaining(job(State="paused", ExpectedEnd=1090), 1000.0) == ""
    assert line(half, 1) == "  job 1 download: transfer, 50 MiB of 100 MiB (20 MiB resumed)"


def test_children_come_after_their_parents() -> None:
    parent, other = job(1), job(2)
    child, grandchild = job(4, Parent=parent.path), job(5, Parent="/org/luxusb/jobs/_4")
    jobs = {item.path: item for item in (grandchild, other, child, parent)}
    tree = [(depth, item.id) for depth, item in order(jobs, [parent.path, other.path])]
    assert tree == [(0, 1), (1, 4), (2, 5), (0, 2)]
    assert order(jobs, ["/missing"]) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("org.luxusb.Error.Failed", ExitCode.FAILED),
        ("org.luxusb.Error.InvalidArgument", ExitCode.USAGE),
        ("org.luxusb.Error.NotAuthorized", ExitCode.NOT_AUTHORIZED),
        ("org.luxusb.Error.NotAuthorizedDismissed", ExitCode.NOT_AUTHORIZED),
        ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", ExitCode.NOT_AUTHORIZED),
        ("org.freedesktop.DBus.Error.AccessDenied", ExitCode.NOT_AUTHORIZED),
        ("org.freedesktop.DBus.Error.ServiceUnknown", ExitCode.NO_DAEMON),
        ("org.freedesktop.DBus.Error.NoReply", ExitCode.NO_DAEMON),
        ("org.luxusb.Error.Cancelled", ExitCode.CANCELLED),
        ("org.example.Whatever", ExitCode.FAILED),
    ],
)
def test_exit_codes(name: str, code: ExitCode) -> None:
    assert exit_code(name) is code


def test_what_an_image_argument_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ubuntu", "my image", "debian-live"):
        (tmp_path / name).write_bytes(b"x")
    assert classify("image:ABCDEF") == Stored("image:abcdef")
    assert classify("distro:arch@2026.01") == Catalogued("distro:arch@2026.01")
    assert classify("ubuntu") == Catalogued("distro:ubuntu")
    assert classify("./ubuntu") == LocalFile(Path("ubuntu"))
    assert classify("my image") == LocalFile(Path("my image"))
    assert classify("gone.iso") == LocalFile(Path("gone.iso"))
    assert classify("sub/Gone.ISO") == LocalFile(Path("sub/Gone.ISO"))
    edition = classify("debian-live@12.5/xfce")
    assert isinstance(edition, Catalogued)
    assert edition.distribution == "debian-live"
