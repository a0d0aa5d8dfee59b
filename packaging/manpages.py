"""Writes the manual pages luxusb(1), luxusb-gtk(1), luxusbd(8) and luxusbd.toml(5) out of the programs themselves.

`python packaging/manpages.py DIR`; the packages luxusbd and luxusb_cli have to be importable. Nothing in a page is kept
in two places: commands and options come from the parsers, settings from the classes that read them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
from luxusb_cli import helptexts
from luxusb_cli.app import cli
from luxusb_cli.errors import ExitCode

from luxusbd import __version__, config, configfile
from luxusbd.__main__ import parser

_EVERYWHERE = frozenset({"--help", "--json"})
"""Options of every command, described once."""
_EXIT_STATUS = {
    ExitCode.DONE: "Done.",
    ExitCode.FAILED: "It failed; what, why and what to do is on standard error.",
    ExitCode.USAGE: "The command line makes no sense.",
    ExitCode.NOT_AUTHORIZED: "Not authorised.",
    ExitCode.NO_DAEMON: "The daemon, or the bus, cannot be reached.",
    ExitCode.CANCELLED: "The job was cancelled, or the question was not answered with yes.",
    ExitCode.UPDATES: "`luxusb update --check` or `luxusb bundle update --check` found newer releases.",
    ExitCode.INTERRUPTED: "Interrupted by Ctrl-C; the job goes on.",
}
_ENVIRONMENT = {
    "DBUS_SYSTEM_BUS_ADDRESS": "Address of the bus, where --address is not given.",
    "LANGUAGE, LC_ALL, LC_MESSAGES, LANG": "The language of texts. What --json prints is English.",
    "NO_COLOR": "When it is set and not empty, nothing is coloured.",
    "XDG_CACHE_HOME": "Where the directory luxusb with the last list of distributions lies; ~/.cache if not set.",
}
_FILES = {
    "~/.cache/luxusb/distros.json": "The last list of distributions, which is shown when there is no daemon.",
    "~/.config/luxusb/custom_distros.json": "Your own catalogue, and what the bundles that you use have.",
    "~/.config/luxusb/bundles.json": "Which bundles you use.",
    "/usr/share/luxusb/data/schemas/cli/": "JSON Schemas of what --json prints.",
}
_DAEMON_FILES = {
    "/etc/luxusb/luxusbd.toml": "Settings, see luxusbd.toml(5).",
    "/etc/luxusb/distros.d/*.json": "Catalogue files of the administrator.",
    "/etc/luxusb/recipes.d/*.json": "Boot recipes of the administrator, see `luxusb recipes check`.",
    "/etc/luxusb/certificates.d/*.cer": "Certificates for MokManager that every stick brings along.",
    "/etc/luxusb/keys.d/FINGERPRINT.asc": "Copies of makers' OpenPGP keys of the administrator.",
    "/var/lib/luxusb/": "Jobs, stored images and unfinished downloads.",
    "/var/cache/luxusb/": "The updated catalogue with its boot recipes, and fetched keys.",
}


def text(plain: str) -> str:
    """Running text for roff: nothing in it is a request, and what stands in backquotes is bold."""
    parts = plain.replace("\\", "\\e").replace("-", "\\-").split("`")
    if len(parts) % 2 == 0:
        return _guarded("\\(ga".join(parts))
    return _guarded("".join(f"\\fB{part}\\fR" if at % 2 else part for at, part in enumerate(parts)))


def _guarded(line: str) -> str:
    return "\\&" + line if line[:1] in {".", "'"} else line


def bold(plain: str) -> str:
    """One bold line."""
    return "\\fB" + plain.replace("\\", "\\e").replace("-", "\\-") + "\\fR"


def _title(name: str, section: int) -> list[str]:
    return [f'.TH {name.upper()} {section} "" "luxusb {__version__}" "LUXusb"']


def _paragraphs(help_text: str | None) -> Iterator[str]:
    """Paragraphs of a click help text; those whose lines have to stay are examples."""
    for part in helptexts.paragraphs(help_text or ""):
        if part.startswith("\b\n"):
            head, *lines = part.split("\n")[1:]
            yield ".PP"
            yield text(head.strip())
            if lines:
                yield from (".RS 4", ".EX", *(_guarded(_literal(line.strip())) for line in lines), ".EE", ".RE")
        else:
            yield from (".PP", text(" ".join(part.split())))


def _literal(line: str) -> str:
    return (
        line.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha").replace("~", "\\(ti")
    )


def _options(command: click.Command, *, without: frozenset[str] = frozenset()) -> Iterator[str]:
    context = click.Context(command, info_name=command.name, help_option_names=["-h", "--help"])
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None and not without & set(parameter.opts):
            yield from (".TP", bold(record[0]), text(record[1]))


def _pairs(pairs: dict[str, str]) -> Iterator[str]:
    for name, meaning in pairs.items():
        yield from (".TP", bold(name), text(meaning))


def _commands(group: click.Group, prefix: str) -> Iterator[str]:
    for name in sorted(group.commands):
        command = group.commands[name]
        path = f"{prefix} {name}"
        context = click.Context(command, info_name=path)
        usage = " ".join(command.collect_usage_pieces(context))
        yield from (
            f'.SS "{path} {_literal(usage)}"',
            *list(_paragraphs(command.help))[1:],
            *_options(command, without=_EVERYWHERE),
        )
        if isinstance(command, click.Group):
            yield from _commands(command, path)


def command_page() -> str:
    """luxusb(1)."""
    summary, *rest = helptexts.paragraphs(cli.help or "")
    lines = [
        *_title("luxusb", 1),
        ".SH NAME",
        f"luxusb \\- {text(_headline(summary))}",
        ".SH SYNOPSIS",
        ".B luxusb",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        *list(_paragraphs("\n\n".join(rest)))[1:],
        ".SH OPTIONS",
        *_options(cli),
        ".SH COMMANDS",
        text("--help and --json may stand behind every command too."),
        *_commands(cli, "luxusb"),
        ".SH EXIT STATUS",
        *_pairs({str(int(code)): meaning for code, meaning in _EXIT_STATUS.items()}),
        ".SH ENVIRONMENT",
        *_pairs(_ENVIRONMENT),
        ".SH FILES",
        *_pairs(_FILES),
        ".SH SEE ALSO",
        ".BR luxusbd (8),",
        ".BR luxusbd.toml (5)",
    ]
    return "\n".join(lines) + "\n"


def _headline(sentence: str) -> str:
    line = " ".join(sentence.split()).rstrip(".")
    return line[:1].lower() + line[1:]


def daemon_page() -> str:
    """luxusbd(8)."""
    made = parser()
    lines = [
        *_title("luxusbd", 8),
        ".SH NAME",
        "luxusbd \\- service that downloads, verifies and writes multi\\-boot USB sticks",
        ".SH SYNOPSIS",
        ".B luxusbd",
        "[\\fIOPTIONS\\fR]",
        ".SH DESCRIPTION",
        text(made.description or ""),
        text("It is started by D-Bus when it is first called, and by systemd while unfinished jobs are there."),
        text("Users ask it through luxusb(1) or a desktop program; polkit decides what they may do."),
        ".SH OPTIONS",
    ]
    for action in made._actions:
        names = ", ".join(action.option_strings)
        value = action.metavar if isinstance(action.metavar, str) else "|".join(action.choices or ())
        takes = f" {value}" if action.nargs != 0 and value else ""
        lines += [".TP", bold(names + takes), text((action.help or "").replace(argparse.SUPPRESS, ""))]
    lines += [
        ".SH EXIT STATUS",
        *_pairs(
            {
                "0": "A clean end.",
                "1": "It cannot start, or the bus went away.",
                "2": "A wrong command line.",
                "75": "It is to be started again, after SIGHUP.",
                "78": "A malformed configuration.",
            }
        ),
        ".SH SIGNALS",
        *_pairs(
            {
                "SIGTERM, SIGINT": "End now. Downloads go on with the next start; what writes a stick fails.",
                "SIGHUP": "End with status 75 as soon as no stick is written and no file imported, and take no new "
                "such jobs until then; `systemctl reload luxusbd` sends it, as an upgrade of the package does. What is "
                "paused is waited for. A private instance ends at once.",
            }
        ),
        ".SH FILES",
        *_pairs(_DAEMON_FILES),
        ".SH SEE ALSO",
        ".BR luxusb (1),",
        ".BR luxusbd.toml (5)",
    ]
    return "\n".join(lines) + "\n"


def app_page() -> str:
    """luxusb-gtk(1)."""
    lines = [
        *_title("luxusb-gtk", 1),
        ".SH NAME",
        "luxusb-gtk \\- desktop app for multi\\-boot USB sticks",
        ".SH SYNOPSIS",
        ".B luxusb-gtk",
        ".SH DESCRIPTION",
        text("A window in which systems are chosen and brought onto a USB stick, and what is on one is looked after."),
        text("It asks the service luxusbd(8) over D-Bus, as luxusb(1) does; jobs go on when the window is closed."),
        ".SH ENVIRONMENT",
        *_pairs({name: _ENVIRONMENT[name] for name in ("LANGUAGE, LC_ALL, LC_MESSAGES, LANG",)}),
        ".SH SEE ALSO",
        ".BR luxusb (1),",
        ".BR luxusbd (8)",
    ]
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """luxusbd.toml(5)."""
    lines = [
        *_title("luxusbd.toml", 5),
        ".SH NAME",
        "luxusbd.toml \\- settings of luxusbd",
        ".SH SYNOPSIS",
        f".I {configfile.DEFAULT_PATH}",
        ".SH DESCRIPTION",
        text(
            "A TOML file. A key that is left out has its default. An unknown key or a wrong value keeps the daemon from"
        ),
        text("starting, with a message that says which. `luxusbd --print-config` prints the whole file with all"),
        text("defaults, and `luxusb settings` what is in force."),
        # lists of paths have no place where a line could be spread
        ".ad l",
    ]
    defaults = config.Config()
    for section in fields(defaults):
        lines.append(f'.SS "[{section.name}]"')
        part = getattr(defaults, section.name)
        for key in fields(part):
            meta = key.metadata
            limits = f" From {meta['low']} to {configfile.highest(meta)}." if meta["low"] is not None else ""
            value = configfile.written(getattr(part, key.name), meta)
            lines += [".TP", bold(f"{key.name} = {value}"), text(meta["doc"] + limits)]
    lines += [".SH SEE ALSO", ".BR luxusbd (8),", ".BR luxusb (1)"]
    return "\n".join(lines) + "\n"


PAGES = {"luxusb.1": command_page, "luxusb-gtk.1": app_page, "luxusbd.8": daemon_page, "luxusbd.toml.5": settings_page}


def main(arguments: list[str]) -> int:
    """Write all pages into the directory that is given."""
    if len(arguments) != 1:
        sys.stderr.write("usage: manpages.py DIR\n")
        return 2
    directory = Path(arguments[0])
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (directory / name).write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
