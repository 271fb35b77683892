"""How much of its rate each tenant may use just now, by how long events wait for the workers.

The rate of a tenant says what it may send at most; what workers get done depends on the machine and
on everybody's events. So the rate is used in full only as long as the workers keep up, as a sender
of TCP uses its window: it begins at `SHARE_FIRST`, grows while somebody is held to it and events do
not wait, is cut when they do, and goes back to the first once nobody asks for more. Who sends less
than `SHARE_LEAST` of the rate never notices. Where nobody knows how far the workers are, or they do
nothing at all, the rate holds as it is: then events are to be kept, not hurried.

How long events may wait depends on who waits. A tenant that is alone waits for itself, and large
transactions store the most (`ALONE`); while another sends too, that one's events are to find the
workers about as free as without the first (`SHARED`).
"""

from typing import Final, NamedTuple

from analytics.contracts.ids import TenantId


class Delay(NamedTuple):
    """How long events may wait, in milliseconds.

    What is known of it is a quarter of a second older than it is: how often workers say how far
    they are, how often one asks, and a transaction. So events that hardly wait seem to wait for
    some 100 ms.
    """

    early: int
    """Below that the workers keep up."""
    late: int
    """From then on they do not."""


ALONE: Final = Delay(400, 500)
SHARED: Final = Delay(130, 170)
SHARE_FIRST: Final = 0.1
SHARE_LEAST: Final = 0.05
NEWEST: Final = 0.2
"""The weight of the newest look in how long events wait: one look tells 0 or 100 ms by chance."""
CUT: Final = 0.7
GROWTH: Final = 1.015
REST: Final = 0.99
CUT_EVERY_MS: Final = 500
"""What a cut does is seen so much later; until then there is no second one."""
ASKED_MS: Final = 1_000
"""How long a sender that had to wait counts as one that asks for more."""
COMPANY_MS: Final = 60_000
"""How long a tenant that sent counts as one that may send again."""
STILL_MS: Final = 5_000
"""Workers that got nothing done for so long are away."""
ENDS_MAX: Final = 1_000
"""Ends of a partition that are remembered."""
LONG_AGO: Final = -(2**62)


class Pace:
    """The share of its rate that a tenant may use."""

    def __init__(self) -> None:
        self._share = SHARE_FIRST
        self._waited_ms = 0.0
        self._is_known = False
        self._has_news = False
        self._asked_ms = LONG_AGO
        self._cut_ms = LONG_AGO
        self._last: TenantId | None = None
        self._company_ms = LONG_AGO
        """When the tenant that sent last was not the one before."""

    @property
    def share(self) -> float:
        """The share, between `SHARE_LEAST` and 1."""
        return self._share if self._is_known else 1.0

    def is_idle(self) -> bool:
        """Say whether nothing was sent since this was last asked, and nothing has to settle."""
        has_news, self._has_news = self._has_news, False
        return self._is_known and not has_news and self._share == SHARE_FIRST

    def note(self, tenant: TenantId, *, waits: bool, now_ms: int) -> None:
        """Note that a tenant sent events, and whether they have to wait for their turn."""
        self._has_news = True
        if waits:
            self._asked_ms = now_ms
        if tenant != self._last:
            if self._last is not None:
                self._company_ms = now_ms
            self._last = tenant

    def hear(self, waited_ms: int, *, now_ms: int) -> None:
        """Note for how long events wait for the workers."""
        self._is_known = True
        self._waited_ms += NEWEST * (waited_ms - self._waited_ms)
        delay = SHARED if now_ms - self._company_ms < COMPANY_MS else ALONE
        if self._waited_ms >= delay.late:
            if now_ms - self._cut_ms >= CUT_EVERY_MS:
                self._share = max(SHARE_LEAST, self._share * CUT)
                self._cut_ms = now_ms
        elif now_ms - self._asked_ms < ASKED_MS:
            if self._waited_ms < delay.early:
                self._share = min(1.0, self._share * GROWTH)
        elif self._share > SHARE_FIRST:
            self._share = max(SHARE_FIRST, self._share * REST)
        else:
            self._share = min(SHARE_FIRST, self._share / REST)

    def lose(self) -> None:
        """Note that nobody knows how far the workers are."""
        self._is_known = False


class Waits:
    """How long events of partitions wait, by where these ended when and how far the workers are."""

    def __init__(self) -> None:
        self._ends: dict[object, list[tuple[int, int]]] = {}
        self._done: dict[object, int] = {}
        self._moved_ms = 0

    def look(self, place: object, *, end: int, done: int, now_ms: int) -> int:
        """Return for how long the first event that is not done has been waiting, about."""
        ends = self._ends.setdefault(place, [])
        if ends and end < ends[-1][1]:
            ends.clear()  # another log
        if self._done.get(place) != done or done >= end:
            self._moved_ms = now_ms
            self._done[place] = done
        if not ends or end > ends[-1][1]:
            ends.append((now_ms, end))
            del ends[:-ENDS_MAX]
        while ends and ends[0][1] <= done:
            del ends[0]
        return now_ms - ends[0][0] if ends else 0

    def are_still(self, *, now_ms: int) -> bool:
        """Say whether the workers got nothing done for long."""
        return now_ms - self._moved_ms > STILL_MS
