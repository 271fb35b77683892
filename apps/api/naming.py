"""Which series, labels, metrics and rules there are, in the parameters that Prometheus 3 takes.

`limit` cuts a list and says so in `warnings`; `start`, `end` and `match[]` narrow what is listed;
`metadata` takes `metric` and `limit_per_metric`, `rules` takes `type`, `rule_name[]`,
`rule_group[]`, `file[]`, `match[]`, `exclude_alerts` and `group_limit`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from analytics.alerts.rules.exposed import EXPOSED, Sort
from analytics.contracts.ids import TenantId
from analytics.promql import parse
from analytics.promql.nodes import Selector, bare
from analytics.promql.series import NAME, Labels, SeriesMatcher
from apps.api import listing
from apps.api.questions import Parameters, one
from streams.queries import labels as labelling
from streams.queries.grouped import BadQuestion
from streams.series import every_series
from streams.series.measures import Db
from streams.series.recorded import Together

DAY_MS: Final = 86_400_000
MATCHES_MAX: Final = 16
"""Selectors that one question may name."""
TYPES: Final = {Sort.COUNTER: "counter", Sort.GAUGE: "gauge", Sort.SKETCH: "histogram"}
KINDS: Final = {"alert": "alerting", "record": "recording"}
"""What `type` of rules may say, and what rules say of themselves."""
_LIMIT_DIGITS_MAX: Final = 9

Moment = Callable[[Parameters, str, int | None], int]
Watched = Callable[[Sequence[SeriesMatcher]], Sequence[SeriesMatcher]]


class Names:
    """Lists of one tenant's series at a moment.

    `moment` reads a time, and `watched` has matchers keep within what a question may cost.
    """

    def __init__(
        self, db: Db, tenant: TenantId, *, now_ms: int, moment: Moment, watched: Watched
    ) -> None:
        self._db = db
        self._tenant = tenant
        self._now_ms = now_ms
        self._moment = moment
        self._watched = watched

    def series(self, asked: Parameters) -> list[dict[str, str]]:
        """Return the label sets that any of the selectors match."""
        if not asked.get("match[]"):
            raise BadQuestion("no match[] parameter provided")
        return [dict(labels) for labels in sorted(self._matched(asked))]

    def labels(self, asked: Parameters) -> list[str]:
        """Return the names of labels, of all series or of those that match."""
        if asked.get("match[]"):
            return sorted({name for labels in self._matched(asked) for name, _ in labels})
        from_ms, to_ms = self._range(asked)
        return labelling.names(
            self._db, self._tenant, self._storage(), from_ms=from_ms, to_ms=to_ms
        )

    def values(self, asked: Parameters) -> list[str]:
        """Return the values of a label, of all series or of those that match."""
        label = one(asked, "name", "")
        if asked.get("match[]"):
            found = self._matched(asked)
            return sorted({value for labels in found for name, value in labels if name == label})
        from_ms, to_ms = self._range(asked)
        return labelling.values(
            self._db, self._tenant, self._storage(), label, from_ms=from_ms, to_ms=to_ms
        )

    def _storage(self) -> Together:
        return every_series.series(self._db, self._tenant, until_ms=self._now_ms)

    def _range(self, asked: Parameters) -> tuple[int, int]:
        end_ms = self._moment(asked, "end", self._now_ms)
        start_ms = self._moment(asked, "start", end_ms - DAY_MS)
        if end_ms < start_ms:
            raise BadQuestion("end timestamp must not be before start time")
        return start_ms, end_ms

    def _matched(self, asked: Parameters) -> set[Labels]:
        from_ms, to_ms = self._range(asked)
        storage = self._storage()
        found: set[Labels] = set()
        for matchers in map(self._watched, selectors(asked)):
            found |= {row.labels for row in storage.select(matchers, from_ms, to_ms)}
            found |= {row.labels for row in storage.select_sketches(matchers, from_ms, to_ms)}
        return found


def selectors(asked: Parameters) -> list[Sequence[SeriesMatcher]]:
    """Return the matchers of each `match[]`; raise `BadQuestion` or `BadExpression`."""
    texts = asked.get("match[]") or ()
    if len(texts) > MATCHES_MAX:
        raise BadQuestion(f"{len(texts)} selectors; at most {MATCHES_MAX}")
    found: list[Sequence[SeriesMatcher]] = []
    for text in texts:
        selector = bare(parse(text).node)
        if not isinstance(selector, Selector) or selector.range_ms:
            raise BadQuestion(f"{text[:80]!r} is no selector of series")
        found.append(selector.matchers)
    return found


def limit_of(asked: Parameters, name: str = "limit") -> int:
    """Return how many are asked for at most; 0 is all."""
    text = one(asked, name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) <= _LIMIT_DIGITS_MAX):
        raise BadQuestion(f"{name} must be a whole number of at least 0, not {text[:40]!r}")
    return int(text)


def metadata(asked: Parameters) -> dict[str, list[dict[str, str]]]:
    """Describe metrics: all, `limit` of them, or one by name."""
    metric, each = one(asked, "metric", ""), limit_of(asked, "limit_per_metric")
    limit = limit_of(asked)
    found = {
        one.name: [{"type": TYPES[one.sort], "help": one.about, "unit": one.unit}][: each or None]
        for one in EXPOSED
        if one.name in every_series.NAMES and metric in {"", one.name}
    }
    return dict([*found.items()][: limit or None])


def rules(db: Db, tenant: TenantId, asked: Parameters) -> dict[str, object]:
    """Return the groups of rules that are asked for."""
    kind = one(asked, "type", "")
    if kind and kind not in KINDS:
        raise BadQuestion(f"not supported value {kind[:40]!r} of type: alert or record")
    wanted = selectors(asked)
    names, groups, files = (
        frozenset(asked.get(name) or ()) for name in ("rule_name[]", "rule_group[]", "file[]")
    )
    is_bare = one(asked, "exclude_alerts", "false").lower() in {"true", "1"}
    found: list[dict[str, Any]] = []
    for group in listing.groups(db, tenant):
        if (groups and group["name"] not in groups) or (files and group["file"] not in files):
            continue
        kept = [
            {**rule, "alerts": []} if is_bare and "alerts" in rule else rule
            for rule in group["rules"]
            if (not kind or rule["type"] == KINDS[kind])
            and (not names or rule["name"] in names)
            and (not wanted or any(_holds(one, rule) for one in wanted))
        ]
        if kept:
            found.append({**group, "rules": kept})
    return _page(found, asked)


def _page(found: list[dict[str, Any]], asked: Parameters) -> dict[str, object]:
    """Return as many groups as are asked for, and where the next page begins."""
    limit, token = limit_of(asked, "group_limit"), one(asked, "group_next_token", "")
    if token and not limit:
        raise BadQuestion("group_limit needs to be present to paginate with group_next_token")
    tokens = [f"{group['file']};{group['name']}" for group in found]
    if token and token not in tokens:
        raise BadQuestion("invalid group_next_token: ask for the first page again")
    begin = tokens.index(token) if token else 0
    end = begin + limit if limit else len(found)
    more = {"groupNextToken": tokens[end]} if end < len(found) else {}
    return {"groups": found[begin:end], **more}


def _holds(matchers: Sequence[SeriesMatcher], rule: Mapping[str, Any]) -> bool:
    """Say whether a selector matches the labels that a rule sets."""
    return all(one.holds(rule["labels"].get(one.name, "")) for one in matchers if one.name != NAME)
