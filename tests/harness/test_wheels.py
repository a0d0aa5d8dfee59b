"""packaging/wheels.py and what it has written: the Python packages inside the Debian package."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# a package of PyPI has the name of its directory
_SPEC = importlib.util.spec_from_file_location("wheels", ROOT / "packaging" / "wheels.py")
assert _SPEC is not None
assert _SPEC.loader is not None
wheels = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(wheels)


def wheel(directory: Path, name: str, files: dict[str, str]) -> str:
    """Make one; its SHA-256."""
    directory.mkdir(exist_ok=True)
    with zipfile.ZipFile(directory / name, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
    return hashlib.sha256((directory / name).read_bytes()).hexdigest()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages, one of them compiled for two Pythons, and a lock that names them."""
    one = wheel(
        tmp_path / "w", "some_thing-1-py3-none-any.whl", {"some_thing.py": "", "some_thing-1.data/scripts/x": ""}
    )
    both = [
        wheel(tmp_path / "w", f"fast-2-cp{at}-cp{at}-any.whl", {"fast/__init__.py": "", f"fast/c.cpython-{at}.so": at,
              "fast-2.dist-info/RECORD": at, "fast-2.dist-info/METADATA": "Name: fast"})
        for at in ("311", "313")
    ]  # fmt: skip
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in both)
    (tmp_path / "lock").write_text(f"# comment\n\nsome-thing==1 --hash=sha256:{one}\nfast==2 {hashes}\n")
    monkeypatch.setattr(wheels, "LOCK", tmp_path / "lock")
    return tmp_path


def unpacked(place: Path, *only: str) -> set[str]:
    wheels.unpack(place / "w", place / "out", only)
    return {str(path.relative_to(place / "out")) for path in (place / "out").rglob("*") if path.is_file()}


def test_what_is_compiled_lies_side_by_side(place: Path) -> None:
    compiled = {"fast/__init__.py", "fast/c.cpython-311.so", "fast/c.cpython-313.so", "fast-2.dist-info/METADATA"}
    assert unpacked(place, "fast") == compiled
    assert unpacked(place) == compiled | {"some_thing.py"}


def test_another_file_of_the_same_name_is_refused(place: Path) -> None:
    wheel(place / "w", "fast-2-cp313-cp313-any.whl", {"fast/__init__.py": "evil()"})
    assert wheels.missing(place / "w")
    with pytest.raises(wheels.WheelError, match="is not the file that lock names"):
        unpacked(place)


def test_one_that_is_not_there_is_missed(place: Path) -> None:
    (place / "w" / "fast-2-cp311-cp311-any.whl").unlink()
    with pytest.raises(wheels.WheelError, match="lacks the files"):
        unpacked(place)


def test_what_the_lock_does_not_name_is_refused(place: Path) -> None:
    with pytest.raises(wheels.WheelError, match="does not name slow"):
        unpacked(place, "slow")
    (place / "lock").write_text("fast==2\n")
    with pytest.raises(wheels.WheelError, match="cannot read"):
        wheels.locked()


def test_one_that_differs_between_pythons_is_refused(place: Path) -> None:
    digest = wheel(place / "w", "fast-2-cp313-cp313-any.whl", {"fast/__init__.py": "other"})
    (place / "lock").write_text((place / "lock").read_text() + f"again==1 --hash=sha256:{digest}\n")
    lines = (place / "lock").read_text().replace("fast==2 ", f"fast==2 --hash=sha256:{digest} ")
    (place / "lock").write_text(lines)
    with pytest.raises(wheels.WheelError, match="is another file for another Python"):
        unpacked(place, "fast")


@pytest.mark.parametrize("inside", ["../evil.py", "/evil.py"])
def test_nothing_leaves_the_directory(place: Path, inside: str) -> None:
    digest = wheel(place / "w", "some_thing-1-py3-none-any.whl", {inside: ""})
    (place / "lock").write_text(f"some-thing==1 --hash=sha256:{digest}\n")
    with pytest.raises(wheels.WheelError, match="has a file at"):
        unpacked(place, "some-thing")


def test_the_lock_has_what_pyproject_wants_and_copyright_names_each() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    locked: dict[str, tuple[str, frozenset[str]]] = wheels.locked()
    for requirement in wanted:
        name, limit = re.match(r"([a-z-]+)(?:[>=]=([\d.]+))?", requirement).groups()  # type: ignore[union-attr]
        version = locked[name][0]
        assert [int(part) for part in version.split(".")] >= [int(part) for part in limit.split(".")]
    compiled = [name for name, (_, hashes) in locked.items() if len(hashes) == len(wheels.PYTHONS)]
    assert {"aiohttp", "rpds-py"} <= set(compiled)
    assert {len(hashes) for _, hashes in locked.values()} == {1, len(wheels.PYTHONS)}
    named = (ROOT / "packaging" / "debian" / "copyright").read_text()
    missing = [name for name in locked if f"wheels/{name.replace('-', '_')}-*" not in named]
    assert missing == []
    assert [name for name in wheels.WITHOUT if name in locked] == []
