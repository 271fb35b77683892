"""The body of a webhook, version 4, equal in shape to what Alertmanager sends.

Nothing is added inside its names. A time is RFC 3339 in UTC; a firing alert ends in the year 1, as
Go writes no time. The group is firing while any alert in it is. Above `alerts_max` the others are
left out and counted. Source: `notify/webhook` and `template.Data` of Alertmanager.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct, field

from analytics.alerts import labels as label_sets
from analytics.alerts.dispatch.groups import Notice, SentAlert

VERSION: Final = "4"
NEVER: Final = "0001-01-01T00:00:00Z"
FIRING: Final = "firing"
RESOLVED: Final = "resolved"


class AlertBody(Struct, frozen=True, kw_only=True):
    """One alert of a webhook's body."""

    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: str = field(name="startsAt")
    ends_at: str = field(name="endsAt")
    generator_url: str = field(name="generatorURL")
    fingerprint: str


class Body(Struct, frozen=True, kw_only=True):
    """A webhook's body."""

    receiver: str
    status: str
    alerts: tuple[AlertBody, ...]
    group_labels: Mapping[str, str] = field(name="groupLabels")
    common_labels: Mapping[str, str] = field(name="commonLabels")
    common_annotations: Mapping[str, str] = field(name="commonAnnotations")
    external_url: str = field(name="externalURL")
    version: str = VERSION
    group_key: str = field(name="groupKey")
    truncated_alerts: int = field(name="truncatedAlerts", default=0)


def body(notice: Notice, *, external_url: str, alerts_max: int = 0) -> Body:
    """Return what a webhook is sent; `alerts_max` of 0 leaves nothing out."""
    shown = notice.alerts[:alerts_max] if alerts_max else notice.alerts
    return Body(
        receiver=notice.receiver,
        status=status(notice),
        alerts=tuple(map(_alert, shown)),
        group_labels=notice.group_labels,
        common_labels=label_sets.in_all(one.labels for one in notice.alerts),
        common_annotations=label_sets.in_all(one.annotations for one in notice.alerts),
        external_url=external_url,
        group_key=notice.group_key,
        truncated_alerts=len(notice.alerts) - len(shown),
    )


def encoded(body: Body) -> bytes:
    """Return a body as it goes over the wire."""
    return msgspec.json.encode(body)


def status(notice: Notice) -> str:
    """Return whether a group fires or is resolved."""
    return FIRING if notice.is_firing else RESOLVED


def written_time(at_ms: int) -> str:
    """Return a time as Go writes it: without zeros at the end of the fraction."""
    at = datetime.fromtimestamp(at_ms // 1_000, UTC)
    fraction = f".{at_ms % 1_000:03d}".rstrip("0") if at_ms % 1_000 else ""
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _alert(alert: SentAlert) -> AlertBody:
    return AlertBody(
        status=FIRING if alert.is_firing else RESOLVED,
        labels=alert.labels,
        annotations=alert.annotations,
        starts_at=written_time(alert.starts_at_ms),
        ends_at=NEVER if alert.ends_at_ms is None else written_time(alert.ends_at_ms),
        generator_url=alert.generator_url,
        fingerprint=alert.fingerprint,
    )
