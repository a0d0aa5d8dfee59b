"""How the core tells the transfer process what may be given back."""

from __future__ import annotations

import logging

import pytest

from luxusbd.children.protocol import Params
from luxusbd.errors import InternalError, InterruptedJobError, JobStateError, LuxusbError
from luxusbd.jobs.transferlink import TransferSetup
from luxusbd.jobs.transfers import Transfers


class Asked:
    """In the place of the supervisor."""

    def __init__(self, failure: LuxusbError | None = None) -> None:
        self.requests: list[tuple[str, Params]] = []
        self._failure = failure

    async def request(self, method: str, params: Params) -> None:
        self.requests.append((method, params))
        if self._failure is not None:
            raise self._failure


def transfers(asked: Asked) -> Transfers:
    made = Transfers(None, TransferSetup())  # type: ignore[arg-type]
    made.supervisor = asked  # type: ignore[assignment]
    return made


async def test_a_mark_goes_to_its_download() -> None:
    asked = Asked()
    await transfers(asked).release(7, 4096, 2)
    assert asked.requests == [("control", {"job": 7, "released": 4096, "epoch": 2})]


@pytest.mark.parametrize("failure", [JobStateError("job 7 is not being downloaded"), InterruptedJobError("it died")])
async def test_a_download_that_is_over_hears_of_no_mark(failure: LuxusbError, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await transfers(Asked(failure)).release(7, 4096, 2)
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "4096 bytes of job 7" in caplog.text


async def test_other_failures_are_told() -> None:
    with pytest.raises(InternalError):
        await transfers(Asked(InternalError("x"))).release(7, 4096, 2)
