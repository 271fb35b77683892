"""The demo: several agents at once, played through the gateway until stopped.

`python -m apps.load.demo GATEWAY_URL`, started by `mainstem up --demo`. First the last hour, sent
as history, so that charts are not empty; then live, `MAINSTEM_DEMO_SPEED` times faster than it
happened. Never more than `MAINSTEM_DEMO_RATE_MAX` events a second live; what is due beyond waits.
A gateway that is away is tried again; what it refused for good is said in the log.
"""

import heapq
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

import msgspec

from analytics.contracts import events
from analytics.contracts.errors import MainstemError
from analytics.contracts.events import Event
from analytics.contracts.facts import Source
from apps.load.player import ROLES, Timed, play
from apps.load.publishing import Gateway
from apps.load.script import Script, bundled

HISTORY_MS: Final = 3_600_000
HISTORY_BATCH: Final = 500
TICK_S: Final = 0.25
RETRY_S: Final = 2.0


class Fleet:
    """Sessions one after the other in each role, their events merged by time."""

    def __init__(
        self, scripts: Sequence[Script], *, speed: float, random: Random, new_id: Callable[[], str]
    ) -> None:
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
        session = play(
            self._random.choice(self._scripts),
            ROLES[part],
            session_id=self._new_id(),
            start_ms=start_ms,
            speed=self._speed,
            random=self._random,
        )
        self._push(part, session, next(session).event)

    def _push(self, part: int, rest: Iterator[Timed], event: Event) -> None:
        self._begun += 1
        heapq.heappush(self._heap, (event.at_ms, self._begun, part, rest, event))


def main() -> None:
    """Play until stopped."""
    speed = float(os.environ.get("MAINSTEM_DEMO_SPEED", "10"))
    rate_max = int(os.environ.get("MAINSTEM_DEMO_RATE_MAX", "200"))
    gateway = Gateway(sys.argv[1])
    scripts = [one for one in bundled().scripts if sum(len(turn.steps) for turn in one.turns) > 1]
    random = Random()  # noqa: S311 - a demo, not a secret
    send_history(gateway, scripts, random)
    fleet = Fleet(scripts, speed=speed, random=random, new_id=_new_id)
    fleet.begin(_now_ms())
    while True:
        batch = fleet.due(_now_ms(), max(1, int(rate_max * TICK_S)))
        if batch:
            send(gateway, batch)
        time.sleep(TICK_S)


def send_history(gateway: Gateway, scripts: Sequence[Script], random: Random) -> None:
    """Send an hour of sessions as if they had been imported; they had the time they had."""
    now_ms = _now_ms()
    fleet = Fleet(scripts, speed=1.0, random=random, new_id=_new_id)
    fleet.begin(now_ms - HISTORY_MS)
    while batch := fleet.due(now_ms, HISTORY_BATCH):
        send(gateway, [msgspec.structs.replace(one, source=Source.TRANSCRIPT) for one in batch])


def send(gateway: Gateway, batch: Sequence[Event]) -> None:
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
