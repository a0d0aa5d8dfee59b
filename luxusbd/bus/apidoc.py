"""docs/dbus-api.md from the contract: `python -m luxusbd.bus.apidoc > docs/dbus-api.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from luxusbd import resources
from luxusbd.bus.contract import DEVICE, JOB, MANAGER, Arg, Emits, Interface, interfaces
from luxusbd.bus.members import RULES
from luxusbd.bus.options import TYPE_NAMES, Option

_EMITS = {
    Emits.TRUE: "announced",
    Emits.INVALIDATES: "invalidated",
    Emits.CONST: "never changes",
    Emits.FALSE: "not announced",
}


def intro_path() -> Path:
    """The hand-written part, which stands first in the document."""
    return resources.root() / "docs" / "dbus-api.intro.md"


def document(intro: str) -> str:
    """The whole page."""
    parts = [intro.rstrip() + "\n"]
    parts += ["\n".join(_interface(interfaces()[name])) for name in (MANAGER, DEVICE, JOB)]
    return "\n".join(parts)


def _interface(interface: Interface) -> Iterator[str]:
    yield f"## {interface.name}\n"
    yield f"{interface.doc}\n"
    if interface.methods:
        yield "### Methods\n"
    for method in interface.methods.values():
        yield f"#### {method.name}({_args(method.inputs)}) → ({_args(method.outputs)})\n"
        yield f"{method.doc}\n"
        rule = RULES[interface.name, method.name]
        yield f"*Authorisation:* {_action(interface.name, rule.action)}\n"
        if rule.options:
            yield "*Options:* " + "; ".join(_option(option) for option in rule.options) + "\n"
    if interface.signals:
        yield "### Signals\n"
    for signal in interface.signals.values():
        yield f"#### {signal.name}({_args(signal.args)})\n"
        yield f"{signal.doc}\n"
    if interface.properties:
        yield "### Properties\n"
        yield "| name | type | change | meaning |"
        yield "|---|---|---|---|"
        for prop in interface.properties.values():
            yield f"| {prop.name} | `{prop.type}` | {_EMITS[prop.emits]} | {_cell(prop.doc)} |"
        yield ""


def _action(interface: str, action: str | None) -> str:
    if action is None:
        return "nobody is asked."
    return f"`{action}`" + (", unless the caller owns the job or is root." if interface == JOB else ".")


def _args(args: tuple[Arg, ...]) -> str:
    return ", ".join(f"{arg.type} {arg.name}" for arg in args)


def _option(option: Option[object]) -> str:
    shown = f"`{option.name}`, {TYPE_NAMES[option.signature]}"
    if option.choices:
        return f"{shown}: {', '.join(option.choices)}"
    if option.signature in ("s", "as"):
        return shown
    if option.minimum is not None or option.maximum is not None:
        shown += f", {option.minimum} to {option.maximum}"
    return shown


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Print the page."""
    sys.stdout.write(document(intro_path().read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
