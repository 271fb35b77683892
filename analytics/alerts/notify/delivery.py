"""What follows from an attempt to send a notice: sent, tried again later, or given up.

`TRANSITIONS` says it for every pair of state and signal. A notice that fails waits with full jitter
(M. Brooker, "Exponential Backoff And Jitter": a random time up to a limit that doubles), and on top
of it as long as the receiver asked for. It is given up once it failed `attempts_min` times and the
next attempt would come later than `lasts_ms` after it was made, or at once where trying again would
fail again. What was given up so is passed on, once, to the next receiver of its route: those that
it escalates to, in order, then the root's. It then holds an alert `ReceiverDead` beside its own, so
that nobody has to notice silence. A receiver that the routing does not have any more is not dead.
"""

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct, structs

from analytics.alerts.dispatch import routes
from analytics.alerts.dispatch.groups import Notice, NotifyReason, SentAlert
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.notify.receivers import Integration, Receiver

KEY_CHARACTERS: Final = 32
DEAD: Final = "ReceiverDead"
"""The name of the alert that a receiver could not be told."""
REASON_CHARACTERS_MAX: Final = 500
_DOUBLINGS_MAX: Final = 30


class DeliveryState(StrEnum):
    """How far a notice is."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given up"


class AttemptResult(StrEnum):
    """What came of an attempt."""

    DELIVERED = "delivered"
    """The receiver took it."""
    NOBODY = "nobody"
    """The receiver tells nobody."""
    FAILED = "failed"
    """It may work later."""
    SPENT = "spent"
    """It may work later, and was tried for long enough."""
    REFUSED = "refused"
    """It would fail again."""
    GONE = "gone"
    """The routing does not have the receiver any more."""
    UNREADABLE = "unreadable"
    """It cannot be read."""


class Move(Struct, frozen=True):
    """The state that follows, and whether somebody else is told."""

    state: DeliveryState
    passes_on: bool = False


TRANSITIONS: Final[Mapping[DeliveryState, Mapping[AttemptResult, Move]]] = {
    DeliveryState.WAITING: {
        AttemptResult.DELIVERED: Move(DeliveryState.SENT),
        AttemptResult.NOBODY: Move(DeliveryState.SENT),
        AttemptResult.FAILED: Move(DeliveryState.WAITING),
        AttemptResult.SPENT: Move(DeliveryState.GIVEN_UP, passes_on=True),
        AttemptResult.REFUSED: Move(DeliveryState.GIVEN_UP, passes_on=True),
        AttemptResult.GONE: Move(DeliveryState.GIVEN_UP),
        AttemptResult.UNREADABLE: Move(DeliveryState.GIVEN_UP),
    },
    DeliveryState.SENT: dict.fromkeys(AttemptResult, Move(DeliveryState.SENT)),
    DeliveryState.GIVEN_UP: dict.fromkeys(AttemptResult, Move(DeliveryState.GIVEN_UP)),
}
"""Late answers change nothing: what was given up has been passed on."""


class Policy(Struct, frozen=True, kw_only=True):
    """How long a notice is tried."""

    wait_ms: int = 1_000
    """The limit of the first wait; it doubles each time."""
    wait_ms_max: int = 60_000
    retry_after_ms_max: int = 3_600_000
    """The longest wait that a receiver may ask for."""
    lasts_ms: int = 900_000
    attempts_min: int = 5
    """How often it is tried however old it is, such as after the worker was down."""


class AttemptOutcome(Struct, frozen=True, kw_only=True):
    """What came of an attempt, why, and for how long the receiver asked to be left alone."""

    signal: AttemptResult
    reason: str = ""
    retry_after_ms: int = 0


class Tried(Struct, frozen=True, kw_only=True):
    """A notice's past: attempts with the one just made, and how long ago it was made."""

    attempts: int
    age_ms: int
    state: DeliveryState = DeliveryState.WAITING


class DeliveryDecision(Struct, frozen=True, kw_only=True):
    """What becomes of a notice."""

    state: DeliveryState
    wait_ms: int = 0
    """How long until it is tried again."""
    passes_on: bool = False
    reason: str = ""


def after(tried: Tried, outcome: AttemptOutcome, policy: Policy, chance: float) -> DeliveryDecision:
    """Return what becomes of a notice; `chance` is a random number of at least 0 and below 1."""
    wait_ms = wait(tried.attempts, outcome.retry_after_ms, policy, chance)
    signal, reason = outcome.signal, outcome.reason[:REASON_CHARACTERS_MAX]
    is_old = tried.age_ms + wait_ms > policy.lasts_ms
    if signal is AttemptResult.FAILED and is_old and tried.attempts >= policy.attempts_min:
        signal = AttemptResult.SPENT
    move = TRANSITIONS[tried.state][signal]
    return DeliveryDecision(
        state=move.state,
        wait_ms=wait_ms if move.state is DeliveryState.WAITING else 0,
        passes_on=move.passes_on,
        reason=reason,
    )


def policy_of(notice: Notice | None, policy: Policy) -> Policy:
    """Return how long a notice is tried: a test once, since somebody waits for what comes of it."""
    if notice is None or notice.why is not NotifyReason.TEST:
        return policy
    return structs.replace(policy, lasts_ms=-1, attempts_min=1)


def wait(attempts: int, retry_after_ms: int, policy: Policy, chance: float) -> int:
    """Return how long to wait after so many attempts."""
    doublings = min(max(attempts - 1, 0), _DOUBLINGS_MAX)
    limit_ms = min(policy.wait_ms << doublings, policy.wait_ms_max)
    asked_ms = min(max(retry_after_ms, 0), policy.retry_after_ms_max)
    return asked_ms + int(limit_ms * chance)


def integration(routing: Routing, notice: Notice) -> Integration | AttemptResult:
    """Return how a notice's receiver is told, or that it tells nobody or is gone."""
    receiver = routing.receivers.get(notice.receiver)
    if receiver is None:
        return AttemptResult.GONE
    if not receiver.integrations:
        return AttemptResult.NOBODY
    found = [one for one in receiver.integrations if one.id == notice.integration]
    return found[0] if found else AttemptResult.GONE


def passed_on(routing: Routing, notice: Notice, reason: str) -> tuple[Notice, ...]:
    """Return what the next receiver is told in a dead one's place; nothing if there is none."""
    if notice.why is NotifyReason.TEST:
        return ()
    receiver = _next(routing, notice)
    if receiver is None:
        return ()
    alerts = (_dead(notice, reason), *notice.alerts)
    return tuple(
        structs.replace(
            notice,
            key=_key(notice, one),
            receiver=receiver.name,
            integration=one.id,
            why=NotifyReason.UNDELIVERED,
            alerts=alerts,
        )
        for one in receiver.integrations
        if notice.is_firing or one.sends_resolved
    )


def idempotency_key(row_key: str) -> str:
    """Return what receivers know a notice by, over all tenants: the same at each attempt."""
    return sha256(row_key.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_CHARACTERS]


def _next(routing: Routing, notice: Notice) -> Receiver | None:
    """Return who comes next after a notice's receiver; the order ends, so passing on does."""
    name = notice.group.partition(":")[0]
    found = [one for one in routes.every(routing.root) if one.id == name]
    route = found[0] if found else routing.root
    chain = list(dict.fromkeys((route.receiver, *route.escalate_to, routing.root.receiver)))
    begin = chain.index(notice.receiver) + 1 if notice.receiver in chain else 0
    told = (routing.receivers[one] for one in chain[begin:])
    return next((one for one in told if one.integrations), None)


def _dead(notice: Notice, reason: str) -> SentAlert:
    labels = {
        "alertname": DEAD,
        "receiver": notice.receiver,
        "integration": notice.integration,
        "severity": "critical",
    }
    summary = f"{notice.integration} could not be told: {reason[:REASON_CHARACTERS_MAX]}"
    return SentAlert(
        labels=labels,
        annotations={"summary": summary},
        starts_at_ms=notice.at_ms,
        ends_at_ms=None if notice.is_firing else notice.at_ms,
    )


def _key(notice: Notice, one: Integration) -> str:
    identity = ("passed on", notice.key, one.id)
    return sha256(msgspec.msgpack.encode(identity)).hexdigest()[:KEY_CHARACTERS]
