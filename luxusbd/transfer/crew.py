"""Several mirrors at one file: whom to ask, who is let go, who takes over what. The ranges are `plan`'s affair."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from luxusbd.transfer.answers import FailureKind, SourceError
from luxusbd.transfer.mirrors import Mirror
from luxusbd.transfer.model import DownloadStage
from luxusbd.transfer.plan import Claim, Order, next_order, race_spans, worth_keeping
from luxusbd.transfer.segments import MIB, Span, SpanSet
from luxusbd.transfer.work import Work
from luxusbd.transfer.worker import Hold, Worker, span_of

TICK = 0.25
"""Seconds between two looks at the rates."""
FAR = 0.05
"""Seconds to an answer from which on a second connection to the only mirror may bring more."""
NOTHING_GAINED = 1.05
NEAR_LIMIT = 0.9


@dataclass
class _Trial:
    """One worker more: was it worth it?"""

    worker: int
    before: float
    until: float


class Crew:
    """The workers of one download. `run` may be called again when it had nobody to ask."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._keeper = work.keeper
        self._book = work.book
        self._limits = work.limits
        self._clock = work.clock
        self._workers: dict[int, Worker] = {}
        self._number = 0
        self._group: asyncio.TaskGroup | None = None
        self._news = asyncio.Event()
        self._racing_until = 0.0
        self._raced = False
        self._trial: _Trial | None = None
        self._changed = 0.0
        self._full = False
        """Whether one more mirror was seen to bring nothing."""
        self._usual = 0.0
        """Bytes per second of all at the last look that found them settled."""
        self._probe_at = float("inf")
        self._second_tried = False

    @property
    def possible(self) -> bool:
        """Whether mirrors can share what is missing, and one of them may be asked right now."""
        keeper = self._keeper
        if not self._work.request.hashed or keeper.total is None:
            return False
        return keeper.written.missing(keeper.total).total >= self._limits.share_min and bool(self._book.ready())

    async def run(self) -> None:
        """Returns when the file is complete or when nobody may be asked at the moment.

        Raises:
            ExceptionGroup: of NotEnoughSpaceError or FailedError: the disk is full or failed.
        """
        self._changed = self._clock()
        self._trial = None
        self._probe_at = self._clock() + self._limits.probe_interval
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._muster()
                while self._workers and not self._keeper.complete:
                    await self._wait()
                    self._look()
                for worker in self._workers.values():
                    self._dismiss(worker)
        finally:
            self._workers.clear()
            self._group = None

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(TICK):
                await self._news.wait()
        except TimeoutError:
            pass  # nothing happened: a look at the clock is due all the same
        self._news.clear()

    def _muster(self) -> None:
        """Who begins: the best alone if earlier downloads tell who that is, else some are tried against each other."""
        ready = self._ready()
        known = [mirror for mirror in ready if mirror.measured or mirror.expected]
        if self._raced or len(ready) < 2 or len(known) >= min(2, len(ready)):
            self._hire(ready[0], trial=False)
            return
        self._raced = True
        self._racing_until = self._clock() + self._limits.race_time
        spans = race_spans(self._missing(), min(self._limits.race, len(ready)), self._limits)
        for place, (mirror, span) in enumerate(zip(ready, spans, strict=False)):
            self._hire(mirror, trial=True, first=span, delay=place * self._limits.race_stagger)

    def _ready(self) -> list[Mirror]:
        busy = {worker.mirror.url for worker in self._workers.values()}
        ready = [mirror for mirror in self._book.ready() if mirror.url not in busy]
        free = [mirror for mirror in ready if self._work.means.source.free(mirror.url)]
        return free if free or self._workers else ready

    def _hire(self, mirror: Mirror, *, trial: bool, first: Span | None = None, delay: float = 0.0) -> Worker:
        assert self._group is not None
        self._number += 1
        worker = Worker(self._number, self._work, mirror, trial=trial)
        mirror.tried = self._changed = self._clock()
        if trial and first is not None:
            worker.header_timeout = self._limits.race_header_timeout
        self._workers[worker.number] = worker
        self._work.tell(DownloadStage.CONNECT)
        worker.hold = Hold(first.start, first.start, first.end) if first else None
        worker.task = self._group.create_task(self._serve(worker, delay))
        # a task that is dismissed before its first step never runs any of its own code
        worker.task.add_done_callback(lambda _task: self._left(worker))
        return worker

    def _left(self, worker: Worker) -> None:
        self._workers.pop(worker.number, None)
        if not any(other.mirror is worker.mirror for other in self._workers.values()):
            self._work.shares.idle(worker.mirror.url)
        self._changed = self._clock()
        self._news.set()

    async def _serve(self, worker: Worker, delay: float) -> None:
        hold = worker.hold
        try:
            await asyncio.sleep(delay)
            hold = hold or self._assign(worker)
            while hold is not None:
                before = self._keeper.written.total
                try:
                    await worker.fetch(hold, self._replaceable)
                except SourceError as error:
                    self._work.failed(worker.mirror, error, brought_bytes=hold.position > hold.start)
                    return
                finally:
                    self._release_doubles(hold)
                if self._keeper.written.total > before:
                    self._book.progressed(worker.mirror)
                hold = self._assign(worker)
        finally:
            worker.hold = None

    def _replaceable(self) -> bool:
        return len(self._workers) > 1 or bool(self._ready())

    def _dismiss(self, worker: Worker) -> None:
        assert worker.task is not None
        worker.task.cancel()

    # who does what

    def _assign(self, worker: Worker) -> Hold | None:
        if worker.trial and not self._racing_until and not self._passed(worker):
            return None
        order = self._order(worker.after, worker.speed(self._mean()), without=worker)
        if order is None:
            return None
        span = order.span
        victim = self._workers.get(order.victim) if order.victim is not None else None
        if victim is not None and victim.hold is not None:
            if order.double:
                victim.hold.doubled = True
            else:
                victim.hold.end = order.cut
        if worker.trial and not self._racing_until:
            span = Span(span.start, min(span.end, span.start + self._limits.race_span))
        worker.hold = Hold(span.start, span.start, span.end, order.double)
        return worker.hold

    def _order(self, after: int, rate: float, without: Worker | None = None) -> Order | None:
        """What somebody would have to do who brings `rate` and was at `after` before."""
        assert self._keeper.total is not None
        return next_order(
            self._missing(),
            self._claims(without),
            size=self._keeper.total,
            after=after,
            rate=rate,
            limits=self._limits,
        )

    def _claims(self, without: Worker | None = None) -> list[Claim]:
        mean = self._mean()
        return [
            claim
            for worker in self._workers.values()
            if worker is not without and (claim := worker.claim(mean)) is not None
        ]

    def _missing(self) -> SpanSet:
        return self._keeper.fetchable

    def _mean(self) -> float:
        rates = [rate for worker in self._workers.values() if (rate := worker.meter.current()) > 0]
        return sum(rates) / len(rates) if rates else float(MIB)

    def _total(self, without: Worker | None = None) -> float:
        return sum(worker.meter.current() for worker in self._workers.values() if worker is not without)

    def _release_doubles(self, hold: Hold) -> None:
        """Nobody is at `hold` any more: whoever was at the same bytes is alone there, or need not go on."""
        if not hold.doubled:
            return
        for other in self._workers.values():
            if other.hold is not None and other.hold is not hold and other.hold.doubled:
                rest = span_of(other.hold)
                if rest is None or self._keeper.written.covers(rest):
                    self._dismiss(other)
                else:
                    other.hold.doubled = False

    # who stays

    def _look(self) -> None:
        now = self._clock()
        if self._keeper.complete:
            return
        if self._racing_until:
            self._judge_race(now)
        self._judge_trial(now)
        self._leave_slow()
        for worker in self._workers.values():
            if worker.mirror.suspected or worker.mirror.banned:
                self._dismiss(worker)
        if self._work.means.source.contended and len(self._workers) > 1:
            # another download has none at all, or is more urgent
            self._dismiss(self._slowest())
        if not self._racing_until:
            self._recruit(now)
            self._call_back()

    def _slowest(self) -> Worker:
        return min(self._workers.values(), key=lambda one: one.meter.current())

    def _judge_race(self, now: float) -> None:
        racers = [worker for worker in self._workers.values() if worker.trial]
        done = [worker for worker in racers if worker.meter.total >= self._limits.race_span]
        if now < self._racing_until and len(done) < 2 and len(racers) > 1:
            return
        over = now >= self._racing_until
        self._racing_until = 0.0
        if not over:
            # whoever began last may have had no chance yet: it goes on and is judged by its own trial
            racers = [worker for worker in racers if worker.meter.total >= self._limits.race_span // 2]
        rates = {worker.number: worker.meter.estimate() for worker in racers}
        rates = {number: rate for number, rate in rates.items() if rate > 0}
        kept = worth_keeping(rates, self._limits.crew, self._limits.stay, self._ceiling())
        for worker in racers:
            worker.trial = False
            worker.header_timeout = 0.0
            self._work.measure(worker.mirror, worker.meter, now=True)
            if kept and worker.number not in kept:
                self._dismiss(worker)
        # what they bring together is known by now
        self._changed = now - self._limits.settle

    def _passed(self, worker: Worker) -> bool:
        """Whether a worker that has brought the bytes of its trial stays; it may take the place of the slowest."""
        if worker.after < 0:
            return True
        rate = worker.meter.estimate()
        others = [other for other in self._workers.values() if other is not worker]
        total = self._total(without=worker)
        worker.trial = False
        if len(others) < self._limits.crew and (not others or rate > self._limits.stay * total):
            # its connection has got up to speed already, so that half of the time is enough
            self._trial = _Trial(worker.number, total, self._clock() + self._limits.settle / 2)
            return True
        slowest = min(others, key=lambda other: other.meter.current(), default=None)
        if slowest is not None and rate > self._limits.swap * slowest.meter.current():
            self._dismiss(slowest)
            return True
        return False

    def _judge_trial(self, now: float) -> None:
        trial = self._trial
        if trial is None or now < trial.until:
            return
        self._trial = None
        worker = self._workers.get(trial.worker)
        if worker is not None and len(self._workers) > 1 and self._total() < NOTHING_GAINED * trial.before:
            self._full = True
            self._dismiss(self._slowest())

    def _leave_slow(self) -> None:
        """Let go those who bring next to nothing, if there is somebody to take their place."""
        window = self._limits.slow_window
        best = max((worker.meter.current() for worker in self._workers.values()), default=0.0)
        least = max(float(self._limits.slow_rate), self._limits.slow_share * best)
        for worker in list(self._workers.values()):
            if worker.meter.age >= window and worker.meter.rate(window) < least and self._replaceable():
                slow = SourceError(FailureKind.SLOW, f"sent less than {int(least)} bytes a second")
                self._work.failed(worker.mirror, slow, brought_bytes=worker.meter.total > 0)
                self._dismiss(worker)
                return

    def _recruit(self, now: float) -> None:
        if self._trial is not None or now - self._changed < self._limits.settle:
            return
        if any(worker.trial for worker in self._workers.values()) or self._work.means.source.contended:
            return
        total = self._total()
        dropped = total < (1 - self._limits.probe_drop) * self._usual
        self._usual = total
        if total <= 0 or total >= NEAR_LIMIT * self._ceiling():
            return
        probing = dropped or now >= self._probe_at
        if probing:
            self._probe_at = now + self._limits.probe_interval
        if not probing and (self._full or len(self._workers) >= self._limits.crew):
            return
        if not self._left_over():
            return
        self._full = False
        for mirror in self._ready():
            known = mirror.measured or mirror.expected
            if not known or known > self._limits.gain * total or (probing and now - mirror.tried > 1):
                worker = self._hire(mirror, trial=not known or probing)
                if not worker.trial:
                    self._trial = _Trial(worker.number, total, now + self._limits.settle)
                return
        self._second(total, now)

    def _call_back(self) -> None:
        """Get help for somebody who became slow, from a mirror that ran out of work before that."""
        if self._trial is not None or len(self._workers) >= self._limits.crew or self._work.means.source.contended:
            return
        if self._total() >= NEAR_LIMIT * self._ceiling():
            return
        for mirror in self._ready():
            rate = mirror.measured or mirror.expected
            order = self._order(-1, rate) if rate > 0 else None
            victim = self._workers.get(order.victim) if order is not None and order.victim is not None else None
            if victim is not None and rate > self._limits.swap * victim.speed(self._mean()):
                self._hire(mirror, trial=False)
                return

    def _second(self, total: float, now: float) -> None:
        """A second connection to a mirror that is far away, if it is the only one there is."""
        (worker, *others) = self._workers.values()
        if others or self._second_tried or self._work.shares.latency(worker.mirror.url) < FAR:
            return
        if any(one is not worker.mirror and self._book.alive(one) for one in self._book.mirrors):
            return
        if self._work.means.source.free(worker.mirror.url):
            self._second_tried = True
            again = self._hire(worker.mirror, trial=False)
            self._trial = _Trial(again.number, total, now + self._limits.settle)

    def _ceiling(self) -> float:
        return self._work.bandwidth or float("inf")

    def _left_over(self) -> bool:
        """Whether there are bytes to give to one more worker."""
        order = self._order(-1, self._mean())
        return order is not None and not order.double
