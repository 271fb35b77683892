"""Silences and acknowledgements, as a command asks for them.

Matchers stand as words of the command line, or in the link that a notification has. An id may be
cut short where only one begins so.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from getpass import getuser
from typing import Final

from msgspec import Struct

from analytics.alerts import durations, matchers
from analytics.alerts import labels as label_sets
from analytics.alerts.matchers import Matchers
from analytics.alerts.silence import silences
from analytics.alerts.silence.silences import Silence
from analytics.contracts.errors import BadSetting
from analytics.contracts.ids import DEFAULT_TENANT, TenantId
from apps.cli import stores
from apps.local import state
from apps.local.home import home
from apps.local.tenants import DEMO
from streams.queries import monitoring
from streams.store import controls
from streams.store.controls import Added, Db, MutedAlert, NotThere

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{16}")


class ListedSilence(Struct, frozen=True, kw_only=True):
    """A silence as a list shows it."""

    id: str
    matchers: str
    starts_at: str
    ends_at: str
    created_by: str
    comment: str


@contextmanager
def opened(store_url: str | None) -> Iterator[Db]:
    """Give a connection to the store that is named, or to the one of this machine."""
    with controls.opened(store_url or stores.store_url()) as db:
        yield db


def whose(tenant: str, store_url: str | None) -> str:
    """Return the tenant that is named, else the one that the dashboard of `up` opens on."""
    if tenant or store_url or stores.is_named():
        return tenant or DEFAULT_TENANT
    running = state.running(home())
    return DEMO if running is not None and running.is_demo else DEFAULT_TENANT


def wanted(words: Sequence[str], link: str) -> Matchers:
    """Return the matchers of words and of a link; raise `BadSetting` where there are none."""
    try:
        found = tuple(one for word in words for one in matchers.parse(word))
        found += silences.from_link(link) if link else ()
    except (ValueError, silences.BadSilence) as error:
        raise BadSetting(str(error)) from None
    if not found:
        raise BadSetting("give matchers such as alertname=Slow, or --link of a notification")
    return found


def draft(words: Sequence[str], link: str, *, lasts: str, comment: str, by: str) -> Silence:
    """Return the silence that is asked for; raise `BadSetting` or `BadSilence`."""
    try:
        length_ms = durations.milliseconds(lasts)
    except ValueError as error:
        raise BadSetting(f"--for takes a duration such as 2h: {error}") from None
    now_ms = _now_ms()
    return silences.drafted(
        matchers.written(wanted(words, link)),
        starts_at_ms=now_ms,
        ends_at_ms=now_ms + length_ms,
        created_by=by or getuser(),
        comment=comment,
    )


def added(db: Db, tenant: str, silence: Silence) -> Added:
    """Keep a silence."""
    return controls.add_silence(db, tenant, silence, now_ms=_now_ms())


def expired(db: Db, tenant: str, silence_id: str) -> Silence:
    """End a silence."""
    return controls.expire_silence(db, tenant, _whole(db, tenant, silence_id), now_ms=_now_ms())


def previewed(db: Db, tenant: str, found: Matchers) -> tuple[MutedAlert, ...]:
    """Return the alerts that matchers hold for."""
    return controls.preview_silence(db, tenant, found)


def listed(db: Db, tenant: str) -> list[ListedSilence]:
    """Return the silences that are not over."""
    found = monitoring.silences(db, TenantId(tenant), now_ms=_now_ms())
    return [
        ListedSilence(
            id=one.silence_id,
            matchers=one.matchers,
            starts_at=_written(one.starts_ms),
            ends_at=_written(one.ends_ms),
            created_by=one.created_by,
            comment=one.comment,
        )
        for one in found
    ]


def shown(silence: Silence) -> ListedSilence:
    """Return a silence as a list shows it."""
    return ListedSilence(
        id=silence.id,
        matchers=matchers.written(silence.matchers),
        starts_at=_written(silence.starts_at_ms),
        ends_at=_written(silence.ends_at_ms),
        created_by=silence.created_by,
        comment=silence.comment,
    )


def line(one: ListedSilence) -> str:
    """Return a silence as one line for people."""
    return f"{one.id} {one.matchers} until {one.ends_at} by {one.created_by}: {one.comment}"


def labelled(one: MutedAlert) -> str:
    """Return an alert's labels as one line."""
    return label_sets.written(one.labels)


def acknowledged(db: Db, tenant: str, words: Sequence[str], *, by: str) -> list[MutedAlert]:
    """Take on the firing alerts that are meant; raise `NotThere` if there are none."""
    keys = [word for word in words if _FINGERPRINT.fullmatch(word)]
    asked = [word for word in words if word not in keys]
    found = list(previewed(db, tenant, wanted(asked, ""))) if asked else []
    firing = [one for one in found if one.state == controls.FIRING]
    known = {one.fingerprint: one for one in controls.preview_silence(db, tenant, ())}
    firing += [known.get(key, MutedAlert(fingerprint=key, state="", labels={})) for key in keys]
    if not firing:
        raise NotThere("no firing alert is meant; `mainstem alerts silence preview` shows some")
    for one in firing:
        controls.acknowledge(db, tenant, one.fingerprint, by=by or getuser(), now_ms=_now_ms())
    return firing


def _whole(db: Db, tenant: str, begun: str) -> str:
    """Return the id that begins so."""
    ids = [one.id for one in listed(db, tenant) if one.id.startswith(begun)] if begun else []
    if len(ids) > 1:
        raise BadSetting(f"{len(ids)} silences begin with {begun!r}; write more of the id")
    return ids[0] if ids else begun


def _written(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, tz=UTC).isoformat(timespec="seconds")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
