"""The routing tree: which receivers a label set lands at, and how it is grouped there.

A label set walks down as in Alertmanager's `dispatch/route.go`: into the first child whose
matchers all hold, into later siblings too after one that says `continue`, and it stays with a node
none of whose children takes it. Children inherit all but matchers, `continue` and time intervals.
`escalate_after` is ours.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from analytics.alerts import labels as label_sets
from analytics.alerts import matchers
from analytics.alerts.dispatch.time_intervals import Interval
from analytics.alerts.documents import Caution, Position
from analytics.alerts.labels import Frozen, Labels
from analytics.alerts.matchers import Matchers
from analytics.alerts.notify.receivers import Receiver

GROUP_WAIT_MS: Final = 30_000
GROUP_INTERVAL_MS: Final = 300_000
REPEAT_INTERVAL_MS: Final = 14_400_000
RESOLVE_TIMEOUT_MS: Final = 300_000


class Route(Struct, frozen=True, kw_only=True):
    """One node of the tree, what it inherits filled in."""

    id: str
    """Its path from the root by position, such as `0.2`; the root is `0`."""
    key: str
    """Its path from the root by matchers, as Alertmanager writes it."""
    receiver: str
    place: Position
    matchers: Matchers = ()
    goes_on: bool = False
    group_by: tuple[str, ...] = ()
    groups_by_all: bool = False
    group_wait_ms: int = GROUP_WAIT_MS
    group_interval_ms: int = GROUP_INTERVAL_MS
    repeat_interval_ms: int = REPEAT_INTERVAL_MS
    mute: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    escalate_after_ms: int = 0
    """After how long without an acknowledgement the next receiver is told; 0 is never."""
    escalate_to: tuple[str, ...] = ()
    """The next receivers, in order, each after `escalate_after_ms` more."""
    routes: tuple["Route", ...] = ()

    def group_labels(self, labels: Labels) -> Frozen:
        """Return the labels that a label set is grouped by."""
        if self.groups_by_all:
            return label_sets.frozen(labels)
        return tuple((name, labels[name]) for name in sorted(self.group_by) if name in labels)


class Inhibition(Struct, frozen=True, kw_only=True):
    """While an alert matches `source`, those of `target` that have `equal` alike are mute."""

    source: Matchers
    target: Matchers
    place: Position
    equal: tuple[str, ...] = ()
    name: str = ""


class Routing(Struct, frozen=True, kw_only=True):
    """A whole routing file."""

    path: str
    root: Route
    receivers: Mapping[str, Receiver]
    inhibitions: tuple[Inhibition, ...] = ()
    intervals: Mapping[str, tuple[Interval, ...]] = {}
    resolve_timeout_ms: int = RESOLVE_TIMEOUT_MS
    cautions: tuple[Caution, ...] = ()

    def is_mute(self, route: Route, now_ms: int) -> bool:
        """Say whether a route tells nobody at a time; it still ends matching."""
        if any(self._holds(name, now_ms) for name in route.mute):
            return True
        return bool(route.active) and not any(self._holds(name, now_ms) for name in route.active)

    def _holds(self, name: str, now_ms: int) -> bool:
        return any(interval.holds(now_ms) for interval in self.intervals[name])


def landing(route: Route, labels: Labels) -> tuple[Route, ...]:
    """Return the nodes at which a label set lands, in the order of the file."""
    if not matchers.all_hold(route.matchers, labels):
        return ()
    found: list[Route] = []
    for child in route.routes:
        below = landing(child, labels)
        found.extend(below)
        if below and not child.goes_on:
            break
    return tuple(found) or (route,)


def every(route: Route) -> Iterator[Route]:
    """Yield a node and all below it, in the order of the file."""
    yield route
    for child in route.routes:
        yield from every(child)


def drawn(route: Route, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a tree, a node each."""
    about = matchers.written(route.matchers) if route.matchers else "default"
    notes = "  continue" if route.goes_on else ""
    yield f"{'  ' * depth}{about} -> {route.receiver}{notes}"
    for child in route.routes:
        yield from drawn(child, depth + 1)
