"""What a serial console printed, as lines a person and a regular expression can read."""

from __future__ import annotations

import codecs
import re

# Cursor addressing starts a new line in the text: GRUB places each line of its menu with it.
_POSITION = re.compile(r"\x1b\[\d*(?:;\d*)?[Hf]")
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?=]*[@-~]|[()][0-9A-B]|[=>78cDEHM])|\x0f|\x0e|\x07|\x00")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?=]*|[()])?\Z")


class Console:
    """Collects the bytes of a serial line."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._text = ""
        self.mark = 0
        """Position in `text` up to which `find` has consumed."""

    def feed(self, data: bytes) -> None:
        """Take what arrived; a control sequence cut in two is kept until its rest comes."""
        text = self._pending + self._decoder.decode(data)
        cut = _UNFINISHED.search(text)
        self._pending = text[cut.start() :] if cut else ""
        text = _POSITION.sub("\n", text[: cut.start()] if cut else text)
        self._text += _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")

    @property
    def text(self) -> str:
        """All of it, without control sequences."""
        return self._text

    def find(self, pattern: str | re.Pattern[str]) -> re.Match[str] | None:
        """Look in what no earlier call consumed; a match consumes up to its end."""
        match = re.compile(pattern, re.MULTILINE).search(self._text, self.mark)
        if match is not None:
            self.mark = match.end()
        return match

    def tail(self, lines: int = 25) -> str:
        """The last lines that hold anything, for an error message."""
        kept = [line.rstrip() for line in self._text.splitlines() if line.strip()]
        return "\n".join(kept[-lines:])
