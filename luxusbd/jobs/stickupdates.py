"""Newer releases in the places of images on a stick: what is to be done, whether there is room, and doing it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import (
    LuxusbError,
    NotBootableError,
    NotEnoughSpaceError,
    UntrustedError,
    from_name,
)
from luxusbd.jobs import fitting
from luxusbd.jobs.planning import Planner
from luxusbd.jobs.provision import Supply
from luxusbd.jobs.registry import name_of
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.stickcomparison import Found, StickComparer
from luxusbd.jobs.sticknames import files_named
from luxusbd.jobs.streams import check_lacking
from luxusbd.jobs.together import Overall
from luxusbd.jobs.views import Caller, DeviceView, UpdateWishes
from luxusbd.jobs.wanted import Wanted, arriving, staying
from luxusbd.jobs.workshop import Workshop
from luxusbd.stick import beside
from luxusbd.stick.layout import bytes_needed
from luxusbd.stick.model import PartitionRole, StickOperation
from luxusbd.text import size_text


@dataclass(frozen=True)
class Chosen:
    """An image on the stick, and the one that takes its place."""

    found: Found
    image: Wanted


@dataclass(frozen=True)
class Skipped:
    """An image that has a newer release and is left alone."""

    found: Found
    reason: LuxusbError


@dataclass(frozen=True)
class UpdatePlan:
    """All that an update is to do."""

    chosen: tuple[Chosen, ...]
    """In the order in which they are done one at a time: those that give room come first."""
    skipped: tuple[Skipped, ...]
    wishes: UpdateWishes
    view: DeviceView

    @property
    def images(self) -> tuple[Wanted, ...]:
        """The new ones."""
        return tuple(chosen.image for chosen in self.chosen)

    @property
    def beside(self) -> int:
        """Bytes that have to be free to write all before any goes."""
        if not self.chosen:
            return 0
        return bytes_needed([each.image.size for each in self.chosen if self._is_here(each)], self.view.filesystem)

    @property
    def one_at_a_time(self) -> int:
        """Bytes that have to be free to write each before its old one goes, one after the other."""
        return self._most(lambda size, _old: bytes_needed([size], self.view.filesystem))

    @property
    def replacing(self) -> int:
        """Bytes that have to be free when each old one goes before the new one is written."""
        return self._most(lambda size, old: bytes_needed([size], self.view.filesystem) - old)

    @property
    def streamed(self) -> tuple[Wanted, ...]:
        """Those of the new ones that are written while they come.

        Not where an old one may have to go for a new one, which has to be whole before that.
        """
        if self.wishes.one_at_a_time or self.wishes.replace or self.view.companion:
            return ()
        return tuple(image for image in self.images if arriving(image))

    def _most(self, needed: Callable[[int, int], int]) -> int:
        grown = most = 0
        for chosen in self.chosen:
            if self._is_here(chosen):
                old = chosen.found.image.size
                most = max(most, grown + needed(chosen.image.size, old))
                grown += chosen.image.size - old
        return most

    def _is_here(self, chosen: Chosen) -> bool:
        """Whether it takes room of the data partition; that of a companion is known to the worker alone."""
        if not self.view.companion:
            return True
        on_companion = chosen.found.image.partition is PartitionRole.COMPANION
        return not (on_companion or fitting.obstacle(self.view.filesystem, chosen.image.guest))

    def check_room(self) -> None:
        """Refuse what cannot fit, before anything is fetched.

        Raises:
            NotEnoughSpaceError: with what would be needed, and what else can be done.
        """
        name, free, wishes = name_of(self.view), self.view.free_bytes, self.wishes
        if not self.chosen or self._needed() <= free:
            return
        count = len(self.chosen)
        what = "the new image" if count == 1 else f"the {count} new images"
        text = f"{name} has {size_text(free)} free, and {what} need{'s' if count == 1 else ''}"
        if wishes.replace:
            raise NotEnoughSpaceError(
                f"{text} {size_text(self.replacing)} even when the old ones go first; remove an image, or update fewer"
            )
        if not wishes.one_at_a_time:
            text += f" {size_text(self.beside)} beside the old"
            if count > 1:
                text += f", or {size_text(self.one_at_a_time)} one at a time"
        else:
            text += f" {size_text(self.one_at_a_time)} one at a time"
        if not wishes.one_at_a_time and self.one_at_a_time <= free:
            advice = "update one at a time (one_at_a_time, --one-at-a-time)"
        elif self.replacing <= free:
            advice = (
                "remove an image, or let old images go before the new ones are written (replace, --replace-first), so"
                " that the stick is without them for that time"
            )
        else:
            advice = "remove an image, or update fewer"
        raise NotEnoughSpaceError(f"{text}; {advice}")

    def _needed(self) -> int:
        if self.wishes.replace:
            return self.replacing
        return self.one_at_a_time if self.wishes.one_at_a_time else self.beside

    def result(self, done: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What the job answers; `done` are the file names of the new images by those of the old ones."""
        new = done or {}
        return {
            "updates": [
                {**chosen.found.update.to_json(), "size": chosen.image.size, "new_name": new.get(_old(chosen), "")}
                for chosen in self.chosen
            ],
            "skipped": [
                {**skipped.found.update.to_json(), "reason": skipped.reason.message} for skipped in self.skipped
            ],
            "bytes_needed": self.beside,
            "bytes_needed_one_at_a_time": self.one_at_a_time,
            "bytes_needed_replacing": max(0, self.replacing),
            "free_bytes": self.view.free_bytes,
            "kept_images": [] if self.wishes.keep else staying(self.images, companion=self.view.companion),
        }


class StickUpdates:
    """Plans and runs the jobs that update sticks."""

    def __init__(self, comparer: StickComparer, planner: Planner, workshop: Workshop) -> None:
        self._comparer = comparer
        self._planner = planner
        self._workshop = workshop

    def plan(self, caller: Caller, view: DeviceView, wishes: UpdateWishes) -> UpdatePlan:
        """What there is to do for a stick.

        Raises:
            ImageNotFoundError: the stick has no image of a name.
            NotEnoughSpaceError: it does not fit; not for a check.
            LuxusbError: nothing that was asked for can be done, as the first reason says; not for a check.
        """
        found = self._comparer.find(view.images, caller.uid, same_series=wishes.same_series)
        if wishes.images:
            named = files_named(view, wishes.images)
            found = tuple(one for one in found if one.image.name in named)
        taken = [image.name for image in view.images]
        chosen: list[Chosen] = []
        skipped: list[Skipped] = []
        for one in found:
            try:
                image = self._wanted(caller, one, taken, wishes)
            except (UntrustedError, NotBootableError) as error:
                skipped.append(Skipped(one, error))
                continue
            taken.append(image.name)
            chosen.append(Chosen(one, image))
        chosen.sort(key=lambda each: each.image.size - each.found.image.size)
        plan = UpdatePlan(tuple(chosen), tuple(skipped), wishes, view)
        if not wishes.check:
            if skipped and (wishes.images or not chosen):
                raise skipped[0].reason
            plan.check_room()
        return plan

    def _wanted(self, caller: Caller, found: Found, taken: Sequence[str], wishes: UpdateWishes) -> Wanted:
        if found.update.less_trust and not wishes.less_trust:
            before = found.known.trust.value if found.known.trust else ""
            raise UntrustedError(
                f"{found.image.name} has the trust {before!r}, and {found.update.reference} cannot become surer than"
                f" {found.update.trust.value!r}; if that is enough, allow it (less_trust, --less-trust)"
            )
        image = self._planner.release(caller, found.distribution, found.release, taken)
        return replace(image, title=found.title(image.title))

    async def run(
        self,
        context: JobContext,
        identity: DeviceIdentity,
        overall: Overall,
        plan: UpdatePlan,
        supply: Supply,
    ) -> Mapping[str, Any]:
        """Write what was fetched, and what comes.

        Raises:
            LuxusbError: what the worker says. What was updated before that stays so.
        """
        wishes, images = plan.wishes, supply.sources
        new = {_old(chosen): chosen.image.name for chosen in plan.chosen}
        if not (wishes.one_at_a_time or wishes.replace):
            streamed = plan.streamed
            here = [_old(chosen) for chosen in plan.chosen if chosen.image not in streamed]
            coming = [_old(chosen) for chosen in plan.chosen if chosen.image in streamed]
            made = check_lacking(
                await self._workshop.work(
                    context,
                    identity,
                    StickOperation.UPDATE,
                    overall,
                    images=images,
                    streams=supply.streams,
                    remove=(*here, *coming),
                ),
                again="update {} another time (luxusb update)",
            )
            return {**plan.result(new), **made}
        made = {}
        free, done = plan.view.free_bytes, 0
        # held over all steps, so that nobody else changes the disk between two images
        target = await self._workshop.open(identity)
        everything, images = images, beside.shown(images)
        try:
            work = functools.partial(self._workshop.work, context, identity, overall=overall, target=target)
            for old, image in zip(new, images, strict=True):
                context.note(f"{old}: {image.title}")
                overall.next_order(2 * image.size, 2 * sum(other.size for other in images[done + 1 :]))
                # how much a companion has free is not known here, and the user said that the old one may go
                away = image.partition is PartitionRole.COMPANION
                first = wishes.replace and (away or bytes_needed([image.size], plan.view.filesystem) > free)
                order = StickOperation.REPLACE if first else StickOperation.UPDATE
                made = await work(order, images=(image, *beside.of(image, everything)), remove=(old,))
                free, done = int(made["free_bytes"]), done + 1
        except LuxusbError as error:
            if not done:
                raise
            raise from_name(
                error.dbus_name, f"{done} of {len(images)} images were updated, and then: {error}"
            ) from error
        finally:
            os.close(target)
        return {**plan.result(new), **made}


def _old(chosen: Chosen) -> str:
    return chosen.found.image.name
