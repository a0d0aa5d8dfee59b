"""Devices, jobs and plans as the daemon tells them. The dictionaries of the wire end here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from luxusb_cli.i18n import _
from luxusb_cli.wire import Wire, flag, get, number, text, texts, wire_of, wires


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """A word that this program does not know, of a newer daemon."""

    @classmethod
    def _missing_(cls, _value: object) -> Self:
        return cls("unknown")

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Loss:
    """A partition of a disk, or a filesystem on all of it (number 0): what an erase would destroy."""

    number: int
    filesystem: str
    label: str
    size: int
    used: int | None
    """Bytes; None where the filesystem does not tell."""
    system: str
    """What set the disk up, such as Ventoy, or empty."""

    @classmethod
    def from_wire(cls, wire: Wire) -> Loss:
        """From an entry of Contents, or of a planned device's lost_details."""
        return cls(
            number=number(wire, "number"),
            filesystem=text(wire, "filesystem"),
            label=text(wire, "label"),
            size=number(wire, "size"),
            used=number(wire, "used") if "used" in wire else None,
            system=text(wire, "system"),
        )


@dataclass(frozen=True)
class DeviceInfo:
    """A disk or an image file."""

    path: str
    id: str
    node: str
    vendor: str
    model: str
    serial: str
    bus: str
    size: int
    disk_seq: int
    read_only: bool
    removable: bool
    large: bool
    """Larger than a stick, or a hard disk: erased only with --allow-large."""
    state: str
    free_bytes: int
    unlisted_images: int
    """Image files on a LUXusb stick without an entry in its menu."""
    stray_changes: tuple[StrayChanges, ...]
    """Rooms for changes that belong to none of its images."""
    damage: str
    """What is broken on a damaged stick, or empty."""
    foreign: ForeignStick | None
    """What a stick of another program holds."""
    contents: tuple[Loss, ...]
    """Partitions and filesystems on it, where it was looked at."""
    blocked_reason: str
    mounts: tuple[DeviceMount, ...]
    """What of it the desktop mounted, and a job would unmount."""
    current_job: str
    """Path of the job that works on it, or empty."""
    images: tuple[StickImage, ...]
    firmware: tuple[str, ...]
    """What a LUXusb stick serves: bios, uefi, uefi-sb, uefi-ia32 and so on."""
    boot_warning: str
    """Why its boot files should be renewed, or empty."""
    updates: tuple[Mapping[str, object], ...]
    """Newer releases for the images on it, as the daemon gave them, for JSON."""

    @classmethod
    def from_wire(cls, path: str, wire: Wire) -> DeviceInfo:
        """From the properties of org.luxusb.Device."""
        job = text(wire, "CurrentJob")
        return cls(
            path=path,
            id=text(wire, "Id"),
            node=text(wire, "DeviceNode"),
            vendor=text(wire, "Vendor"),
            model=text(wire, "Model"),
            serial=text(wire, "Serial"),
            bus=text(wire, "Bus"),
            size=number(wire, "Size"),
            disk_seq=number(wire, "DiskSeq"),
            read_only=flag(wire, "ReadOnly"),
            removable=flag(wire, "Removable"),
            large=flag(wire, "Large"),
            state=text(wire, "State"),
            free_bytes=number(wire, "FreeBytes"),
            unlisted_images=number(wire, "UnlistedImages"),
            stray_changes=tuple(
                StrayChanges(text(item, "name"), number(item, "size"))
                for item in wires(wire.get("StrayChanges", []), "StrayChanges")
            ),
            damage=text(wire, "Damage"),
            foreign=ForeignStick.from_wire(wire_of(wire.get("Foreign", {}), "Foreign")),
            contents=tuple(Loss.from_wire(item) for item in wires(wire.get("Contents", []), "Contents")),
            blocked_reason=text(wire, "BlockedReason"),
            mounts=tuple(
                DeviceMount(text(item, "node"), text(item, "point")) for item in wires(wire.get("Mounts", []), "Mounts")
            ),
            current_job="" if job == "/" else job,
            images=tuple(StickImage.from_wire(item) for item in wires(wire.get("Images", []), "Images")),
            firmware=texts(wire, "Firmware"),
            boot_warning=text(wire, "BootWarning"),
            updates=tuple(wires(wire.get("Updates", []), "Updates")),
        )


@dataclass(frozen=True)
class ForeignImage:
    """An image file on a stick of another program; untrusted text."""

    path: str
    size: int
    volume_id: str

    @classmethod
    def from_wire(cls, wire: Wire) -> ForeignImage:
        """From an entry of images or found."""
        return cls(text(wire, "path"), number(wire, "size"), text(wire, "volume_id"))


@dataclass(frozen=True)
class ForeignStick:
    """What a stick of another program holds."""

    maker: str
    name: str
    filesystem: str
    images: tuple[ForeignImage, ...]
    notes: tuple[str, ...]
    refusal: str
    """Why it is not taken over, or empty."""

    @classmethod
    def from_wire(cls, wire: Wire) -> ForeignStick | None:
        """From the property Foreign; None where that is empty."""
        if not wire:
            return None
        return cls(
            text(wire, "maker"),
            text(wire, "name"),
            text(wire, "filesystem"),
            tuple(ForeignImage.from_wire(item) for item in wires(wire.get("images", []), "images")),
            texts(wire, "notes"),
            text(wire, "refusal"),
        )


@dataclass(frozen=True)
class DeviceMount:
    """A filesystem that the desktop mounted."""

    node: str
    point: str


@dataclass(frozen=True)
class StrayChanges:
    """Room for changes on a stick that belongs to no image."""

    name: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class StickImage:
    """An image on a stick."""

    name: str
    title: str
    reference: str
    sha256: str
    size: int
    source: str
    custom: bool
    """Whether it comes from a user's own catalogue."""
    recipe: str
    added: int
    firmware: tuple[str, ...]
    persistence: int
    """Bytes of its room for changes, 0 for none."""

    @classmethod
    def from_wire(cls, wire: Wire) -> StickImage:
        """From an entry of ListStickImages, or of a device's Images, which has less."""
        sha256 = text(wire, "sha256")
        return cls(
            name=text(wire, "name"),
            title=text(wire, "title"),
            reference=text(wire, "reference") or (f"image:{sha256}" if sha256 else ""),
            sha256=sha256,
            size=number(wire, "size"),
            source=text(wire, "source"),
            custom=flag(wire, "custom") or text(wire, "source").startswith("custom:"),
            recipe=text(wire, "recipe"),
            added=number(wire, "added"),
            firmware=texts(wire, "firmware"),
            persistence=number(wire, "persistence"),
        )


JOB_PREFIX = "/org/luxusb/jobs/_"


def job_number(path: str) -> int:
    """The number in a job's path, 0 for another path."""
    digits = path.removeprefix(JOB_PREFIX)
    return int(digits) if digits.isascii() and digits.isdigit() else 0


@dataclass(frozen=True)
class MirrorShare:
    """What one mirror does for a download at the moment."""

    host: str
    country: str
    """ISO 3166-1 alpha-2, or empty."""
    state: str
    rate: int
    """Bytes per second."""
    bytes_done: int

    @classmethod
    def from_wire(cls, wire: Wire) -> MirrorShare:
        """From an entry of the mirrors in Details."""
        return cls(
            host=text(wire, "host"),
            country=text(wire, "country"),
            state=text(wire, "state"),
            rate=number(wire, "rate"),
            bytes_done=number(wire, "bytes_done"),
        )


@dataclass(frozen=True)
class DeviceShare:
    """One device of a job on several, while it runs or at its end."""

    id: str
    node: str
    """Empty for an image file."""
    model: str
    state: JobState
    stage: str
    bytes_done: int
    bytes_total: int
    rate: int
    """Bytes per second."""
    error_name: str
    error_message: str

    @classmethod
    def from_wire(cls, wire: Wire) -> DeviceShare:
        """From an entry of devices in Details, or in the Result, which has no figures."""
        return cls(
            id=text(wire, "id"),
            node=text(wire, "node"),
            model=text(wire, "model"),
            state=JobState(text(wire, "state")),
            stage=text(wire, "stage"),
            bytes_done=number(wire, "bytes_done"),
            bytes_total=number(wire, "bytes_total"),
            rate=number(wire, "rate"),
            error_name=text(wire, "error_name"),
            error_message=text(wire, "error_message"),
        )

    @property
    def name(self) -> str:
        """Node and model for people; untrusted text."""
        return " ".join(part for part in (self.node, self.model) if part) or self.id


@dataclass(frozen=True)
class JobDetails:
    """What was asked of a job."""

    reference: str = ""
    title: str = ""
    custom: bool = False
    """Whether it is about something that the user's own catalogue names."""
    images: tuple[str, ...] = ()
    created: int = 0
    started: int = 0
    finished: int = 0
    priority: int = 0
    bandwidth: int = 0
    pause_reason: str = ""
    """user, space or restart while it is paused, else empty."""
    pause_message: str = ""
    log: tuple[str, ...] = ()
    mirrors: tuple[MirrorShare, ...] = ()
    """Those that a running download has asked."""
    devices: tuple[DeviceShare, ...] = ()
    """Of a job on several."""

    @classmethod
    def from_wire(cls, wire: Wire) -> JobDetails:
        """From the property Details."""
        return cls(
            reference=text(wire, "reference"),
            title=text(wire, "title"),
            custom=flag(wire, "custom"),
            images=texts(wire, "images"),
            created=number(wire, "created"),
            started=number(wire, "started"),
            finished=number(wire, "finished"),
            priority=number(wire, "priority"),
            bandwidth=number(wire, "bandwidth"),
            pause_reason=text(wire, "pause_reason"),
            pause_message=text(wire, "pause_message"),
            log=texts(wire, "log"),
            mirrors=tuple(MirrorShare.from_wire(item) for item in wires(wire.get("mirrors", []), "mirrors")),
            devices=tuple(DeviceShare.from_wire(item) for item in wires(wire.get("devices", []), "devices")),
        )


@dataclass(frozen=True)
class JobInfo:
    """A job at one moment. Times in Unix seconds, sizes in bytes, the rate in bytes per second."""

    path: str
    id: int
    operation: str
    state: JobState
    stage: str
    progress: float
    bytes_done: int
    bytes_total: int
    resumed_bytes: int
    rate: int
    expected_end: int
    owner_uid: int
    devices: tuple[str, ...]
    parent: str
    """Path of the job that asked for this one, or empty."""
    details: JobDetails
    error_name: str
    error_message: str
    result: Mapping[str, object] = field(default_factory=dict)
    """As the daemon gave it, for JSON; the typed readers below know what is in it."""

    @classmethod
    def from_wire(cls, path: str, wire: Wire) -> JobInfo:
        """From the properties of org.luxusb.Job."""
        parent = text(wire, "Parent")
        return cls(
            path=path,
            id=job_number(path),
            operation=text(wire, "Operation"),
            state=JobState(text(wire, "State")),
            stage=text(wire, "Stage"),
            progress=get(wire, "Progress", float, -1.0),
            bytes_done=number(wire, "BytesDone"),
            bytes_total=number(wire, "BytesTotal"),
            resumed_bytes=number(wire, "ResumedBytes"),
            rate=number(wire, "Rate"),
            expected_end=number(wire, "ExpectedEnd"),
            owner_uid=number(wire, "OwnerUid"),
            devices=texts(wire, "Devices"),
            parent="" if parent == "/" else parent,
            details=JobDetails.from_wire(wire_of(wire.get("Details", {}), "Details")),
            error_name=text(wire, "ErrorName"),
            error_message=text(wire, "ErrorMessage"),
            result=wire_of(wire.get("Result", {}), "Result"),
        )

    def updated(self, changed: Wire) -> JobInfo:
        """The job with those properties replaced that `changed` names; a finished job stays finished."""
        fresh = JobInfo.from_wire(self.path, changed)
        fields = {name: getattr(fresh, name) for key, name in _FIELDS.items() if key in changed}
        if self.state.finished and not fields.get("state", self.state).finished:
            return self
        return replace(self, **fields)

    @property
    def shares(self) -> tuple[DeviceShare, ...]:
        """Its devices where it is on several: from the details, or where those are gone, as its result tells them."""
        if self.details.devices or "devices" not in self.result:
            return self.details.devices
        return tuple(DeviceShare.from_wire(item) for item in wires(self.result["devices"], "devices"))

    @property
    def label(self) -> str:
        """What the job is about, untrusted text."""
        title = self.details.title or self.details.reference or self.operation
        return f"{title} {_('[custom]')}" if self.details.custom else title

    @property
    def about(self) -> str:
        """Operation and label, the operation only once; untrusted text."""
        label = self.label
        said = label == self.operation or label.startswith(f"{self.operation} ")
        return label if said else f"{self.operation} {label}"


_FIELDS = {
    "State": "state",
    "Stage": "stage",
    "Progress": "progress",
    "BytesDone": "bytes_done",
    "BytesTotal": "bytes_total",
    "ResumedBytes": "resumed_bytes",
    "Rate": "rate",
    "ExpectedEnd": "expected_end",
    "Details": "details",
    "ErrorName": "error_name",
    "ErrorMessage": "error_message",
    "Result": "result",
}
