from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from luxusbd.devices.guard import GuardPolicy
from tests.devices.loops import Loops


@pytest.fixture
def loops(tmp_path: Path) -> Iterator[Loops]:
    with ExitStack() as stack:
        yield Loops(tmp_path, stack)


@pytest.fixture
def policy(tmp_path: Path) -> GuardPolicy:
    """Allows the loops on this test's own files, and no other engineer's."""
    return GuardPolicy(allow_loop=(f"{tmp_path}/*",))
