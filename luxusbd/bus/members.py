"""What each method may be given and what it asks polkit: one table over the whole contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from luxusbd.bus.contract import JOB, MANAGER
from luxusbd.bus.options import Option
from luxusbd.images.certificate import MAX_CERTIFICATES
from luxusbd.jobs.listed import Order
from luxusbd.stick.model import Probe


class Action(StrEnum):
    """The polkit actions of `polkit/org.luxusb.policy`."""

    DOWNLOAD = "org.luxusb.download"
    IMPORT_IMAGE = "org.luxusb.import-image"
    WRITE_DEVICE = "org.luxusb.write-device"
    UPDATE_CATALOG = "org.luxusb.update-catalog"
    CONFIGURE = "org.luxusb.configure"
    MANAGE_ALL_JOBS = "org.luxusb.manage-all-jobs"


@dataclass(frozen=True)
class Rule:
    """One method: the action to authorise, None where nobody is asked, and its options."""

    action: Action | None
    options: tuple[Option[Any], ...] = ()


_NO_STRINGS: tuple[str, ...] = ()
_NO_FDS: Sequence[int] = ()
_NO_FD: int | None = None
_NO_SIZES: Mapping[str, int] = MappingProxyType({})

TEXT = Option("text", "s", "", maximum=200)
CATEGORY = Option("category", "s", "", maximum=200)
ARCHITECTURE = Option("architecture", "s", "", choices=("amd64", "arm64", "i386"))
FAMILY = Option("family", "s", "", maximum=200)
SECURE_BOOT = Option("secure_boot", "b", default=False)
HIDE_END_OF_LIFE = Option("hide_end_of_life", "b", default=False)
DEVICE = Option("device", "o", "")
SORT = Option("sort", "s", Order.POPULARITY.value, choices=tuple(Order))
NAME = Option("name", "s", "", maximum=4096)
PRIORITY = Option("priority", "i", 0, minimum=-10, maximum=10)
BANDWIDTH = Option("bandwidth", "t", 0)
SHA256 = Option("sha256", "s", "", minimum=64, maximum=64)
SIZE = Option("size", "t", 0, maximum=1 << 50)
SUMS = Option("sums", "h", _NO_FD)
SUMS_NAME = Option("sums_name", "s", "", maximum=255)
SIGNATURE = Option("signature", "h", _NO_FD)
KEY = Option("key", "h", _NO_FD)
KEEP_PACKED = Option("keep_packed", "b", default=False)
MODE = Option("mode", "s", "auto", choices=("auto", "pinned"))
URL = Option("url", "s", "", maximum=2000)
PREFER = Option("prefer", "as", _NO_STRINGS, maximum=300)
EXCLUDE = Option("exclude", "as", _NO_STRINGS, maximum=300)
MOST = Option("most", "u", 16, minimum=1, maximum=32)
FILESYSTEM = Option("filesystem", "s", "ext4", choices=("ext4", "exfat", "fat32"))
SERIAL_CONSOLE = Option("serial_console", "b", default=False)
THEME = Option("theme", "s", "luxusb", choices=("luxusb", "none"))
REMEMBER = Option("remember", "b", default=True)
LANGUAGE = Option("language", "s", "en", choices=("en", "de"))
TIMEOUT = Option("timeout", "u", 10, minimum=0, maximum=30)
COMPANION = Option("companion", "t", 0, maximum=1 << 50)
SHARE = Option("share", "t", 0, maximum=1 << 50)
PERSISTENCE = Option("persistence", "a{st}", _NO_SIZES, maximum=100)
PERSISTENCE_PARTITION = Option("persistence_partition", "t", 0, maximum=1 << 50)
LABEL = Option("label", "s", "LUXDATA", minimum=1, maximum=16)
CERTIFICATES = Option("certificates", "ah", _NO_FDS, maximum=MAX_CERTIFICATES)
ALLOW_LARGE = Option("allow_large", "b", default=False)
PROBE = Option("probe", "b", default=True)
DOWNLOAD_FIRST = Option("download_first", "b", default=False)
KEEP_IMAGES = Option("keep_images", "b", default=True)
RAW = Option("raw", "b", default=False)
BMAP = Option("bmap", "h", _NO_FD)
UNBOOTABLE = Option("unbootable", "b", default=False)
PROBE_MODE = Option("mode", "s", Probe.QUICK.value, choices=(Probe.QUICK.value, Probe.FULL.value))
PLAIN_FILESYSTEM = Option("filesystem", "s", "exfat", choices=("exfat", "fat32"))
PLAIN_LABEL = Option("label", "s", "USB", minimum=1, maximum=11)
THOROUGH = Option("thorough", "b", default=False)
CHECK = Option("check", "b", default=False)
IMAGES = Option("images", "as", _NO_STRINGS, maximum=256)
ONE_AT_A_TIME = Option("one_at_a_time", "b", default=False)
SAME_SERIES = Option("same_series", "b", default=False)
LESS_TRUST = Option("less_trust", "b", default=False)
REPLACE = Option("replace", "b", default=False)
UNFINISHED = Option("unfinished", "b", default=False)
ALL_USERS = Option("all_users", "b", default=False)
LIMIT = Option("limit", "u", 0)
KEEP_PARTIAL = Option("keep_partial", "b", default=False)
DRY_RUN = Option("dry_run", "b", default=False)
OLDER_THAN = Option("older_than", "t", 0)
IMPORTS = Option("imports", "b", default=False)
ORIGINS = Option("origins", "b", default=False)
ONLY = Option("only", "as", _NO_STRINGS, maximum=10000)
SIGNATURE_URL = Option("signature_url", "s", "", maximum=2000)
FINGERPRINTS = Option("fingerprints", "as", _NO_STRINGS, maximum=16)
CONFIGURED = Option("configured", "b", default=False)
FEEDS = Option("feeds", "b", default=False)
IDS = Option("ids", "as", _NO_STRINGS, maximum=500)

# None in the first column is a decision: these read, or touch nothing but what belongs to the caller's own uid.
RULES: Mapping[tuple[str, str], Rule] = {
    (MANAGER, "ListDistributions"): Rule(
        None, (TEXT, CATEGORY, ARCHITECTURE, FAMILY, SECURE_BOOT, DEVICE, HIDE_END_OF_LIFE, SORT)
    ),
    (MANAGER, "GetDistribution"): Rule(None, (ORIGINS,)),
    (MANAGER, "UpdateCatalog"): Rule(Action.UPDATE_CATALOG, (FEEDS, IDS)),
    (MANAGER, "GetCatalogStatus"): Rule(None),
    (MANAGER, "ListRecipes"): Rule(None),
    (MANAGER, "SetCatalogRemote"): Rule(Action.CONFIGURE, (KEY, FINGERPRINTS, SIGNATURE_URL, CONFIGURED)),
    (MANAGER, "ImportCatalog"): Rule(None, (NAME,)),
    (MANAGER, "GetLogo"): Rule(None),
    (MANAGER, "GetProofs"): Rule(Action.DOWNLOAD),
    (MANAGER, "Download"): Rule(Action.DOWNLOAD, (PRIORITY, BANDWIDTH)),
    (MANAGER, "ImportImage"): Rule(Action.IMPORT_IMAGE, (SHA256, SIZE, SUMS, SUMS_NAME, SIGNATURE, KEY, KEEP_PACKED)),
    (MANAGER, "InspectImage"): Rule(None, (SHA256,)),
    (MANAGER, "ListImages"): Rule(None),
    (MANAGER, "OpenImage"): Rule(None),
    (MANAGER, "DeleteImage"): Rule(Action.IMPORT_IMAGE),
    (MANAGER, "PinImage"): Rule(Action.IMPORT_IMAGE),
    # A dry run removes nothing, and nobody is asked.
    (MANAGER, "PruneImages"): Rule(Action.IMPORT_IMAGE, (DRY_RUN, OLDER_THAN, IMPORTS, ONLY)),
    (MANAGER, "ListMirrors"): Rule(None),
    (MANAGER, "RaceMirrors"): Rule(Action.DOWNLOAD, (MOST,)),
    (MANAGER, "SetMirrorPreference"): Rule(None, (MODE, URL, PREFER, EXCLUDE)),
    (MANAGER, "PlanStick"): Rule(
        None,
        (
            FILESYSTEM,
            COMPANION,
            SHARE,
            PERSISTENCE,
            PERSISTENCE_PARTITION,
            SERIAL_CONSOLE,
            THEME,
            REMEMBER,
            LANGUAGE,
            TIMEOUT,
            LABEL,
            ALLOW_LARGE,
            DRY_RUN,
            CERTIFICATES,
            PROBE,
            DOWNLOAD_FIRST,
            KEEP_IMAGES,
            RAW,
            BMAP,
            UNBOOTABLE,
        ),
    ),
    (MANAGER, "CreateStick"): Rule(Action.WRITE_DEVICE),
    (MANAGER, "AddImages"): Rule(Action.WRITE_DEVICE, (KEEP_IMAGES,)),
    (MANAGER, "RemoveImages"): Rule(Action.WRITE_DEVICE),
    # A check writes nothing, and nobody is asked.
    (MANAGER, "UpdateStick"): Rule(
        Action.WRITE_DEVICE, (CHECK, IMAGES, ONE_AT_A_TIME, SAME_SERIES, LESS_TRUST, REPLACE, KEEP_IMAGES)
    ),
    (MANAGER, "RefreshStick"): Rule(Action.WRITE_DEVICE, (CERTIFICATES, TIMEOUT, THEME, REMEMBER, LANGUAGE)),
    (MANAGER, "RepairStick"): Rule(Action.WRITE_DEVICE),
    # Writes nothing, but locks the disk and lets the kernel mount it, which only an authorised job may.
    (MANAGER, "VerifyStick"): Rule(Action.WRITE_DEVICE),
    (MANAGER, "RescanStick"): Rule(Action.WRITE_DEVICE, (THOROUGH,)),
    # A dry run writes nothing, and nobody is asked.
    (MANAGER, "AdoptStick"): Rule(Action.WRITE_DEVICE, (DRY_RUN,)),
    (MANAGER, "ListStickImages"): Rule(None),
    (MANAGER, "SetPersistence"): Rule(Action.WRITE_DEVICE),
    (MANAGER, "OpenImageTarget"): Rule(None),
    (MANAGER, "WriteRaw"): Rule(Action.WRITE_DEVICE),
    (MANAGER, "RestoreDisk"): Rule(Action.WRITE_DEVICE, (PLAIN_FILESYSTEM, PLAIN_LABEL, ALLOW_LARGE)),
    (MANAGER, "ProbeCapacity"): Rule(Action.WRITE_DEVICE, (PROBE_MODE, ALLOW_LARGE)),
    (MANAGER, "Eject"): Rule(Action.WRITE_DEVICE),
    # Asks for manage-all-jobs when the option all_users is set.
    (MANAGER, "ListJobs"): Rule(None, (UNFINISHED, ALL_USERS, LIMIT)),
    (MANAGER, "GetSettings"): Rule(None, (ORIGINS,)),
    (MANAGER, "SetSettings"): Rule(Action.CONFIGURE),
    (MANAGER, "ResetSettings"): Rule(Action.CONFIGURE),
    # The owner and root are not asked.
    (JOB, "Pause"): Rule(Action.MANAGE_ALL_JOBS),
    (JOB, "Resume"): Rule(Action.MANAGE_ALL_JOBS),
    (JOB, "Cancel"): Rule(Action.MANAGE_ALL_JOBS, (KEEP_PARTIAL,)),
    (JOB, "Modify"): Rule(Action.MANAGE_ALL_JOBS, (PRIORITY, BANDWIDTH)),
}
