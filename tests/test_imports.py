"""The direction of imports: a room may use those below it, clients know the daemon by its bus alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ORDER = (
    ("__main__",),
    ("service",),
    ("bus",),
    ("jobs",),
    ("children",),
    ("stick",),
    ("transfer",),
    ("images",),
    ("catalog",),
    ("devices",),
    ("store",),
    ("systemd",),
    ("settings",),
    ("configfile",),
    ("config", "process", "resources"),
    ("journal",),
    ("text", "countries", "durable", "nesting"),
    ("errors",),
)
"""From the top down. What shares a line does not import each other."""

BUS_LIBRARIES = {"dbus_next", "dbus_fast"}
BUS_LIBRARY_ROOM = "luxusbd.bus._lib"

PURE = {
    "luxusbd",
    "luxusbd.errors",
    "luxusbd.resources",
    "luxusbd.catalog",
    "luxusbd.catalog.model",
    "luxusbd.catalog.schema",
    "luxusbd.catalog.search",
    "luxusbd.catalog.parse",
    "luxusbd.catalog.own",
    "luxusbd.catalog.migrate",
    "luxusbd.images",
    "luxusbd.images.model",
    "luxusbd.images.recipebook",
    "luxusbd.images.recipelint",
    "luxusbd.images.recipelist",
    "luxusbd.images.recipes",
    "luxusbd.text",
    "luxusbd.transfer",
    "luxusbd.transfer.sums",
}
"""What a client may import: rooms that take values, return values and touch nothing else."""


SHARED = {
    f"luxusb_cli.{name}"
    for name in ("i18n", "catalog", "errors", "images", "model", "plans", "remote", "results", "text", "units", "wire")
} | {"luxusb_cli"}
"""What the desktop app takes from the command: its values, and its words. None of it prints or speaks D-Bus."""


@dataclass(frozen=True)
class Import:
    """`module` (a file of this project) imports `target`."""

    module: str
    target: str
    line: int


def module_name(path: Path, base: Path) -> str:
    parts = list(path.relative_to(base).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, base: Path) -> Iterator[Import]:
    """Every import in a file, also those inside functions; relative ones made absolute."""
    module = module_name(path, base)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                below = f"{source}.{alias.name}"
                yield Import(module, below if is_module(below, base) else source, node.lineno)


def is_module(name: str, base: Path) -> bool:
    path = base.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def project_imports(top: str, base: Path) -> list[Import]:
    return [found for path in sorted((base / top).rglob("*.py")) for found in imports_of(path, base)]


def room(module: str) -> str:
    """The part of luxusbd that a module belongs to."""
    return [*module.split("."), ""][1]


def level(module: str) -> int:
    """Position in `ORDER`; raises LookupError for a room that the order does not know."""
    for at, rooms in enumerate(ORDER):
        if room(module) in rooms:
            return at
    raise LookupError(f"{module}: the order of rooms in {Path(__file__).name} does not know it")


def is_values(module: str) -> bool:
    """`<room>/model.py` holds values that travel between all rooms, and lies below them."""
    return module.startswith("luxusbd.") and module.endswith(".model")


def violation(found: Import) -> str:
    """What is wrong with an import of luxusbd, or an empty string."""
    where = f"{found.module}:{found.line} imports {found.target}"
    top = found.target.partition(".")[0]
    if top in BUS_LIBRARIES and found.module != BUS_LIBRARY_ROOM:
        return f"{where}: only {BUS_LIBRARY_ROOM} knows the bus library"
    if top in {"luxusb_cli", "luxusb_gtk", "tests", "clients"}:
        return f"{where}: the daemon knows nothing of this"
    if top != "luxusbd" or not room(found.target) or room(found.module) == room(found.target):
        return ""
    if is_values(found.module):
        return "" if is_values(found.target) or level(found.target) >= level("luxusbd.errors") else f"{where}: values"
    if is_values(found.target):
        return ""
    if level(found.target) <= level(found.module):
        return f"{where}: that is not below it"
    return ""


def client_violation(found: Import) -> str:
    where = f"{found.module}:{found.line} imports {found.target}"
    top = found.target.partition(".")[0]
    own = found.module.partition(".")[0]
    if top == "luxusbd" and found.target not in PURE:
        return f"{where}: a client may import {', '.join(sorted(PURE))} and nothing else of the daemon"
    if own == "luxusb_gtk" and found.target in SHARED:
        return ""
    if top in {"tests", "clients"} or (top.startswith("luxusb_") and top != own):
        return f"{where}: a client stands alone"
    return ""


def test_rooms_import_downwards_only() -> None:
    found = project_imports("luxusbd", ROOT)
    assert found
    assert [text for item in found if item.module != "luxusbd" and (text := violation(item))] == []


def test_package_itself_imports_nothing_of_the_project() -> None:
    found = list(imports_of(ROOT / "luxusbd" / "__init__.py", ROOT))
    assert [item for item in found if item.target.partition(".")[0] == "luxusbd"] == []


@pytest.mark.parametrize("client", ["luxusb_cli", "luxusb_gtk"])
def test_clients_know_the_daemon_by_its_bus(client: str) -> None:
    found = project_imports(client, ROOT / "clients")
    assert (ROOT / "clients" / client / "__init__.py").is_file()
    assert [text for item in found if (text := client_violation(item))] == []


def test_the_app_says_which_version_of_each_library_it_wants() -> None:
    """PyGObject takes any version of one that is imported before it was said, and warns; GLib's own come with it."""
    import gi
    import luxusb_gtk  # noqa: F401

    wanted = {
        alias.name
        for path in (ROOT / "clients/luxusb_gtk").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path)))
        if isinstance(node, ast.ImportFrom) and node.module == "gi.repository"
        for alias in node.names
    }
    assert {"Gtk", "Gdk"} <= wanted
    assert {name for name in wanted - {"GLib", "GObject", "Gio"} if gi.get_required_version(name) is None} == set()


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("luxusbd.devices.monitor", "luxusbd.catalog.schema"),
        ("luxusbd.stick.writer", "luxusbd.children.worker"),
        ("luxusbd.jobs.queue", "luxusbd.bus"),
        ("luxusbd.jobs.queue", "luxusbd.service"),
        ("luxusbd.errors", "luxusbd.process"),
        ("luxusbd.stick.model", "luxusbd.images.recipes"),
        ("luxusbd.bus.dispatcher", "dbus_next.aio"),
        ("luxusbd.jobs.queue", "dbus_fast"),
        ("luxusbd.jobs.queue", "luxusb_cli.client"),
        ("luxusbd.process", "luxusbd.config"),
    ],
)
def test_a_wrong_import_is_found(module: str, target: str) -> None:
    assert violation(Import(module, target, 1))


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("luxusbd.service", "luxusbd.bus.connection"),
        ("luxusbd.children.stick_worker", "luxusbd.stick.writer"),
        ("luxusbd.catalog.schema", "luxusbd.images.model"),
        ("luxusbd.bus._lib", "dbus_next"),
        ("luxusbd.stick.menu", "luxusbd.stick.text"),
    ],
)
def test_a_right_import_passes(module: str, target: str) -> None:
    assert violation(Import(module, target, 1)) == ""


def test_an_unknown_room_is_refused() -> None:
    with pytest.raises(LookupError, match="attic"):
        violation(Import("luxusbd.bus.tree", "luxusbd.attic.box", 1))


def test_client_rules() -> None:
    assert client_violation(Import("luxusb_cli.app", "luxusbd.store", 1))
    assert client_violation(Import("luxusb_cli.app", "luxusb_gtk.window", 1))
    assert client_violation(Import("luxusb_cli.app", "luxusbd.catalog.schema", 1)) == ""
    assert client_violation(Import("luxusb_cli.app", "dbus_next.aio", 1)) == ""


def test_imports_are_read_wherever_they_stand(tmp_path: Path) -> None:
    package = tmp_path / "luxusbd" / "bus"
    package.mkdir(parents=True)
    for directory in (package, package.parent):
        (directory / "__init__.py").write_text("")
    (package / "_lib.py").write_text("")
    source = package / "tree.py"
    source.write_text("def f():\n    from . import _lib\n    from ..jobs import api\nimport luxusbd.store as s\n")
    assert {item.target for item in imports_of(source, tmp_path)} == {
        "luxusbd.bus._lib",
        "luxusbd.jobs",
        "luxusbd.store",
    }


@pytest.mark.parametrize(
    ("process", "readers"),
    [
        (
            "luxusbd.service",
            ("aiohttp", "luxusbd.transfer.decoders", "luxusbd.transfer.metalink", "luxusbd.images.iso9660"),
        ),
        ("luxusbd.children.stick_main", ("aiohttp", "luxusbd.transfer.decoders", "dbus_next")),
        ("luxusbd.children.check_main", ("aiohttp", "dbus_next", "jsonschema")),
    ],
)
def test_a_process_does_not_load_what_it_has_no_use_for(process: str, readers: tuple[str, ...]) -> None:
    """What reads foreign bytes is none of the processes with rights, and each of them starts the sooner."""
    code = f"import sys, {process}\nprint(*set({readers!r}) & set(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )
    assert (said.returncode, said.stdout.split(), said.stderr) == (0, [], "")
