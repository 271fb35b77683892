"""The week before the demo began, as history: a fleet in working hours, and one staged incident.

Pure, and the same for everybody who asks for the same days: sessions, ids and times follow from the
date alone, so that a demo that is started again tells nothing twice.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import merge
from random import Random
from typing import Final

from msgspec import structs

from analytics.contracts.events import Event
from analytics.contracts.facts import Source
from apps.load.player import RATE_LIMIT_CHANCE, ROLES, Role, play
from apps.load.script import Script

DAYS: Final = 7
HOURS: Final = range(8, 18)
"""Hours of the day, UTC, in which sessions begin."""
SESSIONS_AN_HOUR: Final = 2
"""By each role, on a working day; on other days a fourth of them."""
QUIET_DAYS: Final = (5, 6)
INCIDENT_HOUR: Final = 14
INCIDENT_PROJECT: Final = "demo-search"
INCIDENT_FAILING: Final = 0.5
"""The share of requests that failed in that hour of the day before."""


def events(scripts: Sequence[Script], *, until_ms: int) -> Iterator[Event]:
    """Yield the events of `DAYS` days, the oldest first, that happened before `until_ms`."""
    last = datetime.fromtimestamp(until_ms / 1_000, tz=UTC).date()
    for back in range(DAYS, -1, -1):
        day = datetime.combine(last - timedelta(days=back), datetime.min.time(), tzinfo=UTC)
        sessions = [
            _session(scripts, day, hour=hour, part=part, number=number, is_yesterday=back == 1)
            for hour in HOURS
            for part in range(len(ROLES))
            for number in range(SESSIONS_AN_HOUR)
            if day.weekday() not in QUIET_DAYS or (hour + part + number) % 4 == 0
        ]
        for event in merge(*sessions, key=lambda event: event.at_ms):
            if event.at_ms < until_ms:
                yield event


def _session(
    scripts: Sequence[Script],
    day: datetime,
    *,
    hour: int,
    part: int,
    number: int,
    is_yesterday: bool,
) -> Iterator[Event]:
    role = ROLES[part]
    session_id = f"demo-{day:%Y%m%d}-{hour}-{part}-{number}"
    random = Random(session_id)  # noqa: S311 - a demo, not a secret
    began = day + timedelta(hours=hour, seconds=random.uniform(0, 3_600))
    played = play(
        random.choice(scripts),
        role,
        session_id=session_id,
        start_ms=int(began.timestamp() * 1_000),
        speed=1.0,
        random=random,
        failing=_failing(role, hour, is_yesterday=is_yesterday),
    )
    for timed in played:
        yield structs.replace(timed.event, source=Source.TRANSCRIPT)


def _failing(role: Role, hour: int, *, is_yesterday: bool) -> float:
    is_hit = is_yesterday and hour == INCIDENT_HOUR and role.project == INCIDENT_PROJECT
    return INCIDENT_FAILING if is_hit else RATE_LIMIT_CHANCE
