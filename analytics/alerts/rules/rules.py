"""What a rule file says, as values: groups of alerting and recording rules.

Times are durations in milliseconds. `no_data` and `no_data_for` are additions of ours; a rule
without them is what Prometheus reads. An alert is known by its labels: those of the result without
the metric's name, those of the rule, and `alertname`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from analytics.alerts.documents import Caution, Position
from analytics.alerts.template.templates import Template

NO_DATA_FOR_MIN_MS: Final = 300_000
"""How long data must be missing at least before a rule that does not say so tells of it."""
NO_DATA_INTERVALS: Final = 3
"""How many of a series' usual intervals must pass without data, where a rule does not say."""


class NoData(StrEnum):
    """What becomes of a series that was there and is not."""

    OK = "ok"
    """It counts as a condition that does not hold: its alert resolves."""
    KEEP = "keep"
    """Its alert stays as it was, marked stale, until `no_data_for`; then it resolves."""
    ALERT = "alert"
    """Its alert stays until `no_data_for`; then one `NoData` alert a rule lists what is missing."""


class AlertRule(Struct, frozen=True, kw_only=True):
    """When to tell somebody."""

    name: str
    expr: str
    place: Position
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: Mapping[str, Template] = {}
    annotations: Mapping[str, Template] = {}
    no_data: NoData = NoData.OK
    no_data_for_ms: int | None = None


class RecordRule(Struct, frozen=True, kw_only=True):
    """A series made of others."""

    name: str
    expr: str
    place: Position
    labels: Mapping[str, str] = {}


Rule = AlertRule | RecordRule


class Group(Struct, frozen=True, kw_only=True):
    """Rules that are evaluated together, in order."""

    name: str
    rules: tuple[Rule, ...]
    place: Position
    interval_ms: int | None = None
    limit: int = 0
    query_offset_ms: int = 0


class RuleFile(Struct, frozen=True):
    """A whole file, with what is odd about it."""

    path: str
    groups: tuple[Group, ...]
    cautions: tuple[Caution, ...] = ()
    beyond: tuple[Caution, ...] = ()
    """Rules that are PromQL and that we do not evaluate, with the place of why."""
