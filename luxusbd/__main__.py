"""The command `luxusbd`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from luxusbd import __version__, configfile, journal
from luxusbd.config import Config
from luxusbd.errors import ConfigError, LuxusbError
from luxusbd.settings import FILE_NAME, ChangedSettings

EX_TEMPFAIL = 75
EX_CONFIG = 78


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="luxusbd",
        description="The service that turns USB sticks into multi-boot sticks, on the D-Bus name org.luxusb.Manager.",
    )
    made.add_argument(
        "--private",
        metavar="DIR",
        type=Path,
        help="run without systemd, root or the system bus: own D-Bus, all state under DIR; prints the bus address",
    )
    made.add_argument(
        "--config", metavar="FILE", type=Path, help=f"read this file in place of {configfile.DEFAULT_PATH}"
    )
    made.add_argument(
        "--catalog", metavar="FILE", type=Path, action="append", default=[], help="add a catalogue file (repeatable)"
    )
    made.add_argument(
        "--sockets",
        metavar="DIR",
        type=Path,
        help="use the transfer process and the stick workers that systemd starts for who connects to DIR",
    )
    made.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="over daemon.log_level")
    made.add_argument(
        "--until-eof", action="store_true", help="end when standard input is closed, as by the program that started it"
    )
    made.add_argument(
        "--check-config",
        metavar="FILE",
        type=Path,
        nargs="?",
        const=configfile.DEFAULT_PATH,
        help=f"say whether FILE ({configfile.DEFAULT_PATH} if left out) is well formed, and end",
    )
    made.add_argument("--print-config", action="store_true", help="print the documented default configuration and end")
    made.add_argument("--version", action="version", version=f"luxusbd {__version__}")
    return made


def settings(arguments: argparse.Namespace) -> Config:
    """The configuration in force: defaults, those of a private instance, the file, the command line.

    Raises:
        ConfigError: the file is malformed.
    """
    base = Config()
    if arguments.private is not None:
        directory = arguments.private.absolute()
        base = replace(
            base,
            daemon=replace(base.daemon, idle_exit=0),
            paths=replace(
                base.paths,
                state_dir=str(directory),
                download_dir=str(directory / "incoming"),
                cache_dir=str(directory / "cache"),
                catalog_dir=str(directory / "distros.d"),
                recipes_dir=str(directory / "recipes.d"),
                keys_dir=str(directory / "keys.d"),
                certificates_dir=str(directory / "certificates.d"),
            ),
            authorization=replace(base.authorization, backend="private"),
            transfer=replace(base.transfer, user=""),
        )
    if arguments.config is not None:
        base = configfile.load(arguments.config, base)
    elif arguments.private is None and configfile.DEFAULT_PATH.exists():
        base = configfile.load(configfile.DEFAULT_PATH, base)
    if arguments.log_level:
        base = replace(base, daemon=replace(base.daemon, log_level=arguments.log_level))
    return base


def main(argv: list[str] | None = None) -> int:
    """Run the daemon; its exit status.

    0 at a clean end, 1 when it cannot start or the bus went away, 2 for a wrong command line, 75 (EX_TEMPFAIL of
    sysexits.h) when it is to be started again after SIGHUP, 78 for a malformed configuration (EX_CONFIG), with which
    systemd need not try again.
    """
    arguments = parser().parse_args(argv)
    if arguments.print_config:
        sys.stdout.write(configfile.document())
        return 0
    try:
        if arguments.check_config is not None:
            _check(arguments.check_config)
            return 0
        chosen = settings(arguments)
        journal.set_up("luxusbd", chosen.daemon.log_level)
        os.umask(0o077)
        from luxusbd import service

        options = service.Options(
            private=arguments.private,
            catalogs=tuple(arguments.catalog),
            sockets=arguments.sockets,
            until_eof=arguments.until_eof,
        )
        if asyncio.run(service.run(chosen, options, _announce)):
            return EX_TEMPFAIL
    except LuxusbError as error:
        sys.stderr.write(f"luxusbd: {journal.shown(str(error))}\n")
        return EX_CONFIG if isinstance(error, ConfigError) else 1
    return 0


def _check(path: Path) -> None:
    """Say that a file is well formed, and what of it was changed since by SetSettings.

    Raises:
        ConfigError: it is not, or a file that it names is not.
    """
    from luxusbd.transfer import network

    found = configfile.load(path)
    network.load(found.network)
    sys.stdout.write(f"{path}: no mistakes found\n")
    changed = ChangedSettings(found, Path(found.paths.state_dir) / FILE_NAME)
    for key in sorted(changed.changed):
        sys.stdout.write(f"{key} was set with `luxusb settings` and is {changed.config.settings()[key]}\n")


def _announce(address: str) -> None:
    sys.stdout.write(f"DBUS_SYSTEM_BUS_ADDRESS={address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
