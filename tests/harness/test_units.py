"""The files for systemd and D-Bus, judged by systemd's and D-Bus's own programs; nothing is started or installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
EXPOSURE = 2.0
"""What `systemd-analyze security` may say at most; 0 is a process that can do nothing, 10 one that can do all."""


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "TZ": "UTC"}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, each calling a program that exists; their own are not installed here."""
    for path in UNITS.iterdir():
        if path.suffix in (".service", ".socket", ".timer"):
            text = re.sub(r"/usr/(?:sbin/luxusbd|bin/luxusb\b|libexec/luxusb-\w+)", "/bin/true", path.read_text())
            (tmp_path / path.name).write_text(text)
    return tmp_path


def verify(units: Path) -> str:
    """What systemd has to say about them."""
    names = [str(path).replace("@.", "@1.") for path in sorted(units.iterdir())]
    done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *names)
    # units of the machine itself are none of ours
    said = [line for line in done.stderr.splitlines() if "luxusb" in line]
    return "\n".join(said) or ("" if done.returncode == 0 else done.stderr)


def test_systemd_understands_every_line(units: Path) -> None:
    assert verify(units) == ""


@pytest.mark.parametrize(
    ("unit", "line"),
    [
        ("luxusbd.service", "ProtectSytsem=strict"),
        ("luxusb-transfer.service", "RestrictAddressFamilies=AF_INTE"),
        ("luxusb-catalog-update.timer", "OnCalendar=dialy"),
        ("luxusb-stick.socket", "SocketMode=rw"),
    ],
)
def test_a_wrong_line_is_noticed(units: Path, unit: str, line: str) -> None:
    section = {".service": "Service", ".timer": "Timer", ".socket": "Socket"}[Path(unit).suffix]
    text = (units / unit).read_text()
    (units / unit).write_text(text.replace(f"[{section}]\n", f"[{section}]\n{line}\n"))
    assert unit.replace("@.", "@1.") in verify(units)


def exposure(unit: Path) -> float:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    (found,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+) ", done.stdout)
    return float(found)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_locked_in(name: str) -> None:
    assert exposure(UNITS / name) <= EXPOSURE, blame(UNITS / name)


def blame(unit: Path) -> str:
    """What adds most to the exposure of a unit, for the message of a failure."""
    done = run("systemd-analyze", "security", "--offline=true", "--json=short", unit)
    rows = [(float(row["exposure"]), row["name"]) for row in json.loads(done.stdout) if row["exposure"]]
    return ", ".join(f"{name} {points}" for points, name in sorted(rows, reverse=True)[:8])


def test_an_open_service_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "open.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure(tmp_path / "open.service") > EXPOSURE
    assert "CapabilityBoundingSet" in blame(tmp_path / "open.service")


def settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, mark, value = line.partition("=")
        if mark and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_only_those_who_need_it_have_capabilities_devices_and_network() -> None:
    capabilities = {name: " ".join(settings(name)["CapabilityBoundingSet"]) for name in SERVICES}
    assert {name: held for name, held in capabilities.items() if held} == {
        "luxusbd.service": "CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER",
        "luxusb-stick@.service": "CAP_SYS_ADMIN CAP_SYS_PTRACE",
    }
    with_devices = {name for name in SERVICES if settings(name).get("PrivateDevices") != ["yes"]}
    assert with_devices == {"luxusbd.service", "luxusb-stick@.service"}
    assert {name for name in with_devices if settings(name)["DevicePolicy"] != ["closed"]} == set()
    assert {name for name in SERVICES if settings(name).get("IPAddressDeny") != ["any"]} == {"luxusb-transfer.service"}
    assert settings("luxusb-transfer.service")["User"] == ["luxusb"]


def test_what_is_listened_on_is_what_the_service_connects_to() -> None:
    from luxusbd.children.launch import CHECK_SOCKET, STICK_SOCKET, TRANSFER_SOCKET

    (directory,) = re.findall(r"--sockets (\S+)", settings("luxusbd.service")["ExecStart"][0])
    sockets = {"transfer": TRANSFER_SOCKET, "stick": STICK_SOCKET, "check": CHECK_SOCKET}
    for unit, name in ((f"luxusb-{kind}.socket", name) for kind, name in sockets.items()):
        assert unit in settings("luxusbd.service")["Requires"][0].split()
        assert settings(unit)["ListenStream"] == [f"{directory}/{name}"]
        assert settings(unit)["SocketMode"] == ["0600"]


def test_the_catalogue_is_looked_at_once_a_day() -> None:
    timer = settings("luxusb-catalog-update.timer")
    (when,) = timer["OnCalendar"]
    done = run("systemd-analyze", "calendar", "--iterations=3", "--base-time=2024-02-28 12:00:00 UTC", when)
    assert done.returncode == 0, done.stderr
    days = re.findall(r": \w+ (\S+) 00:00:00", done.stdout)
    assert days == ["2024-02-29", "2024-03-01", "2024-03-02"]
    assert timer["Persistent"] == ["yes"]
    assert run("systemd-analyze", "timespan", timer["RandomizedDelaySec"][0]).returncode == 0


def test_the_update_asks_first_whether_the_service_can_do_it(tmp_path: Path) -> None:
    """The condition, as systemd would run it, with a busctl of the test."""
    condition, _where = settings("luxusb-catalog-update.service")["ExecCondition"]
    command = re.fullmatch(r"/bin/sh -c '(.*)'", condition)
    assert command is not None
    stand_in = tmp_path / "busctl"
    for features, status in (("CreateStick ImportCatalog", 1), ("CreateStick UpdateCatalog", 0), ("", 1)):
        listed = " ".join(f'"{name}"' for name in features.split())
        stand_in.write_text(f"#!/bin/sh\necho 'as {len(features.split())} {listed}'\n")
        stand_in.chmod(0o755)
        done = subprocess.run(
            ["/bin/sh", "-c", command[1]],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, "cannot update its catalogue" in done.stdout) == (status, status == 1)


def test_the_update_asks_from_where(tmp_path: Path) -> None:
    _able, condition = settings("luxusb-catalog-update.service")["ExecCondition"]
    command = re.fullmatch(r"/bin/sh -c '(.*)'", condition)
    assert command is not None
    stand_in = tmp_path / "busctl"
    urls = (("", 1), ("https://one.example/c.json", 0), ("http://127.0.0.1:8001/c.json", 0), ("c.json", 1))
    for url, feeds, status in [*((url, "false", status) for url, status in urls), ("", "true", 0)]:
        # as busctl prints a dictionary: each value behind its type
        said = f'a{{sv}} 4 "a.b" s "http" "catalog.update_url" s "{url}" "catalog.update_key" s "http"'
        said += f' "catalog.update_feeds" b {feeds}'
        stand_in.write_text(f"#!/bin/sh\necho '{said}'\n")
        stand_in.chmod(0o755)
        done = subprocess.run(
            ["/bin/sh", "-c", command[1]],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, "names no http or https address" in done.stdout) == (status, status == 1)


@pytest.mark.parametrize(("feeds", "options"), [("true", " --feeds"), ("false", "")])
def test_the_update_asks_makers_where_that_is_configured(tmp_path: Path, feeds: str, options: str) -> None:
    (start,) = settings("luxusb-catalog-update.service")["ExecStart"]
    command = re.fullmatch(r"/bin/sh -c '(.*)'", start)
    assert command is not None
    for name, said in (("busctl", f"""'a{{sv}} 1 "catalog.update_feeds" b {feeds}'"""), ("luxusb", '"$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", command[1].replace("/usr/bin/luxusb", "luxusb")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"--json catalog update{options}\n")


@pytest.mark.parametrize("unit", ["luxusb-transfer.service", "luxusb-check@.service"])
def test_who_runs_gpgv_may_start_it(unit: str) -> None:
    """setpriv(1) calls capset(2), also when there is nothing to set."""
    allowed = " ".join(line for line in settings(unit)["SystemCallFilter"] if not line.startswith("~")).split()
    assert "capset" in allowed


def test_the_check_of_signatures_has_nothing_but_the_bytes() -> None:
    check = settings("luxusb-check@.service")
    for key, value in (("PrivateNetwork", "yes"), ("DynamicUser", "yes"), ("RestrictAddressFamilies", "AF_UNIX")):
        assert check[key] == [value]
    assert "ReadWritePaths" not in check


def test_the_user_is_made(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for directory in ("etc", "var/lib", "run"):
        (root / directory).mkdir(parents=True)
    done = run("systemd-sysusers", f"--root={root}", UNITS / "luxusb.sysusers")
    assert (done.returncode, re.sub("Creating .*", "", done.stderr).strip()) == (0, "")
    (line,) = (root / "etc/passwd").read_text().splitlines()
    name, _, uid, _gid, _, home, shell = line.split(":")
    assert (name, home) == ("luxusb", "/var/lib/luxusb/incoming")
    assert shell.endswith("nologin")
    assert 0 < int(uid) < 1000


@pytest.mark.root
def test_directories_are_made(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "var/lib").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nluxusb:x:990:991::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nluxusb:x:991:\n")
    done = run("systemd-tmpfiles", f"--root={root}", "--create", UNITS / "luxusb.tmpfiles")
    assert (done.returncode, done.stderr) == (0, "")
    state = root / "var/lib/luxusb"
    assert (state.stat().st_mode & 0o7777, (state / "incoming").stat().st_mode & 0o7777) == (0o711, 0o700)
    assert [(path.stat().st_uid, path.stat().st_gid) for path in (state, state / "incoming")] == [(0, 0), (990, 991)]


def test_a_wrong_line_for_a_user_or_directory_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("u lux usb -\n")
    assert run("systemd-sysusers", f"--root={tmp_path}", tmp_path / "a.conf").stderr != ""
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "b.conf").write_text("d /x 0799 root root\n")
    assert run("systemd-tmpfiles", f"--root={tmp_path}", "--create", tmp_path / "b.conf").stderr != ""


DTD = Path("/usr/share/xml/dbus-1/busconfig.dtd")
"""Of dbus 1.15.2 and later; with an older one the bus itself judges, in the next test."""


def test_the_bus_policy_is_valid(tmp_path: Path) -> None:
    policy = ROOT / "dbus" / "org.luxusb.Manager.conf"
    check = ["xmllint", "--noout", "--nonet", *(["--dtdvalid", str(DTD)] if DTD.is_file() else [])]
    done = run(*check, policy)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = tmp_path / "wrong.conf"
    wrong.write_text(policy.read_text().replace("</policy>", "</policies>", 1))
    assert run(*check, wrong).returncode != 0


def loads(policy: Path, directory: Path) -> bool:
    """Whether a real bus starts with this policy."""
    config = directory / "bus.conf"
    config.write_text(
        f"<busconfig><type>system</type><listen>unix:path={directory}/bus</listen><auth>EXTERNAL</auth>"
        f'<policy context="default"><allow user="*"/></policy><include>{policy}</include></busconfig>'
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        program = shutil.which("dbus-daemon")
        assert program is not None
        process = subprocess.Popen(
            [program, f"--config-file={config}", "--nofork", "--nopidfile", f"--print-address={theirs.fileno()}"],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        ours.settimeout(60)
        try:
            return ours.recv(1000).startswith(b"unix:path=")
        finally:
            process.kill()
            process.wait()


def test_a_bus_takes_the_policy(tmp_path: Path) -> None:
    policy = ROOT / "dbus" / "org.luxusb.Manager.conf"
    assert loads(policy, tmp_path)
    wrong = tmp_path / "wrong.conf"
    wrong.write_text(policy.read_text().replace('max_fds="1"', 'max_fds="one"', 1))
    assert not loads(wrong, tmp_path)
