"""A sender that floods the gateway with one tenant's events, each unlike all before.

Run as a process of its own: `python -m tests.bench.flooding URL ATTACK NUMBER SENDERS EVENTS`, with
the token in `MAINSTEM_BENCH_TOKEN`. What is refused for now is sent again after the wait that the
answer asks for, so that in the end every event is acknowledged.
"""

import http.client
import json
import os
import sys
import time
from typing import Final
from urllib.parse import urlsplit

TOKEN: Final = "MAINSTEM_BENCH_TOKEN"
BATCH: Final = 500
"""Events of one request."""
SESSIONS: Final = 50
ANSWER_S: Final = 120.0
ATTACKS: Final = {
    "labels": "a tool and a project of its own in each event",
    "sessions": "a session of its own for each event",
    "plain": "nothing of its own in any event: the control",
}
_LATER: Final = frozenset({429, 503})


def event(attack: str, number: int) -> dict[str, object]:
    """Return the event of a number."""
    made: dict[str, object] = {
        "type": "tool.finished",
        "id": f"loud-{number}",
        "tool_use_id": f"t-{number}",
        "at_ms": time.time_ns() // 1_000_000,
        "session_id": f"s-{number if attack == 'sessions' else number % SESSIONS}",
        "tool": "Bash",
        "project": "atlas",
        "agent": "claude-code",
        "succeeded": True,
        "duration_ms": 5,
    }
    if attack == "labels":
        made |= {"tool": f"tool-{number}", "project": f"project-{number}"}
    return made


def flood(url: str, attack: str, *, number: int, senders: int, events: int) -> None:
    """Send every event of this sender's share until it is taken."""
    link = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_S)
    numbers = range(number, events, senders)
    for start in range(0, len(numbers), BATCH):
        left = [event(attack, one) for one in numbers[start : start + BATCH]]
        while left:
            left = _refused(link, left)


def _refused(
    link: http.client.HTTPConnection, events: list[dict[str, object]]
) -> list[dict[str, object]]:
    """Send events; return those that have to be sent again, once that may be tried."""
    headers = {
        "authorization": f"Bearer {os.environ[TOKEN]}",
        "content-type": "application/json",
    }
    link.request("POST", "/v1/events", json.dumps(events).encode(), headers)
    answer = link.getresponse()
    told = json.loads(answer.read())
    left = events
    if "results" in told:
        pairs = zip(events, told["results"], strict=True)
        left = [one for one, verdict in pairs if verdict["status"] == "refused"]
    elif answer.status not in _LATER:
        raise RuntimeError(f"{answer.status}: {told}")
    if left:
        time.sleep(float(answer.headers.get("retry-after", "1")))
    return left


if __name__ == "__main__":
    _, _url, _attack, _number, _senders, _events = sys.argv
    flood(_url, _attack, number=int(_number), senders=int(_senders), events=int(_events))
