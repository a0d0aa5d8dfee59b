"""What a probe found, told to people and to scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luxusb_cli.errors import LUXUSB, CliError, ExitCode
from luxusb_cli.i18n import N_, _
from luxusb_cli.render import say, table
from luxusb_cli.units import format_size
from luxusb_cli.wire import number, text, wires

if TYPE_CHECKING:
    from luxusb_cli.context import State
    from luxusb_cli.model import JobInfo
    from luxusb_cli.targets import Target

_STATES = {
    "good": N_("good"),
    "slow": N_("slow"),
    "wrapped": N_("has what was written elsewhere"),
    "blank": N_("blank"),
    "stale": N_("keeps what it had"),
    "changed": N_("changed"),
    "failed": N_("input/output error"),
}
_VERDICTS = {
    "wraps": N_("It has {capacity} and not {size}: what is written past that overwrites what is before."),
    "loses": N_("It has {capacity} and not {size}: what is written past that is lost."),
    "ends": N_("It has {capacity} and not {size}: past that everything is an error."),
    "fails": N_("It does not hold what is written to it: it is worn out or broken."),
}


@dataclass(frozen=True)
class Probed:
    """The Result of ProbeCapacity."""

    verdict: str
    size: int
    """Bytes that the disk says it has."""
    capacity: int
    """Bytes that it has."""
    write_rate: int
    """Bytes per second."""
    read_rate: int
    regions: tuple[tuple[int, int, str], ...]
    """(start, size, state); bytes."""

    @classmethod
    def from_wire(cls, value: Mapping[str, object]) -> Probed:
        """Take it from an answer.

        Raises:
            ProtocolError: it is not one.
        """
        return cls(
            verdict=text(value, "verdict"),
            size=number(value, "size"),
            capacity=number(value, "capacity"),
            write_rate=number(value, "write_rate"),
            read_rate=number(value, "read_rate"),
            regions=tuple(
                (number(one, "start"), number(one, "size"), text(one, "state"))
                for one in wires(value.get("regions", ()), "the map of the disk")
            ),
        )


def told(state: State, target: Target, job: JobInfo) -> ExitCode:
    """Say what came of a probe.

    Raises:
        CliError: the disk is no good.
    """
    found = Probed.from_wire(job.result)
    if not state.json:
        if len(found.regions) > 1:
            rows = [
                (format_size(start), format_size(length), _(_STATES.get(kind, kind)))
                for start, length, kind in found.regions
            ]
            table((_("FROM"), _("SIZE"), _("STATE")), rows)
        rates = _("It reads {read}/s and writes {write}/s, one block after the other.")
        say(rates.format(read=format_size(found.read_rate), write=format_size(found.write_rate)))
    if (error := verdict(target, job)) is not None:
        raise error
    if state.json:
        state.emit({"job": job})
        return ExitCode.DONE
    if found.verdict == "slow":
        say(_("Some of it is far slower than the rest."), "yellow")
    say(_("{device} holds what it says.").format(device=target.name), "green")
    return ExitCode.DONE


def verdict(target: Target, job: JobInfo) -> CliError | None:
    """What is wrong with a disk that was probed; None where it holds what it says."""
    found = Probed.from_wire(job.result)
    if found.verdict not in _VERDICTS:
        return None
    counterfeit = found.verdict != "fails"
    return CliError(
        _("{device} is counterfeit or broken").format(device=target.name)
        if counterfeit
        else _("{device} is broken").format(device=target.name),
        _(_VERDICTS[found.verdict]).format(capacity=format_size(found.capacity), size=format_size(found.size)),
        _("Give it back, and take another one."),
        name=LUXUSB + ("DeviceCounterfeit" if counterfeit else "DeviceFailing"),
        document={"job": job},
    )
