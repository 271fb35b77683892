"""Links from a notification to the very view it is about, and to a silence that is filled in.

A view is `VIEW?range=custom&from=…&to=…` with every label that a page can filter by. It begins an
hour before the condition held and ends an hour after the alert began or was over. Without an
address nothing is linked. A rule names its view in the annotation `view`; otherwise a session has
its own page.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from analytics.alerts.labels import Labels
from analytics.alerts.notify.payloads import written_time
from analytics.alerts.rules.states import Alert, AlertState
from analytics.alerts.silence import silences

AROUND_MS: Final = 3_600_000
"""How much before and after an alert its view shows."""
FILTERS: Final = frozenset({"project", "agent", "model", "tool", "skill", "user", "team"})
"""The labels that a page filters by."""
_VIEW: Final = "view"
_SESSION: Final = "session_id"


def view(address: str, alert: Alert) -> str:
    """Return the address of the view that an alert is about."""
    if not address:
        return ""
    page = alert.annotations.get(_VIEW, "").strip("/")
    session = alert.labels.get(_SESSION, "")
    page = page or ("session" if session else "alerts")
    asked = {name: value for name, value in sorted(alert.labels.items()) if name in FILTERS}
    if session:
        asked["session"] = session
    asked["range"] = "custom"
    asked["from"] = written_time(max(0, alert.active_at_ms - AROUND_MS))
    ends_at_ms = alert.ends_at_ms if alert.state is AlertState.RESOLVED else None
    asked["to"] = written_time((ends_at_ms or alert.starts_at_ms) + AROUND_MS)
    return f"{address.rstrip('/')}/{quote(page)}?{urlencode(asked)}"


def annotations(address: str, labels: Labels, given: Mapping[str, str]) -> dict[str, str]:
    """Return the links that an alert's annotations gain; those a rule gives come first."""
    if not address:
        return {}
    found = {
        "silence": silences.link(address, labels),
        "dashboard": f"{address.rstrip('/')}/alerts",
    }
    if labels.get(_SESSION):
        session = quote(labels[_SESSION], safe="")
        found["session"] = f"{address.rstrip('/')}/session?session={session}"
    return {name: url for name, url in found.items() if name not in given}
