"""Dry plans while the user chooses: few calls, and of their answers the last one counts. Without a daemon."""

from __future__ import annotations

from typing import Any

from luxusb_cli.model import DeviceInfo
from luxusb_gtk.basket import MIB, Basket, Choice
from luxusb_gtk.stickplan import StickChoices

from tests.desktop.screen import turn, until

STICK = DeviceInfo.from_wire("/org/luxusb/devices/a", {"Size": 8 << 30, "DiskSeq": 5})
ALPHA, BETA = Choice("alpha", "distro:alpha", "Alpha", 5), Choice("beta", "distro:beta", "Beta", 6)


class Service:
    """Takes calls down and answers when it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], dict[str, Any], Any, Any]] = []

    def manager(self, method: str, parameters: Any, done: Any, failed: Any) -> None:
        assert method == "PlanStick"
        _devices, references, options = parameters.unpack()
        self.calls.append((references, options, done, failed))


def answer(*keeps: str, persistence: int = 0) -> tuple[dict[str, Any]]:
    image = {"name": "a.iso", "reckoned": 5, "persistence": persistence}
    layout = [{"name": "LUXDATA", "size": 100 * MIB}]
    device = {"size": 200 * MIB, "bytes_free": 9, "bytes_missing": 0}
    return ({"devices": [device], "layout": layout, "images": [{**image, "keeps": place} for place in keeps]},)


async def test_the_last_choice_is_planned_once_and_its_answer_counts(screen: str) -> None:
    from luxusb_gtk.planner import DryPlanner

    service, told = Service(), list[str]()
    planner = DryPlanner(service, lambda: told.append("told"))  # type: ignore[arg-type]
    for choices in (StickChoices("fat32"), StickChoices("exfat"), StickChoices()):
        planner.ask(STICK, Basket((ALPHA,)), choices, 0)
        planner.ask(STICK, Basket((ALPHA,)), choices, 0)
    await until(lambda: service.calls, "a call")
    planner.ask(STICK, Basket((ALPHA,)), StickChoices(), 0)
    references, options, done, failed = service.calls[0]
    assert references == ["distro:alpha"]
    assert options["filesystem"] == "ext4"
    assert options["dry_run"] is True

    planner.ask(STICK, Basket((ALPHA, BETA)), StickChoices(), 0)
    done(answer("none"))
    assert planner.planned is None
    await until(lambda: len(service.calls) == 2, "the other call")
    from luxusb_gtk.service import ServiceError

    failed(ServiceError("org.luxusb.Error.Failed", "late"))
    assert (planner.error, told) == (None, []), "what was asked before counts no more"
    service.calls[1][2](answer("none", "unknown"))
    assert planner.planned is not None
    assert [choice.key for choice in planner.planned.choices] == ["alpha", "beta"]
    assert told == ["told"]

    planner.ask(STICK, Basket((ALPHA,)), StickChoices("exfat"), 0)
    assert planner.planned is None
    planner.forget()
    for _ in range(50):
        await turn()
    assert len(service.calls) == 2, "nothing is asked for what nobody wants any more"


async def test_what_is_learned_gives_the_room_that_is_preferred(screen: str) -> None:
    from luxusb_gtk.planner import DryPlanner
    from luxusb_gtk.service import ServiceError

    service, told = Service(), list[str]()
    planner = DryPlanner(service, lambda: told.append("told"))  # type: ignore[arg-type]
    planner.ask(STICK, Basket((ALPHA, BETA)), StickChoices(), 64 * MIB)
    await until(lambda: service.calls, "a call")
    assert "persistence" not in service.calls[0][1], "nobody knows yet whether they keep changes"
    service.calls[0][2](answer("partition", "unknown"))
    assert told == []
    assert service.calls[1][1]["persistence"] == {"distro:alpha": 64 * MIB}
    assert service.calls[1][1]["persistence_partition"] == 64 * MIB
    service.calls[1][2](answer("partition", "unknown", persistence=64 * MIB))
    assert told == ["told"]
    assert planner.planned is not None
    assert planner.planned.asked.persistence == (64 * MIB, 0)
    assert len(service.calls) == 2

    # when there is no room for it, the page still knows whose it is
    planner.ask(STICK, Basket((ALPHA, BETA)), StickChoices(), 9 << 30)
    await until(lambda: len(service.calls) == 3, "another call")
    service.calls[2][3](ServiceError("org.luxusb.Error.NotEnoughSpace", "too much"))
    assert planner.planned is None
    assert planner.choices == (ALPHA, BETA)
    assert (planner.rooms, planner.places) == ((9 << 30, 0), ("partition", "unknown"))
