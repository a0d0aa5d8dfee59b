"""What `make test-vm` shows: one line a scenario. A plugin of pytest, loaded by `-p tests.vm.scenarios`.

A scenario is called what its test function says, with blanks: `test_a_stick_comes_and_goes[vfat]` is "a stick comes and
goes (vfat)".
"""

from __future__ import annotations

import time
from collections.abc import Generator

import pytest

_WIDTH = 72
_VERDICTS = {"passed": "ok", "failed": "FAILED"}


def title(item_name: str) -> str:
    """What people call the scenario of a test function."""
    name, _, parameters = item_name.partition("[")
    spoken = name.removeprefix("test_").replace("_", " ")
    return f"{spoken} ({parameters.removesuffix(']')})" if parameters else spoken


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scenario", default="", help="run only scenarios whose name has all of these words")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    words = str(config.getoption("--scenario")).casefold().split()
    chosen = [item for item in items if all(word in title(item.name).casefold() for word in words)]
    if not chosen:
        known = "\n".join(sorted({f"  {title(item.name)}" for item in items}))
        raise pytest.UsageError(f"no scenario has the words {' '.join(words)!r} in its name; there are:\n{known}")
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Lines(config), "scenario-lines")


class _Lines:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = 0.0
        self._failed = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_teststatus(self) -> Generator[None, tuple[str, object, object], tuple[str, str, str]]:
        """The letters that pytest prints while it runs are left out; what it counts stays."""
        category, _, _ = yield
        return category, "", ""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        many = "scenario" if len(session.items) == 1 else "scenarios"
        self._write(f"{len(session.items)} {many}; the machine starts first (a minute, or several to make its disk)")

    def pytest_runtest_logstart(self) -> None:
        self._began = time.monotonic()
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed
        if report.when != "teardown":
            return
        verdict = _VERDICTS["failed" if self._failed else "passed"]
        name = title(report.location[2].rpartition(".")[2])
        line = f"{verdict:<7} {name:<{_WIDTH}} {time.monotonic() - self._began:5.0f} s"
        self._write(line, green=not self._failed, red=self._failed)

    def _write(self, line: str, **markup: bool) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.write_line(line, **markup)
