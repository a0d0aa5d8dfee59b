from __future__ import annotations

import json
import os
from typing import Any

import pytest

from luxusbd.errors import FailedError
from luxusbd.images.details_codec import inspection_from_json, inspection_to_json
from luxusbd.images.recognise import inspect
from tests.bus.examples import DETAILS
from tests.images.builders import GRUB_RESCUE, MEMTEST


@pytest.mark.parametrize("path", [MEMTEST, GRUB_RESCUE], ids=lambda path: path.name)
def test_round_trip_of_real_images(path: os.PathLike[str]) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        found = inspect(fd)
    finally:
        os.close(fd)
    assert found.details.recipe_version > 0
    assert found.details.table
    assert found.details.boot_records
    assert inspection_from_json(json.loads(json.dumps(inspection_to_json(found)))) == found


def document() -> dict[str, Any]:
    fd = os.open(MEMTEST, os.O_RDONLY)
    try:
        made = inspection_to_json(inspect(fd))
    finally:
        os.close(fd)
    parts = [{**vars(part), "label": "root"} for part in DETAILS.partitions]
    programs = [{**vars(program), "signers": list(program.signers)} for program in DETAILS.programs]
    return {**made, "partitions": parts, "programs": programs}


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("container",), "floppy"),
        (("names",), "../x"),
        (("table",), "GPT"),
        (("recipe_version",), -1),
        (("minimum_memory",), True),
        (("partitions",), [{}]),
        (("partitions", 0, "kind"), "zz"),
        (("partitions", 0, "active"), 1),
        (("partitions", 0, "start"), 2**64),
        (("boot_records", 0, "platform"), "BIOS X"),
        (("programs", 0, "signers"), ["x"] * 17),
        (("programs", 0, "architecture"), "sparc"),
        (("recognition", "size"), "1"),
    ],
)
def test_what_is_malformed_is_refused(keys: tuple[str | int, ...], value: object) -> None:
    made = document()
    inspection_from_json(made)
    inner: Any = made
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    with pytest.raises(FailedError, match=r"malformed: \$"):
        inspection_from_json(made)
