"""Sends what commits left in the outbox to its result topics, at least once.

A record is forgotten only after the broker has acknowledged it; a worker that dies in between
sends it again, under the id it had. The outbox is looked at as soon as a commit has filled it, and
now and then for what another worker left behind.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import Unavailable
from streams import metrics
from streams.ledger import Ledger

log = logging.getLogger(__name__)


class Sender(Protocol):
    """What takes records to the broker."""

    async def __call__(self, records: Sequence[Record]) -> None:
        """Return once all are acknowledged; raise `BrokerAway` if one is not."""
        ...


class Outbox:
    """One worker's sender of results."""

    def __init__(self, ledger: Ledger, send: Sender, *, records_max: int, wait_s: float) -> None:
        self._ledger = ledger
        self._send = send
        self._records_max = records_max
        self._wait_s = wait_s
        self._filled = asyncio.Event()

    def filled(self) -> None:
        """Say that a commit left something."""
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
            try:
                async with asyncio.timeout(self._wait_s):
                    await self._filled.wait()
            except TimeoutError:
                continue

    async def send_all(self) -> int:
        """Send until the outbox is empty; return how many were sent."""
        sent = 0
        while True:
            self._filled.clear()
            pending = await self._ledger.pending(limit=self._records_max)
            if not pending:
                return sent
            await self._send([one.record for one in pending])
            await self._ledger.sent([one.number for one in pending])
            metrics.RESULTS_SENT.inc(len(pending))
            sent += len(pending)
