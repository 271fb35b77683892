"""Sends what commits left in the outbox to its result topics, at least once and in order by key.

Keys have their turns: what one tenant leaves there keeps nobody else's waiting.
A record is forgotten only after the broker has acknowledged it; a worker that dies in between, or
is cut off from the store, leaves it to be sent again, under the id it had. Of several workers one
sends at a time, whatever worker filled the outbox, so normally each record is sent once. The outbox
is looked at as soon as a commit has filled it, and now and then for what another worker left.

The outbox has a limit: with `waiting_max` records in it `full` says so, and the worker stores no
more until some are sent. A worker goes by its last look and by what it has added since, so several
may together go beyond the limit by what they store between two looks.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import Unavailable
from streams import metrics
from streams.store.checkpoint import CheckpointStore

BUSY_WAIT_S: Final = 0.5
"""How soon the outbox is looked at again while another worker sends."""

log = logging.getLogger(__name__)


class RecordSender(Protocol):
    """What takes records to the broker."""

    async def __call__(self, records: Sequence[Record]) -> None:
        """Return once all are acknowledged; raise `BrokerAway` if one is not."""
        ...


class Outbox:
    """One worker's sender of results."""

    def __init__(
        self,
        checkpoints: CheckpointStore,
        send: RecordSender,
        *,
        records_max: int,
        waiting_max: int,
        wait_s: float,
    ) -> None:
        self._checkpoints = checkpoints
        self._send = send
        self._records_max = records_max
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._waiting = 0
        self._busy = False
        self._filled = asyncio.Event()

    @property
    def full(self) -> str:
        """Why nothing may be added just now; empty if something may."""
        if self._waiting < self._waiting_max:
            return ""
        return f"{self._waiting} results wait to be sent, and {self._waiting_max} may"

    def filled(self, records: int) -> None:
        """Say that a commit left so many."""
        self._waiting += records
        self._filled.set()

    async def run(self) -> None:
        """Send for ever; a store or broker that is away is tried again after a while."""
        while True:
            try:
                await self.send_all()
            except Unavailable as error:
                log.info("results wait", extra={"reason": str(error)})
                await asyncio.sleep(self._wait_s)
                continue
            if self._busy:
                await asyncio.sleep(min(BUSY_WAIT_S, self._wait_s))
                continue
            try:
                async with asyncio.timeout(self._wait_s):
                    await self._filled.wait()
            except TimeoutError:
                continue

    async def send_all(self) -> int:
        """Send until the outbox is empty or another worker sends; return how many were sent."""
        sent = 0
        while True:
            self._filled.clear()
            async with self._checkpoints.sending(limit=self._records_max) as outgoing:
                self._looked(outgoing.waiting)
                if outgoing.records:
                    await self._send(outgoing.records)
            self._busy = outgoing.busy
            count = len(outgoing.records)
            if not count:
                return sent
            metrics.RESULTS_SENT.inc(count)
            self._looked(outgoing.waiting - count)
            sent += count

    def _looked(self, waiting: int) -> None:
        self._waiting = waiting
        metrics.OUTBOX_RECORDS.set(waiting)
