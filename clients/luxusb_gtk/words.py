"""The app's words for what the daemon names. Pure."""

from __future__ import annotations

import time

from luxusb_cli.catalog import DistroInfo, ReleaseInfo
from luxusb_cli.i18n import N_, _, ngettext
from luxusb_cli.model import DeviceInfo, DeviceShare, JobInfo, JobState
from luxusb_cli.text import clean
from luxusb_cli.units import format_rate, format_size
from luxusb_cli.wire import number, text

_OPERATIONS = {
    "download": N_("Downloading"),
    "import": N_("Adding an image file"),
    "create": N_("Making a stick"),
    "add": N_("Adding systems"),
    "remove": N_("Removing systems"),
    "update": N_("Updating a stick"),
    "refresh": N_("Renewing the boot files"),
    "verify": N_("Checking a stick"),
    "rescan": N_("Looking for image files"),
    "repair": N_("Repairing a stick"),
    "adopt": N_("Taking over a stick"),
    "update-catalog": N_("Updating the list of systems"),
    "race-mirrors": N_("Measuring mirrors"),
    "persist": N_("Changing the room for changes"),
    "write-raw": N_("Writing byte for byte"),
    "probe": N_("Looking whether a stick is genuine"),
    "restore": N_("Making a plain drive"),
}
OFFLINE = "wait-for-network"
"""The stage of a download while this machine has no way out."""
_STAGES = {
    "connect": N_("connecting"),
    "transfer": N_("downloading"),
    OFFLINE: N_("waiting for the network"),
    "wait-for-connection": N_("waiting for a connection"),
    "wait-for-stick": N_("waiting for the stick"),
    "hand-over": N_("waiting for the stick"),
    "download": N_("downloading"),
    "verify": N_("checking the download"),
    "inspect": N_("recognising the system"),
    "copy": N_("copying"),
    "measure": N_("measuring"),
    "partition": N_("partitioning"),
    "filesystem": N_("making the filesystem"),
    "persistence": N_("making room for changes"),
    "boot-files": N_("writing boot files"),
    "write-image": N_("writing"),
    "probe": N_("writing and reading samples"),
    "write-marks": N_("writing all of it"),
    "put-back": N_("putting back what was there"),
    "read-back": N_("reading back"),
    "read-image": N_("reading"),
    "menu": N_("writing the menu"),
    "feeds": N_("asking the makers"),
}
_STATES = {
    JobState.QUEUED: N_("waiting"),
    JobState.RUNNING: N_("running"),
    JobState.PAUSED: N_("paused"),
    JobState.SUCCEEDED: N_("done"),
    JobState.FAILED: N_("failed"),
    JobState.CANCELLED: N_("cancelled"),
}
_TRUST = {
    "signed": N_("signed"),
    "hash": N_("hash"),
    "tls-only": N_("TLS only"),
}
TRUST_MEANING = {
    "signed": N_("Its maker's signature is checked"),
    "hash": N_("It is checked against a known hash"),
    "tls-only": N_("Only as sure as the connection to its mirror"),
}
_SECURE_BOOT = {
    "yes": N_("Secure Boot"),
    "no": N_("no Secure Boot"),
}
_CATEGORIES = {
    "Desktop": N_("Desktop"),
    "Developer": N_("Developer"),
    "Gaming": N_("Gaming"),
    "Privacy": N_("Privacy"),
    "Security": N_("Security"),
    "Server": N_("Server"),
    "Utility": N_("Utility"),
}
"""Those of the packaged list."""
_FIRMWARE = {
    "bios": N_("BIOS"),
    "uefi": N_("UEFI"),
    "uefi-sb": N_("UEFI with Secure Boot"),
    "uefi-ia32": N_("32-bit UEFI"),
    "uefi-ia32-sb": N_("32-bit UEFI with Secure Boot"),
    "uefi-arm64": N_("ARM UEFI"),
    "uefi-arm64-sb": N_("ARM UEFI with Secure Boot"),
}


def operation(job: JobInfo) -> str:
    """What a job does."""
    return _(_OPERATIONS[job.operation]) if job.operation in _OPERATIONS else job.operation


def stage(job: JobInfo) -> str:
    """Where a job stands, in a word or two."""
    if job.state is JobState.RUNNING and job.stage:
        return _(_STAGES[job.stage]) if job.stage in _STAGES else job.stage
    return _(_STATES[job.state]) if job.state in _STATES else job.state.value


def trust(word: str) -> str:
    """How sure a download is."""
    return _(_TRUST[word]) if word in _TRUST else ""


def category(name: str) -> str:
    """What a category is called; one that a list made up is called as it says."""
    return _(_CATEGORIES[name]) if name in _CATEGORIES else name


def firmware(words: tuple[str, ...]) -> str:
    """What a stick starts on."""
    return ", ".join(_(_FIRMWARE[word]) if word in _FIRMWARE else word for word in words)


def size(number: int) -> str:
    """Bytes, or that they are not known."""
    return format_size(number) if number else _("size not known")


def release(found: ReleaseInfo) -> str:
    """Version, edition, architecture where it is not the usual one, and size."""
    architecture = "" if found.architecture in ("", "amd64") else found.architecture
    return " · ".join(part for part in (found.version, found.edition, architecture, size(found.size)) if part)


def marks(system: DistroInfo, found: ReleaseInfo) -> list[tuple[str, str]]:
    """Badges of a release: word and style."""
    known = [(trust(found.trust), "warning" if found.trust == "tls-only" else "success")]
    if system.origin == "user":
        known.append((_("custom"), "accent"))
    if found.ended:
        known.append((_("end of life"), "warning"))
    if found.secure_boot in _SECURE_BOOT:
        known.append((_(_SECURE_BOOT[found.secure_boot]), "dim"))
    return [(word, style) for word, style in known if word]


def device_name(device: DeviceInfo) -> str:
    """Vendor and model as people say it, or the node."""
    if device.bus == "file":
        return _("Image file")
    return clean(" ".join(part for part in (device.vendor, device.model) if part)) or device.node


def device_state(device: DeviceInfo) -> str:
    """What is on a device, in a line."""
    if device.blocked_reason:
        return device.blocked_reason
    if device.state == "luxusb":
        many = len(device.images)
        line = ngettext("LUXusb stick with one system", "LUXusb stick with {many} systems", many).format(many=many)
        return f"{line} · {_('{size} free').format(size=format_size(device.free_bytes))}"
    if device.foreign is not None:
        return _("Stick of {program}").format(program=device.foreign.name)
    if device.state == "damaged":
        return _("Damaged LUXusb stick: {damage}").format(damage=device.damage)
    if device.state == "blank":
        return _("Empty")
    if device.state == "busy":
        return _("In use by a job")
    return _("Holds other files, which would be erased")


def unmounted(device: DeviceInfo) -> list[str]:
    """What is said of the filesystems of a disk that the desktop has mounted, before a job takes it."""
    return [
        _("{node} will be unmounted from {point}; close what is open there").format(
            node=clean(mount.node), point=clean(mount.point)
        )
        for mount in device.mounts
    ]


def progress_line(job: JobInfo) -> str:
    """Stage, bytes, rate and remaining time of a job."""
    parts = [stage(job)]
    if job.state is JobState.PAUSED and job.details.pause_message:
        parts = [job.details.pause_message]
    if job.bytes_total and job.operation != "update-catalog" and not job.state.finished:
        parts.append(done(job))
    if job.state is JobState.RUNNING and job.rate:
        parts.append(format_rate(job.rate))
        if (left := remaining(job)) > 0:
            parts.append(_("{time} left").format(time=about(left)))
    if job.state is JobState.FAILED and not job.shares:
        parts.append(job.error_message)
    elif job.state.finished and job.shares:
        ready = sum(share.state is JobState.SUCCEEDED for share in job.shares)
        count = len(job.shares)
        parts.append(
            ngettext("{ready} of one stick is ready", "{ready} of {count} sticks are ready", count).format(
                ready=ready, count=count
            )
        )
    elif job.state is JobState.SUCCEEDED and job.operation == "probe":
        parts.append(verdict(job))
    return " · ".join(parts)


def share_line(share: DeviceShare) -> str:
    """Stage, bytes and rate of one stick of a job on several, or why it failed."""
    if share.state is JobState.SUCCEEDED:
        return _("ready")
    if share.state is not JobState.RUNNING:
        state = _(_STATES.get(share.state, share.state.value))
        return f"{state} · {share.error_message}" if share.error_message else state
    parts = [_(_STAGES.get(share.stage, share.stage))] if share.stage else [_(_STATES[share.state])]
    if share.bytes_total:
        done, total = format_size(share.bytes_done), format_size(share.bytes_total)
        parts.append(_("{done} of {all}").format(done=done, all=total))
    if share.rate:
        parts.append(format_rate(share.rate))
    return " · ".join(parts)


def verdict(job: JobInfo) -> str:
    """What a probe found, of one that succeeded."""
    found = text(job.result, "verdict")
    sizes = {name: format_size(number(job.result, name)) for name in ("size", "capacity")}
    if found in ("wraps", "loses", "ends"):
        return _("Counterfeit or broken: it has {capacity} and not {size}").format(**sizes)
    if found == "fails":
        return _("Worn out or broken: it does not hold what is written to it")
    if found == "slow":
        return _("It holds what it says, and some of it is far slower than the rest")
    return _("It holds what it says: {size}").format(**sizes)


def report(job: JobInfo) -> str:
    """How a job failed, for who is asked for help."""
    return f"{operation(job)}: {job.label}\n{job.error_name}: {job.error_message}"


def done(job: JobInfo) -> str:
    """How much of a job is done."""
    return _("{done} of {all}").format(done=format_size(job.bytes_done), all=format_size(job.bytes_total))


def remaining(job: JobInfo) -> int:
    """Seconds until the end at the present rate, 0 when unknown."""
    if not job.rate or job.bytes_total <= job.bytes_done:
        return 0
    return (job.bytes_total - job.bytes_done) // job.rate + 1


def about(seconds: int) -> str:
    """A length of time, as exact as an estimate is."""
    if seconds < 60:
        return ngettext("one second", "{many} seconds", seconds).format(many=seconds)
    minutes = (seconds + 30) // 60
    if minutes < 60:
        return ngettext("one minute", "{many} minutes", minutes).format(many=minutes)
    hours = (minutes + 30) // 60
    return ngettext("one hour", "{many} hours", hours).format(many=hours)


def when(moment: int) -> str:
    """A point in time, in Unix seconds, in the way of the user's locale."""
    return time.strftime("%x %H:%M", time.localtime(moment)) if moment else _("never")
