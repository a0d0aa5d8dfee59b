"""The fake engine with a note of what it was asked to do."""

from __future__ import annotations

import re
from typing import Any

from luxusbd.bus.contract import JOB
from tests.bus import matrix
from tests.bus.fake import FakeEngine
from tests.bus.matrix import Row


def engine_method(row: Row) -> str:
    """pause_job for Job.Pause, list_images for ListImages."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", row.member).lower()
    return {"get_settings": "settings"}.get(name, f"{name}_job" if row.interface == JOB else name)


ACTING = frozenset(engine_method(row) for row in matrix.rows())


class CountingEngine(FakeEngine):
    """Notes which of the methods behind the bus were taken hold of."""

    def __getattribute__(self, name: str) -> Any:
        if name in ACTING:
            self.acted.append(name)
        return super().__getattribute__(name)

    @property
    def acted(self) -> list[str]:
        noted: list[str] = self.__dict__.setdefault("_acted", [])
        return noted
