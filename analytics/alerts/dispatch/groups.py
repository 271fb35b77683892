"""The values of notification: alerts as they are told, groups of them, and notices.

All of them can be encoded and kept; see `dispatch` for how one follows from the other.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from analytics.alerts import labels as label_sets
from analytics.alerts.labels import Frozen


class SentAlert(Struct, frozen=True, kw_only=True):
    """An alert as receivers are told of it."""

    labels: Mapping[str, str]
    starts_at_ms: int
    annotations: Mapping[str, str] = {}
    ends_at_ms: int | None = None
    """When it was resolved; None while it fires."""
    generator_url: str = ""

    @property
    def fingerprint(self) -> str:
        """The 16 hex digits by which Alertmanager would know it."""
        return label_sets.fingerprint(self.labels)

    @property
    def is_firing(self) -> bool:
        """Whether it still fires."""
        return self.ends_at_ms is None


class NotifyReason(StrEnum):
    """Why a notice is sent."""

    FIRING = "firing"
    """Alerts fire that the receiver was not told of."""
    RESOLVED = "resolved"
    """Alerts ended that the receiver was told of."""
    REPEAT = "repeat"
    """Nothing changed for `repeat_interval`."""
    ESCALATED = "escalated"
    """Nobody acknowledged in time."""
    UNDELIVERED = "undelivered"
    """The receiver before could not be told."""
    TEST = "test"
    """Somebody asked whether the receiver can be told."""


class Log(Struct, frozen=True, kw_only=True):
    """What one integration was told of a group."""

    firing: Mapping[str, int] = {}
    """The starts of the alerts it believes to fire, by fingerprint."""
    told_at_ms: int = 0
    count: int = 0
    """How many notices it was sent."""


class GroupState(Struct, frozen=True, kw_only=True):
    """One group of alerts of one route."""

    route: str
    labels: Frozen
    began_at_ms: int
    """When its first alert arrived."""
    due_at_ms: int
    """When it is looked at next."""
    alerts: Mapping[str, SentAlert] = {}
    """By fingerprint, as they were last seen."""
    logs: Mapping[str, Log] = {}
    """By integration."""
    first_told: Mapping[str, int] = {}
    """When somebody was first told of the alerts that fire, by fingerprint."""
    acknowledged: Mapping[str, int] = {}
    """The starts of the alerts that somebody took on, by fingerprint."""
    level: int = 0
    """How many receivers more than the route's own are told."""


class Acknowledgement(Struct, frozen=True, kw_only=True):
    """Somebody took on an alert, in every group that it is in."""

    fingerprint: str
    by: str
    at_ms: int


class Mute(Struct, frozen=True, kw_only=True):
    """Why an alert is not told of."""

    silences: tuple[str, ...] = ()
    inhibited_by: str = ""


class Notice(Struct, frozen=True, kw_only=True):
    """One message that is to be sent, once, whatever happens on the way.

    `key` is the same for the same thing said to the same integration, and for nothing else: a log
    with one row a key makes sending at least once into saying it once.
    """

    key: str
    group: str
    group_key: str
    group_labels: Mapping[str, str]
    receiver: str
    integration: str
    why: NotifyReason
    alerts: tuple[SentAlert, ...]
    at_ms: int

    @property
    def is_firing(self) -> bool:
        """Whether any alert in it fires."""
        return any(alert.is_firing for alert in self.alerts)


class Dispatch(Struct, frozen=True, kw_only=True):
    """All groups, and what is known of each alert; encode it, keep it, and go on from it."""

    groups: Mapping[str, GroupState] = {}
    mutes: Mapping[str, Mute] = {}
    """By fingerprint, as of the last pass."""
    at_ms: int = -1
