"""What people tell alerting: silences, acknowledgements, words on anomalies, budgets.

Each function takes a writable connection and the tenant, does its work in one transaction of its
own, and raises `Refused` with the reason where what is asked for has no meaning; nothing is written
then. What is checked is what `analytics.alerts` checks, so what is taken here is taken by the stage
that reads it, at its next pass. Times are the caller's clock. Limits: `SILENCES_MAX` that are not
over and `BUDGETS_MAX`, each of one tenant. Files of alerts: see `alert_files`.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from uuid import uuid4

from msgspec import Struct, structs
from psycopg import Connection
from psycopg.rows import TupleRow

from analytics.alerts import matchers
from analytics.alerts.matchers import Matchers
from analytics.alerts.silence import silences
from analytics.alerts.silence.silences import Reach, Silence
from analytics.contracts.errors import NotFound, Refused
from streams.clients.errors import checked_url, mapped
from streams.clients.times import instant

SILENCES_MAX: Final = 1_000
BUDGETS_MAX: Final = 1_000
NAME_CHARACTERS_MAX: Final = 200
CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_S: Final = 10
PERIODS: Final = ("5h", "day", "week")
FEEDBACK: Final = ("", "useful", "noise")
"""What people may say of an anomaly; the empty word takes back what was said."""
FIRING: Final = "firing"

Db = Connection[TupleRow]


class NotThere(NotFound):
    """Something that is named and does not exist."""


class BadControl(Refused):
    """A name, word, budget or acknowledgement that has no meaning."""

    code = "bad-control"


class Added(Struct, frozen=True):
    """A silence as it was kept, and what it mutes of the alerts that there are."""

    silence: Silence
    reach: Reach


class MutedAlert(Struct, frozen=True, kw_only=True):
    """An alert that a silence would mute."""

    fingerprint: str
    state: str
    labels: dict[str, str]


class BudgetLimit(Struct, frozen=True, kw_only=True):
    """How much may be spent in a period, by a project or, if that is empty, by all."""

    name: str
    period: str
    """`5h`, `day` or `week`."""
    limit_usd: float
    project: str = ""


_LOCK: Final = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
_REACHED_MS: Final = "select at_ms from situations where tenant = %s"
_ADD_SILENCE: Final = """
insert into silences (silence_id, tenant, matchers, starts_at, ends_at, created_by, comment,
                      replaces)
values (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_SILENCE: Final = """
select silence_id, matchers, (extract(epoch from starts_at) * 1000)::bigint,
       (extract(epoch from ends_at) * 1000)::bigint, created_by, comment, replaces
  from silences where tenant = %s and silence_id = %s for update
"""
_END_SILENCE: Final = """
update silences set starts_at = %s, ends_at = %s where tenant = %s and silence_id = %s
"""
_SILENCES: Final = "select count(*) from silences where tenant = %s and ends_at > %s"
_ALERTS: Final = """
select fingerprint, state, labels from alerts
 where tenant = %s and state in ('pending', 'firing') order by fingerprint
"""
_ALERT: Final = "select state from alerts where tenant = %s and fingerprint = %s"
_ACKNOWLEDGE: Final = """
insert into acknowledgements (tenant, fingerprint, at, acknowledged_by) values (%s, %s, %s, %s)
on conflict (tenant, fingerprint, at) do nothing
"""
_FEEDBACK: Final = """
update anomalies set feedback = %s, feedback_by = %s, feedback_at = clock_timestamp()
 where tenant = %s and anomaly_id = %s
"""
_BUDGETS: Final = "select count(*) from budgets where tenant = %s and name <> %s"
_PUT_BUDGET: Final = """
insert into budgets (tenant, name, period, limit_usd, project, changed_by, changed_at)
values (%s, %s, %s, %s, %s, %s, clock_timestamp())
on conflict (tenant, name) do update
   set period = excluded.period, limit_usd = excluded.limit_usd, project = excluded.project,
       changed_by = excluded.changed_by, changed_at = excluded.changed_at,
       at = null, spent_usd = null, resets_at = null, exhausts_at = null, probability = null
"""
_REMOVE_BUDGET: Final = "delete from budgets where tenant = %s and name = %s"


@contextmanager
def opened(url: str) -> Iterator[Db]:
    """Give a connection that these functions write on; raise `StoreAway`."""
    with (
        mapped("a connection"),
        Connection.connect(
            checked_url(url),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c timezone=UTC",
            application_name="mainstem controls",
        ) as db,
    ):
        yield db


def add_silence(db: Db, tenant: str, draft: Silence, *, now_ms: int) -> Added:
    """Keep a silence under an id of its own; one that it `replaces` ends.

    A silence that begins by now begins where alerting is in event time, so that it holds from its
    next pass on.
    """
    with mapped("a silence"), _together(db, tenant):
        if draft.ends_at_ms <= now_ms:
            raise silences.BadSilence("a silence must end in the future")
        silence = structs.replace(draft, id=uuid4().hex)
        if draft.replaces:
            old, silence = silences.replaced(_silence(db, tenant, draft.replaces), silence, now_ms)
            _end(db, tenant, old)
        if _one(db, _SILENCES, [tenant, instant(now_ms)]) >= SILENCES_MAX:
            raise silences.BadSilence(f"{SILENCES_MAX} silences are not over: expire some")
        if silence.starts_at_ms <= now_ms:
            silence = structs.replace(silence, starts_at_ms=_begins_ms(db, tenant, silence))
        silence = silences.checked(silence)
        db.execute(
            _ADD_SILENCE,
            [silence.id, tenant, matchers.written(silence.matchers), instant(silence.starts_at_ms),
             instant(silence.ends_at_ms), silence.created_by, silence.comment, silence.replaces],
        )  # fmt: skip
        labels = [one.labels for one in _alerts(db, tenant)]
        return Added(silence, silences.reach(silence, labels))


def preview_silence(db: Db, tenant: str, wanted: Matchers) -> tuple[MutedAlert, ...]:
    """Return the pending and firing alerts that matchers hold for."""
    with mapped("a preview"):
        return tuple(one for one in _alerts(db, tenant) if matchers.all_hold(wanted, one.labels))


def expire_silence(db: Db, tenant: str, silence_id: str, *, now_ms: int) -> Silence:
    """End a silence now; raise `NotThere`."""
    with mapped("a silence"), _together(db, tenant):
        silence = silences.expired(_silence(db, tenant, silence_id), now_ms)
        _end(db, tenant, silence)
        return silence


def acknowledge(db: Db, tenant: str, fingerprint: str, *, by: str, now_ms: int) -> None:
    """Say that somebody takes on a firing alert; raise `NotThere` if it does not fire."""
    _check_name(by, "who acknowledges")
    with mapped("an acknowledgement"), db.transaction():
        row = db.execute(_ALERT, [tenant, fingerprint]).fetchone()
        if row is None:
            raise NotThere(f"there is no alert {fingerprint!r}; list them to see what fires")
        if row[0] != FIRING:
            raise NotThere(f"alert {fingerprint!r} is {row[0]}: only a firing one is acknowledged")
        db.execute(_ACKNOWLEDGE, [tenant, fingerprint, instant(now_ms), by])


def set_feedback(db: Db, tenant: str, anomaly_id: str, feedback: str, *, by: str) -> None:
    """Say that an anomaly was useful or noise; raise `NotThere`."""
    if feedback not in FEEDBACK:
        raise BadControl(f"an anomaly is 'useful', 'noise' or neither (''), not {feedback!r}")
    with mapped("a word on an anomaly"), db.transaction():
        if not db.execute(_FEEDBACK, [feedback, by, tenant, anomaly_id]).rowcount:
            raise NotThere(f"there is no anomaly {anomaly_id!r}")


def put_budget(db: Db, tenant: str, budget: BudgetLimit, *, by: str) -> None:
    """Keep a budget in place of the one of its name; what is known of that one is forgotten."""
    _check_name(budget.name, "a budget's name")
    if budget.period not in PERIODS:
        raise BadControl(f"a budget's period is one of {', '.join(PERIODS)}: not {budget.period!r}")
    if not math.isfinite(budget.limit_usd) or budget.limit_usd <= 0:
        raise BadControl(f"a budget's limit is an amount above 0, not {budget.limit_usd!r}")
    if len(budget.project) > NAME_CHARACTERS_MAX:
        raise BadControl(f"a project's name has at most {NAME_CHARACTERS_MAX} characters")
    with mapped("a budget"), _together(db, tenant):
        if _one(db, _BUDGETS, [tenant, budget.name]) >= BUDGETS_MAX:
            raise BadControl(f"there are {BUDGETS_MAX} budgets: remove some")
        db.execute(
            _PUT_BUDGET,
            [tenant, budget.name, budget.period, budget.limit_usd, budget.project, by],
        )


def remove_budget(db: Db, tenant: str, name: str) -> None:
    """Remove a budget; raise `NotThere`."""
    with mapped("a budget"), db.transaction():
        if not db.execute(_REMOVE_BUDGET, [tenant, name]).rowcount:
            raise NotThere(f"there is no budget {name!r}")


@contextmanager
def _together(db: Db, tenant: str) -> Iterator[None]:
    """Hold a transaction in which nobody else changes what belongs to the tenant."""
    with db.transaction():
        db.execute(_LOCK, [f"controls of {tenant}"])
        yield


def _silence(db: Db, tenant: str, silence_id: str) -> Silence:
    row = db.execute(_SILENCE, [tenant, silence_id]).fetchone()
    if row is None:
        raise NotThere(f"there is no silence {silence_id!r}; list them to see their ids")
    return Silence(
        id=row[0],
        matchers=matchers.parse(row[1]),
        starts_at_ms=row[2],
        ends_at_ms=row[3],
        created_by=row[4],
        comment=row[5],
        replaces=row[6],
    )


def _end(db: Db, tenant: str, silence: Silence) -> None:
    when: list[datetime] = [instant(silence.starts_at_ms), instant(silence.ends_at_ms)]
    db.execute(_END_SILENCE, [*when, tenant, silence.id])


def _begins_ms(db: Db, tenant: str, silence: Silence) -> int:
    row = db.execute(_REACHED_MS, [tenant]).fetchone()
    return silence.starts_at_ms if row is None else min(silence.starts_at_ms, int(row[0]))


def _alerts(db: Db, tenant: str) -> list[MutedAlert]:
    rows = db.execute(_ALERTS, [tenant])
    return [MutedAlert(fingerprint=one, state=state, labels=labels) for one, state, labels in rows]


def _one(db: Db, query: str, given: list[object]) -> int:
    row = db.execute(query.encode(), given).fetchone()
    assert row is not None
    return int(row[0])


def _check_name(name: str, what: str) -> None:
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise BadControl(
            f"{what} is 1 to {NAME_CHARACTERS_MAX} printable characters, not {name[:40]!r}"
        )
