"""A job as the JSON document that the store keeps, and back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from luxusbd.jobs.model import DeviceShare, Job, JobState, LogLine, Operation, PauseReason
from luxusbd.store import Row

log = logging.getLogger(__name__)

_PLAIN = (
    "created",
    "title",
    "parent",
    "priority",
    "bandwidth",
    "stage",
    "bytes_done",
    "bytes_total",
    "resumed_bytes",
    "started",
    "finished",
    "error_name",
    "error_message",
)


def to_document(job: Job) -> dict[str, Any]:
    """All that has to outlive the daemon; id and owner are columns of their own."""
    return {
        "operation": job.operation.value,
        "state": job.state.value,
        "params": dict(job.params),
        "device_ids": list(job.device_ids),
        "pause_reason": job.pause_reason.value if job.pause_reason else "",
        "pause_message": job.pause_message,
        "result": dict(job.result),
        "log": [[line.time, line.text] for line in job.log],
        "devices": [asdict(share) for share in job.devices],
        **{name: getattr(job, name) for name in _PLAIN},
    }


def from_row(row: Row) -> Job:
    """The job of a stored row."""
    document: Mapping[str, Any] = row.document
    return Job(
        id=row.id,
        operation=Operation(document["operation"]),
        owner_uid=row.owner_uid,
        state=JobState(document["state"]),
        params=document["params"],
        device_ids=tuple(document["device_ids"]),
        # records of older versions have neither
        pause_reason=PauseReason(reason) if (reason := document.get("pause_reason")) else None,
        pause_message=document.get("pause_message", ""),
        result=document["result"],
        log=tuple(LogLine(time, text) for time, text in document["log"]),
        devices=tuple(
            DeviceShare(**{**share, "state": JobState(share["state"])}) for share in document.get("devices", ())
        ),
        **{name: document[name] for name in _PLAIN},
    )


def job_of(row: Row) -> Job | None:
    """The job of a stored row; None for one that is damaged or of another version of this program."""
    try:
        return from_row(row)
    except (KeyError, TypeError, ValueError) as error:
        log.error("job %d in the database cannot be read and is left out: %r", row.id, error)  # noqa: TRY400
        return None


def to_row(job: Job) -> Row:
    """The row that stores a job."""
    return Row(job.id, job.owner_uid, job.state.finished, to_document(job))
