"""A world of alerts that tests of notification play in."""

from collections.abc import Sequence
from typing import Final

import msgspec

from analytics.alerts import matchers
from analytics.alerts.dispatch import dispatcher as deciding
from analytics.alerts.dispatch import routing_files
from analytics.alerts.dispatch.dispatcher import Arrivals
from analytics.alerts.dispatch.groups import Acknowledgement, Dispatch, Notice, SentAlert
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.silence.silences import Silence

SECOND: Final = 1_000
ROUTING: Final = routing_files.load(
    "m.yml",
    """
route: {receiver: ops, group_by: [agent], group_wait: 10s, group_interval: 20s,
        repeat_interval: 10m}
receivers:
- {name: ops, webhook_configs: [{url: 'http://h'}], slack_configs: [{api_url: 'http://s'}]}
inhibit_rules:
- {source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [agent]}
""",
)
HOOK: Final = "ops/webhook/0"
CHAT: Final = "ops/slack/0"


class World:
    """Alerts over time, told of by passes at every tick."""

    def __init__(self, routing: Routing = ROUTING, *, restarts: bool = False) -> None:
        self._routing = routing
        self._restarts = restarts
        self.state = Dispatch()
        self.alerts: dict[tuple[str, str], SentAlert] = {}
        self.silences: list[Silence] = []
        self.acknowledged: list[Acknowledgement] = []
        self.now_ms = 0
        self.notices: list[Notice] = []

    def fire(self, name: str, severity: str = "critical", agent: str = "a1") -> None:
        """Let an alert begin."""
        labels = {"alertname": name, "severity": severity, "agent": agent}
        self.alerts[name, agent] = SentAlert(labels=labels, starts_at_ms=self.now_ms)

    def end(self, name: str, agent: str = "a1") -> None:
        """Let an alert end."""
        alert = self.alerts.get((name, agent))
        if alert is not None and alert.is_firing:
            self.alerts[name, agent] = msgspec.structs.replace(alert, ends_at_ms=self.now_ms)

    def fires(self, name: str, agent: str = "a1") -> bool:
        """Say whether an alert fires."""
        alert = self.alerts.get((name, agent))
        return alert is not None and alert.is_firing

    def tick(self, seconds: int = 0, order: Sequence[int] | None = None) -> list[Notice]:
        """Pass once, after some seconds; return what is said."""
        self.now_ms += seconds * SECOND
        alerts = list(self.alerts.values())
        given_alerts = alerts if order is None else [alerts[place] for place in order]
        arrivals = Arrivals(
            alerts=given_alerts, silences=self.silences, acknowledgements=self.acknowledged
        )
        was = self.state
        if self._restarts:
            was = msgspec.msgpack.decode(msgspec.msgpack.encode(was), type=Dispatch)
        self.state, notices = deciding.dispatch(self._routing, was, arrivals, self.now_ms)
        if self._restarts:
            again = deciding.dispatch(self._routing, was, arrivals, self.now_ms)
            assert again == (self.state, notices), "a restart says the same under the same keys"
        self.acknowledged = []
        self.notices += notices
        return list(notices)

    def run(self, seconds: int) -> list[Notice]:
        """Pass every five seconds for a while; return what is said."""
        return [one for _ in range(seconds // 5) for one in self.tick(5)]

    def silence(self, text: str, seconds: int) -> None:
        """Silence alerts from now on."""
        self.silences.append(
            Silence(
                id=f"s{len(self.silences)}", matchers=matchers.parse(text),
                starts_at_ms=self.now_ms, ends_at_ms=self.now_ms + seconds * SECOND,
                created_by="ada", comment="known",
            )
        )  # fmt: skip


def said(notices: Sequence[Notice], integration: str = HOOK) -> list[str]:
    """Return why an integration was told, in order."""
    return [one.why.value for one in notices if one.integration == integration]
