"""Who may do what: one table from the rules of the bus and the defaults of polkit.

`python -m tests.bus.matrix` writes it into docs/security.md, between its two markers.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luxusbd import resources
from luxusbd.bus.contract import JOB, MANAGER, interfaces
from luxusbd.bus.members import RULES, Action

SESSIONS = ("active", "inactive", "any")
"""The kinds of session that polkit tells apart: at the machine and in front, at the machine, all others."""
DOCUMENT = resources.root() / "docs" / "security.md"
BEGIN, END = "<!-- matrix:begin -->", "<!-- matrix:end -->"
_SHOWN = {"yes": "yes", "auth_admin": "password", "auth_admin_keep": "password, kept"}


@dataclass(frozen=True)
class Row:
    """One way to call a method: with an option that changes what is asked, where there is one."""

    interface: str
    member: str
    action: Action | None
    option: str = ""
    others: str = ""
    """What becomes of a call for another user's object: `asked` for the action, or `hidden` whatever polkit says."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The row's title."""
        prefix = "" if self.interface == MANAGER else "Job."
        return f"{prefix}{self.member}" + (f" with `{self.option}`" if self.option else "")

    @property
    def owner_is_free(self) -> bool:
        """Whether nobody is asked about the caller's own."""
        return self.action is None or self.interface == JOB


def rows() -> Iterator[Row]:
    """All of them, in the order of the rules."""
    for (interface, member), rule in RULES.items():
        takes_device = any(arg.type in ("o", "ao") for arg in interfaces()[interface].methods[member].inputs)
        others = "asked" if interface == JOB else "hidden" if takes_device else ""
        yield Row(interface, member, rule.action, others=others)
        if member == "PruneImages":
            yield Row(interface, member, None, option="dry_run", options={"dry_run": True})
        if member == "UpdateStick":
            yield Row(interface, member, None, others=others, option="check", options={"check": True})
        if member == "ListJobs":
            yield Row(interface, member, Action.MANAGE_ALL_JOBS, option="all_users", options={"all_users": True})


def defaults(path: Path | None = None) -> dict[Action, tuple[str, ...]]:
    """What the policy file answers where no rule of an administrator does, by action in the order of `SESSIONS`."""
    root = ET.parse(path or resources.root() / "polkit" / "org.luxusb.policy").getroot()
    return {
        Action(action.get("id", "")): tuple(action.findtext(f"defaults/allow_{kind}") or "no" for kind in SESSIONS)
        for action in root.iter("action")
    }


def table() -> str:
    """The table in Markdown."""
    answers = defaults()
    lines = [
        "| Method | Action | root | active session | inactive session | other (ssh, cron) | another user's object |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows():
        cells = (
            ["yes"] * 3
            if row.owner_is_free or row.action is None
            else [_SHOWN[answer] for answer in answers[row.action]]
        )
        if row.others == "asked" and row.action is not None:
            kinds = ", ".join(_SHOWN[answer] for answer in answers[row.action][:1])
            others = f"{kinds} (active), {_SHOWN[answers[row.action][1]]} (else); refused as if it were not there"
        else:
            others = {"hidden": "not there (root: yes)", "": "–"}[row.others]
        action = f"`{row.action.value.removeprefix('org.luxusb.')}`" if row.action else "–"
        lines.append(f"| {row.name} | {action} | yes | {' | '.join(cells)} | {others} |")
    return "\n".join(lines)


def written(document: str) -> str:
    """The document with the table of today."""
    new, count = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table()}\n{END}", document, count=1, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{DOCUMENT} has no {BEGIN} … {END}")
    return new


if __name__ == "__main__":
    before = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else f"{BEGIN}\n{END}\n"
    DOCUMENT.write_text(written(before), encoding="utf-8")
