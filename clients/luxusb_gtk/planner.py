"""Asks the daemon what a stick would become while the user chooses: dry plans, of which the last counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gi.repository import GLib
from luxusb_cli.errors import CliError
from luxusb_cli.i18n import usual_language
from luxusb_cli.model import DeviceInfo
from luxusb_cli.plans import PlanInfo

from luxusb_gtk import stickplan
from luxusb_gtk.basket import Basket, Choice
from luxusb_gtk.service import Done, Failed, Service, ServiceError
from luxusb_gtk.stickplan import Asked, Figures, StickChoices

PAUSE = 250
"""Milliseconds without a further change after which the daemon is asked."""


@dataclass(frozen=True)
class Planned:
    """What a dry plan told."""

    device: DeviceInfo
    basket: Basket
    asked: Asked
    plan: PlanInfo
    figures: Figures
    others: tuple[DeviceInfo, ...] = ()
    """What is to become the same as `device`, which is the smallest."""

    @property
    def devices(self) -> tuple[DeviceInfo, ...]:
        """All of them."""
        return (self.device, *self.others)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What it is for, by the titles that the images will have."""
        named = zip(self.basket.choices, self.plan.images, strict=True)
        return tuple(replace(choice, title=image.title) for choice, image in named)


Wanted = tuple[tuple[DeviceInfo, ...], Basket, StickChoices, int]


class DryPlanner:
    """Plans for one page.

    Args:
        service: the connection.
        told: is called when `planned` or `error` is another one.
    """

    def __init__(self, service: Service, told: Callable[[], None]) -> None:
        self._service = service
        self._told = told
        self._wanted: Wanted | None = None
        self._number = 0
        self._timer = 0
        self._keeps: dict[tuple[str, str, bool], str] = {}
        """Where systems keep changes, by reference, filesystem and whether there is a companion."""
        self.planned: Planned | None = None
        """What would be; None until the daemon has answered for what is wanted now."""
        self.error: ServiceError | None = None
        """Why there can be no such plan."""
        self.choices: tuple[Choice, ...] = ()
        """For which that was refused."""
        self.rooms: tuple[int, ...] = ()
        """Bytes for changes that were asked for then."""
        self.places: tuple[str, ...] = ()
        """Where these would be, as far as it is known."""

    def ask(
        self,
        device: DeviceInfo,
        basket: Basket,
        choices: StickChoices,
        default: int,
        *,
        again: bool = False,
        others: Sequence[DeviceInfo] = (),
    ) -> None:
        """Plan this, unless it is what was asked for last.

        Args:
            device: that is to become a stick.
            basket: the systems, at least one.
            choices: of the stick.
            default: bytes for changes of systems of which the user said nothing.
            again: plan also what was asked for last.
            others: no smaller ones that are to become the same.
        """
        devices = (device, *others)
        wanted = (devices, basket, choices, default)
        if wanted == self._wanted and not again:
            return
        self.forget()
        self._wanted = wanted
        number = self._number

        def start() -> bool:
            self._timer = 0
            self._plan(number, devices, basket, choices, default)
            return False

        self._timer = GLib.timeout_add(PAUSE, start)

    def forget(self) -> None:
        """Nothing is wanted; an answer that is on its way counts no more."""
        self._number += 1
        self._wanted, self.planned, self.error = None, None, None
        if self._timer:
            GLib.source_remove(self._timer)
            self._timer = 0

    def _plan(
        self, number: int, devices: tuple[DeviceInfo, ...], basket: Basket, choices: StickChoices, default: int
    ) -> None:
        companion = choices.companion_asked > 0
        keeps = {
            reference: self._keeps[key]
            for reference in basket.references
            if (key := (reference, choices.filesystem, companion)) in self._keeps
        }
        asked = stickplan.asked(basket, choices, keeps, default)

        def done(answer: tuple[Any, ...]) -> None:
            if number != self._number:
                return
            try:
                told, figures = PlanInfo.from_wire(answer[0]), Figures.from_wire(answer[0])
            except (CliError, ValueError) as error:
                failed(ServiceError("org.luxusb.Error.Internal", str(error)))
                return
            for reference, image in zip(asked.references, figures.images, strict=True):
                self._keeps[reference, choices.filesystem, companion] = image.keeps
            now = {reference: self._keeps[reference, choices.filesystem, companion] for reference in asked.references}
            if stickplan.asked(basket, choices, now, default) != asked:
                # what was learned makes room for changes possible
                self._plan(number, devices, basket, choices, default)
                return
            self.planned = Planned(devices[0], basket, asked, told, figures, devices[1:])
            self._told()

        def failed(error: ServiceError) -> None:
            if number == self._number:
                self.error = error
                self.choices, self.rooms = basket.choices, asked.persistence
                self.places = tuple(keeps.get(reference, stickplan.NONE) for reference in asked.references)
                self._told()

        plan(self._service, devices, asked, done, failed, dry_run=True)


def plan(
    service: Service, devices: Sequence[DeviceInfo], asked: Asked, done: Done, failed: Failed, *, dry_run: bool
) -> None:
    """Call PlanStick."""
    options = {name: GLib.Variant(kind, value) for name, (kind, value) in asked.options.items()}
    if any(device.large for device in devices):
        options["allow_large"] = GLib.Variant("b", True)
    if dry_run:
        options["dry_run"] = GLib.Variant("b", True)
    # what is written byte for byte has no menu
    if not asked.raw and (language := usual_language()) != "en":
        options["language"] = GLib.Variant("s", language)
    arguments = GLib.Variant("(aoasa{sv})", ([device.path for device in devices], list(asked.references), options))
    service.manager("PlanStick", arguments, done, failed)
