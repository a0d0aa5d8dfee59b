"""Completion in the real shells, with a daemon, without one, and with one that does not answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from luxusb_cli.completion import script

from tests.cli import world
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.process import ROOT

BASH = """
source {script}
COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
compopt() {{ echo "option $*"; }}
_luxusb_completion luxusb
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = "source {script}; complete -C {line!r}"
# The widget that Tab is bound to needs a terminal; what it calls does not.
ZSH = """
compdef() {{ :; }}
_describe() {{ print -rl -- "${{(@)completions_with_descriptions%%:*}}"; }}
compadd() {{ print -rl -- $completions; }}
_path_files() {{ print -r -- FILES; }}
source {script}
words=({words}); CURRENT=$#words
_luxusb_completion
"""


@pytest.fixture
def shell(environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the program under its name in PATH."""
    program = tmp_path / "bin" / "luxusb"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = {[str(ROOT), str(ROOT / 'clients')]}\n"
        "from luxusb_cli.__main__ import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(shell: str, directory: Path, line: str) -> list[str]:
    """What the shell offers for a line with the cursor at its end."""
    file = directory / f"completion.{shell}"
    file.write_text(script(shell))
    words = " ".join([*line.split(), *(["''"] if line.endswith(" ") else [])])
    program = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(script=file, line=line, words=words)
    arguments = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    ended = subprocess.run(
        [shell, *arguments, "-c", program], capture_output=True, text=True, check=False, timeout=30, cwd=directory
    )
    assert ended.stderr == ""
    return [line.partition("\t")[0] for line in ended.stdout.splitlines() if line]


SHELLS = pytest.mark.parametrize("name", ["bash", "zsh", "fish"])


@SHELLS
def test_commands_and_options(shell: Path, name: str) -> None:
    assert set(run(name, shell, "luxusb ca")) == {"catalog", "cancel"}
    assert "--image-file" in run(name, shell, "luxusb create --")
    assert set(run(name, shell, "luxusb catalog ")) >= {"show", "update", "import", "export", "check"}


@SHELLS
def test_names_of_the_daemon(shell: Path, daemon: FakeDaemon, name: str) -> None:
    daemon.auto = False
    daemon.do(lambda: daemon.new_job("download", "ubuntu"))
    assert run(name, shell, "luxusb info ub") == ["ubuntu"]
    assert set(run(name, shell, "luxusb verify --device /dev/")) == {"/dev/sda", "/dev/sdb", "/dev/sdc"}
    assert run(name, shell, "luxusb create --device-id usb-K") == [world.USB_ID]
    assert run(name, shell, "luxusb pause ") == ["1"]
    assert set(run(name, shell, "luxusb distros --category ")) == {"desktop", "rescue"}
    assert run(name, shell, "luxusb distros --family d") == ["debian-live"]
    assert run(name, shell, "luxusb distros --sort n") == ["name"]
    assert set(run(name, shell, "luxusb distros --fits /dev/")) == {"/dev/sda", "/dev/sdb", "/dev/sdc"}
    assert run(name, shell, "luxusb delete deb") == ["debian.iso"]
    assert run(name, shell, "luxusb remove --device /dev/sdc ar") == ["arch.iso"]
    assert "ubuntu" in run(name, shell, "luxusb create --device /dev/sdb debian-live ub")


def test_bash_cuts_words_at_colons_and_ats(shell: Path, daemon: FakeDaemon) -> None:
    assert run("bash", shell, "luxusb info debian-live@12.5") == ["12.5/xfce"]
    assert run("bash", shell, "luxusb delete image:a1") == ["a1a1a1a1a1a1"]
    assert run("bash", shell, "luxusb settings devices.") == ["option -o nospace", "devices.allow_loop="]


def test_references_in_other_shells(shell: Path, daemon: FakeDaemon) -> None:
    assert run("fish", shell, "luxusb info debian-live@12.5") == ["debian-live@12.5/xfce"]
    assert run("fish", shell, "luxusb delete image:a1") == ["image:a1a1a1a1a1a1"]


def test_files(shell: Path, daemon: FakeDaemon) -> None:
    (shell / "my.iso").touch()
    assert run("bash", shell, "luxusb inspect my") == ["option -o default"]
    assert run("bash", shell, "luxusb add --device sdc ./my") == ["option -o default"]
    assert run("fish", shell, "luxusb inspect my") == ["my.iso"]
    assert run("zsh", shell, "luxusb inspect my") == ["FILES"]


@SHELLS
def test_without_a_daemon_the_kept_list_is_used(shell: Path, luxusb: Run, daemon: FakeDaemon, name: str) -> None:
    assert run(name, shell, "luxusb pause ") == []
    assert luxusb("distros").code == 0
    daemon.vanish()
    assert run(name, shell, "luxusb info ub") == ["ubuntu"]
    assert run(name, shell, "luxusb verify --device ") == []


def test_a_sleeping_daemon_is_not_woken_and_a_hanging_one_not_waited_for(shell: Path, daemon: FakeDaemon) -> None:
    daemon.silent.add("GetManagedObjects")
    assert run("bash", shell, "luxusb verify --device ") == []
    assert daemon.called("GetManagedObjects")
    daemon.vanish()
    calls = len(daemon.calls)
    assert run("bash", shell, "luxusb verify --device ") == []
    assert len(daemon.calls) == calls


def test_no_bus_is_silent(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    assert run("bash", shell, "luxusb verify --device ") == []
    assert run("bash", shell, "luxusb --address nonsense verify --device ") == []


def test_names_that_would_fall_apart_are_left_out(shell: Path, daemon: FakeDaemon) -> None:
    daemon.do(lambda: daemon.devices[world.USB].update(DeviceNode="/dev/a\nrm -rf", Id="a b"))
    assert set(run("bash", shell, "luxusb verify --device /dev/")) == {"/dev/sda", "/dev/sdc"}


def test_the_command_prints_the_script(luxusb: Run) -> None:
    for name in ("bash", "zsh", "fish"):
        assert luxusb("completion", name).out == script(name)
    assert luxusb("completion", "tcsh").code == 2


@pytest.mark.parametrize("name", ["bash", "fish"])
def test_mirrors(shell: Path, daemon: FakeDaemon, name: str) -> None:
    # bash replaces what stands behind the last colon
    scheme = "" if name == "bash" else "https:"
    hosts = {f"{scheme}//{host}.example.org/" for host in ("fast", "new", "liar")}
    assert set(run(name, shell, "luxusb mirrors ubuntu --pin https://")) == hosts
    assert set(run(name, shell, "luxusb mirrors ubuntu --pin https://new.example.org/")) == {
        f"{scheme}//new.example.org/",
        f"{scheme}//new.example.org/a.iso",
    }


@SHELLS
def test_countries_of_mirrors(shell: Path, daemon: FakeDaemon, name: str) -> None:
    assert set(run(name, shell, "luxusb mirrors ubuntu --country ")) == {"DE", "US"}
    if name != "fish":  # click gives fish nothing behind a comma
        assert run(name, shell, "luxusb mirrors ubuntu --country DE,") == ["DE,US"]
    assert run(name, shell, "luxusb mirrors --exclude D") == ["DE"]
