"""The laws of the filter of people's data, over texts made to get past it."""

import re
from typing import Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analytics.contracts import events
from analytics.contracts.events import Event
from analytics.privacy.filter import Filter
from analytics.privacy.findings import is_suspect
from analytics.privacy.rules import PrivacyRules
from analytics.privacy.texts import GROWTH_MAX, scrub

RULES: Final = PrivacyRules()
ADDRESS: Final = re.compile(r"[a-z0-9]@[a-z0-9]+\.[a-z]{2,}")
"""What anybody would take for an address."""
PIECES: Final = st.sampled_from(
    [
        "alice", "@", "%40", "example", ".", "com", "b", "@c.org", "/home/", "/Users/", "~", "\\",
        "C:\\Users\\", "sk-", "ghp_", "AKIA", "eyJ", "0123456789abcdef", "Bearer ", "password", "=",
        ": ", '"', "'", "://", "u:p@h", "<email>", "<secret>", "-----BEGIN PRIVATE KEY-----", " ",
        "\n", "é", "-", "_", "projects/-home-", "git@github.com",
        "token", "api_key", "heroku", "Authorization", "Basic ", "curl -u ", "--token ", "value",
        "name", "xK3q9ZtB7mW2vLr8", "ghp_xK3q9ZtB7mW2vLr8xK3q9ZtB7mW2vLr8xK3q", "kind: Secret",
        "\\n", "`", ",", "?sig=", "login ", "\t", "glpat-", "{", "}", "[", "]",
    ]
)  # fmt: skip
TEXTS: Final = st.lists(PIECES, max_size=24).map("".join) | st.text(max_size=60)


@pytest.mark.requirement("privacy-filter")
@given(text=TEXTS)
@example("a@b.com/home/x")
def test_a_filtered_text_is_filtered_no_further(text: str) -> None:
    once = scrub(text, RULES)

    assert scrub(once, RULES) == once


@given(text=TEXTS)
def test_no_address_is_left(text: str) -> None:
    assert ADDRESS.search(scrub(text, RULES)) is None


@given(text=TEXTS)
def test_a_filtered_text_is_at_most_so_much_longer(text: str) -> None:
    assert len(scrub(text, RULES)) <= GROWTH_MAX * len(text)


@given(text=TEXTS)
def test_a_text_that_is_not_suspect_holds_no_secret(text: str) -> None:
    if not is_suspect(text.encode("utf-8", "surrogatepass")):
        assert scrub(text, PrivacyRules(emails=True, paths=True)) == text


VALUES: Final = st.recursive(
    TEXTS | st.integers(-5, 5) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(
    text=TEXTS,
    name=TEXTS.map(lambda text: text[:512] or "n"),
    attributes=st.dictionaries(TEXTS, TEXTS, max_size=3),
    more=VALUES,
)
def test_a_filtered_event_is_filtered_no_further_and_keeps_what_it_is(
    text: str, name: str, attributes: dict[str, str], more: object
) -> None:
    fields = {
        "type": "agent.observed", "id": "a@b.example", "tenant": "t", "at_ms": 1,
        "session_id": "s", "user": "al@b.example", "name": name, "body": text,
        "attributes": attributes, "more": more,
    }  # fmt: skip
    privacy = Filter(RULES)
    payload = msgspec.json.encode(fields)

    event, kept = privacy.pass_on(events.decode(payload), payload)

    assert kept is not None
    assert (event.id, event.tenant, event.at_ms) == ("a@b.example", "t", 1)
    assert ADDRESS.search(_but_identity(kept)) is None
    assert privacy.pass_on(event, kept) == (event, kept)


@given(text=TEXTS, attributes=st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_a_look_never_lets_pass_what_taking_apart_would_change(
    text: str, attributes: dict[str, str]
) -> None:
    fields = {
        "type": "agent.observed", "id": "i", "tenant": "t", "at_ms": 1, "session_id": "s",
        "name": "n", "body": text, "attributes": attributes,
    }  # fmt: skip
    event: Event = events.read(fields)
    privacy = Filter(RULES)

    looked, _ = privacy.pass_on(event, None)
    taken_apart, _ = privacy.pass_on(event, events.encode(event))

    assert looked == taken_apart


def _but_identity(payload: bytes) -> str:
    fields = msgspec.json.decode(payload)
    return str({key: value for key, value in fields.items() if key not in {"id", "user"}})


@pytest.mark.parametrize(
    "unit",
    [
        "@", "a@", "a@b.", "a.", "%40a.b", "sk-", "eyJ-", "eyJ.", "/home/", "\\users\\",
        "password=", "password='", "bearer ", "://a:", "-----BEGIN PRIVATE KEY-----", "a-", "key:",
        "/projects/-home-",
    ],
)  # fmt: skip
def test_hostile_texts_are_gone_through_in_full(unit: str) -> None:
    """A scan of exponential or cubic time would not come back from this."""
    size = 65_536
    cleaned = scrub(unit * (size // len(unit)), RULES)

    assert len(cleaned) <= GROWTH_MAX * size
