"""Notices that wait to be sent: taken by one worker at a time, and marked with what came of them.

Taking one counts an attempt and keeps it from others for `lease_s`; a worker that dies in between
leaves it to be taken again after that. Marking it holds only while nobody else has taken it since.
Of the notices of one group to one integration only the oldest is given, so that a receiver hears of
them in their order; and an integration gets few at once, so that a slow one keeps nobody waiting.
All times are the store's clock, so workers need not agree on theirs.
"""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec
from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow

from analytics.alerts import presets
from analytics.alerts.dispatch import routing_files
from analytics.alerts.dispatch.groups import Notice
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.documents import BadFile
from analytics.alerts.notify.delivery import DeliveryDecision, DeliveryState
from streams.clients.errors import checked_url
from streams.clients.times import instant
from streams.store.pool import SILENCE_S

CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 10
LOOKED_MAX: Final = 500
"""How many due notices are looked at for those that are taken."""

Db = Connection[TupleRow]

_TAKE: Final = """
with due as (
  select n.key, n.tenant, n.integration, n.at, n.next_at from notices n
   where n.state = 'waiting' and n.next_at <= now()
     and not (n.tenant || '/' || n.integration = any(%(busy)s))
     and not exists (
       select from notices e
        where e.state = 'waiting' and e.tenant = n.tenant and e.integration = n.integration
          and e.thread = n.thread and (e.at, e.key) < (n.at, n.key))
   order by n.next_at limit %(looked)s
), placed as (
  select key, next_at, row_number() over (partition by tenant, integration order by at, key)
    from due
), chosen as (
  select key from notices
   where key in (select key from placed where row_number <= %(each)s
                  order by next_at limit %(limit)s)
     and state = 'waiting' and next_at <= now()
     for update skip locked
)
update notices n
   set attempts = n.attempts + 1, next_at = now() + %(lease_s)s * interval '1 second'
  from chosen where n.key = chosen.key
returning n.key, n.tenant, n.receiver, n.integration, n.body, n.attempts,
          (extract(epoch from now() - n.made_at) * 1000)::bigint
"""
_MARK: Final = """
update notices
   set state = %(state)s, error = %(error)s,
       next_at = now() + %(wait_ms)s * interval '1 millisecond',
       sent_at = case when %(state)s = 'sent' then now() end
 where key = %(key)s and attempts = %(attempts)s and state = 'waiting'
"""
_ADD: Final = """
insert into notices (key, tenant, at, receiver, integration, why, thread, body)
values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (key) do nothing
"""
_WAITING: Final = """
select count(*), coalesce(extract(epoch from now() - min(made_at)), 0)::float8
  from notices where state = 'waiting'
"""
_ROUTING_CHANGED: Final = """
select count(*), max(changed_at) from alert_files where tenant = %s and kind = 'routing'
"""
_ROUTING: Final = """
select name, body from alert_files where tenant = %s and kind = 'routing' order by name
"""


class LeasedNotice(Struct, frozen=True, kw_only=True):
    """A notice that is ours to send for a while."""

    key: str
    tenant: str
    receiver: str
    integration: str
    body: bytes
    attempts: int
    """With the one that is about to be made."""
    age_ms: int

    @property
    def channel(self) -> str:
        """What is busy while it is sent."""
        return f"{self.tenant}/{self.integration}"


class NoticeBacklog(Struct, frozen=True):
    """How many notices wait, and the age of the oldest."""

    count: int
    seconds: float


class Routings:
    """The routing in force of each tenant, read again when a file changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, Routing]] = {}

    def of(self, db: Db, tenant: str) -> Routing:
        """Return what the stage goes by: the tenant's file, or the pack's where that is no good."""
        version = db.execute(_ROUTING_CHANGED, [tenant]).fetchone()
        known = self._known.get(tenant)
        if known is None or known[0] != version:
            known = self._known[tenant] = (version, routing(db, tenant))
        return known[1]


def connected(url: str) -> Db:
    """Return a connection for whoever sends, with limits of its own."""
    return Connection.connect(
        checked_url(url),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_S,
        options=f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c timezone=UTC -c jit=off",
        application_name="mainstem notifying",
        keepalives_idle=SILENCE_S,
        tcp_user_timeout=SILENCE_S * 1_000,
    )


def take(
    db: Db, *, limit: int, each: int, busy: Collection[str], lease_s: float
) -> tuple[LeasedNotice, ...]:
    """Take notices that are due: `limit` at most, `each` of one integration, none that is busy."""
    given = {
        "limit": limit, "each": each, "busy": list(busy), "lease_s": lease_s, "looked": LOOKED_MAX,
    }  # fmt: skip
    with db.cursor(binary=True) as cursor:
        return tuple(
            LeasedNotice(
                key=row[0],
                tenant=row[1],
                receiver=row[2],
                integration=row[3],
                body=bytes(row[4]),
                attempts=row[5],
                age_ms=row[6],
            )
            for row in cursor.execute(_TAKE, given)
        )


def mark(
    db: Db, taken: LeasedNotice, verdict: DeliveryDecision, passed_on: Iterable[Notice] = ()
) -> bool:
    """Keep what came of a notice and what is passed on; say whether it was still ours."""
    given = {
        "key": taken.key,
        "attempts": taken.attempts,
        "state": verdict.state.value,
        "error": "" if verdict.state is DeliveryState.SENT else verdict.reason,
        "wait_ms": verdict.wait_ms,
    }
    with db.transaction():
        if not db.execute(_MARK, given).rowcount:
            return False
        for notice in passed_on:
            db.execute(_ADD, row(taken.tenant, notice))
    return True


def row(tenant: str, notice: Notice) -> list[object]:
    """Return a notice as a row of the table."""
    return [
        f"{tenant}/{notice.key}", tenant, instant(notice.at_ms), notice.receiver,
        notice.integration, notice.why.value, notice.group, msgspec.msgpack.encode(notice),
    ]  # fmt: skip


def add(db: Db, tenant: str, notice: Notice) -> None:
    """Have a notice sent; one whose key is known changes nothing."""
    db.execute(_ADD, row(tenant, notice))


def backlog(db: Db) -> NoticeBacklog:
    """Return how much waits."""
    found = db.execute(_WAITING).fetchone()
    assert found is not None
    return NoticeBacklog(*found)


def routing(db: Db, tenant: str) -> Routing:
    """Return the routing in force of a tenant."""
    for name, body in db.execute(_ROUTING, [tenant]).fetchall()[-1:]:
        try:
            return routing_files.load(name, body)
        except BadFile:
            break
    return presets.routing()
