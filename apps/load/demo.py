"""The demo: several agents at once, played through the gateway until stopped.

`python -m apps.load.demo GATEWAY_URL`, started by `mainstem up --demo`, for a tenant of its own.
First the last hour, sent as history, so that charts are not empty; then live, `MAINSTEM_DEMO_SPEED`
times faster than it happened, and beside it the week before (see `apps.load.week`). Soon after the
start a staged incident begins: the provider of one project's model turns many requests away.

Never more than `MAINSTEM_DEMO_RATE_MAX` live events and as many old ones a second; what is due
beyond waits. A gateway that is away is tried again; what it refused for good is said in the log.
"""

import heapq
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Final

import msgspec

from analytics.contracts import events
from analytics.contracts.errors import MainstemError
from analytics.contracts.events import Event
from analytics.contracts.facts import Source
from apps.load import week
from apps.load.player import RATE_LIMIT_CHANCE, ROLES, Role, Timed, play
from apps.load.publishing import LoadGateway
from apps.load.script import Script, bundled
from apps.local.tenants import DEMO

HISTORY_MS: Final = 3_600_000
HISTORY_BATCH: Final = 500
TICK_S: Final = 0.25
RETRY_S: Final = 2.0
INCIDENT_AFTER_MS: Final = 90_000
"""How long after the start the staged incident begins: the rest of the fleet is seen well first."""
INCIDENT_MS: Final = 300_000
INCIDENT_PROJECT: Final = "demo-billing"
INCIDENT_FAILING: Final = 0.6
"""The share of requests that fail meanwhile."""


class Fleet:
    """Sessions one after the other in each role, their events merged by time."""

    def __init__(
        self,
        scripts: Sequence[Script],
        *,
        speed: float,
        random: Random,
        new_id: Callable[[], str],
        incident_ms: int | None = None,
    ) -> None:
        self._incident_ms = incident_ms
        self._scripts = scripts
        self._speed = speed
        self._random = random
        self._new_id = new_id
        self._heap: list[tuple[int, int, int, Iterator[Timed], Event]] = []
        self._begun = 0

    def begin(self, now_ms: int) -> None:
        """Let every role begin a session within a minute of its own time."""
        for part in range(len(ROLES)):
            delay_ms = int(self._random.uniform(0, 60_000) / self._speed)
            self._next_session(part, now_ms + delay_ms)

    def due(self, until_ms: int, limit: int) -> list[Event]:
        """Return what happened up to `until_ms`, oldest first, at most `limit` events."""
        taken: list[Event] = []
        while self._heap and len(taken) < limit and self._heap[0][0] <= until_ms:
            at_ms, _, part, rest, event = heapq.heappop(self._heap)
            taken.append(event)
            following = next(rest, None)
            if following is None:
                pause_ms = int(self._random.uniform(5_000, 60_000) / self._speed)
                self._next_session(part, at_ms + pause_ms)
            else:
                self._push(part, rest, following.event)
        return taken

    def _next_session(self, part: int, start_ms: int) -> None:
        role = ROLES[part]
        session = play(
            self._random.choice(self._scripts),
            role,
            session_id=self._new_id(),
            start_ms=start_ms,
            speed=self._speed,
            random=self._random,
            failing=INCIDENT_FAILING if self._is_hit(role, start_ms) else RATE_LIMIT_CHANCE,
        )
        self._push(part, session, next(session).event)

    def _is_hit(self, role: Role, start_ms: int) -> bool:
        """Return whether a session of this role begins during the staged incident."""
        if self._incident_ms is None or role.project != INCIDENT_PROJECT:
            return False
        return self._incident_ms <= start_ms < self._incident_ms + INCIDENT_MS

    def _push(self, part: int, rest: Iterator[Timed], event: Event) -> None:
        self._begun += 1
        heapq.heappush(self._heap, (event.at_ms, self._begun, part, rest, event))


def main() -> None:
    """Play until stopped."""
    speed = float(os.environ.get("MAINSTEM_DEMO_SPEED", "10"))
    rate_max = int(os.environ.get("MAINSTEM_DEMO_RATE_MAX", "200"))
    gateway = LoadGateway(sys.argv[1], tenant=DEMO)
    scripts = [one for one in bundled().scripts if sum(len(turn.steps) for turn in one.turns) > 1]
    random = Random()  # noqa: S311 - a demo, not a secret
    send_history(gateway, scripts, random)
    begun_ms = _now_ms()
    fleet = Fleet(
        scripts,
        speed=speed,
        random=random,
        new_id=_new_id,
        incident_ms=begun_ms + INCIDENT_AFTER_MS,
    )
    fleet.begin(begun_ms)
    past = week.events(scripts, until_ms=begun_ms - HISTORY_MS)
    limit = max(1, int(rate_max * TICK_S))
    while True:
        if batch := fleet.due(_now_ms(), limit):
            send(gateway, batch)
        if old := list(islice(past, limit)):
            send(gateway, old)
        time.sleep(TICK_S)


def send_history(gateway: LoadGateway, scripts: Sequence[Script], random: Random) -> None:
    """Send an hour of sessions as if they had been imported; they had the time they had."""
    now_ms = _now_ms()
    fleet = Fleet(scripts, speed=1.0, random=random, new_id=_new_id)
    fleet.begin(now_ms - HISTORY_MS)
    while batch := fleet.due(now_ms, HISTORY_BATCH):
        send(gateway, [msgspec.structs.replace(one, source=Source.TRANSCRIPT) for one in batch])


def send(gateway: LoadGateway, batch: Sequence[Event]) -> None:
    """Send a batch until the gateway has it; ids are kept, so nothing counts twice."""
    body = b"\n".join(map(events.encode, batch))
    while True:
        try:
            refused = gateway.publish(body)
        except MainstemError as error:
            print(f"waiting for the gateway: {error}", flush=True)  # noqa: T201 - the demo's log
            time.sleep(RETRY_S)
            continue
        if refused:
            print(f"refused {len(refused)}: {refused[0]}", flush=True)  # noqa: T201 - the demo's log
        return


def _new_id() -> str:
    return f"demo-{uuid.uuid4()}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()
