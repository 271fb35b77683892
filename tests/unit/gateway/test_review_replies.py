"""What replies to a finding are taken to say of it, as people write them."""

import json

import pytest

from analytics.contracts import events
from analytics.contracts.ids import TenantId
from gateway.webhooks import github
from gateway.webhooks.replies import CHARACTERS_MAX, verdict_of

ACCEPTED = (
    "Fixed", "fixed!", "Done.", "Fixed in 3fe81d0", "Resolved by #12", "Good catch!", "Agreed",
    "I have fixed it now, thanks", "Thanks, good catch! Will fix.", "I'll do that", "ok, done",
    "We will address this", "Yes, you are right", "You're right - applied", "Makes sense, updated",
    "That's a good point", "That empty list is allowed here, nice find",
    "> is this checked?\n\nDone", "```\nwont fix\n```\nAddressed in 9c0",
    "Is it not null? Fixed anyway", "Suggestion accepted", "I agree with this one",
)  # fmt: skip
DISMISSED = (
    "Won't fix", "wont fix", "wontfix", "won\u2019t fix this", "False positive",
    "I think it is a false positive", "This is by design.", "Nope", "Not a bug", "invalid",
    "Good point, but this is out of scope", "I see; still, not an issue", "Works as intended",
    "Agreed in general, however we will not change it here", "This finding is wrong",
    "> Fixed\n\nNot a real problem", "I disagree", "I don't agree", "It is intentional, by design",
)  # fmt: skip
NOTHING = (
    "", "Done?", "Is this fixed now?", "Fixed? Not sure", "Not fixed", "This is not done yet",
    "I do not think so", "Fixed another one, but this comment is wrong",
    "Fixed the label elsewhere",
    "Maybe agreed", "What do you mean", "The input was fixed by someone in another change",
    "It should not have been applied to both", "Is it a false positive?",
    "This input is invalid and leads to a crash", "`fixed`", "> Fixed", "unfixed",
    "Done if CI passes",
    "Won't fix. Hm, agreed, good catch", "It returns true",
)  # fmt: skip
CASES = [
    *[(reply, "accepted") for reply in ACCEPTED],
    *[(reply, "dismissed") for reply in DISMISSED],
    *[(reply, "") for reply in NOTHING],
]


@pytest.mark.parametrize(("reply", "verdict"), CASES)
def test_a_reply_says_what_a_reader_would_take_it_to_say(reply: str, verdict: str) -> None:
    assert verdict_of(reply) == verdict


@pytest.mark.parametrize(("reply", "verdict"), [CASES[0], CASES[len(ACCEPTED)], CASES[-1]])
def test_the_webhook_tells_what_the_reply_says(reply: str, verdict: str) -> None:
    payload = {
        "action": "created", "repository": {"full_name": "octo/cat"}, "pull_request": {"number": 7},
        "comment": {"id": 9, "in_reply_to_id": 4, "body": reply},
    }  # fmt: skip
    delivery = github.WebhookDelivery(
        id="d1", event="pull_request_review_comment", tenant=TenantId("acme"), received_ms=5,
        keep_content=False,
    )  # fmt: skip

    [told] = github.read(json.dumps(payload).encode(), delivery)

    assert isinstance(told, events.ReviewFeedback)
    assert (told.action, told.finding_id, told.verdict) == ("replied", "4", verdict)


@pytest.mark.parametrize(
    "unit", [">", "```", "`", "but ", "i ", "it is ", "won't ", "n't ", "not a "]
)
def test_a_reply_made_to_take_long_is_read_no_further_than_the_limit(unit: str) -> None:
    assert verdict_of(unit * CHARACTERS_MAX) == ""
