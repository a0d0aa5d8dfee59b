"""The Debian packages as they are built: what they want, what is in them, and what lintian thinks of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import pytest_asyncio

from luxusbd import __version__
from tests.harness import deb

ROOT = Path(__file__).resolve().parents[2]
# building takes a minute, or several on a machine that has other things to do
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def packages() -> Path:
    """A directory with the three of them."""
    return await deb.built()


def said(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def one(packages: Path, name: str) -> Path:
    (found,) = packages.glob(f"{name}_*.deb")
    return found


def files(package: Path) -> set[str]:
    listed = [line.split(maxsplit=5) for line in said("dpkg-deb", "--contents", package).splitlines()]
    assert {columns[1] for columns in listed} == {"root/root"}
    return {columns[5].removeprefix("./") for columns in listed if not columns[5].endswith("/")}


async def test_lintian_has_nothing_to_say(packages: Path) -> None:
    (changes,) = packages.glob("*.changes")
    done = subprocess.run(
        ["lintian", "--fail-on", "error", "--tag-display-limit", "0", changes],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def test_every_override_says_why() -> None:
    for path in (ROOT / "packaging" / "debian").glob("*.lintian-overrides"):
        above = ""
        for line in path.read_text().splitlines():
            assert line.startswith("#") or above.startswith("#"), f"{path.name}: {line}"
            above = line


async def test_what_make_install_installs_is_in_one_of_them(packages: Path) -> None:
    inside = {name: files(one(packages, name)) for name in ("luxusbd", "luxusb-cli", "luxusb-gtk")}
    everything = set().union(*inside.values())
    assert sum(map(len, inside.values())) == len(everything)
    wanted = set(
        re.findall(r'put (?:644|755) "?(?:\$prefix|/usr)/([\w./@-]+?)"? <', (ROOT / "packaging/install.sh").read_text())
    )
    assert {"sbin/luxusbd", "bin/luxusb", "bin/luxusb-gtk", "lib/udev/rules.d/90-luxusb.rules"} <= wanted
    elsewhere = {"share/doc/luxusb/50-luxusb.rules.example", "share/zsh/site-functions/_luxusb"}
    assert {name for name in wanted - elsewhere if f"usr/{name}" not in everything} == set()
    assert {"usr/share/doc/luxusbd/examples/50-luxusb.rules", "usr/share/zsh/vendor-completions/_luxusb"} <= everything
    units = {path.name for path in (ROOT / "systemd").iterdir() if path.suffix in (".service", ".socket", ".timer")}
    assert {unit for unit in units if f"usr/lib/systemd/system/{unit}" not in everything} == set()
    code = {path for path in everything if path.startswith("usr/lib/luxusb/luxus") and path.endswith(".py")}
    sources = [*(ROOT / "luxusbd").rglob("*.py"), *(ROOT / "clients").rglob("*.py")]
    assert len(code) == len(sources)
    for version in ("311", "313"):
        assert f"usr/lib/luxusb/rpds/rpds.cpython-{version}-x86_64-linux-gnu.so" in inside["luxusbd"]
    # what a run leaves behind is no part of a package
    assert [path for path in everything if "__pycache__" in path or path.endswith((".pyc", ".orig"))] == []


async def test_they_want_each_other_in_the_same_version(packages: Path) -> None:
    version = said("dpkg-deb", "--field", one(packages, "luxusbd"), "Version").strip()
    assert version.startswith(f"{__version__}-")
    assert f"luxusbd (= {version})" in said("dpkg-deb", "--field", one(packages, "luxusb-cli"), "Depends")
    assert f"luxusb-cli (= {version})" in said("dpkg-deb", "--field", one(packages, "luxusb-gtk"), "Depends")


async def test_the_packages_that_the_service_names_when_a_program_is_missing_come_with_it(packages: Path) -> None:
    from luxusbd.process import PACKAGES

    fields = said("dpkg-deb", "--field", one(packages, "luxusbd"), "Depends", "Recommends", "Suggests")
    brought = set(re.findall(r"[a-z0-9+.-]{3,}", fields))
    # the one is on every Debian, the other comes with dbus
    assert {package.debian for package in PACKAGES.values()} - brought == {"util-linux", "dbus-daemon"}


async def test_a_later_version_is_the_same_with_another_number(packages: Path, tmp_path: Path) -> None:
    await deb.newer(packages, tmp_path / "newer")
    made = one(tmp_path / "newer", "luxusbd")
    assert said("dpkg-deb", "--field", made, "Version").strip() == deb.NEWER
    assert files(made) == files(one(packages, "luxusbd"))
