"""Who a tenant's routing tells, how that went of late, and tests that a person asks for.

A test is a notice like any other: the worker takes it, sends it as it sends alerts, and marks what
came of it. It is tried once, in a thread of its own, and is passed on to nobody. What is shown of a
receiver holds no secret: of an address the scheme and host alone. Limit: `TESTS_MAX` tests of a
tenant that wait.
"""

from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import Struct

from analytics.alerts.dispatch.groups import Notice, NotifyReason, SentAlert
from analytics.alerts.dispatch.routes import Routing, every
from analytics.alerts.notify.receivers import ChannelKind, Integration
from analytics.contracts.errors import Conflict, NotFound
from streams.clients.errors import mapped
from streams.store import notices
from streams.store.notices import Db

TESTS_MAX: Final = 20
TEST: Final = "ReceiverTest"
"""The name of the alert that a test tells of."""
_WAITING: Final = """
select count(*) from notices where tenant = %s and why = 'test' and state = 'waiting'
"""


class Channel(Struct, frozen=True, kw_only=True):
    """One way in which a receiver is told."""

    integration: str
    kind: str
    target: str
    """Where to, as far as that may be shown."""
    sends_resolved: bool


class ReceiverStatus(Struct, frozen=True, kw_only=True):
    """A receiver of the routing in force."""

    name: str
    channels: tuple[Channel, ...]
    is_routed: bool
    """Whether a route leads to it."""


class Nobody(Conflict):
    """A receiver that tells nobody."""

    code = "tells-nobody"


def listed(db: Db, tenant: str) -> tuple[ReceiverStatus, ...]:
    """Return the receivers of the routing in force, in the order of its file."""
    with mapped("receivers"):
        routing = notices.routing(db, tenant)
    routed = _routed(routing)
    return tuple(
        ReceiverStatus(
            name=one.name,
            channels=tuple(map(_channel, one.integrations)),
            is_routed=one.name in routed,
        )
        for one in routing.receivers.values()
    )


def send_test(db: Db, tenant: str, name: str, *, by: str, now_ms: int) -> tuple[str, ...]:
    """Have a receiver told of a test by each of its channels; return the keys of the notices."""
    with mapped("a test of a receiver"):
        receiver = notices.routing(db, tenant).receivers.get(name)
        if receiver is None:
            raise NotFound(f"there is no receiver {name[:80]!r} in the routing")
        if not receiver.integrations:
            raise Nobody(f"receiver {name!r} tells nobody: give it webhook_configs or the like")
        row = db.execute(_WAITING, [tenant]).fetchone()
        if row is not None and row[0] + len(receiver.integrations) > TESTS_MAX:
            raise Conflict(f"{row[0]} tests wait to be sent: is a worker there that notifies?")
        made = [_notice(one, name, by, now_ms) for one in receiver.integrations]
        with db.transaction():
            for notice in made:
                notices.add(db, tenant, notice)
    return tuple(f"{tenant}/{one.key}" for one in made)


def _routed(routing: Routing) -> frozenset[str]:
    routes = every(routing.root)
    return frozenset(name for one in routes for name in (one.receiver, *one.escalate_to))


def _notice(by: Integration, receiver: str, who: str, now_ms: int) -> Notice:
    key = uuid4().hex
    labels = {"alertname": TEST, "receiver": receiver, "severity": "info"}
    said = f"A test of receiver {receiver!r}, asked for by {who or 'somebody'}: nothing is wrong."
    return Notice(
        key=key,
        group=f"test:{key}",
        group_key=f"test:{key}",
        group_labels={"alertname": TEST},
        receiver=receiver,
        integration=by.id,
        why=NotifyReason.TEST,
        alerts=(SentAlert(labels=labels, annotations={"summary": said}, starts_at_ms=now_ms),),
        at_ms=now_ms,
    )


def _channel(one: Integration) -> Channel:
    return Channel(
        integration=one.id,
        kind=one.kind.value,
        target=_target(one),
        sends_resolved=one.sends_resolved,
    )


def _target(one: Integration) -> str:
    match one.kind:
        case ChannelKind.EMAIL:
            return one.settings.get("to", "")
        case ChannelKind.APPRISE:
            return _place(one, "url").partition("://")[0]
        case ChannelKind.SLACK:
            return one.settings.get("channel", "") or _place(one, "api_url")
        case ChannelKind.WEBHOOK:
            return _place(one, "url")
        case ChannelKind.PAGERDUTY:
            return ""


def _place(one: Integration, name: str) -> str:
    """Return where an address is: its scheme and host, or the file that it is in."""
    file = one.settings.get(f"{name}_file", "")
    if file:
        return f"from file {file}"
    url = one.secrets.get(name, "") or one.settings.get(name, "")
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname or ''}"
