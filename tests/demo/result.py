"""What a demo leaves behind: enough to know that nothing needs to be done again, and the table at its end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from luxusbd.images.model import Firmware
from tests.demo.boots import Evidence
from tests.harness.service import ROOT

_SHOWN = (Firmware.BIOS, Firmware.UEFI)


@dataclass(frozen=True)
class Result:
    """One finished demo."""

    program: str
    """Fingerprint of the code that made it."""
    images: dict[str, str]
    """sha256 of each image by its id."""
    stick: str
    """sha256 of the stick image."""
    names: dict[str, str]
    """Title of each image by its id, in menu order."""
    evidence: tuple[Evidence, ...]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Result | None:
        """Read it; None when there is none, or one that an older demo wrote in another shape."""
        try:
            document = json.loads(path.read_text("utf-8"))
            seen = tuple(Evidence(**{**item, "firmware": Firmware(item["firmware"])}) for item in document["evidence"])
            return cls(**{**document, "evidence": seen})
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return None

    def table(self) -> list[str]:
        """Lines of the table image x firmware x evidence."""
        found = {(item.image, item.firmware): item for item in self.evidence}
        rows = [("image", "firmware", "seen to start by", "picture")]
        for image, title in self.names.items():
            for firmware in _SHOWN:
                item = found.get((image, firmware))
                how = (item.how, item.picture) if item else ("(does not start under it, and the menu says so)", "")
                rows.append((title, firmware.value.upper(), *how))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])).rstrip()
            for row in rows
        ]
        return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def fingerprint() -> str:
    """Hash of all code and data that decide how a stick looks and how it is booted here."""
    digest = hashlib.sha256()
    for directory in ("luxusbd", "clients", "data", "dbus", "tests/demo", "tests/harness"):
        for path in sorted((ROOT / directory).rglob("*")):
            if path.is_file() and path.suffix in {".py", ".json", ".xml", ".conf"}:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def still_true(result: Result | None, program: str, images: Sequence[tuple[str, str]], stick: Path) -> bool:
    """Whether an earlier demo made just this stick from just these images, and nobody touched it since."""
    return (
        result is not None
        and result.program == program
        and result.images == dict(images)
        and stick.is_file()
        and file_hash(stick) == result.stick
    )
