"""docs/catalogue.md names every field, and its examples are right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from luxusbd import resources
from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.layers import Layers
from luxusbd.catalog.mirrorlists import parse_lists
from luxusbd.catalog.model import Layer
from luxusbd.catalog.schema import parse_document

PAGE = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


def fields(schema: str, *path: str) -> list[str]:
    found = json.loads(resources.data("schemas", schema).read_text("utf-8"))
    for step in path:
        found = found[step]
    return list(found["properties"])


@pytest.mark.parametrize(
    "field",
    [
        *fields("catalog.schema.json"),
        *fields("catalog.schema.json", "$defs", "distribution"),
        *fields("catalog.schema.json", "$defs", "release"),
        *fields("mirrors.schema.json"),
        *fields("mirrors.schema.json", "$defs", "group"),
    ],
)
def test_every_field_is_explained_with_an_example(field: str) -> None:
    rows = [row for row in ROWS if f"`{field}`" in row.split("|")[1]]
    assert rows
    assert any("`" in row.split("|")[-2] or "see below" in row for row in rows)


def test_the_examples_are_right() -> None:
    pin, catalogue, mirrors, _feed = EXAMPLES  # the last is read by test_feeds.py
    packaged = Catalog.load(Sources(cache=Path("/nonexistent"), admin=Path("/nonexistent")))
    (pinned,) = parse_document(pin.encode(), "docs/catalogue.md", Layer.ADMIN)
    below = packaged.get(pinned.id)
    layers = Layers([below])
    layers.put([pinned])
    (found,) = layers.distributions()
    assert (found.description, len(found.releases)) == (below.description, len(below.releases) + 1)
    (entry,) = parse_document(catalogue.encode(), "docs/catalogue.md", Layer.CACHE)
    assert entry.releases[0].mirrors[1].country == "DE"
    assert set(parse_lists(mirrors.encode(), "docs/catalogue.md")) == {"debian"}
