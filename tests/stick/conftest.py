"""The stick that tests of the writer make in an image file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stick.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()
