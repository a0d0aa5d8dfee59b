"""How calls of the daemon are put together, and their answers taken apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from luxusb_cli.catalog import DistroQuery
from luxusb_cli.connection import Options, Typed
from luxusb_cli.i18n import N_, _
from luxusb_cli.wire import ProtocolError

ROOT_PATH = "/org/luxusb"
MANAGER_PATH = "/org/luxusb/Manager"
MANAGER = "org.luxusb.Manager"
DEVICE = "org.luxusb.Device"
JOB = "org.luxusb.Job"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"

MAX_NAME = 4096
NO_OPTIONS: Options = {}
MAY_ASK = frozenset(
    {
        *("UpdateCatalog", "Download", "ImportImage", "DeleteImage", "PinImage", "PruneImages", "RaceMirrors"),
        "GetProofs",
        *("CreateStick", "AddImages", "RemoveImages", "UpdateStick", "RefreshStick", "RepairStick", "VerifyStick"),
        *(
            "AdoptStick",
            "RescanStick",
            "SetPersistence",
            "WriteRaw",
            "RestoreDisk",
            "ProbeCapacity",
            "Eject",
            "SetSettings",
        ),
        *("ResetSettings", "SetCatalogRemote"),
    }
)
"""Members of the Manager that polkit may have a question about; ListJobs only for all users, those of a job always."""


@dataclass(frozen=True)
class ServiceInfo:
    """The properties of the Manager."""

    version: str
    features: tuple[str, ...]
    """Members that have an engine."""
    busy: bool


class Work(Enum):
    """What can be done with a device and nothing else: the member, and how its refusal is told."""

    UPDATE = ("UpdateStick", N_("Could not update the stick"))
    REFRESH = ("RefreshStick", N_("Could not refresh the stick"))
    REPAIR = ("RepairStick", N_("Could not repair the stick"))
    VERIFY = ("VerifyStick", N_("Could not verify the stick"))
    RESCAN = ("RescanStick", N_("Could not rescan the stick"))
    ADOPT = ("AdoptStick", N_("Could not take the stick over"))
    RESTORE = ("RestoreDisk", N_("Could not make it a plain drive again"))
    PROBE = ("ProbeCapacity", N_("Could not probe the capacity"))

    @property
    def member(self) -> str:
        """Name of the method."""
        return self.value[0]

    @property
    def failed(self) -> str:
        """What could not be done."""
        return _(self.value[1])


USES_CATALOG = frozenset(
    {
        *("ListDistributions", "GetDistribution", "GetLogo", "GetProofs", "Download", "InspectImage", "UpdateStick"),
        *("ListMirrors", "RaceMirrors", "SetMirrorPreference", "PlanStick", "AddImages"),
    }
)
"""Members of the Manager that look something up in the catalogue."""


JobStart = Callable[[], Awaitable[str]]
"""Starts a job and returns its path."""


def query_options(query: DistroQuery) -> Options:
    """Of ListDistributions: what is asked for, and nothing that is left open."""
    texts = {
        "text": query.text,
        "category": query.category,
        "architecture": query.architecture,
        "family": query.family,
        "sort": query.sort,
    }
    options = {key: Typed("s", value) for key, value in texts.items() if value}
    if query.secure_boot:
        options["secure_boot"] = Typed("b", True)
    if query.hide_end_of_life:
        options["hide_end_of_life"] = Typed("b", True)
    if query.device:
        options["device"] = Typed("o", query.device)
    return options


def throttle_options(priority: int | None, bandwidth: int | None) -> Options:
    """Of a download: its priority, and bytes per second; None leaves either as it is."""
    options: dict[str, Typed] = {}
    if priority is not None:
        options["priority"] = Typed("i", priority)
    if bandwidth is not None:
        options["bandwidth"] = Typed("t", bandwidth)
    return options


def only_value(reply: Sequence[object]) -> object:
    """The value of an answer that has one.

    Raises:
        ProtocolError: it has none, or more.
    """
    if len(reply) != 1:
        raise ProtocolError(f"the answer has {len(reply)} values in place of one")
    return reply[0]


def only_path(reply: Sequence[object]) -> str:
    """The object path of an answer that has nothing else.

    Raises:
        ProtocolError: it is something else.
    """
    value = only_value(reply)
    if not isinstance(value, str):
        raise ProtocolError("the answer is not an object path")
    return value


def certificate_options(files: Sequence[int]) -> Options:
    """Of what takes certificates: they come as the descriptors of the call, in this order."""
    return {"certificates": Typed("ah", list(range(len(files))))} if files else {}
