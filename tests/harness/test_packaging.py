"""packaging/setup.sh and packaging/install.sh, with apt, dpkg and pip played by small scripts."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the scripts need, a .venv that counts as set up, and stand-ins for the system's programs."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "packaging", tree / "packaging")
    (tree / ".venv").mkdir()
    (tree / "pyproject.toml").write_text("[project]\n")
    digest = hashlib.sha256(b"[project]\n").hexdigest()
    version = subprocess.run(["/usr/bin/python3", "-V"], capture_output=True, text=True, check=True).stdout.strip()
    (tree / ".venv" / ".setup-test").write_text(f"{digest}  - {version} {tree}")
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (tmp_path / "installed").write_text("")
    (tmp_path / "archive").write_text("")
    script(bin_dir / "dpkg-query", f"sed 's/^/ii  /' {tmp_path}/installed")
    script(
        bin_dir / "apt-cache",
        f'if [ "$1" = pkgnames ]; then grep "^$2" {tmp_path}/archive\n'
        f'else grep -qxF -- "${{@: -1}}" {tmp_path}/archive; fi',
    )
    script(
        bin_dir / "apt-get",
        f'echo "$@" >> {tmp_path}/apt\n'
        f'while [ "${{1:-}}" ] && [ "$1" != --no-install-recommends ]; do shift; done\n'
        f'shift; for name; do echo "$name" >> {tmp_path}/installed; done',
    )
    script(bin_dir / "id", "echo 0")
    return tree


def setup(tree: Path, level: str) -> subprocess.CompletedProcess[str]:
    path = f"{tree.parent / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [tree / "packaging" / "setup.sh", level], env={"PATH": path}, capture_output=True, text=True, check=False
    )


def requirements() -> dict[str, list[str]]:
    rows = [line.split()[:2] for line in (ROOT / "packaging" / "apt-packages").read_text().splitlines()]
    named = [(row[0], row[1].lstrip("?").split("|")[0]) for row in rows if row and row[0] in {"demo", "deb", "test"}]
    made = [(level, name.replace("*", "12")) for level, name in named]
    demo = [name for level, name in made if level == "demo"]
    # a package of two sets is installed with the first of them
    return {"demo": demo, "test": [name for level, name in made if level != "demo" and name not in demo]}


def apt_calls(tree: Path) -> list[str]:
    log = tree.parent / "apt"
    return log.read_text().splitlines() if log.exists() else []


def test_names_then_installs_what_is_missing_and_nothing_on_a_rerun(tree: Path) -> None:
    wanted = requirements()
    everything = wanted["demo"] + wanted["test"]
    (tree.parent / "archive").write_text("\n".join([*everything, "debian-installer-9-netboot-amd64", ""]))
    (tree.parent / "installed").write_text("\n".join(name for name in everything if name != "mtools") + "\n")
    (tree.parent / "installed").write_text("")
    done = setup(tree, "demo")
    assert done.returncode == 0, done.stderr
    assert f"setup: installing these packages: {' '.join(wanted['demo'])}\n" in done.stdout
    update, install = apt_calls(tree)
    assert update.endswith(" update")
    assert install.endswith(" install --no-install-recommends " + " ".join(wanted["demo"]))
    again = setup(tree, "demo")
    assert (again.returncode, again.stdout, len(apt_calls(tree))) == (0, "", 2)
    more = setup(tree, "test")
    assert f"setup: installing these packages: {' '.join(wanted['test'])}\n" in more.stdout


def test_one_missing_package_is_the_only_one_installed(tree: Path) -> None:
    wanted = requirements()
    everything = wanted["demo"] + wanted["test"]
    (tree.parent / "archive").write_text("\n".join(everything) + "\n")
    (tree.parent / "installed").write_text("\n".join(name for name in everything if name != "mtools") + "\n")
    assert setup(tree, "test").returncode == 0
    assert apt_calls(tree)[-1].endswith(" --no-install-recommends mtools")


def test_an_alternative_that_is_installed_will_do(tree: Path) -> None:
    everything = [name.replace("dbus-daemon", "dbus") for name in requirements()["demo"]]
    (tree.parent / "installed").write_text("\n".join(everything) + "\n")
    assert setup(tree, "demo").stdout == ""
    assert apt_calls(tree) == []


def test_without_the_installer_images_it_goes_on_with_ipxe_and_remembers(tree: Path) -> None:
    everything = [name for name in requirements()["demo"] if "netboot" not in name]
    (tree.parent / "archive").write_text("ipxe\n")
    (tree.parent / "installed").write_text("\n".join(everything) + "\n")
    done = setup(tree, "demo")
    assert "does not have debian-installer-*-netboot-amd64" in done.stdout
    assert apt_calls(tree)[-1].endswith(" --no-install-recommends ipxe")
    assert setup(tree, "demo").stdout == ""


def test_a_package_that_no_archive_has_is_an_error(tree: Path) -> None:
    done = setup(tree, "demo")
    assert done.returncode == 1
    assert "the archive of this system has no package python3;" in done.stderr


def test_without_root_and_sudo_it_says_what_to_type(tree: Path) -> None:
    everything = [name for name in requirements()["demo"] if name != "mtools"]
    (tree.parent / "installed").write_text("\n".join(everything) + "\n")
    script(tree.parent / "bin" / "id", "echo 1000")
    for name in ("bash", "dirname", "env", "sed", "sha256sum", "cat"):
        (tree.parent / "bin" / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        [tree / "packaging" / "setup.sh", "demo"],
        env={"PATH": str(tree.parent / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "apt-get update && apt-get install --no-install-recommends mtools\n" in done.stderr
    assert apt_calls(tree) == []


# ---- install and uninstall --------------------------------------------------------------------------------------

PYTHON = """\
case "$*" in
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    *" pip install "*) while [ "$1" != --target ]; do shift; done; mkdir -p "$2/luxusbd/_share" "$2/bin"
        echo 'x = 1' > "$2/luxusbd/__init__.py"; echo > "$2/bin/luxusb" ;;
    "-m compileall "*) mkdir "${@: -1}/luxusbd/__pycache__" ;;
    "packaging/manpages.py "*) mkdir -p "$2"
        for page in luxusb.1 luxusb-gtk.1 luxusbd.8 luxusbd.toml.5; do echo > "$2/$page"; done ;;
    "-m luxusb_cli completion "*) echo "completion for $4" ;;
    *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "packaging", source / "packaging")
    shutil.copytree(ROOT / "systemd", source / "systemd")
    shutil.copytree(ROOT / "data/desktop", source / "data/desktop")
    for name, text in (
        ("dbus/org.luxusb.Manager.conf", "<busconfig/>\n"),
        ("dbus/org.luxusb.Manager.service", "[D-BUS Service]\nExec=/usr/sbin/luxusbd\n"),
        ("polkit/org.luxusb.policy", "<policyconfig/>\n"),
        ("polkit/50-luxusb.rules.example", "// rules\n"),
    ):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    script(tmp_path / "python", PYTHON)
    return source


UNITS = sorted(path.name for path in (ROOT / "systemd").iterdir() if path.suffix in (".service", ".socket", ".timer"))


def run_install(source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [source / "packaging" / "install.sh", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHON": str(source.parent / "python")},
        capture_output=True,
        text=True,
        check=False,
    )


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


def test_install_puts_everything_in_place_and_uninstall_leaves_nothing(source: Path) -> None:
    destination = source.parent / "dest dir"
    done = run_install(source, "install", str(destination), "/opt/lux")
    assert done.returncode == 0, done.stderr
    assert files_below(destination) == {
        "opt/lux/bin/luxusb",
        "opt/lux/bin/luxusb-gtk",
        "opt/lux/share/applications/org.luxusb.Luxusb.desktop",
        "opt/lux/share/icons/hicolor/scalable/apps/org.luxusb.Luxusb.svg",
        "opt/lux/share/icons/hicolor/symbolic/apps/org.luxusb.Luxusb-symbolic.svg",
        "opt/lux/share/metainfo/org.luxusb.Luxusb.metainfo.xml",
        "opt/lux/sbin/luxusbd",
        "opt/lux/lib/luxusb/.installed",
        "opt/lux/share/bash-completion/completions/luxusb",
        "opt/lux/share/fish/vendor_completions.d/luxusb.fish",
        "opt/lux/share/doc/luxusb/50-luxusb.rules.example",
        "opt/lux/share/man/man1/luxusb-gtk.1",
        "opt/lux/share/man/man1/luxusb.1",
        "opt/lux/share/man/man5/luxusbd.toml.5",
        "opt/lux/share/man/man8/luxusbd.8",
        "opt/lux/share/zsh/site-functions/_luxusb",
        "opt/lux/lib/luxusb/luxusbd/__init__.py",
        "opt/lux/libexec/luxusb-check",
        "opt/lux/libexec/luxusb-stick",
        "opt/lux/libexec/luxusb-transfer",
        *(f"usr/lib/systemd/system/{unit}" for unit in UNITS),
        "usr/lib/udev/rules.d/90-luxusb.rules",
        "usr/lib/sysusers.d/luxusb.conf",
        "usr/lib/tmpfiles.d/luxusb.conf",
        "usr/share/dbus-1/system-services/org.luxusb.Manager.service",
        "usr/share/dbus-1/system.d/org.luxusb.Manager.conf",
        "usr/share/polkit-1/actions/org.luxusb.policy",
    }
    unit = (destination / "usr/lib/systemd/system/luxusbd.service").read_text()
    assert "ExecStart=/opt/lux/sbin/luxusbd --sockets /run/luxusb\n" in unit
    unit = (destination / "usr/lib/systemd/system/luxusb-stick@.service").read_text()
    assert "ExecStart=/opt/lux/libexec/luxusb-stick\n" in unit
    unit = (destination / "usr/lib/systemd/system/luxusb-catalog-update.service").read_text()
    assert unit.count("exec /opt/lux/bin/luxusb --json catalog update") == 2
    service = (destination / "usr/share/dbus-1/system-services/org.luxusb.Manager.service").read_text()
    assert "Exec=/opt/lux/sbin/luxusbd\n" in service
    command = destination / "opt/lux/bin/luxusb"
    assert stat.S_IMODE(command.stat().st_mode) == 0o755
    assert 'sys.path.insert(0, "/opt/lux/lib/luxusb")' in command.read_text()

    assert run_install(source, "install", str(destination), "/opt/lux").returncode == 0
    assert run_install(source, "uninstall", str(destination), "/opt/lux").returncode == 0
    assert not destination.exists()


def test_what_has_an_install_section_is_enabled() -> None:
    (line,) = re.findall(r"^enabled=\((.*)\)$", (ROOT / "packaging/install.sh").read_text(), re.MULTILINE)
    wanted = [unit for unit in UNITS if "[Install]" in (ROOT / "systemd" / unit).read_text()]
    assert sorted(line.split()) == wanted


def test_uninstall_keeps_what_others_put_there(source: Path) -> None:
    destination = source.parent / "dest"
    (destination / "usr/share/dbus-1").mkdir(parents=True)
    done = run_install(source, "install", str(destination), "/usr")
    assert done.returncode == 0, done.stderr
    (destination / "usr/share/polkit-1/actions/other.policy").write_text("")
    done = run_install(source, "uninstall", str(destination), "/usr")
    assert done.returncode == 0, done.stderr
    assert files_below(destination) == {"usr/share/polkit-1/actions/other.policy"}
    assert (destination / "usr/share/dbus-1").is_dir()
    assert not (destination / "usr/share/dbus-1/system.d").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("uninstall", "/nowhere/at/all", "/usr"), "nothing is installed"),
        (("install", "", "usr"), "PREFIX has to be an absolute path"),
        (("install", "dest", "/usr"), "DESTDIR has to be an absolute path"),
        (("explode", "", "/usr"), "unknown action"),
    ],
)
def test_wrong_calls_say_what_is_wrong(source: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run_install(source, *arguments)
    assert done.returncode == 1
    assert said in done.stderr
