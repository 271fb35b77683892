"""What each sender is held to: rates by address, token and tenant, for all that it does.

One `RateLimiter` holds every rate of a gateway. A socket has a `Meter`, which it asks for each
frame and each command: `REFUSE` is answered with error 111, and `CLOSE`, once refusals outweigh
what passed by `strikes_max`, closes the socket with 3013. HTTP asks `RateLimiter` itself, through
the guard.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from analytics.contracts.errors import Unavailable
from gateway import metrics
from gateway.http.auth import Grant
from gateway.http.rates import RateDecision, Rates, read_rate, take_all


class LimitedResource(StrEnum):
    """What is counted."""

    CONNECTIONS = "connections"
    FRAMES = "frames"
    BYTES = "bytes"
    COMMANDS = "commands"


class Subject(StrEnum):
    """By whom it is counted."""

    ADDRESS = "address"
    TOKEN = "token"  # noqa: S105 - a word, no secret
    TENANT = "tenant"


class Ruling(StrEnum):
    """What becomes of a frame or a command."""

    PASS = "pass"  # noqa: S105 - a word, no secret
    REFUSE = "refuse"
    CLOSE = "close"


class Stand(Struct, frozen=True, kw_only=True):
    """Where one limit stands after a request."""

    name: str
    rates: Rates
    reading: RateDecision


class RateLimited(Unavailable):
    """More than a limit allows in so short a time; it may come again later."""

    code = "rate-limited"

    def __init__(self, stands: Sequence[Stand]) -> None:
        self.stands = tuple(stands)
        late = [stand for stand in stands if not stand.reading.allowed]
        names = ", ".join(stand.name for stand in late)
        super().__init__(
            f"too many requests ({names}); send again later",
            retry_after_ms=max(stand.reading.retry_after_ms for stand in late),
        )


Who = Mapping[Subject, Hashable]


class RateLimiter:
    """Every rate of a gateway; a pair of subject and resource without one has no limit."""

    def __init__(
        self, rates: Mapping[tuple[Subject, LimitedResource], Rates], *, now_ms: Callable[[], int]
    ) -> None:
        self._rates = {
            resource: [
                (subject, f"{resource}-by-{subject}", rates[subject, resource])
                for subject in Subject
                if (subject, resource) in rates
            ]
            for resource in LimitedResource
        }
        self._now_ms = now_ms

    def ask(self, resource: LimitedResource, who: Who, *, cost: int = 1) -> Sequence[Stand]:
        """Take `cost` of all limits that fit or of none; raise `RateLimited` if one refuses."""
        asked = [row for row in self._rates[resource] if row[0] in who]
        if not asked:
            return ()
        readings = take_all(
            ((rates, who[subject]) for subject, _, rates in asked),
            now_ms=self._now_ms(),
            cost=max(1, cost),
        )
        stands = [
            Stand(name=name, rates=rates, reading=reading)
            for (_, name, rates), reading in zip(asked, readings, strict=True)
        ]
        for stand in stands:
            if not stand.reading.allowed:
                metrics.RATE_LIMITED.labels(stand.name).inc()
        if not all(stand.reading.allowed for stand in stands):
            raise RateLimited(stands)
        return stands

    def admit(self, resource: LimitedResource, who: Who, *, cost: int = 1) -> bool:
        """Take as `ask` does, and say only whether it was allowed."""
        rows = self._rates[resource]
        if not rows:
            return True
        now_ms = self._now_ms()
        held = True
        for subject, name, rates in rows:
            if subject in who and not rates.fits(who[subject], now_ms=now_ms, cost=cost):
                metrics.RATE_LIMITED.labels(name).inc()
                held = False
        if held:
            for subject, _, rates in rows:
                if subject in who:
                    rates.spend(who[subject], now_ms=now_ms, cost=cost)
        return held

    def meter(self, address: str, *, strikes_max: int) -> "Meter":
        """Return the meter of one socket."""
        return Meter(self, address, strikes_max=strikes_max)


class Meter:
    """What one socket is held to; see the module."""

    def __init__(self, limits: RateLimiter, address: str, *, strikes_max: int) -> None:
        self._limits = limits
        self._who: Who = {Subject.ADDRESS: address}
        self._strikes = 0
        self._strikes_max = strikes_max

    def know(self, grant: Grant) -> bool:
        """Count by token and tenant from now on; say whether the connection itself may be."""
        named = who_of(grant)
        if not self._limits.admit(LimitedResource.CONNECTIONS, named):
            return False
        self._who = {Subject.ADDRESS: self._who[Subject.ADDRESS], **named}
        return True

    def frame(self, size: int) -> Ruling:
        """Rule on a frame of so many bytes."""
        limits, who = self._limits, self._who
        if limits.admit(LimitedResource.FRAMES, who) and limits.admit(
            LimitedResource.BYTES, who, cost=max(1, size)
        ):
            return Ruling.PASS
        return self._strike()

    def command(self) -> Ruling:
        """Rule on one command of a frame that passed."""
        if not self._limits.admit(LimitedResource.COMMANDS, self._who):
            return self._strike()
        self._strikes = max(0, self._strikes - 1)
        return Ruling.PASS

    def _strike(self) -> Ruling:
        self._strikes += 1
        return Ruling.CLOSE if self._strikes > self._strikes_max else Ruling.REFUSE


class Unmetered(Meter):
    """A meter that lets all pass, where no limits are set."""

    def __init__(self) -> None:
        super().__init__(RateLimiter({}, now_ms=lambda: 0), "", strikes_max=0)


def who_of(grant: Grant) -> Who:
    """Return by whom a grant's doings are counted."""
    return {
        Subject.TOKEN: (grant.tenant, grant.user, grant.token_id),
        Subject.TENANT: grant.tenant,
    }


def limits_of(
    spelled: Callable[[Subject, LimitedResource], str], *, keys_max: int, now_ms: Callable[[], int]
) -> RateLimiter:
    """Return the limits that settings spell; raise `BadSetting` if one has no meaning."""
    rates = {
        (subject, resource): Rates(rate, keys_max=keys_max)
        for subject in Subject
        for resource in LimitedResource
        if (rate := read_rate(spelled(subject, resource))) is not None
    }
    return RateLimiter(rates, now_ms=now_ms)


def headers_of(stands: Sequence[Stand]) -> dict[str, str]:
    """Return what a sender is told of its limits (draft-ietf-httpapi-ratelimit-headers)."""
    if not stands:
        return {}
    return {
        "RateLimit-Policy": ", ".join(
            f'"{stand.name}";q={stand.rates.rate.burst};w={stand.rates.rate.window_s}'
            for stand in stands
        ),
        "RateLimit": ", ".join(
            f'"{stand.name}";r={stand.reading.remaining};t={-(-stand.reading.reset_ms // 1_000)}'
            for stand in stands
        ),
    }
