"""org.luxusb.Job: what a job shows, and how it is steered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luxusbd.bus import members
from luxusbd.bus.contract import JOB, interfaces
from luxusbd.bus.dispatcher import Answer, Call, Getter, Handler, Implementation
from luxusbd.bus.gate import Gate, Operation, parse_options
from luxusbd.bus.options import Options
from luxusbd.bus.render import entries, strings
from luxusbd.bus.tree import Exported, Tree, device_path, job_path, unknown
from luxusbd.bus.values import Typed
from luxusbd.errors import NotAuthorizedError
from luxusbd.jobs.api import Engine
from luxusbd.jobs.mirrors import is_custom
from luxusbd.jobs.model import Job


def _details(job: Job) -> Mapping[str, Any]:
    return {
        "reference": job.params.get("reference", ""),
        "images": strings(job.params.get("references", ())),
        "title": job.title,
        "custom": is_custom(job.params),
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "priority": Typed("i", job.priority),
        "bandwidth": job.bandwidth,
        "pause_reason": job.pause_reason.value if job.pause_reason else "",
        "pause_message": job.pause_message,
        "log": strings(f"{line.time} {line.text}" for line in job.log),
        "mirrors": entries(
            {
                "host": mirror.host,
                "country": mirror.country,
                "state": mirror.state,
                "rate": mirror.rate,
                "bytes_done": mirror.bytes_done,
            }
            for mirror in job.mirrors
        ),
        "devices": entries(
            {
                "id": share.id,
                "node": share.node,
                "model": share.model,
                "state": share.state.value,
                "stage": share.stage,
                "bytes_done": share.bytes_done,
                "bytes_total": share.bytes_total,
                "rate": share.rate,
                "error_name": share.error_name,
                "error_message": share.error_message,
            }
            for share in job.devices
        ),
    }


_GETTERS: Mapping[str, Getter] = {
    "Operation": lambda job: job.operation.value,
    "State": lambda job: job.state.value,
    "Stage": lambda job: job.stage,
    "Progress": lambda job: job.progress,
    "BytesDone": lambda job: job.bytes_done,
    "BytesTotal": lambda job: job.bytes_total,
    "ResumedBytes": lambda job: job.resumed_bytes,
    "Rate": lambda job: job.rate,
    "ExpectedEnd": lambda job: job.expected_end,
    "OwnerUid": lambda job: job.owner_uid,
    "Devices": lambda job: [device_path(device_id) for device_id in job.device_ids],
    "Parent": lambda job: job_path(job.parent),
    "Details": _details,
    "ErrorName": lambda job: job.error_name,
    "ErrorMessage": lambda job: job.error_message,
    "Result": lambda job: job.result,
}


def progress_values(job: Job) -> Sequence[Any]:
    """The arguments of ProgressChanged."""
    return (job.progress, job.bytes_done, job.bytes_total, job.rate, job.stage)


def finished_values(job: Job) -> Sequence[Any]:
    """The arguments of Finished."""
    return (job.state.value, job.error_name, job.error_message, job.result)


class JobMethods:
    """Pause, Resume, Cancel and Modify: free for the owner and root, for others with manage-all-jobs.

    Others do not even see the job; so a refusal looks the same as a job that does not exist.
    """

    def __init__(self, engine: Engine, tree: Tree, gate: Gate) -> None:
        self._engine = engine
        self._tree = tree
        self._gate = gate

    def implementation(self) -> Implementation:
        """Handlers and getters over `Job`."""
        operations: Mapping[str, Operation] = {
            "Pause": self._pause,
            "Resume": self._resume,
            "Cancel": self._cancel,
            "Modify": self._modify,
        }
        handlers = {name: self._guarded(operation) for name, operation in operations.items()}
        return Implementation(interfaces()[JOB], handlers, _GETTERS, hidden_calls=True)

    def _guarded(self, operation: Operation) -> Handler:
        async def handle(call: Call) -> Answer:
            exported = self._tree.get(call.path)
            if exported is None:
                raise unknown(call.path)
            if not exported.visible(call.caller.uid):
                await self._ask(call, exported)
            return await operation(call, parse_options(JOB, call.method, call.args))

        return handle

    async def _ask(self, call: Call, exported: Exported) -> None:
        job: Job = exported.value
        try:
            # Options are looked at afterwards, where a fault in them tells nothing; this one is needed before.
            no_user_interaction = "no_user_interaction" in call.args[-1]
            given = Options({"no_user_interaction": no_user_interaction})
            await self._gate.authorise(call, given, {"job": job.title, "owner": str(job.owner_uid)})
        except NotAuthorizedError as error:
            raise unknown(call.path) from error
        if self._tree.get(call.path) is None:
            raise unknown(call.path)

    def _job_id(self, call: Call) -> int:
        exported = self._tree.get(call.path)
        assert exported is not None  # looked up by _guarded, and nothing was awaited since
        return int(exported.value.id)

    async def _pause(self, call: Call, given: Options) -> Answer:
        del given
        await self._engine.pause_job(self._job_id(call))
        return Answer()

    async def _resume(self, call: Call, given: Options) -> Answer:
        del given
        await self._engine.resume_job(self._job_id(call))
        return Answer()

    async def _cancel(self, call: Call, given: Options) -> Answer:
        await self._engine.cancel_job(self._job_id(call), keep_partial=given[members.KEEP_PARTIAL])
        return Answer()

    async def _modify(self, call: Call, given: Options) -> Answer:
        await self._engine.modify_job(
            self._job_id(call),
            priority=given[members.PRIORITY] if given.given(members.PRIORITY) else None,
            bandwidth=given[members.BANDWIDTH] if given.given(members.BANDWIDTH) else None,
        )
        return Answer()
