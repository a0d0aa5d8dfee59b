"""Who may: polkit on the system bus, or nobody but oneself on a private one.

Sources: the polkit D-Bus API (org.freedesktop.PolicyKit1.Authority) and polkit(8).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from luxusbd.bus._lib import Message, Variant
from luxusbd.bus.connection import CALL_TIMEOUT, DisconnectedError, RemoteError
from luxusbd.bus.members import Action
from luxusbd.bus.values import text
from luxusbd.errors import (
    InteractiveAuthorizationRequiredError,
    NotAuthorizedDismissedError,
    NotAuthorizedError,
)
from luxusbd.jobs.views import Caller

POLKIT_NAME = "org.freedesktop.PolicyKit1"
POLKIT_PATH = "/org/freedesktop/PolicyKit1/Authority"
POLKIT_INTERFACE = "org.freedesktop.PolicyKit1.Authority"

SILENT_TIMEOUT = 30.0
"""Seconds that polkit has to answer when nobody is asked; its rules may run programs for up to 10 seconds each."""
INTERACTIVE_TIMEOUT = 600.0
"""Seconds that a user has to type a password."""

_ALLOW_USER_INTERACTION = 1

log = logging.getLogger(__name__)


class Authority(Protocol):
    """Decides whether a caller may do something."""

    async def check(self, caller: Caller, action: Action, details: Mapping[str, str], *, interactive: bool) -> None:
        """Return when the caller may.

        `details` describe the object for the authentication dialogue and for administrators' rules. Cancelling the call
        closes the dialogue.

        Raises:
            NotAuthorizedError: it may not; the subclasses say whether asking the user would have helped.
        """


class BusCaller(Protocol):
    """What polkit is asked through: a `Connection`, or a `BusService`, which has one while it runs."""

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        timeout: float | None = CALL_TIMEOUT,
    ) -> Message:
        """See `Connection.call`."""


class PolkitAuthority:
    """Asks polkit over the connection that the calls come in on."""

    def __init__(
        self,
        bus: BusCaller,
        *,
        silent_timeout: float = SILENT_TIMEOUT,
        interactive_timeout: float = INTERACTIVE_TIMEOUT,
    ) -> None:
        self._bus = bus
        self._silent_timeout = silent_timeout
        self._interactive_timeout = interactive_timeout
        self._cancellations = itertools.count(1)

    async def check(self, caller: Caller, action: Action, details: Mapping[str, str], *, interactive: bool) -> None:
        """See `Authority.check`; fails closed when polkit does not answer."""
        if caller.uid == 0:
            # polkit says yes to root without looking at any rule; so root can work where there is no polkit.
            return
        authorized, challenge, said = await self._ask(caller, action, details, interactive=interactive)
        if authorized:
            return
        if "polkit.dismissed" in said:
            raise NotAuthorizedDismissedError("the authentication dialogue was closed")
        if challenge:
            how = (
                "no authentication agent answered; start one (such as pkttyagent) or run the command as root"
                if interactive
                else "the caller did not allow interaction"
            )
            raise InteractiveAuthorizationRequiredError(f"{action.value} needs authentication, but {how}")
        # A rule that says no and a password that was wrong are one answer; after the second a password still helps.
        if interactive and (await self._ask(caller, action, details, interactive=False))[1]:
            raise NotAuthorizedError(f"the password was not accepted ({action.value})")
        raise NotAuthorizedError(f"uid {caller.uid} is not allowed to do this ({action.value})")

    async def _ask(
        self, caller: Caller, action: Action, details: Mapping[str, str], *, interactive: bool
    ) -> tuple[bool, bool, Mapping[str, str]]:
        """Polkit's answer: whether the caller may, whether a password would help, and more of it by name."""
        cancellation = f"luxusbd-{next(self._cancellations)}"
        answered = False
        try:
            reply = await self._bus.call(
                POLKIT_NAME,
                POLKIT_PATH,
                POLKIT_INTERFACE,
                "CheckAuthorization",
                "(sa{sv})sa{ss}us",
                [
                    # By bus name: a process id could belong to another process by the time polkit looks at it.
                    ["system-bus-name", {"name": Variant("s", caller.bus_name)}],
                    action.value,
                    {key: text(value) for key, value in details.items()},
                    _ALLOW_USER_INTERACTION if interactive else 0,
                    cancellation,
                ],
                timeout=self._interactive_timeout if interactive else self._silent_timeout,
            )
            answered = True
        except RemoteError as error:
            answered = True
            log.warning("polkit cannot decide %s for uid %d: %s", action, caller.uid, error)
            raise _missing(action, "is not running or failed") from error
        except TimeoutError as error:
            log.warning("polkit did not decide %s for uid %d in time", action, caller.uid)
            raise _missing(action, "did not answer in time") from error
        except DisconnectedError as error:
            answered = True
            raise _missing(action, "cannot be reached") from error
        finally:
            if not answered:
                self._cancel(cancellation)
        if reply.signature != "(bba{ss})":
            raise _missing(action, "gave an answer that makes no sense")
        authorized, challenge, said = reply.body[0]
        return authorized, challenge, said

    def _cancel(self, cancellation: str) -> None:
        """Close the dialogue. Nobody waits for the answer: the caller may be gone, and polkit may be stuck."""
        task = asyncio.get_running_loop().create_task(self._cancel_check(cancellation), name=cancellation)
        _cancelling.add(task)
        task.add_done_callback(_cancelling.discard)

    async def _cancel_check(self, cancellation: str) -> None:
        try:
            await self._bus.call(
                POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CancelCheckAuthorization", "s", [cancellation]
            )
        except (RemoteError, DisconnectedError, TimeoutError) as error:
            log.debug("CancelCheckAuthorization: %s", error)


_cancelling: set[asyncio.Task[None]] = set()


class PrivateAuthority:
    """For a daemon that a user runs on a bus of their own: that user and root may do everything, others nothing."""

    def __init__(self, uid: int | None = None) -> None:
        """`uid` defaults to that of this process."""
        self._uid = os.getuid() if uid is None else uid

    async def check(self, caller: Caller, action: Action, details: Mapping[str, str], *, interactive: bool) -> None:
        """See `Authority.check`."""
        del details, interactive
        if caller.uid not in (0, self._uid):
            raise NotAuthorizedError(
                f"this is a private luxusbd of uid {self._uid}; uid {caller.uid} is not allowed to do this "
                f"({action.value})"
            )


def _missing(action: Action, problem: str) -> NotAuthorizedError:
    return NotAuthorizedError(
        f"{action.value} has to be allowed by polkit, which {problem}; install and start polkitd, or run the command "
        "as root"
    )
