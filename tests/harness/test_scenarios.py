"""The lines of `make test-vm`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.vm.scenarios import title

PROJECT = Path(__file__).parents[2]

EXAMPLES = """\
import pytest

@pytest.mark.parametrize("kind", ["vfat", "exfat"])
def test_a_kernel_mount(kind):
    assert kind == "vfat"

@pytest.fixture
def broken():
    yield
    raise ValueError("left over")

def test_tidying_up(broken):
    pass
"""


def run(tmp_path: Path, scenario: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_examples.py").write_text(EXAMPLES)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = ["-q", "--no-header", "-o", "console_output_style=classic", "-p", "tests.vm.scenarios"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--scenario", scenario, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("test_eight_sticks_at_once", "eight sticks at once"),
        ("test_kernel_mounts_are_refused[vfat]", "kernel mounts are refused (vfat)"),
    ],
)
def test_a_scenario_is_called_what_its_function_says(function: str, name: str) -> None:
    assert title(function) == name


def test_each_scenario_has_one_line_with_its_verdict(tmp_path: Path) -> None:
    said = run(tmp_path, "")
    assert said.returncode == 1
    lines = [line.rpartition("  ")[0].split(None, 1) for line in said.stdout.splitlines()[1:4]]
    assert [(verdict, name.strip()) for verdict, name in lines] == [
        ("ok", "a kernel mount (vfat)"),
        ("FAILED", "a kernel mount (exfat)"),
        ("FAILED", "tidying up"),
    ]


def test_words_choose_scenarios(tmp_path: Path) -> None:
    said = run(tmp_path, "MOUNT vfat")
    assert said.stdout.startswith("1 scenario;")
    assert "a kernel mount (vfat)" in said.stdout
    assert "tidying up" not in said.stdout
    nothing = run(tmp_path, "vfta")
    assert nothing.returncode == 4
    assert "no scenario has the words 'vfta' in its name" in nothing.stderr
    assert "  tidying up" in nothing.stderr
