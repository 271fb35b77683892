"""What people read: Slack messages, e-mails and PagerDuty events, made of a notice.

Text that came from elsewhere is escaped for where it goes. Every alert has its summary, its
labels, and links to the view it is about and to a silence that is filled in. Limits are those of
the receivers: Slack takes 3,000 characters a block and 50 blocks, PagerDuty 1,024 in a summary.
"""

import html
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from analytics.alerts import labels as label_sets
from analytics.alerts.dispatch.groups import Notice, NotifyReason, SentAlert
from analytics.alerts.notify.payloads import written_time

SLACK_BLOCK_CHARACTERS_MAX: Final = 3_000
SLACK_ALERTS_MAX: Final = 40
"""How many alerts one Slack message lists; the others are counted."""
EMAIL_ALERTS_MAX: Final = 200
SUBJECT_CHARACTERS_MAX: Final = 200
PAGERDUTY_SUMMARY_CHARACTERS_MAX: Final = 1_024
PAGERDUTY_ALERTS_MAX: Final = 40
_CUT: Final = "…"
_SEVERITIES: Final = {
    "critical": "critical", "page": "critical", "error": "error", "warning": "warning",
    "info": "info", "none": "info",
}  # fmt: skip
_INTROS: Final = {
    NotifyReason.ESCALATED: "Nobody acknowledged this in time. ",
    NotifyReason.UNDELIVERED: "The receiver before could not be told of this. ",
    NotifyReason.TEST: "This is a test. ",
}

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]


class Email(Struct, frozen=True):
    """One e-mail, in text and HTML."""

    subject: str
    text: str
    html: str


def subject(notice: Notice) -> str:
    """Return one line that says what happens: `[FIRING:2] AgentSlow (agent="a1")`."""
    firing = sum(alert.is_firing for alert in notice.alerts)
    state = f"FIRING:{firing}" if firing else "RESOLVED"
    name = notice.group_labels.get("alertname") or _shared(notice).get("alertname", "alerts")
    others = [
        f"{label}={label_sets.quoted(value)}"
        for label, value in sorted(notice.group_labels.items())
        if label != "alertname"
    ]
    line = f"[{state}] {name}" + (f" ({', '.join(others)})" if others else "")
    return _cut(" ".join(line.split()), SUBJECT_CHARACTERS_MAX)


def slack(notice: Notice) -> dict[str, Json]:
    """Return the body of a Slack incoming webhook: one message a group."""
    shown = notice.alerts[:SLACK_ALERTS_MAX]
    intro = _INTROS.get(notice.why, "")
    blocks: list[Json] = [_section(f"{intro}*{_slack_text(subject(notice))}*")]
    blocks += [_section(_slack_alert(alert)) for alert in shown]
    left = len(notice.alerts) - len(shown)
    if left:
        blocks.append(_section(f"and {left} more"))
    return {"text": _slack_text(subject(notice)), "blocks": blocks}


def email(notice: Notice) -> Email:
    """Return an e-mail: one a group."""
    shown = notice.alerts[:EMAIL_ALERTS_MAX]
    left = len(notice.alerts) - len(shown)
    intro = _INTROS.get(notice.why, "")
    more = f"and {left} more" if left else ""
    text = [intro + subject(notice), *map(_plain_alert, shown), more]
    rows = "".join(map(_html_alert, shown))
    page = (
        f"<!doctype html><html><body><h1>{html.escape(subject(notice))}</h1>"
        f"<p>{html.escape(intro)}</p><ul>{rows}</ul><p>{more}</p></body></html>"
    )
    return Email(subject(notice), "\n\n".join(part for part in text if part) + "\n", page)


def pagerduty(notice: Notice, routing_key: str, *, external_url: str) -> dict[str, Json]:
    """Return an event of PagerDuty's Events API v2; one incident a group."""
    worst = next((rank for rank in _SEVERITIES if rank in _ranks(notice)), "error")
    details: dict[str, Json] = {
        f"{position}": _plain_alert(alert)
        for position, alert in enumerate(notice.alerts[:PAGERDUTY_ALERTS_MAX], start=1)
    }
    links: list[Json] = [
        {"href": url, "text": text} for alert in notice.alerts[:1] for text, url in _links(alert)
    ]
    return {
        "routing_key": routing_key,
        "event_action": "trigger" if notice.is_firing else "resolve",
        "dedup_key": _dedup(notice),
        "client": "Mainstem",
        "client_url": external_url,
        "links": links,
        "payload": {
            "summary": _cut(subject(notice), PAGERDUTY_SUMMARY_CHARACTERS_MAX),
            "source": external_url or "mainstem",
            "severity": _SEVERITIES[worst],
            "custom_details": details,
        },
    }


def _dedup(notice: Notice) -> str:
    return label_sets.fingerprint({"group": notice.group, "receiver": notice.receiver})


def _ranks(notice: Notice) -> set[str]:
    return {alert.labels.get("severity", "error") for alert in notice.alerts if alert.is_firing}


def _shared(notice: Notice) -> Mapping[str, str]:
    return label_sets.in_all(alert.labels for alert in notice.alerts)


def _summary(alert: SentAlert) -> str:
    named = alert.labels.get("alertname", "")
    return alert.annotations.get("summary") or alert.annotations.get("description") or named


def _state(alert: SentAlert) -> str:
    if alert.ends_at_ms is None:
        return f"firing since {written_time(alert.starts_at_ms)}"
    return f"resolved at {written_time(alert.ends_at_ms)}"


def _links(alert: SentAlert) -> list[tuple[str, str]]:
    urls = {
        "view": alert.generator_url,
        "dashboard": alert.annotations.get("dashboard", ""),
        "session": alert.annotations.get("session", ""),
        "runbook": alert.annotations.get("runbook_url", ""),
        "silence": alert.annotations.get("silence", ""),
    }
    return [(text, url) for text, url in urls.items() if url.startswith(("http://", "https://"))]


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _slack_alert(alert: SentAlert) -> str:
    links = " · ".join(f"<{_slack_url(url)}|{text}>" for text, url in _links(alert))
    room = SLACK_BLOCK_CHARACTERS_MAX - len(links) - 2
    about = f"{_summary(alert)}\n{_state(alert)}\n{label_sets.written(alert.labels)}"
    if room < 0:
        return _slack_cut(about, SLACK_BLOCK_CHARACTERS_MAX)
    return f"{_slack_cut(about, room)}\n{links}"


def _slack_url(url: str) -> str:
    return url.replace("|", "%7C").replace("<", "%3C").replace(">", "%3E").replace("&", "&amp;")


def _slack_cut(text: str, room: int) -> str:
    """Return as much of a text as fits once it is escaped, never cut inside an escape."""
    escaped = _slack_text(text)
    while len(escaped) > room:
        text = text[: max(0, len(text) - max(1, (len(escaped) - room) // 5) - 1)]
        escaped = _slack_text(text) + _CUT if text else ""
    return escaped


def _section(text: str) -> dict[str, Json]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _plain_alert(alert: SentAlert) -> str:
    lines = [_summary(alert), _state(alert), label_sets.written(alert.labels)]
    lines += [f"{text}: {url}" for text, url in _links(alert)]
    return "\n".join(lines)


def _html_alert(alert: SentAlert) -> str:
    links = " · ".join(f'<a href="{html.escape(url)}">{text}</a>' for text, url in _links(alert))
    about = "<br>".join(
        html.escape(line)
        for line in (_summary(alert), _state(alert), label_sets.written(alert.labels))
    )
    return f"<li>{about}<br>{links}</li>"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + _CUT
