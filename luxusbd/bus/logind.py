"""Sleep and shutdown of the machine, through systemd-logind.

Source: org.freedesktop.login1(5) (Manager.Inhibit, the signal PrepareForSleep) and systemd.io/INHIBITOR_LOCKS. Root is
not asked for a password.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Protocol

from luxusbd.bus._lib import Message
from luxusbd.bus.authority import BusCaller
from luxusbd.bus.connection import DisconnectedError, RemoteError, SignalOf, close_fds

NAME = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
MANAGER = NAME + ".Manager"
PREPARE_FOR_SLEEP = SignalOf(NAME, PATH, MANAGER, "PrepareForSleep")

WHO = "LUXusb"

log = logging.getLogger(__name__)


class Bus(BusCaller, Protocol):
    """A bus whose signals can be listened to: a `BusService`."""

    async def listen(self, signal: SignalOf, handler: Callable[[Message], None]) -> None:
        """See `BusService.listen`."""


class Logind:
    """Implements `luxusbd.jobs.api.Power`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._complained = False

    async def inhibit(self, what: str, why: str, mode: str) -> int | None:
        """See `Power.inhibit`."""
        try:
            reply = await self._bus.call(NAME, PATH, MANAGER, "Inhibit", "ssss", [what, WHO, why, mode])
        except (RemoteError, DisconnectedError, TimeoutError) as error:
            if not self._complained:
                self._complained = True
                log.info("the machine may go to sleep while jobs run: logind does not keep it awake (%s)", error)
            return None
        if not reply.unix_fds:
            return None
        fd = reply.unix_fds.pop(0)
        close_fds(reply)
        os.set_inheritable(fd, False)
        return fd

    async def on_sleep(self, told: Callable[[bool], None]) -> None:
        """See `Power.on_sleep`."""

        def heard(signal: Message) -> None:
            if signal.signature == "b":
                told(bool(signal.body[0]))

        try:
            await self._bus.listen(PREPARE_FOR_SLEEP, heard)
        except (RemoteError, DisconnectedError, TimeoutError) as error:
            log.info("the machine's sleep will not be noticed: %s", error)
