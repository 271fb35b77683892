"""Who was told of what by which channel, and how that went: notices, newest first.

Pages go by time and key of the last notice before, so that they neither repeat nor miss any while
others come.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from analytics.alerts.dispatch.groups import Notice
from analytics.contracts.ids import TenantId
from streams.series.measures import Db

PAGE_MAX: Final = 1_000
NAMES_MAX: Final = 5
"""How many names of alerts are told of one notice; the others are counted."""
STATES: Final = ("waiting", "sent", "given up")
After = tuple[int, str]
"""Time and key of the last notice of the page before."""
FIRST: Final[After] = (2**52, "")

_NOTICES: Final = """
select key, (extract(epoch from at) * 1000)::bigint, receiver, integration, why, state, attempts,
       (extract(epoch from sent_at) * 1000)::bigint, error, body
  from notices
 where tenant = %(tenant)s and at >= to_timestamp(%(from_ms)s / 1000.0)
   and at <= to_timestamp(%(until_ms)s / 1000.0)
   and (%(receiver)s = '' or receiver = %(receiver)s) and (%(state)s = '' or state = %(state)s)
   and (%(why)s = '' or why = %(why)s)
   and (%(keys)s::text[] is null or key = any(%(keys)s::text[]))
   and (at, key) < (to_timestamp(%(after_ms)s / 1000.0), %(after_key)s)
 order by at desc, key desc limit %(limit)s
"""


class Told(Struct, frozen=True, kw_only=True):
    """A notice, and what became of it."""

    key: str
    at_ms: int
    receiver: str
    channel: str
    """How the receiver was told, such as webhook; empty where it tells nobody."""
    integration: str
    why: str
    state: str
    """`waiting`, `sent` or `given up`."""
    attempts: int
    sent_ms: int | None
    error: str
    alerts: list[str]
    """The names of what it tells of."""
    is_firing: bool


class NoticeFilter(Struct, frozen=True, kw_only=True):
    """Which notices are asked for; an empty field does not filter."""

    from_ms: int
    until_ms: int
    receiver: str = ""
    state: str = ""
    why: str = ""
    keys: Sequence[str] | None = None


def notices(
    db: Db, tenant: TenantId, which: NoticeFilter, *, limit: int = 100, after: After = FIRST
) -> tuple[Told, ...]:
    """Return notices and what became of them, newest first."""
    bound = {
        "tenant": tenant, "from_ms": which.from_ms, "until_ms": which.until_ms,
        "receiver": which.receiver, "state": which.state, "why": which.why,
        "keys": None if which.keys is None else list(which.keys),
        "after_ms": after[0], "after_key": after[1], "limit": min(limit, PAGE_MAX),
    }  # fmt: skip
    return tuple(_told(row) for row in db.execute(_NOTICES, bound))


def _told(row: tuple[object, ...]) -> Told:
    key, at_ms, receiver, integration, why, state, attempts, sent_ms, error, body = row
    assert isinstance(body, bytes)
    assert isinstance(integration, str)
    parts = integration.rsplit("/", 2)
    names, is_firing = _names(body)
    return msgspec.convert(
        {
            "key": key, "at_ms": at_ms, "receiver": receiver, "integration": integration,
            "channel": parts[1] if len(parts) == 3 else "", "why": why, "state": state,
            "attempts": attempts, "sent_ms": sent_ms, "error": error, "alerts": names,
            "is_firing": is_firing,
        },
        Told,
    )  # fmt: skip


def _names(body: bytes) -> tuple[list[str], bool]:
    try:
        notice = _DECODER.decode(body)
    except msgspec.MsgspecError:
        return [], False
    names = list(dict.fromkeys(one.labels.get("alertname", "") for one in notice.alerts))
    more = len(names) - NAMES_MAX
    return names[:NAMES_MAX] + ([f"and {more} more"] if more > 0 else []), notice.is_firing


_DECODER: Final = msgspec.msgpack.Decoder(Notice)
