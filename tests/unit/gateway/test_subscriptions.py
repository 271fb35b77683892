"""Subscriptions of a connection: every state against everything that can happen."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from analytics.contracts.errors import Unavailable
from gateway.http.auth import Grant, TokenScope, Verifier
from gateway.http.rate_limiter import Unmetered
from gateway.protocol import codes
from gateway.protocol.codec_json import JsonCodec
from gateway.protocol.codes import ErrorReply
from gateway.protocol.effects import Effect, Enter, Leave, Live, Shut, Write
from gateway.protocol.messages import Position, Publication, Subscribed
from gateway.protocol.session import Session, SessionOptions
from gateway.protocol.subscription_states import (
    ASKED,
    TRANSITIONS,
    SubscriptionSignal,
    SubscriptionState,
)
from gateway.protocol.subscriptions import HELD_MAX, SubscriptionLost
from tests.support.gateway import KEY, NOW_MS, signed, token

CODEC = JsonCodec(commands_max=100)
VERIFIER = Verifier(KEY, cached_max=100)
MANNERS = SessionOptions(
    version="v", ping_ms=25_000, pong_ms=10_000, stale_ms=15_000, channels_max=3
)
JOINED = Subscribed(recoverable=True, epoch="e", offset=7)
SUBSCRIBE = {"id": 7, "subscribe": {"channel": "x"}}
UNSUBSCRIBE = {"id": 8, "unsubscribe": {"channel": "x"}}


def _verify(text: str, wall_ms: int) -> Grant:
    return VERIFIER.verify(text, now_ms=wall_ms)


def _session(verify: Callable[[str, int], Grant] = _verify, **claims: object) -> Session:
    session = Session(
        client="c1",
        codec=CODEC,
        verify=verify,
        session_options=MANNERS,
        meter=Unmetered(),
        jitter=0.0,
        now_ms=0,
    )
    held = token(scopes=(TokenScope.SUBSCRIBE,)) if not claims else signed(**claims)
    _send(session, {"id": 1, "connect": {"token": held}})
    return session


def _send(session: Session, *commands: dict[str, Any], at_ms: int = 0) -> list[Any]:
    frame = b"\n".join(json.dumps(command).encode() for command in commands)
    return _shown(session.receive(frame, now_ms=at_ms, wall_ms=NOW_MS + at_ms))


def _joined(
    session: Session, result: Subscribed | ErrorReply = JOINED, channel: str = "x"
) -> list[Any]:
    return _shown(session.joined(channel, result, now_ms=0, wall_ms=NOW_MS))


def _shown(effects: list[Effect]) -> list[Any]:
    shown: list[Any] = []
    for effect in effects:
        match effect:
            case Write():
                shown.append(json.loads(CODEC.encode(effect.outbound)))
            case Shut():
                shown.append(effect.close.code)
            case Enter() | Leave() | Live():
                shown.append((type(effect).__name__.lower(), effect.channel))
            case _:
                shown.append(type(effect).__name__.lower())
    return shown


def _joining() -> Session:
    session = _session()
    _send(session, {"id": 2, "subscribe": {"channel": "x", "token": _token(60_000)}})
    return session


def _live() -> Session:
    session = _joining()
    _joined(session)
    return session


def _token(lifetime_ms: int, **claims: object) -> str:
    return signed(channel="x", exp=(NOW_MS + lifetime_ms) // 1_000, **claims)


def _fault(command_id: int, code: int, message: str) -> dict[str, Any]:
    return {"id": command_id, "error": {"code": code, "message": message}}


STATES: dict[SubscriptionState, Callable[[], Session]] = {
    SubscriptionState.ABSENT: _session,
    SubscriptionState.JOINING: _joining,
    SubscriptionState.LIVE: _live,
}
WELCOME = {"recoverable": True, "positioned": True, "epoch": "e", "offset": 7}
STRANGER = _fault(7, 103, "permission denied")
ANSWERS: dict[SubscriptionSignal, tuple[dict[str, Any], dict[SubscriptionState, list[Any]]]] = {
    SubscriptionSignal.SUBSCRIBE: (
        SUBSCRIBE,
        {
            SubscriptionState.ABSENT: [("enter", "x")],
            SubscriptionState.LIVE: [_fault(7, 105, "already subscribed")],
        },
    ),
    SubscriptionSignal.UNSUBSCRIBE: (
        {"id": 7, "unsubscribe": {"channel": "x"}},
        {
            SubscriptionState.ABSENT: [{"id": 7, "unsubscribe": {}}],
            SubscriptionState.LIVE: [("leave", "x"), {"id": 7, "unsubscribe": {}}],
        },
    ),
    SubscriptionSignal.REFRESH_GOOD: (
        {"id": 7, "sub_refresh": {"channel": "x", "token": _token(90_000)}},
        {
            SubscriptionState.ABSENT: [STRANGER],
            SubscriptionState.LIVE: [{"id": 7, "sub_refresh": {"expires": True, "ttl": 90}}],
        },
    ),
    SubscriptionSignal.REFRESH_LATE: (
        {"id": 7, "sub_refresh": {"channel": "x", "token": _token(-90_000)}},
        {SubscriptionState.ABSENT: [STRANGER], SubscriptionState.LIVE: [_fault(7, 110, "expired")]},
    ),
    SubscriptionSignal.REFRESH_FORGED: (
        {"id": 7, "sub_refresh": {"channel": "x", "token": "a.b.c"}},
        {SubscriptionState.ABSENT: [STRANGER], SubscriptionState.LIVE: [3500]},
    ),
    SubscriptionSignal.REFRESH_UNASKED: (
        {"id": 7, "sub_refresh": {"channel": "x"}},
        {SubscriptionState.ABSENT: [STRANGER], SubscriptionState.LIVE: [3501]},
    ),
}


@pytest.mark.parametrize("state", sorted(SubscriptionState))
@pytest.mark.parametrize("signal", sorted(ASKED))
def test_whatever_a_client_asks_of_a_channel_has_its_answer_or_is_held(
    state: SubscriptionState, signal: SubscriptionSignal
) -> None:
    command, answers = ANSWERS[signal]
    session = STATES[state]()

    assert signal in TRANSITIONS[state]
    assert _send(session, command) == answers.get(state, [])


@pytest.mark.parametrize("signal", sorted(ASKED))
def test_what_is_asked_while_joining_is_done_after_the_reply(signal: SubscriptionSignal) -> None:
    command, answers = ANSWERS[signal]
    session = _joining()
    _send(session, command)

    welcome, live, *rest = _joined(session)

    assert welcome == {"id": 2, "subscribe": {"expires": True, "ttl": 60, **WELCOME}}
    assert live == ("live", "x")
    assert rest == answers[SubscriptionState.LIVE]


def test_a_client_may_leave_and_come_again_before_the_channel_has_answered() -> None:
    session = _joining()

    assert _send(session, UNSUBSCRIBE, {**SUBSCRIBE, "id": 9}) == []
    shown = _joined(session)

    assert [one.get("id") if isinstance(one, dict) else one for one in shown] == [
        2, ("live", "x"), ("leave", "x"), 8, ("enter", "x"),
    ]  # fmt: skip
    assert _joined(session) == [{"id": 9, "subscribe": WELCOME}, ("live", "x")]


def test_a_channel_that_refuses_is_absent_again_and_what_was_held_is_done() -> None:
    session = _joining()
    _send(session, UNSUBSCRIBE)

    assert _joined(session, codes.UNKNOWN_CHANNEL) == [
        _fault(2, 102, "unknown channel"), {"id": 8, "unsubscribe": {}},
    ]  # fmt: skip
    assert _send(session, SUBSCRIBE) == [("enter", "x")]


def test_only_so_much_is_held() -> None:
    session = _joining()

    shown = _send(session, *[UNSUBSCRIBE] * (HELD_MAX + 1))

    assert [one["error"]["code"] for one in shown] == [111]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (SubscriptionState.ABSENT, []),
        (SubscriptionState.JOINING, []),
        (
            SubscriptionState.LIVE,
            [{"push": {"channel": "x", "unsubscribe": {"code": 2500, "reason": "gone"}}}],
        ),
    ],
)
def test_a_channel_that_lets_a_client_go_says_why(
    state: SubscriptionState, told: list[Any]
) -> None:
    session = STATES[state]()

    assert _shown(session.cut(SubscriptionLost("x", 2500, "gone"))) == told
    if state is SubscriptionState.JOINING:
        assert _joined(session)[2:] == [
            {"push": {"channel": "x", "unsubscribe": {"code": 2500, "reason": "gone"}}}
        ]
    assert _send(session, SUBSCRIBE) == [("enter", "x")]


def test_a_subscription_whose_token_runs_out_ends_unless_it_is_refreshed() -> None:
    session = _live()
    _send(session, {"id": 7, "sub_refresh": {"channel": "x", "token": _token(90_000)}})
    shown: list[Any] = []

    while not shown:
        at_ms = session.due_ms
        shown = [one for one in _shown(session.tick(now_ms=at_ms)) if one != {}]
        if not shown:
            _send(session, {}, at_ms=at_ms)

    assert at_ms == 90_000 + 25_000
    over = {"code": 2501, "reason": "subscription expired"}
    assert shown == [("leave", "x"), {"push": {"channel": "x", "unsubscribe": over}}]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (_token(60_000), [("enter", "x")]),
        (_token(-60_000), [_fault(7, 109, "token expired")]),
        ("a.b.c", [_fault(7, 103, "permission denied")]),
        (_token(60_000, sub="eve"), [3500]),
        (_token(60_000, tenant="other"), [3500]),
        (signed(channel="y"), [3500]),
        (signed(), [3500]),
    ],
    ids=["good", "expired", "forged", "another user", "another tenant", "another channel", "none"],
)
def test_a_channels_token_is_for_one_channel_and_one_user(given: str, shown: list[Any]) -> None:
    session = _session()

    assert _send(session, {"id": 7, "subscribe": {"channel": "x", "token": given}}) == shown


def test_a_channels_token_stands_for_the_scope_and_opens_no_connection() -> None:
    session = _session(scopes=[])
    frame = json.dumps({"id": 7, "subscribe": {"channel": "x", "token": signed(channel="x")}})

    [enter] = session.receive(frame.encode(), now_ms=0, wall_ms=NOW_MS)

    assert isinstance(enter, Enter)
    assert TokenScope.SUBSCRIBE in enter.grant.scopes
    assert session.grant is not None
    assert TokenScope.SUBSCRIBE not in session.grant.scopes
    assert _session(channel="x").ended == codes.INVALID_TOKEN


def test_a_connection_may_be_in_so_many_channels() -> None:
    session = _session()

    shown = _send(session, *({"id": n, "subscribe": {"channel": f"c{n}"}} for n in range(2, 6)))

    assert shown[:3] == [("enter", "c2"), ("enter", "c3"), ("enter", "c4")]
    assert shown[3]["error"]["code"] == 106


def test_a_client_that_wants_all_or_an_error_gets_the_error() -> None:
    session = _session()
    _send(session, {"id": 7, "subscribe": {"channel": "x", "recover": True, "flag": 3}})

    shown = _joined(session, Subscribed(recoverable=True, epoch="e", was_recovering=True))

    assert shown == [("leave", "x"), _fault(7, 112, "unrecoverable position")]


def test_the_position_of_a_client_reaches_the_channel_and_what_it_missed_comes_back() -> None:
    session = _session()
    place = {"channel": "x", "recover": True, "epoch": "e", "offset": 5}
    frame = json.dumps({"id": 7, "subscribe": place}).encode()

    [enter] = session.receive(frame, now_ms=0, wall_ms=NOW_MS)
    missed = tuple(Publication(data=b"{}", offset=n, tags={"a": "b"}) for n in (6, 7))
    result = Subscribed(
        recoverable=True, epoch="e", offset=5, was_recovering=True, recovered=True,
        publications=missed,
    )  # fmt: skip
    [reply, _] = _joined(session, result)

    assert isinstance(enter, Enter)
    assert enter.since == Position("e", 5)
    assert reply["subscribe"]["offset"] == 5
    assert reply["subscribe"]["recovered"] is True
    assert reply["subscribe"]["publications"] == [
        {"data": {}, "offset": n, "tags": {"a": "b"}} for n in (6, 7)
    ]


def test_a_connect_waits_for_the_channels_its_token_names_and_what_follows_waits_for_it() -> None:
    session = _session(channels=["a", "b"])

    assert _send(session, {"id": 2, "subscribe": {"channel": "a"}}) == []
    assert _joined(session, channel="a") == []
    shown = _joined(session, codes.UNKNOWN_CHANNEL, channel="b")

    connected, opened, live, twice = shown
    assert connected["connect"]["subs"] == {"a": WELCOME}
    assert (opened, live) == ("opened", ("live", "a"))
    assert twice == _fault(2, 105, "already subscribed")


def test_a_connect_whose_channels_cannot_answer_for_now_is_to_be_tried_again() -> None:
    session = _session(channels=["a", "b", "c"])
    _joined(session, channel="a")

    left, denied = _joined(session, codes.INTERNAL, channel="b")

    assert left == ("leave", "a")
    assert denied["error"]["temporary"] is True
    assert _joined(session, channel="c") == [("leave", "c")]


@pytest.mark.parametrize(("code", "close"), [(2500, 3010), (2502, 3014)])
def test_a_gap_in_a_channel_the_server_chose_ends_the_connection(code: int, close: int) -> None:
    session = _session(channels=["a"])
    _joined(session, channel="a")

    assert _shown(session.cut(SubscriptionLost("a", code, "insufficient state"))) == [close]


def test_a_token_with_more_channels_than_a_connection_may_be_in_is_refused() -> None:
    session = _session(channels=["a", "b", "c", "d"])

    assert session.grant is None


def test_a_refresh_whose_token_cannot_be_read_for_now_is_to_be_tried_again() -> None:
    def verify(text: str, wall_ms: int) -> Grant:
        if text == "unreadable":
            raise Unavailable("the keys are being fetched")
        return VERIFIER.verify(text, now_ms=wall_ms)

    session = _session(verify=verify)
    _send(session, {"id": 2, "subscribe": {"channel": "x", "token": _token(60_000)}})
    _joined(session)

    [reply] = _send(session, {"id": 7, "sub_refresh": {"channel": "x", "token": "unreadable"}})

    assert reply["error"]["temporary"] is True
    assert session.ended is None
