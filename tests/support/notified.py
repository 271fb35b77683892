"""A notice, and how it is sent to servers of a test's own."""

from typing import Final

from analytics.alerts.dispatch import routing_files
from analytics.alerts.dispatch.groups import Notice, NotifyReason, SentAlert
from analytics.alerts.notify.receivers import Integration
from streams.notify.sender import NoticeSender, SendOptions
from tests.support.receivers import Answer, Hook

NOW_MS: Final = 1_800_000_000_000
KEY: Final = "0123456789abcdef"
SECRET: Final = "hidden-words"
OPEN: Final = SendOptions(timeout_s=5, is_private_allowed=True, external_url="http://board")
APPRISES_OWN: Final = "ignore::DeprecationWarning"
"""What it imports while it looks for its services."""
ALERTS: Final = tuple(
    SentAlert(labels={"alertname": "Slow", "agent": name, "severity": "warning"}, starts_at_ms=5)
    for name in ("a1", "a2")
)
NOTICE: Final = Notice(
    key="k",
    group="0:{}",
    group_key="{}:{}",
    group_labels={"alertname": "Slow"},
    receiver="r",
    integration="r/webhook/0",
    why=NotifyReason.FIRING,
    alerts=ALERTS,
    at_ms=NOW_MS,
)


def by(block: str) -> Integration:
    """Return the integration that a block of a routing file declares."""
    text = f"route: {{receiver: r}}\nreceivers: [{{name: r, {block}}}]"
    [found] = routing_files.load("r.yml", text).receivers["r"].integrations
    return found


def send(way: Integration, manner: SendOptions = OPEN, notice: Notice = NOTICE) -> None:
    """Send a notice, once."""
    NoticeSender(manner, now_ms=lambda: NOW_MS).send(notice, way, KEY)


def answering(server: Hook, *answers: Answer | None) -> None:
    """Have a server give answers in turn, and the last one from then on."""
    left = list(answers)
    server.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]
