"""On a terminal: consent, colours, the live picture; and strangers' words everywhere."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dbus_next.signature import Variant
from luxusb_cli.calls import MANAGER, MANAGER_PATH
from luxusb_cli.connection import Connection, Typed
from luxusb_cli.model import JobInfo
from luxusb_cli.progress import picture
from luxusb_cli.render import table
from rich.console import Console

from tests.cli import world
from tests.cli.conftest import Run, Spawn
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.fake_jobs import TOTAL
from tests.cli.liar import send_finished
from tests.cli.process import ROOT

JOB = "/org/luxusb/jobs/_1"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202eevil\u2066 [bold red]x[/] :smile: \r\n\x9b31m\x00"
"""What a stranger may have put into a title, but for the NUL, which D-Bus refuses."""


def test_consent_is_the_name_of_the_disk(spawn: Spawn, daemon: FakeDaemon) -> None:
    command = spawn("create", "--device", "/dev/sdb", "ubuntu", terminal=True)
    command.wait_for("Type sdb to erase it (Kingston DataTraveler, serial 001A, 16 GiB): ")
    plain = ESCAPES.sub("", command.output)
    assert "Kingston DataTraveler, serial 001A, 16 GiB" in plain
    assert 'partition 1, vfat "PHOTOS", 16 GiB' in plain
    assert daemon.called("CreateStick") == []
    command.type("sdb\n")
    assert command.finish() == 0
    assert "Done: /dev/sdb is ready" in command.output
    assert len(daemon.called("CreateStick")) == 1
    assert all(call.interactive for call in daemon.called("CreateStick"))


@pytest.mark.parametrize("answer", ["sdc\n", "\n", "y\n", "yes\n", "\x04"])
def test_anything_else_is_no_consent(spawn: Spawn, daemon: FakeDaemon, answer: str) -> None:
    command = spawn("create", "--device", "/dev/sdb", "ubuntu", terminal=True)
    command.wait_for("Type sdb to erase it (Kingston DataTraveler, serial 001A, 16 GiB): ")
    command.type(answer)
    assert command.finish() == 5
    assert "Nothing was changed" in command.output
    assert daemon.called("CreateStick") == []


def test_ctrl_c_at_the_question(spawn: Spawn, daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "stick.img"
    file.write_bytes(b"x" * 4096)
    command = spawn("create", "--image-file", file, "ubuntu", terminal=True)
    command.wait_for("Type stick.img to erase it (4 KiB): ")
    command.interrupt()
    assert command.finish() == 5
    assert daemon.called("CreateStick") == []
    assert file.read_bytes() == b"x" * 4096


def test_consent_to_remove_and_to_delete(spawn: Spawn, daemon: FakeDaemon) -> None:
    command = spawn("remove", "--device", "sdc", "arch.iso", terminal=True)
    command.wait_for("Type sdc to remove it (SanDisk Ultra, serial 77, 16 GiB): ")
    assert "SanDisk Ultra, serial 77" in command.output
    assert re.search(r"will be removed:.*arch\.iso.*stay:.*debian\.iso", command.output, re.DOTALL)
    command.type("/dev/sdc\n")
    assert command.finish() == 0
    for answer, code in (("n\n", 5), ("yes\n", 0)):
        command = spawn("delete", "arch.iso", terminal=True)
        command.wait_for("Delete arch.iso (3 GiB)? [y/N] ")
        command.type(answer)
        assert command.finish() == code


def test_live_picture_of_the_mirrors(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.auto = False
    command = spawn("download", "ubuntu", "-v", terminal=True)
    daemon.wait_for(lambda: bool(daemon.jobs), "the job")
    job = daemon.jobs[JOB]
    said = {"host": "mirror.example\x1b[31m", "country": "DE", "state": "serving"}
    entry = {key: Variant("s", value) for key, value in said.items()}
    entry |= {"rate": Variant("t", 3 << 20), "bytes_done": Variant("t", 9 << 20)}
    details = job.values["Details"] | {"mirrors": Variant("aa{sv}", [entry])}
    daemon.do(lambda: daemon.change(job, Details=details, Stage="verify"))
    daemon.do(lambda: daemon.change(job, State="paused"))
    command.wait_for("1 ← mirror.example[31m (DE): 3 MiB/s, 9 MiB")
    daemon.do(lambda: daemon.finish(job, "succeeded"))
    assert command.finish() == 0


def test_live_picture(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.auto = False
    parent = daemon.do(lambda: daemon.new_job("create", "a stick"))
    daemon.resumed = TOTAL // 4
    child = daemon.do(lambda: daemon.new_job("download", "fedora", parent=parent.path))
    command = spawn("watch", "1", terminal=True)
    command.wait_for("2 fedora")
    daemon.do(lambda: daemon.change(child, Stage="verify"))
    daemon.do(lambda: daemon.change(child, State="paused"))
    command.wait_for("paused")
    plain = ESCAPES.sub("", command.output)
    assert "▒▒▒▒▒▒··" in plain
    assert "(100 MiB resumed)" in plain
    assert "10 MiB/s" in plain
    assert "0:30" in plain
    daemon.do(lambda: daemon.finish(parent, "succeeded"))
    assert command.finish() == 0
    assert "succeeded" in command.output


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_the_picture_fits(width: int, unicode: bool) -> None:
    mib = 1024**2
    figures: dict[str, Any] = {"State": "running", "BytesTotal": 3100 * mib, "BytesDone": 1200 * mib}
    figures["ResumedBytes"] = 700 * mib
    changes: list[dict[str, Any]] = [
        {"Stage": "write-image", "Details": {"title": "Stick on a disk with a rather long name (/dev/sdb)"}},
        {"Stage": "transfer", "Details": {"title": "Debian"}, "Rate": 25 * mib},
        {"State": "queued", "ResumedBytes": 0, "BytesTotal": 0, "BytesDone": 0},
    ]
    jobs = [
        JobInfo.from_wire(f"/org/luxusb/jobs/_{number}", figures | changed) for number, changed in enumerate(changes, 1)
    ]
    screen = Console(width=width, file=io.StringIO(), color_system=None)
    screen.print(picture([(0, jobs[0]), (1, jobs[1]), (1, jobs[2])], 0.0, width, unicode))
    assert isinstance(screen.file, io.StringIO)
    lines = screen.file.getvalue().splitlines()
    assert len(lines) == 3
    if width >= 60:
        assert "1.2 GiB of 3 GiB" in lines[0]
        assert lines[1].rstrip().endswith("25 MiB/s 1:16")
    if width >= 80:
        assert ("▒" if unicode else "=") in lines[0]
        assert "  2 Debian transfer" in re.sub(" +transfer", " transfer", lines[1])
    assert ("(700 MiB resumed)" in lines[0]) == (width >= 100)
    assert unicode or all(line.replace("…", "").isascii() for line in lines)


def mirror(host: str, state: str, rate: int = 0, done: int = 0, country: str = "") -> dict[str, object]:
    return {"host": host, "country": country, "state": state, "rate": rate, "bytes_done": done}


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_picture_shows_who_serves(width: int) -> None:
    mib = 1024**2
    mirrors = [
        mirror("slow.example", "waiting", done=mib),
        mirror("fast.example", "serving", 7 * mib, 70 * mib, "DE"),
        mirror("x" * 253, "connect"),
        *(mirror(f"m{number}.example", "given-up") for number in range(9)),
    ]
    details = {"title": "Debian", "mirrors": mirrors}
    job = JobInfo.from_wire(JOB, {"State": "running", "Stage": "transfer", "Details": details})
    for unicode, arrow in ((True, "←"), (False, "<-")):
        screen = Console(width=width, file=io.StringIO(), color_system=None)
        screen.print(picture([(0, job)], 0.0, width, unicode, mirrors=True))
        assert isinstance(screen.file, io.StringIO)
        lines = [line.rstrip() for line in screen.file.getvalue().splitlines()]
        assert lines[1].startswith(f"  1 {arrow} fast.example (DE): 7 MiB/s")
        assert lines[2].startswith(f"  1 {arrow} slow.example: waiting, 1 MiB"[:width])
        assert len(lines) == 1 + 8 + 1
        assert lines[-1] == f"  1 {arrow} and 4 more"
        assert all(len(line) <= width for line in lines)
    screen = Console(width=width, file=io.StringIO(), color_system=None)
    screen.print(picture([(0, job)], 0.0, width))
    assert isinstance(screen.file, io.StringIO)
    assert "example" not in screen.file.getvalue()


def test_ctrl_c_on_a_terminal(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.auto = False
    command = spawn("download", "ubuntu", terminal=True)
    command.wait_for("transfer")
    command.interrupt()
    assert command.finish() == 130
    assert "Come back with `luxusb watch 1`." in command.output
    assert daemon.jobs[JOB].values["State"] == "running"


def test_colours_only_on_a_terminal_that_wants_them(
    spawn: Spawn, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def colours(*arguments: str, terminal: bool = True) -> list[str]:
        command = spawn(*arguments, terminal=terminal)
        assert command.finish() == 0
        return re.findall(r"\x1b\[[0-9;]*(?:3[0-9]|9[0-7])m", command.output)

    delete = ("plan", "--device", "sdb", "ubuntu")
    assert colours(*delete)
    assert not colours(*delete, terminal=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not colours(*delete, terminal=False)
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours(*delete)
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in "".join(colours(*delete))


def test_a_dumb_terminal_gets_lines(spawn: Spawn, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    command = spawn("download", "ubuntu", terminal=True)
    assert command.finish() == 0
    assert "job 1 download ubuntu: transfer" in command.output
    assert "\x1b" not in command.output


def test_what_has_ended_is_coloured(spawn: Spawn, daemon: FakeDaemon) -> None:
    def fill() -> None:
        daemon.distros[:] = [
            world.distro("new", "New", 1, "desktop", world.release("1")),
            world.distro("old", "Old", 2, "desktop", world.release("1", end_of_life="2020-01-31")),
        ]

    daemon.do(fill)
    for arguments in (["distros"], ["info", "old"]):
        command = spawn(*arguments, terminal=True)
        assert command.finish() == 0
        coloured = [line for line in command.output.splitlines() if "33m" in line]
        assert coloured
        assert not any("new" in line for line in coloured)
        assert "end of life since 2020-01-31" in command.output


def _poison(daemon: FakeDaemon) -> str:
    text = HOSTILE.replace("\0", "")
    variant = Variant("s", text)

    def poison() -> None:
        for device in daemon.devices.values():
            device.update(Vendor=text, Model=text, Serial=text, BlockedReason="")
            for image in device["Images"]:
                image.update(title=variant, source=variant)
        for distro in daemon.distros:
            distro.update(name=variant, description=variant, homepage=variant, category=variant)
        for image in daemon.images.values():
            image.update(name=variant, system=variant, genuine=variant)
        daemon.title = text
        daemon.settings = {text: variant}
        keys = ("label", "system", "family", "reason", "advice")
        daemon.inspected = dict.fromkeys(keys, variant) | {"bootable": Variant("b", False)}
        daemon.plan_changes = {"warnings": Variant("as", [text]), "firmware": Variant("as", [text])}

    daemon.do(poison)
    return text


COMMANDS: list[list[str]] = [
    ["devices"],
    ["distros"],
    ["info", "ubuntu"],
    ["images"],
    ["inspect", "ISO"],
    ["import", "ISO"],
    ["download", "ubuntu"],
    ["download", "ubuntu", "--no-wait"],
    ["plan", "--device", "sdb", "ubuntu"],
    ["create", "--device", "sdb", "ubuntu", "--yes", "--device-id", world.USB_ID],
    ["contents", "--device", "sdc"],
    ["verify", "--device", "sdc"],
    ["jobs"],
    ["settings"],
    ["delete", "image:a1a1a1", "--yes"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_strangers_words_are_harmless(luxusb: Run, daemon: FakeDaemon, iso: Path, arguments: list[str]) -> None:
    _poison(daemon)
    daemon.do(lambda: daemon.new_job("download", "x"))
    filled = [str(iso) if argument == "ISO" else argument for argument in arguments]
    result = luxusb(*filled)
    assert result.code == 0, result.err
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", result.out + result.err)
    if arguments[0] not in {"import", "delete"}:
        assert "evil [bold red]x[/] :smile:" in result.out


def test_strangers_words_are_escaped_in_json(luxusb: Run, daemon: FakeDaemon) -> None:
    text = _poison(daemon)
    result = luxusb("distros", "--json")
    assert result.out.isascii()
    assert "\x1b" not in result.out
    assert result.document["distributions"][0]["name"] == text


def test_strangers_words_in_errors(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.errors["ListImages"] = ("org.luxusb.Error.Failed", HOSTILE.replace("\0", ""))
    result = luxusb("images")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", result.err)
    assert "evil [bold red]x[/]" in result.err


def test_strangers_words_on_a_terminal(spawn: Spawn, daemon: FakeDaemon) -> None:
    _poison(daemon)
    for arguments in (["distros"], ["download", "ubuntu"], ["plan", "--device", "sdb", "ubuntu"]):
        command = spawn(*arguments, terminal=True)
        assert command.finish() == 0
        assert "]0;owned\x07" not in command.output
        assert "\x1b[2J" not in command.output
        assert "\x9b" not in command.output
        assert "\u202e" not in command.output
        assert "[bold" in command.output


def test_signals_of_others_are_not_believed(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.auto = False
    job = daemon.do(lambda: daemon.new_job("download", "ubuntu"))
    command = spawn("watch", "1")
    command.wait_for("transfer")
    daemon.wait_for_call("ListJobs")
    send_finished(daemon._address, daemon.called("ListJobs")[0].sender, job.path)
    daemon.do(lambda: daemon.change(job, Stage="verify"))
    command.wait_for("verify")
    daemon.do(lambda: daemon.finish(job, "succeeded"))
    assert command.finish() == 0
    assert "failed" not in command.output


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from luxusb_cli.app import main; main(['--help']); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'dbus_next', 'rich', 'asyncio', 'gi'}))"
    )
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients'}"}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=paths, check=True, timeout=20
    )
    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_connection_survives_a_full_socket(daemon: FakeDaemon) -> None:
    async def flood() -> list[Any]:
        async with await Connection.open(daemon._address, interactive=False) as connection:
            options = {"text": Typed("s", "x" * 50_000)}
            calls = [
                connection.call(MANAGER_PATH, MANAGER, "ListDistributions", "a{sv}", [options], what="flood")
                for _ in range(100)
            ]
            return await asyncio.gather(*calls)

    assert asyncio.run(flood()) == [[[]]] * 100


@pytest.mark.parametrize(("width", "shape"), [(200, "table"), (110, "wrapped"), (50, "blocks")])
def test_a_table_fits_its_terminal(
    width: int, shape: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    note = "it belongs to the running system; choose another disk, one that can be taken out and that nothing else uses"
    table(("NODE", "MODEL", "SERIAL", "NOTE"), [("/dev/sda", "Kingston DataTraveler", "", note)])
    lines = [line.rstrip() for line in ESCAPES.sub("", capsys.readouterr().out).splitlines()]
    if shape == "table":
        assert [line.split()[0] for line in lines] == ["NODE", "/dev/sda"]
        assert lines[1].endswith(note)
    elif shape == "wrapped":
        assert len(lines) == 3
        assert "/dev/sda  Kingston DataTraveler" in lines[1], "only the longest column gives way"
    else:
        assert lines[:2] == ["/dev/sda", "  MODEL   Kingston DataTraveler"]
        assert " ".join(" ".join(lines[2:]).split()) == f"NOTE {note}"


def test_figures_give_way_to_a_percentage() -> None:
    mib = 1024**2
    figures = {"State": "running", "Stage": "transfer", "BytesTotal": 2_440 * mib // 100, "BytesDone": 11 * mib}
    job = JobInfo.from_wire(JOB, figures | {"Rate": 18 * mib // 10, "Details": {"title": "Large 1.0"}})
    for width, amount in ((80, "11 MiB of 24.4 MiB"), (57, "11 MiB of 24.4 MiB"), (48, "45 %")):
        screen = Console(width=width, file=io.StringIO(), color_system=None)
        screen.print(picture([(0, job)], 0.0, width))
        assert isinstance(screen.file, io.StringIO)
        shown = screen.file.getvalue().rstrip()
        assert amount in shown
        assert shown.endswith("0:07"), "nothing may be cut off"


def test_the_echo_of_ctrl_c_does_not_break_the_picture(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.auto = False
    daemon.title = "t" * 99
    daemon.resumed = TOTAL // 4
    command = spawn("download", "ubuntu", "--cancel-on-interrupt", terminal=True)
    command.wait_for("0:30")
    lines = [line for line in ESCAPES.sub("", command.output).splitlines() if "0:30" in line]
    assert lines
    assert max(map(len, lines)) <= 120 - len("^C")
    command.interrupt()
    assert command.finish() == 5
