"""Bodies of webhooks, Slack, e-mail and PagerDuty, against what Alertmanager sent."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from analytics.alerts import labels
from analytics.alerts.dispatch.groups import Notice, NotifyReason, SentAlert
from analytics.alerts.notify import messages, payloads
from analytics.alerts.silence import silences

RECORDED: Final = sorted(
    (Path(__file__).resolve().parents[2] / "data/alerts/webhook-v4").glob("*.json")
)


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)


def _notice(recorded: dict[str, Any]) -> Notice:
    alerts = tuple(
        SentAlert(
            labels=one["labels"],
            annotations=one["annotations"],
            starts_at_ms=_ms(one["startsAt"]),
            ends_at_ms=None if one["status"] == "firing" else _ms(one["endsAt"]),
            generator_url=one["generatorURL"],
        )
        for one in recorded["alerts"]
    )
    return Notice(
        key="k",
        group="0:{}",
        group_key=recorded["groupKey"],
        group_labels=recorded["groupLabels"],
        receiver=recorded["receiver"],
        integration="hook/webhook/0",
        why=NotifyReason.FIRING,
        alerts=alerts,
        at_ms=0,
    )


def _rounded(recorded: dict[str, Any]) -> dict[str, Any]:
    for alert in recorded["alerts"]:
        for name in ("startsAt", "endsAt"):
            if not alert[name].startswith("0001"):
                alert[name] = payloads.written_time(_ms(alert[name]))
    return recorded


def _made(*alerts: SentAlert, why: NotifyReason = NotifyReason.FIRING) -> Notice:
    return Notice(
        key="k", group="0:{}", group_key="{}:{}", group_labels={"alertname": "A", "x": "1"},
        receiver="r", integration="r/slack/0", why=why, alerts=alerts, at_ms=0,
    )  # fmt: skip


@pytest.mark.requirement("alert-webhook-shape")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_body_is_what_alertmanager_sent_for_the_same_alerts(path: Path) -> None:
    recorded = json.loads(path.read_text())
    notice = _notice(recorded)

    body = payloads.body(notice, external_url=recorded["externalURL"])

    assert json.loads(payloads.encoded(body)) == _rounded(recorded)
    assert len(RECORDED) == 3


def test_alerts_above_the_limit_are_left_out_and_counted() -> None:
    alerts = [SentAlert(labels={"s": str(one)}, starts_at_ms=0) for one in range(5)]

    body = payloads.body(_made(*alerts), external_url="", alerts_max=2)

    assert (len(body.alerts), body.truncated_alerts) == (2, 3)


@pytest.mark.parametrize(
    ("at_ms", "written"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500, "1970-01-01T00:00:01.5Z"),
        (1_763_827_096_711, "2025-11-22T15:58:16.711Z"),
    ],
)
def test_a_time_is_written_as_go_writes_it(at_ms: int, written: str) -> None:
    assert payloads.written_time(at_ms) == written


def test_the_order_of_labels_does_not_change_a_fingerprint() -> None:
    one = labels.fingerprint({"a": "1", "b": "2"})

    assert one == labels.fingerprint({"b": "2", "a": "1"})
    assert len(one) == 16
    assert labels.fingerprint({}) == "cbf29ce484222325"


def test_slack_text_is_escaped_and_cut_to_what_a_block_takes() -> None:
    link = silences.link("https://m", {"alertname": "A"})
    alert = SentAlert(
        labels={"alertname": "A", "who": "<b&c>"},
        starts_at_ms=0,
        annotations={"summary": "<&>" * 3_000, "silence": link},
    )

    body = json.loads(json.dumps(messages.slack(_made(*[alert] * 60))))

    texts = [block["text"]["text"] for block in body["blocks"]]
    assert max(map(len, texts)) <= messages.SLACK_BLOCK_CHARACTERS_MAX
    assert len(texts) == messages.SLACK_ALERTS_MAX + 2
    assert texts[-1] == "and 20 more"
    assert texts[1].startswith("&lt;&amp;&gt;")
    assert texts[1].endswith(f"<{link}|silence>")


def test_an_email_is_text_and_html_with_what_came_from_elsewhere_escaped() -> None:
    alert = SentAlert(
        labels={"alertname": "A"},
        starts_at_ms=0,
        annotations={"summary": "<script>", "runbook_url": "https://r", "session": "javascript:x"},
    )

    mail = messages.email(_made(alert, why=NotifyReason.ESCALATED))

    assert mail.subject == '[FIRING:1] A (x="1")'
    assert "<script>" in mail.text
    assert "runbook: https://r" in mail.text
    assert "Nobody acknowledged" in mail.text
    assert "<script>" not in mail.html
    assert "javascript" not in mail.html


def test_a_subject_is_one_line_whatever_labels_hold() -> None:
    notice = Notice(
        key="k", group="g", group_key="g", group_labels={"alertname": "A\r\nBcc: x"},
        receiver="r", integration="i", why=NotifyReason.FIRING, alerts=(), at_ms=0,
    )  # fmt: skip

    assert messages.subject(notice) == "[RESOLVED] A Bcc: x"


def test_pagerduty_opens_and_closes_one_incident_a_group() -> None:
    firing = SentAlert(labels={"severity": "warning"}, starts_at_ms=0)
    worse = SentAlert(labels={"severity": "critical"}, starts_at_ms=0)
    over = SentAlert(labels={"severity": "critical"}, starts_at_ms=0, ends_at_ms=5)

    opened = messages.pagerduty(_made(firing, worse), "key", external_url="https://m")
    closed = messages.pagerduty(_made(over), "key", external_url="https://m")

    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"]
    payload = opened["payload"]
    assert isinstance(payload, dict)
    assert payload["severity"] == "critical"
