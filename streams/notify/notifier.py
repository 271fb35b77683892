"""The worker that tells receivers: takes notices that are due, sends them, notes what came of it.

At least once: a notice is taken, sent, and then marked. A worker that is killed after the receiver
took it and before that is marked leaves it to be taken again once its lease is over, so the
receiver gets it once more for each such kill, under the same key. A worker that loses its store in
between marks when it is back, unless another took the notice meanwhile. Attempts run in threads,
`at_once` of them, and `each` of one integration; nothing else waits for a receiver that is slow.

What follows from an attempt is decided in `analytics.alerts.notify.delivery`. No error that is
kept or logged holds an address, a header or a body.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as first_of
from typing import Final

import msgspec
from msgspec import Struct

from analytics.alerts.dispatch.groups import Notice
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.notify import delivery
from analytics.alerts.notify.delivery import (
    AttemptOutcome,
    AttemptResult,
    DeliveryState,
    Policy,
    Tried,
)
from analytics.alerts.notify.receivers import Integration
from analytics.contracts.errors import Refused, Unavailable
from streams import metrics
from streams.clients.errors import mapped
from streams.notify.sender import NoticeSender, SendOptions
from streams.store import notices
from streams.store.notices import Db, LeasedNotice, Routings

log = logging.getLogger(__name__)

LOOK_S: Final = 0.25
"""How long after a look for notices the next one is at least."""
TICK_S: Final = 2.0
"""How long after a look the next one is if nobody asks: some are due later, or another's."""
LOOK_SHARE: Final = 10
"""How many times as long as a look took the next one waits, where it found nothing."""
COUNT_S: Final = 5.0
"""How often it is counted how many wait."""
RETRY_S: Final = 2.0
LEASE_SPARE_S: Final = 20.0
"""By how much a lease outlives the attempt: for names that resolve slowly, and the mark."""
NO_KIND: Final = "none"
"""The kind in metrics of a notice without an integration."""


class NotifierOptions(Struct, frozen=True, kw_only=True):
    """How notices are sent."""

    manner: SendOptions = SendOptions()
    policy: Policy = Policy()
    at_once: int = 16
    each: int = 2
    lease_spare_s: float = LEASE_SPARE_S
    tick_s: float = TICK_S


class Attempt(Struct, frozen=True, kw_only=True):
    """A notice that is being sent, with what it was read as."""

    taken: LeasedNotice
    routing: Routing
    notice: Notice | None
    by: Integration | None

    @property
    def kind(self) -> str:
        """The word for it in metrics."""
        return NO_KIND if self.by is None else self.by.kind.value


class Notifying:
    """Sends the notices of one store until told to stop."""

    def __init__(
        self,
        url: str,
        rules: NotifierOptions,
        *,
        now_ms: Callable[[], int],
        chance: Callable[[], float] = random.random,
        woken: threading.Event | None = None,
    ) -> None:
        self._url = url
        self._rules = rules
        self._chance = chance
        self._woken = woken or threading.Event()
        """Set by whoever leaves notices, and by whoever sets `stop`."""
        self._sender = NoticeSender(rules.manner, now_ms=now_ms)
        self._routings = Routings()
        self._flying: dict[Future[AttemptOutcome], Attempt] = {}
        self._counted_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Send; whatever goes wrong is tried again after a while."""
        with ThreadPoolExecutor(self._rules.at_once, thread_name_prefix="notifying") as pool:
            while not stop.is_set():
                try:
                    with mapped("notifying"), notices.connected(self._url) as db:
                        self._notify(db, pool, stop)
                except Unavailable as error:
                    log.info("notifying waits", extra={"reason": str(error)})
                except Exception:
                    log.exception("notifying failed; it begins again from what is stored")
                    metrics.NOTIFYING_FAILURES.inc()
                if not stop.is_set():
                    stop.wait(RETRY_S)

    def _notify(self, db: Db, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
        while not stop.is_set():
            self._mark(db)
            begun_s = time.perf_counter()
            begun = self._begin(db, pool)
            wait_s = max(LOOK_S, (time.perf_counter() - begun_s) * LOOK_SHARE)
            self._count(db)
            if begun:
                continue
            if self._flying:
                first_of(self._flying, timeout=wait_s, return_when=FIRST_COMPLETED)
            else:
                stop.wait(wait_s)
                self._woken.wait(self._rules.tick_s)
                self._woken.clear()
        first_of(self._flying)
        self._mark(db)

    def _begin(self, db: Db, pool: ThreadPoolExecutor) -> int:
        """Begin to send what there is room for; return how many."""
        room = self._rules.at_once - len(self._flying)
        if room <= 0:
            return 0
        taken = notices.take(
            db,
            limit=room,
            each=self._rules.each,
            busy={one.taken.channel for one in self._flying.values()},
            lease_s=self._rules.manner.timeout_s + self._rules.lease_spare_s,
        )
        for one in taken:
            attempt, known = self._read(db, one)
            sending = pool.submit(self._send, attempt, known)
            self._flying[sending] = attempt
        return len(taken)

    def _read(self, db: Db, taken: LeasedNotice) -> tuple[Attempt, AttemptResult | None]:
        """Return what is to be sent, or what is known of it without sending."""
        routing = self._routings.of(db, taken.tenant)
        try:
            notice = _DECODER.decode(taken.body)
        except msgspec.MsgspecError:
            return Attempt(
                taken=taken, routing=routing, notice=None, by=None
            ), AttemptResult.UNREADABLE
        found = delivery.integration(routing, notice)
        if isinstance(found, AttemptResult):
            return Attempt(taken=taken, routing=routing, notice=notice, by=None), found
        return Attempt(taken=taken, routing=routing, notice=notice, by=found), None

    def _send(self, attempt: Attempt, known: AttemptResult | None) -> AttemptOutcome:
        """Make one attempt, in a thread of the pool; never raise."""
        if known is not None or attempt.notice is None or attempt.by is None:
            signal = known or AttemptResult.UNREADABLE
            return AttemptOutcome(signal=signal, reason=_REASONS.get(signal, ""))
        key = delivery.idempotency_key(attempt.taken.key)
        begun_s = time.perf_counter()
        try:
            self._sender.send(attempt.notice, attempt.by, key)
        except Refused as error:
            return AttemptOutcome(signal=AttemptResult.REFUSED, reason=str(error))
        except Unavailable as error:
            waits_ms = error.retry_after_ms
            return AttemptOutcome(
                signal=AttemptResult.FAILED, reason=str(error), retry_after_ms=waits_ms
            )
        except Exception as error:  # noqa: BLE001 - a bug is tried again, and its text may hold secrets
            log.error("a notice could not be sent", extra={"kind": type(error).__name__})  # noqa: TRY400
            metrics.NOTIFYING_FAILURES.inc()
            return AttemptOutcome(
                signal=AttemptResult.FAILED, reason=f"a fault of ours: {type(error).__name__}"
            )
        finally:
            metrics.NOTICE_SECONDS.labels(attempt.kind).observe(time.perf_counter() - begun_s)
        return AttemptOutcome(signal=AttemptResult.DELIVERED)

    def _mark(self, db: Db) -> None:
        """Keep what came of the attempts that are over."""
        for sending in [one for one in self._flying if one.done()]:
            self._keep(db, self._flying[sending], sending.result())
            del self._flying[sending]

    def _keep(self, db: Db, attempt: Attempt, outcome: AttemptOutcome) -> None:
        taken = attempt.taken
        tried = Tried(attempts=taken.attempts, age_ms=taken.age_ms)
        policy = delivery.policy_of(attempt.notice, self._rules.policy)
        verdict = delivery.after(tried, outcome, policy, self._chance())
        told: tuple[Notice, ...] = ()
        if verdict.passes_on and attempt.notice is not None:
            told = delivery.passed_on(attempt.routing, attempt.notice, verdict.reason)
        if not notices.mark(db, taken, verdict, told):
            return
        if verdict.state is DeliveryState.SENT:
            metrics.NOTICES_SENT.labels(attempt.kind).inc()
            return
        metrics.NOTICES_FAILED.labels(attempt.kind).inc()
        if verdict.state is DeliveryState.GIVEN_UP:
            metrics.NOTICES_GIVEN_UP.labels(attempt.kind).inc()
            log.warning(
                "a receiver is given up",
                extra={
                    "tenant": taken.tenant,
                    "integration": taken.integration,
                    "reason": verdict.reason,
                    "passed_on": [one.integration for one in told],
                },
            )

    def _count(self, db: Db) -> None:
        if time.monotonic() - self._counted_s < COUNT_S and self._counted_s:
            return
        self._counted_s = time.monotonic()
        found = notices.backlog(db)
        metrics.NOTICES_WAITING.set(found.count)
        metrics.NOTICES_OLDEST_SECONDS.set(found.seconds)


_REASONS: Final = {
    AttemptResult.GONE: "the routing does not have this receiver any more",
    AttemptResult.UNREADABLE: "it cannot be read; it is of another version",
}
_DECODER: Final = msgspec.msgpack.Decoder(Notice)
