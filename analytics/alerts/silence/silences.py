"""Silences: alerts that somebody does not want to hear of for a while.

A silence is never edited: it is expired, and another takes its place. What it would mute is
counted when it is made, and said if that is nothing or much. A link to a filled-in silence holds
the alert's whole label set, so the silence that it makes mutes that alert.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote, unquote

from msgspec import Struct, structs

from analytics.alerts import matchers
from analytics.alerts.labels import Labels
from analytics.alerts.matchers import Matchers
from analytics.contracts.errors import Refused

MUCH: Final = 100
"""A silence that mutes more alerts than this is said to."""
COMMENT_CHARACTERS_MAX: Final = 4_096
MATCHERS_MAX: Final = 64


class BadSilence(Refused):
    """A silence that has no meaning."""

    code = "bad-silence"


class Silence(Struct, frozen=True, kw_only=True):
    """Who wants what not to be told, from when until when, and why."""

    id: str
    matchers: Matchers
    starts_at_ms: int
    ends_at_ms: int
    created_by: str
    comment: str
    replaces: str = ""

    def holds(self, now_ms: int) -> bool:
        """Say whether it is in force."""
        return self.starts_at_ms <= now_ms < self.ends_at_ms

    def mutes(self, labels: Labels, now_ms: int) -> bool:
        """Say whether an alert is mute by it."""
        return self.holds(now_ms) and matchers.all_hold(self.matchers, labels)


class Reach(Struct, frozen=True):
    """How many alerts a silence mutes, and a sentence if that is odd."""

    count: int
    caution: str = ""


def drafted(
    text: str, *, starts_at_ms: int, ends_at_ms: int, created_by: str, comment: str
) -> Silence:
    """Return a silence that is not kept yet, its matchers read from text; raise `BadSilence`."""
    try:
        wanted = matchers.parse(text)
    except ValueError as error:
        raise BadSilence(str(error)) from None
    return checked(
        Silence(
            id="",
            matchers=wanted,
            starts_at_ms=starts_at_ms,
            ends_at_ms=ends_at_ms,
            created_by=created_by,
            comment=comment,
        )
    )


def checked(silence: Silence) -> Silence:
    """Return a silence; raise `BadSilence` if it has no meaning."""
    if not silence.matchers or len(silence.matchers) > MATCHERS_MAX:
        raise BadSilence(f"a silence needs 1 to {MATCHERS_MAX} matchers")
    if matchers.all_hold(silence.matchers, {}):
        raise BadSilence("a silence whose matchers all hold for nothing would mute everything")
    if silence.ends_at_ms <= silence.starts_at_ms:
        raise BadSilence("a silence must end after it starts")
    if not silence.created_by or not silence.comment:
        raise BadSilence("a silence says who made it and why: created_by and comment")
    if len(silence.comment) > COMMENT_CHARACTERS_MAX:
        raise BadSilence(f"a comment has at most {COMMENT_CHARACTERS_MAX} characters")
    return silence


def reach(silence: Silence, alerts: Iterable[Labels]) -> Reach:
    """Return what a silence mutes of the alerts that there are."""
    count = sum(matchers.all_hold(silence.matchers, labels) for labels in alerts)
    if count == 0:
        return Reach(0, "it mutes no alert that there is; check its matchers")
    if count > MUCH:
        return Reach(count, f"it mutes {count} alerts; name more labels if that is too much")
    return Reach(count)


def expired(silence: Silence, now_ms: int) -> Silence:
    """Return a silence that ends now; one that has ended stays as it is."""
    if silence.ends_at_ms <= now_ms:
        return silence
    starts_at_ms = min(silence.starts_at_ms, now_ms)
    return structs.replace(silence, starts_at_ms=starts_at_ms, ends_at_ms=now_ms)


def replaced(old: Silence, new: Silence, now_ms: int) -> tuple[Silence, Silence]:
    """Return the old silence, expired, and the one that takes its place."""
    starts_at_ms = max(new.starts_at_ms, now_ms)
    successor = structs.replace(new, starts_at_ms=starts_at_ms, replaces=old.id)
    return expired(old, now_ms), checked(successor)


def muting(silences: Sequence[Silence], labels: Labels, now_ms: int) -> tuple[str, ...]:
    """Return the ids of the silences that mute an alert."""
    return tuple(sorted(one.id for one in silences if one.mutes(labels, now_ms)))


def link(address: str, labels: Labels) -> str:
    """Return the address of a silence form that is filled in for an alert."""
    filled = matchers.written(matchers.exactly(labels))
    return f"{address.rstrip('/')}/alerts?silence={quote(filled, safe='')}"


def from_link(address: str) -> Matchers:
    """Return the matchers that a link to a silence form holds."""
    _, found, filled = address.partition("silence=")
    if not found:
        raise BadSilence(f"{address!r} holds no silence")
    try:
        return matchers.parse(unquote(filled.partition("&")[0]))
    except ValueError as error:
        raise BadSilence(str(error)) from None
