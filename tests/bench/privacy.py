"""What the filter of people's data costs an event, a publish, and a text made to take long.

All in one process, without sockets or a broker, so the share of a real publish is far smaller than
what a ratio here says: `gateway` measures that whole.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from analytics.contracts import cloudevents, events
from analytics.contracts.events import Event
from analytics.contracts.ids import TenantId
from analytics.privacy.filter import Filter
from analytics.privacy.rules import PrivacyRules
from analytics.privacy.texts import scrub
from apps.bench.report import BenchReport, Figure, report
from gateway.http.auth import Grant
from gateway.kafka.admission import Admission, EventBatch
from gateway.kafka.publisher import OutgoingEvent, Receipt, Status
from gateway.kafka.redaction import Private

ROUNDS: Final = 7
COUNT: Final = 5_000
HOSTILE_LENGTH: Final = 65_536
PUBLISH_US: Final = 87.0
"""CPU of one acknowledged publish of a single event, by `bench gateway`."""
HEAD: Final = {
    "id": "0123456789abcdef0123456789abcdef", "tenant": "local", "at_ms": 1_790_000_000_000,
    "source": "claude_code", "session_id": "7d0c9a34-1111-4222-8333-444455556666",
    "project": "mainstem", "agent": "claude-code", "version": "2.1.230",
}  # fmt: skip
ANSWERED: Final = {
    "type": "request.finished", "request_id": "req_011CSxyz", "model": "claude-sonnet-4-5",
    "input_tokens": 1_200, "output_tokens": 340, "duration_ms": 2_345, "query_source": "main",
}  # fmt: skip
MARKED: Final = {
    "type": "agent.observed", "name": "x",
    "attributes": {"cwd": "/home/ada/app", "asked": "mail bob@example.com", "n": 3},
}  # fmt: skip
HOSTILE: Final = (
    "@", "a@", "a@b.", "%40a.b", "sk-", "eyJ-", "eyJ.", "/home/", "\\users\\", "password=",
    "bearer ", "://a:", "-----BEGIN PRIVATE KEY-----", "a-", "key:", "/projects/-home-",
)  # fmt: skip
GRANT: Final = Grant(user="u", tenant=TenantId("local"), scopes=frozenset())


class _Sink:
    """Makes the record of each event, as every publisher has to, and keeps none."""

    ready = True

    async def publish(self, outgoing: Sequence[OutgoingEvent]) -> list[Receipt]:
        for item in outgoing:
            cloudevents.record(item.event, payload=item.payload, traceparent=item.traceparent)
        return [Receipt(id=item.event.id, status=Status.ACCEPTED) for item in outgoing]

    def post(self, outgoing: Sequence[OutgoingEvent]) -> None:
        del outgoing

    async def dead_letter(
        self, payload: bytes, *, reason: str, origin: str, tenant: TenantId, whole_bytes: int = 0
    ) -> None:
        del payload, reason, origin, tenant


def run() -> BenchReport:
    """Measure."""
    named = {"user": "ada@example.com"}
    encode_us = _least(events.encode, _event(HEAD | ANSWERED))
    plain, filtered = asyncio.run(_published())
    slowest = max(HOSTILE, key=_hostile_ms)
    return report(
        "privacy",
        __doc__ or "",
        figures=(
            Figure(
                name="an event with nothing to hide, beside its JSON",
                value=_passing(HEAD | ANSWERED) - encode_us, unit="µs", goal=1.0,
            ),
            Figure(
                name="the same of a user with an address",
                value=_passing(HEAD | named | ANSWERED) - encode_us, unit="µs", goal=1.5,
            ),
            Figure(name="an event that is rewritten", value=_passing(HEAD | MARKED), unit="µs"),
            Figure(
                name="a single publish, more than without the filter",
                value=(filtered - plain) / PUBLISH_US * 100, unit="%", goal=3.0,
                note=f"of {PUBLISH_US:.0f} µs",
            ),
            Figure(
                name="64 KiB of a hostile text", value=_hostile_ms(slowest), unit="ms",
                note=f"slowest: {slowest!r}",
            ),
            Figure(
                name="twice as much of it takes", unit="times", goal=3.0,
                value=_hostile_ms(slowest, 2 * HOSTILE_LENGTH) / _hostile_ms(slowest),
            ),
        ),
    )  # fmt: skip


def _event(fields: dict[str, object]) -> Event:
    return events.read(fields)


def _passing(fields: dict[str, object]) -> float:
    privacy = Filter(PrivacyRules())
    return _least(lambda event: privacy.pass_on(event, None), _event(fields))


def _least(work: Callable[[Event], object], event: Event) -> float:
    """Return the least time of a call over some rounds, in µs."""
    took: list[float] = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(COUNT):
            work(event)
        took.append((time.process_time() - begun) / COUNT * 1e6)
    return min(took)


async def _published() -> tuple[float, float]:
    """Return what the way in costs a single event, without the filter and with it, in µs."""
    item = EventBatch((msgspec.json.encode(HEAD | ANSWERED),))
    sink = _Sink()
    ways = [
        Admission(outlet, events_max=10, new_id=lambda: "new")
        for outlet in (sink, Private(sink, Filter(PrivacyRules())))
    ]
    least = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for place, way in enumerate(ways):
            begun = time.process_time()
            for _ in range(COUNT):
                await way.take(item, grant=GRANT, ingest_path="bench")
            took = (time.process_time() - begun) / COUNT * 1e6
            least[place] = min(least[place], took)
    return least[0], least[1]


def _hostile_ms(unit: str, length: int = HOSTILE_LENGTH) -> float:
    text = unit * (length // len(unit))
    begun = time.process_time()
    scrub(text, PrivacyRules())
    return (time.process_time() - begun) * 1e3
