"""GitHub's webhooks as events of a code review: what was asked for, found, and made of findings.

A finding is known by the id of the first comment of its thread. Verdicts are `accepted` (approved,
a suggestion committed, merged, or a reply that says so), `dismissed` and `resolved`; every other
action has none. The id of each event is made from the delivery's id, which GitHub keeps when it
delivers again. What tells nothing about a review becomes no event.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final, TypedDict
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from analytics.contracts import clean
from analytics.contracts.errors import BadBody
from analytics.contracts.events import (
    FindingReported,
    ReviewEvent,
    ReviewFeedback,
    ReviewRequested,
)
from analytics.contracts.facts import Source
from analytics.contracts.ids import EventId, TenantId, derived
from gateway.webhooks.payloads import CheckRun, Comment, Payload, PullRequest, User
from gateway.webhooks.replies import ACCEPTED, DISMISSED, verdict_of

FORM: Final = "application/x-www-form-urlencoded"
DELIVERY: Final = re.compile(r"[0-9A-Za-z-]{8,100}")
EVENT: Final = re.compile(r"[a-z0-9_]{1,100}")
NAME_MAX: Final = 512
MESSAGE_MAX: Final = 65_536
LINE_MAX: Final = 2**31
PULLS_MAX: Final = 20
"""Pull requests that one check is told for."""

RESOLVED: Final = "resolved"
ASKED: Final = frozenset({"opened", "synchronize", "reopened", "ready_for_review"})
SUGGESTED: Final = re.compile(r"apply suggestions? from ", re.IGNORECASE)
"""How a commit begins that GitHub makes of a suggestion."""


class WebhookDelivery(Struct, frozen=True, kw_only=True):
    """One webhook as it came."""

    id: str
    event: str
    tenant: TenantId
    received_ms: int
    keep_content: bool


def unwrap(body: bytes, *, media_type: str) -> bytes:
    """Return the JSON of a body, which a form carries as its field `payload`."""
    if media_type != FORM:
        return body
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10, strict_parsing=True)
    except ValueError as error:
        raise BadBody("the body is no form as it says") from error
    if len(fields.get("payload", ())) != 1:
        raise BadBody("the form has no field 'payload', or several")
    return fields["payload"][0].encode()


def read(body: bytes, delivery: WebhookDelivery) -> list[ReviewEvent]:
    """Return the events that a webhook tells; raise `BadBody` if it cannot be read."""
    try:
        payload = clean.decoded(_decoder.decode, body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"the payload cannot be read: {error}") from error
    telling = TELLERS.get(delivery.event)
    if telling is None:
        return []
    return list(telling(_Teller(payload, delivery)))


class _Named(TypedDict):
    id: EventId
    tenant: TenantId
    at_ms: int
    source: Source
    pull_request: str
    user: str


class _Teller:
    """Makes events of one payload."""

    def __init__(self, payload: Payload, delivery: WebhookDelivery) -> None:
        self.payload = payload
        self.action = payload.action or ""
        self._delivery = delivery
        self._count = 0

    def pull(self, number: int | None) -> str:
        """Return the name of a pull request, empty if there is none."""
        repository = self.payload.repository
        name = repository.full_name if repository is not None else None
        return f"{name}#{number}"[:NAME_MAX] if name and number else ""

    def branch(self, name: str | None) -> str:
        """Return the name of a branch, empty if there is none."""
        repository = self.payload.repository
        full = repository.full_name if repository is not None else None
        return f"{full}@{name}"[:NAME_MAX] if full and name else ""

    def feedback(
        self,
        where: str,
        action: str,
        *,
        verdict: str = "",
        finding: int | None = None,
        user: User | None = None,
        at: str | None = None,
    ) -> Iterator[ReviewEvent]:
        """Yield what somebody made of a pull request or a finding."""
        if where:
            yield ReviewFeedback(
                **self._named(where, user=user, at=at),
                action=action[:NAME_MAX],
                finding_id="" if finding is None else str(finding),
                delivery_id=self._delivery.id,
                verdict=verdict,
            )

    def request(self, where: str, pull: PullRequest) -> Iterator[ReviewEvent]:
        """Yield that lines are ready to be looked at."""
        if where:
            yield ReviewRequested(
                **self._named(where, user=None, at=pull.updated_at),
                commit=_cut(pull.head.sha if pull.head is not None else None),
                before=_cut(self.payload.before),
            )

    def finding(self, where: str, comment: Comment) -> Iterator[ReviewEvent]:
        """Yield that a reviewer pointed at lines."""
        if where and comment.id:
            line = comment.line or comment.original_line or 0
            shown = comment.body or "" if self._delivery.keep_content else ""
            yield FindingReported(
                **self._named(where, user=comment.user, at=comment.updated_at),
                finding_id=str(comment.id),
                path=(comment.path or "")[:MESSAGE_MAX],
                line=min(max(line, 0), LINE_MAX),
                message=shown[:MESSAGE_MAX],
            )

    def _named(self, where: str, *, user: User | None, at: str | None) -> _Named:
        self._count += 1
        who = user or self.payload.sender
        return {
            "id": derived("github", self._delivery.id, self._count),
            "tenant": self._delivery.tenant,
            "at_ms": _ms(at, self._delivery.received_ms),
            "source": Source.GITHUB,
            "pull_request": where,
            "user": _cut(who.login if who is not None else None),
        }


def _pull_request(tell: _Teller) -> Iterator[ReviewEvent]:
    pull = tell.payload.pull_request
    if pull is None:
        return
    where = tell.pull(pull.number)
    if tell.action in ASKED and not (tell.action == "opened" and pull.draft):
        yield from tell.request(where, pull)
    elif tell.action == "closed" and pull.merged:
        yield from tell.feedback(where, "merged", verdict=ACCEPTED, at=pull.updated_at)
    else:
        yield from tell.feedback(where, tell.action, at=pull.updated_at)


def _review(tell: _Teller) -> Iterator[ReviewEvent]:
    review, pull = tell.payload.review, tell.payload.pull_request
    if review is None or pull is None:
        return
    state = (review.state or "").lower()
    if tell.action == "dismissed":
        action, verdict = "dismissed", DISMISSED
    elif tell.action == "submitted" and state == "approved":
        action, verdict = "approved", ACCEPTED
    else:
        action, verdict = (state if tell.action == "submitted" else tell.action), ""
    yield from tell.feedback(
        tell.pull(pull.number), action, verdict=verdict, user=review.user, at=review.submitted_at
    )


def _review_comment(tell: _Teller) -> Iterator[ReviewEvent]:
    comment, pull = tell.payload.comment, tell.payload.pull_request
    if comment is None or pull is None:
        return
    where = tell.pull(pull.number)
    if tell.action == "created" and comment.in_reply_to_id is None:
        yield from tell.finding(where, comment)
        return
    is_reply = tell.action == "created"
    yield from tell.feedback(
        where,
        "replied" if is_reply else tell.action,
        verdict=verdict_of(comment.body or "") if is_reply else "",
        finding=comment.in_reply_to_id or comment.id,
        user=comment.user if is_reply else None,
        at=comment.updated_at,
    )


def _thread(tell: _Teller) -> Iterator[ReviewEvent]:
    thread, pull = tell.payload.thread, tell.payload.pull_request
    if thread is None or pull is None or not thread.comments:
        return
    yield from tell.feedback(
        tell.pull(pull.number),
        tell.action,
        verdict=RESOLVED if tell.action == "resolved" else "",
        finding=thread.comments[0].id,
    )


def _issue_comment(tell: _Teller) -> Iterator[ReviewEvent]:
    issue, comment = tell.payload.issue, tell.payload.comment
    if issue is None or comment is None or issue.pull_request is None:
        return
    action = "commented" if tell.action == "created" else f"comment_{tell.action}"
    yield from tell.feedback(
        tell.pull(issue.number), action, user=comment.user, at=comment.updated_at
    )


def _push(tell: _Teller) -> Iterator[ReviewEvent]:
    payload = tell.payload
    branch = (payload.ref or "").removeprefix("refs/heads/")
    if not branch or branch.startswith("refs/"):
        return
    suggested = any(SUGGESTED.match(commit.message or "") for commit in payload.commits or ())
    head = payload.head_commit
    yield from tell.feedback(
        tell.branch(branch),
        "suggestion_committed" if suggested else "pushed",
        verdict=ACCEPTED if suggested else "",
        at=None if head is None else head.timestamp,
    )


def _checks(tell: _Teller) -> Iterator[ReviewEvent]:
    payload = tell.payload
    checks: CheckRun | None = payload.check_run or payload.check_suite or payload.workflow_run
    if checks is None or tell.action != "completed":
        return
    suite = checks.check_suite
    branch = checks.head_branch or (None if suite is None else suite.head_branch)
    pulls = [tell.pull(pull.number) for pull in (checks.pull_requests or ())[:PULLS_MAX]]
    what = "check" if payload.check_run is not None else "checks"
    for where in [name for name in pulls if name] or [tell.branch(branch)]:
        action = f"{what}_{checks.conclusion or 'completed'}"
        yield from tell.feedback(where, action, at=checks.completed_at or checks.updated_at)


TELLERS: Final[Mapping[str, Callable[[_Teller], Iterator[ReviewEvent]]]] = {
    "pull_request": _pull_request,
    "pull_request_review": _review,
    "pull_request_review_comment": _review_comment,
    "pull_request_review_thread": _thread,
    "issue_comment": _issue_comment,
    "push": _push,
    "check_run": _checks,
    "check_suite": _checks,
    "workflow_run": _checks,
}
"""What each of GitHub's events tells; those that are not here tell nothing about a review."""


def _cut(text: str | None) -> str:
    return (text or "")[:NAME_MAX]


def _ms(text: str | None, otherwise: int) -> int:
    try:
        return max(0, int(datetime.fromisoformat(text or "").timestamp() * 1_000))
    except (ValueError, OverflowError):
        return otherwise


_decoder: Final = msgspec.json.Decoder(Payload)
