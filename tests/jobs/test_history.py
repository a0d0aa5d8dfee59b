"""The history of a job."""

from __future__ import annotations

from luxusbd.jobs import history
from luxusbd.jobs.history import History


def texts(lines: History) -> list[str]:
    return [line.text for line in lines]


def test_what_repeats_itself_stands_there_once() -> None:
    lines: History = ()
    for text in ("connect", "transfer"):
        lines = history.longer(lines, text)
    for _ in range(500):
        for mirror in ("a.test", "b.test"):
            lines = history.noted(lines, f"{mirror} could not be reached")
    assert texts(lines) == ["connect", "transfer", "a.test could not be reached", "b.test could not be reached"]
    lines = history.longer(lines, "transfer")
    assert texts(lines)[-1] == "transfer"
    assert texts(lines).count("transfer") == 2


def test_the_newest_lines_are_kept_and_secrets_are_not() -> None:
    lines: History = ()
    for number in range(history.LINES + 5):
        lines = history.noted(lines, f"{number} http://user:secret@x.test/?key")
    assert len(lines) == history.LINES
    assert texts(lines)[-1] == f"{history.LINES + 4} http://x.test/?..."
