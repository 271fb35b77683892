"""GitHub's webhooks: who is believed, what is told once, and what each action becomes."""

import hashlib
import hmac
import json
from typing import Any, Final

import httpx
import pytest
from pydantic import SecretStr

from analytics.contracts import events
from analytics.contracts.ids import TenantId
from gateway.webhooks import github
from tests.support.gateway import client, gateway
from tests.support.publisher_memory import MemoryPublisher

SECRET: Final = "between GitHub and us"
REPOSITORY: Final = {"repository": {"full_name": "octo/cat"}, "sender": {"login": "ada"}}
PULL: Final = {"number": 7, "head": {"sha": "abc"}, "updated_at": "2026-01-02T03:04:05Z"}
APPROVED: Final[dict[str, Any]] = {
    "action": "submitted",
    "review": {"id": 1, "state": "approved", "user": {"login": "eve"}},
    "pull_request": PULL,
    **REPOSITORY,
}
CASES: Final[dict[str, tuple[str, dict[str, Any], tuple[str, str, str]]]] = {
    "approved": ("pull_request_review", APPROVED, ("approved", "accepted", "")),
    "changes requested": (
        "pull_request_review",
        {**APPROVED, "review": {"state": "changes_requested"}},
        ("changes_requested", "", ""),
    ),
    "dismissed": (
        "pull_request_review", {**APPROVED, "action": "dismissed"}, ("dismissed", "dismissed", "")
    ),
    "resolved": (
        "pull_request_review_thread",
        {**APPROVED, "action": "resolved", "thread": {"comments": [{"id": 5}, {"id": 6}]}},
        ("resolved", "resolved", "5"),
    ),
    "merged": (
        "pull_request",
        {**REPOSITORY, "action": "closed", "pull_request": {**PULL, "merged": True}},
        ("merged", "accepted", ""),
    ),
    "a reply that agrees": (
        "pull_request_review_comment",
        {**APPROVED, "action": "created",
         "comment": {"id": 9, "in_reply_to_id": 5, "body": "Done, thanks"}},
        ("replied", "accepted", "5"),
    ),
    "a reply that does not": (
        "pull_request_review_comment",
        {**APPROVED, "action": "created",
         "comment": {"id": 9, "in_reply_to_id": 5, "body": "false positive"}},
        ("replied", "dismissed", "5"),
    ),
    "a suggestion committed": (
        "push",
        {**REPOSITORY, "ref": "refs/heads/fix",
         "commits": [{"message": "Apply suggestions from code review\n\nCo-authored-by: a"}]},
        ("suggestion_committed", "accepted", ""),
    ),
    "checks that failed": (
        "check_run",
        {**REPOSITORY, "action": "completed",
         "check_run": {"conclusion": "failure", "pull_requests": [{"number": 7}]}},
        ("check_failure", "", ""),
    ),
    "a remark on a pull request": (
        "issue_comment",
        {**APPROVED, "action": "created", "issue": {"number": 7, "pull_request": {}},
         "comment": {"id": 4}},
        ("commented", "", ""),
    ),
}  # fmt: skip


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


async def _send(
    publisher: MemoryPublisher,
    *deliveries: tuple[bytes, dict[str, str]],
    secrets: tuple[str, ...] = (SECRET,),
) -> list[httpx.Response]:
    known = tuple(SecretStr(one) for one in secrets)
    async with client(gateway(publisher, github_secrets=known)) as http:
        return [
            await http.post("/webhooks/github", content=body, headers=headers)
            for body, headers in deliveries
        ]


def _signed(
    payload: object, *, event: str = "pull_request_review", delivery: str = "72d3162e-cc78"
) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(payload).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return body, {
        "content-type": "application/json",
        "x-github-event": event,
        "x-github-delivery": delivery,
        "x-hub-signature-256": f"sha256={digest}",
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_action_becomes_its_verdict(
    case: tuple[str, dict[str, Any], tuple[str, str, str]],
) -> None:
    event, payload, expected = case
    delivery = github.WebhookDelivery(
        id="d1", event=event, tenant=TenantId("acme"), received_ms=5, keep_content=False
    )

    [told] = github.read(json.dumps(payload).encode(), delivery)

    assert isinstance(told, events.ReviewFeedback)
    assert (told.action, told.verdict, told.finding_id) == expected
    assert told.pull_request in {"octo/cat#7", "octo/cat@fix"}
    assert told.delivery_id == "d1"


async def test_a_delivery_that_comes_again_is_published_once(publisher: MemoryPublisher) -> None:
    first, again = await _send(publisher, _signed(APPROVED), _signed(APPROVED))

    assert (first.status_code, again.status_code) == (202, 202)
    assert len(publisher.records) == 1


async def test_a_signed_body_under_another_delivery_is_published_once(
    publisher: MemoryPublisher,
) -> None:
    await _send(publisher, _signed(APPROVED), _signed(APPROVED, delivery="another-one"))

    assert len(publisher.records) == 1


async def test_another_gateway_gives_a_delivery_the_same_ids(publisher: MemoryPublisher) -> None:
    other = MemoryPublisher()

    await _send(publisher, _signed(APPROVED))
    await _send(other, _signed(APPROVED))

    ids = [events.decode(one.records[0].value).id for one in (publisher, other)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    "signature", [None, "", "sha256=", "sha256=" + "0" * 64, "sha1=abc", "sha256=é"]
)
async def test_a_body_that_nobody_signed_is_refused_unread(
    publisher: MemoryPublisher, signature: str | None
) -> None:
    body, headers = _signed(APPROVED)
    headers.pop("x-hub-signature-256")
    sent: Any = dict(headers)
    if signature is not None:
        sent["x-hub-signature-256"] = signature.encode()

    [answer] = await _send(publisher, (body, sent))

    assert answer.status_code == 401
    assert publisher.records == []


async def test_a_body_that_was_changed_is_refused(publisher: MemoryPublisher) -> None:
    body, headers = _signed(APPROVED)

    [answer] = await _send(publisher, (body.replace(b"eve", b"bob"), headers))

    assert answer.status_code == 401


async def test_without_a_secret_nothing_is_believed(publisher: MemoryPublisher) -> None:
    [answer] = await _send(publisher, _signed(APPROVED), secrets=())

    assert answer.status_code == 403


@pytest.mark.requirement("refused-may-be-resent")
async def test_while_the_broker_is_away_a_delivery_is_refused_and_taken_later(
    publisher: MemoryPublisher,
) -> None:
    under_test = gateway(publisher, github_secrets=(SecretStr(SECRET),))
    body, headers = _signed(APPROVED)
    publisher.away = True

    async with client(under_test) as http:
        away = await http.post("/webhooks/github", content=body, headers=headers)
        publisher.away = False
        back = await http.post("/webhooks/github", content=body, headers=headers)

    assert (away.status_code, back.status_code) == (503, 202)
    assert len(publisher.records) == 1


@pytest.mark.parametrize("payload", [[], 5, {"review": 5}])
async def test_a_signed_body_that_is_no_payload_is_a_typed_refusal(
    publisher: MemoryPublisher, payload: object
) -> None:
    [answer] = await _send(publisher, _signed(payload))

    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:mainstem:problem:bad-body"


async def test_content_is_kept_only_where_it_may_be(publisher: MemoryPublisher) -> None:
    remark = {**APPROVED, "action": "created", "comment": {"id": 5, "body": "hush", "path": "a.py"}}

    await _send(publisher, _signed(remark, event="pull_request_review_comment"))

    [record] = publisher.records
    assert b"hush" not in record.value
    assert b"a.py" in record.value
