"""What the filter lets pass, by event and by rule."""

import msgspec
import pytest

from analytics.contracts import events
from analytics.contracts.events import Event
from analytics.privacy.filter import Filter
from analytics.privacy.rules import PrivacyRules, Users

STRICT = Filter(PrivacyRules())
HEAD = {"id": "e1", "tenant": "t", "at_ms": 1, "session_id": "s@b.example"}


def _event(kind: str, **fields: object) -> Event:
    return events.read({"type": kind, **HEAD, **fields})


def _passed(event: Event, by: Filter = STRICT) -> dict[str, object]:
    kept, payload = by.pass_on(event, None)
    assert payload is not None
    assert events.decode(payload) == kept
    fields: dict[str, object] = msgspec.json.decode(payload)
    return {key: value for key, value in fields.items() if key not in {"type", *HEAD}}


@pytest.mark.requirement("privacy-filter")
def test_a_prompt_is_told_by_its_length() -> None:
    assert _passed(_event("prompt.submitted", text="do it")) == {"length": 5}
    assert _passed(_event("prompt.submitted", text="do it", length=9)) == {"length": 9}


def test_answers_and_inputs_of_tools_are_left_out() -> None:
    assert _passed(_event("request.finished", text="done", model="m")) == {"model": "m"}
    assert _passed(_event("tool.finished", summary="ls", tool="Bash")) == {"tool": "Bash"}


def test_contents_that_are_kept_are_scrubbed_all_the_same() -> None:
    keeping = Filter(PrivacyRules(content=True))

    assert _passed(_event("prompt.submitted", text="mail a@b.example"), keeping) == {
        "text": "mail <email>"
    }


def test_attributes_lose_contents_addresses_and_secrets() -> None:
    given = {"prompt": "secret plan", "cwd": "/home/ada/x", "n": 3, "note": "password=abcdef12"}

    assert _passed(_event("agent.observed", name="x", attributes=given)) == {
        "name": "x",
        "attributes": {"prompt.length": 11, "cwd": "~/x", "n": 3, "note": "password=<secret>"},
    }


def test_what_a_model_said_in_the_body_of_a_record_is_left_out() -> None:
    assert _passed(_event("agent.observed", name="gen_ai.choice", body="hm")) == {
        "name": "gen_ai.choice"
    }
    assert _passed(_event("agent.observed", name="app.log", body="up"))["body"] == "up"


def test_fields_that_we_do_not_know_are_gone_through() -> None:
    given = {"type": "session.started", **HEAD, "prompt": "x", "more": {"who": ["a@b.example"]}}
    payload = msgspec.json.encode(given)

    _, kept = STRICT.pass_on(events.decode(payload), payload)

    assert kept is not None
    assert msgspec.json.decode(kept) == {
        "type": "session.started", **HEAD, "prompt.length": 1, "more": {"who": ["<email>"]},
    }  # fmt: skip


def test_the_user_is_kept_hashed_or_left_out() -> None:
    event = _event("session.started", user="al@b.example", cwd="/srv")
    hashing = Filter(PrivacyRules(users=Users.HASH, key=b"k" * 32))
    other = Filter(PrivacyRules(users=Users.HASH, key=b"o" * 32))

    assert _passed(event) == {"user": "al@b.example", "cwd": "/srv"}
    assert _passed(event, Filter(PrivacyRules(users=Users.DROP))) == {"cwd": "/srv"}
    hashed = _passed(event, hashing)["user"]
    assert isinstance(hashed, str)
    assert hashed.startswith("u_")
    assert hashed != _passed(event, other)["user"]
    assert _passed(_event("session.started", user=hashed), hashing)["user"] == hashed


def test_attributes_that_name_the_user_follow_the_user() -> None:
    event = _event("usage.reported", metric="m", value=1, attributes={"user.email": "al@b.example"})

    assert _passed(event)["attributes"] == {"user.email": "<email>"}
    assert _passed(event, Filter(PrivacyRules(users=Users.DROP))).get("attributes", {}) == {}


def test_an_event_with_nothing_to_hide_is_the_same_value() -> None:
    event = _event("request.finished", model="m", user="al@b.example", error="")
    kept, payload = STRICT.pass_on(event, None)

    assert kept is event
    assert payload == events.encode(event)


def test_where_all_is_kept_nothing_is_looked_at() -> None:
    everything = Filter(PrivacyRules(content=True, emails=True, paths=True, secrets=True))
    event = _event("prompt.submitted", text="a@b.example")

    assert everything.pass_on(event, None) == (event, None)
    assert everything.pass_dead_letter(b"a@b.example") == b"a@b.example"


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        (b"\xff\x00 a@b.example", b"\xff\x00 <email>"),
        (b'{"text":"plan","n":1}', b'{"text.length":4,"n":1}'),
        (b'[{"prompt":"plan"}]', b'[{"prompt.length":4}]'),
        (b'{ "n": 1 }', b'{ "n": 1 }'),
    ],
)
def test_what_becomes_a_dead_letter_holds_no_more_than_an_event(
    payload: bytes, kept: bytes
) -> None:
    assert STRICT.pass_dead_letter(payload) == kept


def test_a_user_who_is_plainly_a_secret_is_not_kept() -> None:
    secret = "ghp_" + "a1B2c3D4e5F6" * 3
    kept = _passed(_event("session.started", user=secret))["user"]

    assert isinstance(kept, str)
    assert kept.startswith("secret_")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('{"password":"swordfishes"}', '{"password":"<secret>"}'),
        ('{"password":918273645,"tokens":918273645}', '{"password":"<secret>","tokens":918273645}'),
        ('{"db":[{"password":"correct horse batt"}]}', '{"db":[{"password":"<secret>"}]}'),
        ('{"path": "a.py", "ok": true}', '{"path": "a.py", "ok": true}'),
        ('{"password":"swordfishes', '{"password":"<secret>"'),
    ],
)
def test_fields_of_a_text_that_is_json_are_gone_through_by_name(given: str, kept: str) -> None:
    keeping = Filter(PrivacyRules(content=True))

    assert _passed(_event("tool.finished", tool="T", summary=given), keeping)["summary"] == kept


def test_a_reason_quotes_nothing_that_may_not_be_kept() -> None:
    secret = "ghp_" + "a1B2c3D4e5F6" * 3
    reason = f"no type 'x {secret}' at 'a prompt that a sender has put where a name belongs'"

    assert STRICT.pass_reason(reason) == "no type '42 characters' at '51 characters'"
    assert secret not in Filter(PrivacyRules(content=True)).pass_reason(reason)
    assert STRICT.pass_reason("type 'nosuch' is not known") == "type 'nosuch' is not known"
