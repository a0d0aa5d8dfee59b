"""The question for a password on a terminal: pkttyagent for the length of a command, and what is said without it."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from luxusb_cli.calls import MAY_ASK
from luxusb_cli.client import Client
from luxusb_cli.connection import Connection

from luxusbd.bus.contract import MANAGER
from luxusbd.bus.members import RULES
from tests.cli.conftest import private_bus
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.process import Spawned

NOBODY = 65534
POLKIT = "org.freedesktop.PolicyKit1"
NEEDED = ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "It needs authentication.")

AGENT = """#!{python} -I
import argparse, fcntl, os, signal, sys, termios

parser = argparse.ArgumentParser()
parser.add_argument("--notify-fd", type=int)
parser.add_argument("--fallback", action="store_true")
parser.add_argument("--process", type=int)
given = parser.parse_args()
signal.alarm(60)
alive = os.open("{directory}/alive", os.O_RDWR | os.O_CREAT, 0o666)
fcntl.flock(alive, fcntl.LOCK_EX)
log = os.open("{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
os.set_inheritable(log, False)
said = lambda text: os.write(log, (text + "\\n").encode())

def end(*_):
    said("ended")
    os._exit(0)

signal.signal(signal.SIGTERM, end)
for sent_by_the_terminal in (signal.SIGHUP, signal.SIGINT):
    signal.signal(sent_by_the_terminal, signal.SIG_IGN)  # the command has to end the agent
same = "parent" if given.process == os.getppid() else "other"
bus = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "")
said(f"started {{given.fallback}} {{same}} {{bus}}")
mode = open("{directory}/mode").read()
if mode == "fails":
    print("Error registering: no\\x1b[31m session", file=sys.stderr)
    sys.exit(127)
if mode == "asks":
    tty = os.open("/dev/tty", os.O_RDWR)
    attributes = termios.tcgetattr(tty)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(tty, termios.TCSANOW, attributes)
os.close(given.notify_fd)
while True:
    signal.pause()
"""


@dataclass
class Place:
    """A bus and a PATH that another user can reach, with a stand-in for pkttyagent."""

    directory: Path
    address: str
    daemon: FakeDaemon

    @property
    def program(self) -> Path:
        return self.directory / "bin" / "pkttyagent"

    def mode(self, name: str) -> None:
        (self.directory / "mode").write_text(name)

    def wait_for_the_end_of_the_agent(self) -> None:
        """It holds a lock as long as it lives, and ends by itself after a minute."""
        with (self.directory / "alive").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    def said(self) -> list[str]:
        log = self.directory / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def place() -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="lux-"))
    directory.chmod(0o777)
    (directory / "bin").mkdir()
    for tool in ("setpriv",):
        found = shutil.which(tool)
        assert found is not None
        (directory / "bin" / tool).symlink_to(found)
    program = directory / "bin" / "pkttyagent"
    program.write_text(AGENT.format(python=sys.executable, directory=directory))
    program.chmod(0o755)
    with private_bus(directory) as address:
        daemon = FakeDaemon(address)
        daemon.start()
        daemon.own(POLKIT)
        made = Place(directory, address, daemon)
        made.mode("registers")
        yield made
        daemon.stop()
    shutil.rmtree(directory)


Begin = Callable[..., Spawned]


@pytest.fixture
def begin(place: Place) -> Iterator[Begin]:
    """The command as a user who is not root."""
    running: list[Spawned] = []

    def start(*arguments: str, terminal: bool = True, uid: int | None = NOBODY, session: str | None = "1") -> Spawned:
        command = [sys.executable, "-m", "luxusb_cli", *arguments]
        environment = {
            "PATH": str(place.directory / "bin"),
            "DBUS_SYSTEM_BUS_ADDRESS": place.address,
            "XDG_CACHE_HOME": str(place.directory / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            **({} if session is None else {"XDG_SESSION_ID": session}),
        }
        spawned = Spawned(command, environment, terminal=terminal, uid=uid if os.geteuid() == 0 else None)
        running.append(spawned)
        return spawned

    yield start
    for spawned in running:
        spawned.close()


def words(text: str) -> str:
    """Without the line ends that a terminal or a paragraph puts in."""
    return " ".join(text.split())


def test_the_agent_lives_as_long_as_the_command(place: Place, begin: Begin) -> None:
    place.daemon.silent.add("Download")
    command = begin("download", "ubuntu")
    place.daemon.wait_for_call("Download")
    assert place.said() == [f"started True parent {place.address}"]
    assert all(call.interactive for call in place.daemon.called("Download"))
    command.interrupt()
    assert command.finish() in {5, 130}
    assert place.said()[1:] == ["ended"]


def test_without_a_session_the_agent_is_no_fallback(place: Place, begin: Begin) -> None:
    in_session = "/user.slice/" in Path("/proc/self/cgroup").read_text()
    assert begin("download", "ubuntu", "--no-wait", session=None).finish() == 0
    assert place.said() == [f"started {in_session} parent {place.address}", "ended"]


def test_with_an_address_the_agent_goes_to_that_bus(place: Place, begin: Begin) -> None:
    command = begin("--address", place.address, "download", "ubuntu", "--no-wait")
    assert command.finish() == 0, command.output
    assert place.said() == [f"started True parent {place.address}", "ended"]


def test_a_command_that_only_looks_needs_no_agent(place: Place, begin: Begin) -> None:
    assert begin("images").finish() == 0
    assert begin("jobs").finish() == 0
    assert place.said() == []


def test_an_agent_that_is_ended_at_its_prompt_leaves_the_terminal_as_it_was(place: Place, begin: Begin) -> None:
    place.mode("asks")
    place.daemon.silent.add("Download")
    command = begin("download", "ubuntu")
    assert command.echoes()
    place.daemon.wait_for_call("Download")
    assert not command.echoes()
    command.interrupt()
    command.finish()
    assert command.echoes()


def test_the_agent_ends_with_a_command_that_is_killed(place: Place, begin: Begin) -> None:
    place.daemon.silent.add("Download")
    command = begin("download", "ubuntu")
    place.daemon.wait_for_call("Download")
    command.kill()
    place.wait_for_the_end_of_the_agent()
    assert place.said()[1:] == ["ended"]


@pytest.mark.parametrize(
    ("arguments", "terminal", "mode", "todo"),
    [
        (["--no-ask-password"], True, "registers", "Leave out --no-ask-password"),
        ([], False, "registers", "Run the command from a terminal"),
        ([], True, "missing", "Install pkttyagent, which asks for the password on a terminal (package polkitd"),
        ([], True, "fails", "pkttyagent ended early (Error registering: no[31m session). Run the command with sudo."),
        ([], True, "registers", "Run the command from a terminal or desktop session"),
    ],
)
def test_a_refusal_says_what_is_missing(
    place: Place, begin: Begin, arguments: list[str], terminal: bool, mode: str, todo: str
) -> None:
    if mode == "missing":
        place.program.unlink()
    else:
        place.mode(mode)
    place.daemon.errors["Download"] = NEEDED
    command = begin(*arguments, "download", "ubuntu", terminal=terminal)
    assert command.finish() == 3
    said = words(command.output + command.errors)
    assert f"what to do: {todo}" in said
    assert said.count("luxusb: ") == 1
    (call,) = place.daemon.called("Download")
    assert call.interactive == (terminal and not arguments)
    assert len([line for line in place.said() if line.startswith("started")]) == (
        terminal and not arguments and mode != "missing"
    )


def test_an_agent_that_cannot_be_started(place: Place, begin: Begin) -> None:
    place.program.chmod(0o644)
    place.daemon.errors["Download"] = NEEDED
    command = begin("download", "ubuntu")
    assert command.finish() == 3
    assert "Install pkttyagent" in words(command.output)


def test_without_polkit_on_the_bus_there_is_no_agent(place: Place, begin: Begin) -> None:
    place.daemon.disown(POLKIT)
    assert begin("download", "ubuntu", "--no-wait").finish() == 0
    assert place.said() == []


@pytest.mark.root
def test_root_needs_no_agent(place: Place, begin: Begin) -> None:
    assert begin("download", "ubuntu", "--no-wait", uid=None).finish() == 0
    assert place.said() == []


def test_an_agent_that_does_not_register_holds_nothing_up(place: Place, begin: Begin) -> None:
    text = place.program.read_text().replace("os.close(given.notify_fd)", "")
    place.program.write_text(text)
    place.daemon.errors["Download"] = NEEDED
    command = begin("download", "ubuntu")
    assert command.finish() == 3
    assert "pkttyagent did not register with polkit in time" in words(command.output)
    assert place.said()[1:] == ["ended"]


def test_the_members_that_may_ask_are_those_of_the_daemon() -> None:
    asked = {member for (interface, member), rule in RULES.items() if interface == MANAGER and rule.action is not None}
    assert asked == MAY_ASK


async def test_jobs_of_all_users_and_the_steering_of_jobs_may_ask(place: Place) -> None:
    asked: list[str] = []

    async def prepare() -> None:
        asked.append("")

    async with await Connection.open(place.address, interactive=False) as connection:
        client = Client(connection, prepare)
        await client.jobs()
        assert asked == []
        await client.jobs(all_users=True)
        assert len(asked) == 1
        path = await client.download("distro:ubuntu")
        await client.pause(path)
        assert len(asked) == 3
