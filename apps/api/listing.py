"""Rules, alerts and the newest results in Prometheus' own words.

`/api/v1/rules` and `/api/v1/alerts` as Grafana lists them, and `/metrics`: the newest value of
every series, in the text format that a Prometheus scrapes. What is told is the token's tenant's.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from analytics.alerts import presets
from analytics.alerts.dispatch import engine
from analytics.alerts.documents import BadFile
from analytics.alerts.rules import files
from analytics.alerts.rules.exposed import BY_NAME, Sort
from analytics.alerts.rules.rules import AlertRule, Group, RecordRule, RuleFile
from analytics.alerts.template.templates import Template
from analytics.contracts.ids import TenantId
from analytics.promql.series import NAME, MatchOperator, Series, SeriesMatcher
from streams.queries import monitoring
from streams.series import every_series, public_names
from streams.series.measures import Db

LOOKBACK_MS: Final = 300_000
LINES_MAX: Final = 50_000
"""Lines of one exposition; what is left out is said in a comment."""
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_KINDS: Final = {Sort.COUNTER: "counter", Sort.GAUGE: "gauge"}
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def groups(db: Db, tenant: TenantId) -> list[dict[str, Any]]:
    """Return the groups of rules that are evaluated, with the alerts of each."""
    by_rule: dict[str, list[dict[str, object]]] = {}
    for one in monitoring.alerts(db, tenant, states=("firing", "pending")):
        by_rule.setdefault(one.rule, []).append(_alert(one))
    found = [(file, group) for file in _files(db, tenant) for group in file.groups]
    return [_group(file, group, by_rule) for file, group in found]


def alerts(db: Db, tenant: TenantId) -> dict[str, object]:
    """Return the alerts that fire or may soon."""
    found = monitoring.alerts(db, tenant, states=("firing", "pending"))
    return {"alerts": [_alert(one) for one in found]}


def exposition(db: Db, tenant: TenantId, *, now_ms: int, operator: bool = False) -> str:
    """Return the newest value of every series in Prometheus' text format."""
    storage = every_series.series(db, tenant, until_ms=now_ms, operator=operator)
    lines: list[str] = []
    for name in every_series.names(db, tenant, until_ms=now_ms):
        matcher = SeriesMatcher(NAME, MatchOperator.EQUAL, name)
        found = storage.select([matcher], now_ms - LOOKBACK_MS, now_ms)
        if found:
            lines += _family(name, found)
        if len(lines) > LINES_MAX:
            lines = [*lines[:LINES_MAX], f"# more than {LINES_MAX} lines: ask /api/v1/query"]
            break
    return "\n".join([*lines, ""])


def _family(name: str, found: Iterable[Series]) -> Iterator[str]:
    exposed = BY_NAME.get(name)
    kind = "counter" if name in public_names.NAMES else "untyped"
    if exposed is not None:
        kind = _KINDS.get(exposed.sort, kind)
        yield f"# HELP {name} {exposed.about}"
    yield f"# TYPE {name} {kind}"
    for series in found:
        labels = ",".join(
            f'{label}="{value.translate(_ESCAPES)}"' for label, value in series.labels
            if label != NAME
        )  # fmt: skip
        value = float(series.values[-1])
        if not math.isnan(value):
            yield f"{name}{{{labels}}} {value!r}"


def _files(db: Db, tenant: TenantId) -> Iterator[RuleFile]:
    yield from presets.rules()
    for file in monitoring.files(db, tenant, kind="rules"):
        try:
            yield files.load(file.name, file.body)
        except BadFile:
            continue  # it is not evaluated either


def _group(
    file: RuleFile, group: Group, by_rule: Mapping[str, list[dict[str, object]]]
) -> dict[str, Any]:
    return {
        "name": group.name,
        "file": file.path,
        "interval": (group.interval_ms or engine.INTERVAL_MS) / 1_000,
        "rules": [
            _rule(rule, by_rule.get(rule.name, []))
            if isinstance(rule, AlertRule)
            else _recording(rule)
            for rule in group.rules
        ],
    }


def _rule(rule: AlertRule, found: list[dict[str, object]]) -> dict[str, Any]:
    states = {one["state"] for one in found}
    state = "firing" if "firing" in states else "pending" if found else "inactive"
    return {
        "type": "alerting",
        "name": rule.name,
        "query": rule.expr,
        "duration": rule.for_ms / 1_000,
        "labels": _written(rule.labels),
        "annotations": _written(rule.annotations),
        "state": state,
        "health": "ok",
        "alerts": found,
    }


def _recording(rule: RecordRule) -> dict[str, object]:
    labels = dict(rule.labels)
    return {
        "type": "recording", "name": rule.name, "query": rule.expr, "labels": labels,
        "health": "ok",
    }  # fmt: skip


def _written(templates: Mapping[str, Template]) -> dict[str, str]:
    """Return templates as they stand in the file."""
    return {name: one.text for name, one in templates.items()}


def _alert(one: monitoring.Alert) -> dict[str, object]:
    began = datetime.fromtimestamp(one.active_ms / 1_000, tz=UTC).isoformat()
    return {
        "labels": one.labels,
        "annotations": one.annotations,
        "state": one.state,
        "activeAt": began.replace("+00:00", "Z"),
        "value": "" if one.value is None else repr(one.value),
    }
