"""Every payload of GitHub's own examples passes: signed, sent, answered, and told as events.

The payloads are npm's `@octokit/webhooks-examples`, of the version that is locked beside this file.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from analytics.contracts import events
from analytics.contracts.ids import TenantId
from gateway.webhooks import github
from tests.support.gateway import client, gateway
from tests.support.publisher_memory import MemoryPublisher

LANE: Final = Path(__file__).parent
EXAMPLES: Final = LANE / "node_modules/@octokit/webhooks-examples/api.github.com/index.json"
INSTALL: Final = f"npm ci --prefix {LANE.relative_to(LANE.parents[2])}"
SECRET: Final = "between GitHub and us"
Example = tuple[str, dict[str, Any]]

pytestmark = [pytest.mark.embedded, pytest.mark.requirement("github-webhooks")]


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    if not EXAMPLES.exists():
        if os.environ.get("CI"):
            pytest.fail(f"the payloads are missing; run `{INSTALL}`")
        pytest.skip(f"needs npm's payloads of GitHub: `{INSTALL}`")
    return [
        (entry["name"], payload)
        for entry in json.loads(EXAMPLES.read_text())
        for payload in entry["examples"]
    ]


def _told(name: str, payload: object, *, number: int = 0) -> list[events.ReviewEvent]:
    delivery = github.WebhookDelivery(
        id=f"delivery-{number}",
        event=name,
        tenant=TenantId("acme"),
        received_ms=1,
        keep_content=True,
    )
    return github.read(json.dumps(payload).encode(), delivery)


def test_every_payload_is_read_and_what_it_tells_is_an_event(examples: list[Example]) -> None:
    told = [
        (name, event)
        for number, (name, payload) in enumerate(examples)
        for event in _told(name, payload, number=number)
    ]

    assert len(examples) == 329
    # The examples' comments are on issues that are no pull requests.
    assert {name for name, _ in told} == set(github.TELLERS) - {"issue_comment"}
    assert all(events.decode(events.encode(event)) == event for _, event in told)
    assert len({event.id for _, event in told}) == len(told)


def test_every_payload_under_every_name_is_read_or_passed_over(examples: list[Example]) -> None:
    for name in github.TELLERS:
        for _, payload in examples:
            for event in _told(name, payload):
                assert events.decode(events.encode(event)) == event


def test_verdicts_come_from_what_people_did(examples: list[Example]) -> None:
    seen = {
        (event.action, event.verdict)
        for name, payload in examples
        for event in _told(name, payload)
        if isinstance(event, events.ReviewFeedback)
    }

    assert ("merged", "accepted") in seen or ("closed", "") in seen
    assert ("resolved", "resolved") in seen
    assert ("dismissed", "dismissed") in seen
    assert ("unresolved", "") in seen


@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
async def test_every_payload_is_answered_over_http(examples: list[Example], *, form: bool) -> None:
    publisher = MemoryPublisher()
    under_test = gateway(publisher, github_secrets=_secrets())
    statuses: set[int] = set()

    async with client(under_test) as http:
        for number, (name, payload) in enumerate(examples):
            text = json.dumps(payload)
            body = urlencode({"payload": text}).encode() if form else text.encode()
            answer = await http.post(
                "/webhooks/github",
                content=body,
                headers=dict(_headers(name, body, number=number, form=form)),
            )
            statuses.add(answer.status_code)

    assert statuses == {202}
    assert len(publisher.records) > 50


def _secrets() -> tuple[Any, ...]:
    from pydantic import SecretStr

    return (SecretStr("an older one"), SecretStr(SECRET))


def _headers(name: str, body: bytes, *, number: int, form: bool) -> Iterator[tuple[str, str]]:
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    yield "content-type", github.FORM if form else "application/json"
    yield "x-github-event", name
    yield "x-github-delivery", f"72d3162e-cc78-11e3-81ab-{number:012}"
    yield "x-hub-signature-256", f"sha256={digest}"
