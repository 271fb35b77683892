"""Read Alertmanager's routing files, with all it refuses and `escalate_after` of ours.

Refused with file, line and column: a receiver, time interval or field that does not exist, two of
one name, a root without a receiver or with matchers or intervals, a pattern that is nothing or
cannot be read, group labels that are doubled or no names, waits of 0. The old `match`, `match_re`
and their like for inhibition load with a caution. Blocks that only Alertmanager needs (`tracing`,
`templates`, the addresses of its integrations) are passed over.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import structs

from analytics.alerts import documents, matchers
from analytics.alerts.dispatch import time_intervals
from analytics.alerts.dispatch.routes import RESOLVE_TIMEOUT_MS, Inhibition, Route, Routing, every
from analytics.alerts.dispatch.time_intervals import Interval
from analytics.alerts.documents import BadFile, Caution, Node, Position
from analytics.alerts.matchers import LabelMatcher, LabelOperator, Matchers
from analytics.alerts.notify import receivers
from analytics.alerts.notify.receivers import Receiver

DEPTH_MAX: Final = 32
"""How deep routes may nest."""
_FILE: Final = frozenset(
    {
        "global", "route", "receivers", "inhibit_rules", "time_intervals", "mute_time_intervals",
        "templates", "tracing",
    }
)  # fmt: skip
_ROUTE: Final = frozenset(
    {
        "receiver", "matchers", "match", "match_re", "continue", "group_by", "group_wait",
        "group_interval", "repeat_interval", "mute_time_intervals", "active_time_intervals",
        "labels", "routes", "escalate_after", "escalate_to",
    }
)  # fmt: skip
_INHIBITION: Final = frozenset(
    {
        "name", "source_matchers", "target_matchers", "equal", "source_match", "source_match_re",
        "target_match", "target_match_re",
    }
)  # fmt: skip
_ALL: Final = "..."


def load(path: str, text: str) -> Routing:
    """Return the routing in a file; raise `BadFile` with the place of what is wrong."""
    root, cautions = documents.read(path, text)
    if root is None:
        raise BadFile(Position(path), "empty; a routing file needs route and receivers")
    fields = root.fields(_FILE)
    found = list(cautions)
    defaults = fields["global"].fields() if "global" in fields else {}
    known = _receivers(_entries(fields, "receivers"), defaults, found)
    intervals = _intervals(fields)
    if "route" not in fields or fields["route"].is_null:
        raise root.refuse("a routing file needs a route")
    tree = _Tree(known, intervals, found).root(fields["route"])
    timeout = defaults.get("resolve_timeout")
    return Routing(
        path=path,
        root=tree,
        receivers=known,
        inhibitions=tuple(_inhibition(one, found) for one in _entries(fields, "inhibit_rules")),
        intervals=intervals,
        resolve_timeout_ms=timeout.duration_ms() if timeout else RESOLVE_TIMEOUT_MS,
        cautions=tuple(found),
    )


def _entries(fields: Mapping[str, Node], name: str) -> list[Node]:
    return fields[name].items() if name in fields else []


def _receivers(
    nodes: list[Node], defaults: Mapping[str, Node], cautions: list[Caution]
) -> dict[str, Receiver]:
    found: dict[str, Receiver] = {}
    for node in nodes:
        one = receivers.receiver(node, defaults, cautions)
        if one.name in found:
            raise BadFile(one.place, f"receiver {one.name!r} is there twice")
        found[one.name] = one
    return found


def _intervals(fields: Mapping[str, Node]) -> dict[str, tuple[Interval, ...]]:
    found: dict[str, tuple[Interval, ...]] = {}
    for node in _entries(fields, "time_intervals") + _entries(fields, "mute_time_intervals"):
        own = node.fields(frozenset({"name", "time_intervals"}))
        name = own["name"].text() if "name" in own else ""
        if not name:
            raise node.refuse("a time interval needs a name")
        if name in found:
            raise own["name"].refuse(f"time interval {name!r} is there twice")
        found[name] = tuple(map(time_intervals.interval, _entries(own, "time_intervals")))
    return found


class _Tree:
    """The tree being read."""

    def __init__(
        self,
        known: Mapping[str, Receiver],
        intervals: Mapping[str, tuple[Interval, ...]],
        cautions: list[Caution],
    ) -> None:
        self._known = known
        self._intervals = intervals
        self._cautions = cautions

    def root(self, node: Node) -> Route:
        fields = node.fields(_ROUTE)
        for name in ("matchers", "match", "match_re"):
            if name in fields and not fields[name].is_null:
                raise fields[name].refuse("the root route takes every alert: it has no matchers")
        for name in ("mute_time_intervals", "active_time_intervals"):
            if name in fields and not fields[name].is_null:
                raise fields[name].refuse(f"the root route has no {name}")
        if "continue" in fields and fields["continue"].flag():
            raise fields["continue"].refuse("the root route has nothing to continue to")
        if "receiver" not in fields or not fields["receiver"].text():
            raise node.refuse("the root route needs a receiver")
        above = Route(id="", key="", receiver="", place=node.place)
        return self._route(node, above, "0")

    def _route(self, node: Node, above: Route, name: str) -> Route:
        if name.count(".") > DEPTH_MAX:
            raise node.refuse(f"routes nest deeper than {DEPTH_MAX}")
        fields = node.fields(_ROUTE)
        own = _matchers(fields, "", self._cautions)
        group_by, by_all = self._group_by(fields, above)
        receiver = self._receiver(fields["receiver"]) if "receiver" in fields else ""
        key = f"{above.key}/{matchers.written(own)}" if above.key else matchers.written(own)
        alone = Route(
            id=name,
            key=key,
            receiver=receiver or above.receiver,
            place=node.place,
            matchers=own,
            goes_on="continue" in fields and fields["continue"].flag(),
            group_by=group_by,
            groups_by_all=by_all,
            group_wait_ms=_wait(fields, "group_wait", above.group_wait_ms, at_least=0),
            group_interval_ms=_wait(fields, "group_interval", above.group_interval_ms),
            repeat_interval_ms=_wait(fields, "repeat_interval", above.repeat_interval_ms),
            mute=self._times(fields, "mute_time_intervals"),
            active=self._times(fields, "active_time_intervals"),
            escalate_after_ms=_wait(fields, "escalate_after", above.escalate_after_ms),
            escalate_to=self._escalate_to(fields, above),
        )
        return self._whole(node, fields, alone)

    def _whole(self, node: Node, fields: Mapping[str, Node], alone: Route) -> Route:
        if alone.escalate_after_ms and not alone.escalate_to:
            raise node.refuse("escalate_after needs escalate_to, the receivers that come next")
        below = [
            self._route(child, alone, f"{alone.id}.{position}")
            for position, child in enumerate(_entries(fields, "routes"))
        ]
        return structs.replace(alone, routes=tuple(below))

    def _receiver(self, node: Node) -> str:
        name = node.text()
        if name and name not in self._known:
            raise node.refuse(f"receiver {name!r} does not exist; add it to receivers")
        return name

    def _times(self, fields: Mapping[str, Node], name: str) -> tuple[str, ...]:
        for node in _entries(fields, name):
            if node.text() not in self._intervals:
                reason = f"time interval {node.text()!r} does not exist; add it to time_intervals"
                raise node.refuse(reason)
        return tuple(node.text() for node in _entries(fields, name))

    def _escalate_to(self, fields: Mapping[str, Node], above: Route) -> tuple[str, ...]:
        if "escalate_to" not in fields:
            return above.escalate_to
        node = fields["escalate_to"]
        return tuple(map(self._receiver, [node] if node.is_scalar else node.items()))

    def _group_by(self, fields: Mapping[str, Node], above: Route) -> tuple[tuple[str, ...], bool]:
        if not _entries(fields, "group_by"):
            return above.group_by, above.groups_by_all
        names: list[str] = []
        for node in _entries(fields, "group_by"):
            name = node.text()
            if name in names:
                raise node.refuse(f"group_by has {name!r} twice")
            if name != _ALL and not documents.is_label_name(name):
                raise node.refuse(f"{name!r} is no label name")
            names.append(name)
        if _ALL in names and len(names) > 1:
            raise fields["group_by"].refuse("'...' stands for every label: it stands alone")
        return ((), True) if _ALL in names else (tuple(names), False)


def _wait(fields: Mapping[str, Node], name: str, inherited_ms: int, at_least: int = 1) -> int:
    if name not in fields:
        return inherited_ms
    length_ms = fields[name].duration_ms()
    if length_ms < at_least:
        raise fields[name].refuse(f"{name} must be longer than 0")
    return length_ms


def _inhibition(node: Node, cautions: list[Caution]) -> Inhibition:
    fields = node.fields(_INHIBITION)
    equal = _entries(fields, "equal")
    for one in equal:
        if not documents.is_label_name(one.text()):
            raise one.refuse(f"{one.text()!r} is no label name")
    return Inhibition(
        source=_matchers(fields, "source_", cautions),
        target=_matchers(fields, "target_", cautions),
        place=node.place,
        equal=tuple(one.text() for one in equal),
        name=fields["name"].text() if "name" in fields else "",
    )


def _matchers(fields: Mapping[str, Node], prefix: str, cautions: list[Caution]) -> Matchers:
    found: list[LabelMatcher] = []
    for name, sign in (
        (f"{prefix}match", LabelOperator.EQUAL),
        (f"{prefix}match_re", LabelOperator.LIKE),
    ):
        if name not in fields:
            continue
        cautions.append(fields[name].caution(f"{name} is the old form; write {prefix}matchers"))
        found.extend(_old(label, node, sign) for label, node in fields[name].fields().items())
    for node in _entries(fields, f"{prefix}matchers"):
        try:
            found.extend(matchers.parse(node.text()))
        except ValueError as error:
            raise node.refuse(str(error)) from None
    return tuple(sorted(found))


def _old(label: str, node: Node, sign: LabelOperator) -> LabelMatcher:
    if not documents.is_label_name(label):
        raise node.refuse(f"{label!r} is no label name")
    if sign is LabelOperator.LIKE and not node.is_scalar:
        raise node.refuse(
            f"the pattern for {label!r} is nothing; write one, or '' for an empty one"
        )
    try:
        return matchers.made(label, sign, node.text())
    except ValueError as error:
        raise node.refuse(str(error)) from None


def unused_equals(routing: Routing, labels: frozenset[str]) -> list[Caution]:
    """Return a caution for each inhibition that has a label `equal` that no rule ever carries."""
    return [
        Caution(
            rule.place,
            f"no rule carries the label {name!r} of equal: missing on both sides counts as equal",
        )
        for rule in routing.inhibitions
        for name in rule.equal
        if name not in labels
    ]


def unreached(routing: Routing) -> list[Caution]:
    """Return a caution for each receiver that no route leads to."""
    named = {name for route in every(routing.root) for name in (route.receiver, *route.escalate_to)}
    return [
        Caution(one.place, f"no route leads to receiver {one.name!r}")
        for one in routing.receivers.values()
        if one.name not in named
    ]
