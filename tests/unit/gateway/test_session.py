"""The protocol without a socket: frames and ticks in, effects out."""

import json
from typing import Any

import pytest

from gateway.http.auth import TokenScope, Verifier
from gateway.http.rate_limiter import Unmetered
from gateway.protocol import codes
from gateway.protocol.codec_json import JsonCodec
from gateway.protocol.codes import ErrorReply
from gateway.protocol.effects import (
    CallMethod,
    Effect,
    Enter,
    Garbled,
    Leave,
    Live,
    Opened,
    Shut,
    Write,
)
from gateway.protocol.messages import Called, History, PresenceRequest, PresenceStats, Publish, Rpc
from gateway.protocol.session import Session, SessionOptions
from gateway.protocol.transitions import Signal, State
from tests.support.gateway import KEY, NOW_MS, signed, token

CODEC = JsonCodec(commands_max=10)
VERIFIER = Verifier(KEY, cached_max=10)
MANNERS = SessionOptions(version="v", ping_ms=25_000, pong_ms=10_000, stale_ms=15_000)


def _session(jitter: float = 0.0) -> Session:
    return Session(
        client="c1",
        codec=CODEC,
        verify=lambda text, wall_ms: VERIFIER.verify(text, now_ms=wall_ms),
        session_options=MANNERS,
        meter=Unmetered(),
        jitter=jitter,
        now_ms=0,
    )


def _send(session: Session, *commands: dict[str, Any], at_ms: int = 0) -> list[Any]:
    frame = b"\n".join(json.dumps(command).encode() for command in commands)
    return _shown(session.receive(frame, now_ms=at_ms, wall_ms=NOW_MS + at_ms))


def _shown(effects: list[Effect]) -> list[Any]:
    """Return replies as the client reads them, closes as their code, and the rest by name."""
    shown: list[Any] = []
    for effect in effects:
        match effect:
            case Write():
                shown.append(json.loads(CODEC.encode(effect.outbound)))
            case Shut():
                shown.append(effect.close.code)
            case CallMethod():
                asked = effect.request
                shown.append((asked.method, asked.data) if isinstance(asked, Rpc) else asked)
            case Enter() | Live() | Leave():
                shown.append((type(effect).__name__.lower(), effect.channel))
            case Opened():
                shown.append(f"opened by {effect.grant.user}")
            case Garbled():
                shown.append("garbled")
    return shown


def _active(lifetime_ms: int | None = None) -> Session:
    session = _session()
    _send(session, {"id": 1, "connect": {"token": token(lifetime_ms=lifetime_ms)}})
    assert session.state is State.ACTIVE
    return session


def _waiting() -> Session:
    session = _active()
    session.tick(now_ms=12_500)
    assert session.state is State.WAITING
    return session


def _denied() -> Session:
    session = _session()
    _send(session, {"id": 1, "connect": {}})
    assert session.state is State.DENIED
    return session


def _closed() -> Session:
    session = _active()
    session.happen(Signal.LOST)
    return session


def _opening() -> Session:
    session = _session()
    _send(session, {"id": 1, "connect": {"token": signed(channels=["x"])}})
    assert session.state is State.OPENING
    return session


STATES = {
    "connecting": _session, "opening": _opening, "denied": _denied, "active": _active,
    "waiting": _waiting, "closed": _closed,
}  # fmt: skip
BAD, OUT = [codes.BAD_REQUEST.code], [codes.NOT_AVAILABLE.code]
GARBLED = ["garbled", codes.BAD_REQUEST.code]
CONNECTED = {"client": "c1", "version": "v", "ping": 25, "pong": True}
FORBIDDEN = {"id": 7, "error": {"code": 103, "message": "permission denied"}}
UNSERVED = {"id": 7, "error": {"code": 108, "message": "not available"}}
FRAMES: dict[str, tuple[bytes, dict[str, list[Any]]]] = {
    "a good connect": (
        json.dumps({"id": 7, "connect": {"token": token()}}).encode(),
        {"connecting": [{"id": 7, "connect": CONNECTED}, "opened by ada"]},
    ),
    "a connect without a token": (
        b'{"id":7,"connect":{}}',
        {"connecting": [{"id": 7, "error": {"code": 101, "message": "unauthorized"}}]},
    ),
    "a connect with a forged token": (
        b'{"id":7,"connect":{"token":"a.b.c"}}',
        {"connecting": [codes.INVALID_TOKEN.code]},
    ),
    "a call": (
        b'{"id":7,"rpc":{"method":"m","data":{"a":1}}}',
        {"active": [("m", b'{"a":1}')], "waiting": [("m", b'{"a":1}')]},
    ),
    "a call without data": (
        b'{"id":7,"rpc":{"method":"m"}}',
        {"active": [("m", b"null")], "waiting": [("m", b"null")]},
    ),
    "a pong": (b"{}", {"waiting": []}),
    "a message": (b'{"send":{"data":1}}', {"active": OUT, "waiting": OUT}),
    "a subscribe": (
        b'{"id":7,"subscribe":{"channel":"x","flag":1}}',
        {"active": [("enter", "x")], "waiting": [("enter", "x")]},
    ),
    "a subscribe without a channel": (b'{"id":7,"subscribe":{}}', {}),
    "an unsubscribe": (
        b'{"id":7,"unsubscribe":{"channel":"x"}}',
        {"active": [{"id": 7, "unsubscribe": {}}], "waiting": [{"id": 7, "unsubscribe": {}}]},
    ),
    **{
        f"a {kind}": (
            json.dumps({"id": 7, kind: {"channel": "x"}}).encode(),
            {"active": [asked], "waiting": [asked]},
        )
        for kind, asked in (
            ("publish", Publish(channel="x", data=b"null")),
            ("presence", PresenceRequest("x")),
            ("presence_stats", PresenceStats("x")),
            ("history", History(channel="x")),
        )
    },
    "a publish into a map": (
        b'{"id":7,"publish":{"channel":"x","type":1}}',
        {"active": [UNSERVED], "waiting": [UNSERVED]},
    ),
    "a subscribe to a map": (
        b'{"id":7,"subscribe":{"channel":"x","type":1}}',
        {"active": [UNSERVED], "waiting": [UNSERVED]},
    ),
    "a history of nothing": (b'{"id":7,"history":{}}', {}),
    "a refresh of a subscription that is none": (
        b'{"id":7,"sub_refresh":{"channel":"x","token":"t"}}',
        {"active": [FORBIDDEN], "waiting": [FORBIDDEN]},
    ),
    "a ping": (b'{"id":7,"ping":{}}', {"active": [UNSERVED], "waiting": [UNSERVED]}),
    "a refresh nobody asked for": (b'{"id":7,"refresh":{"token":"x"}}', {}),
    "no command": (b'{"id":7}', {"active": GARBLED, "waiting": GARBLED}),
    "no JSON": (b"{", {"active": GARBLED, "waiting": GARBLED}),
    "a list": (b"[]", {"active": GARBLED, "waiting": GARBLED}),
    "nothing": (b"", {"active": GARBLED, "waiting": GARBLED}),
    "an id past 32 bits": (
        b'{"id":4294967296,"rpc":{}}', {"active": GARBLED, "waiting": GARBLED},
    ),
    "a negative id": (b'{"id":-1,"rpc":{}}', {"active": GARBLED, "waiting": GARBLED}),
    "a token that is a number": (
        b'{"id":7,"connect":{"token":5}}', {"active": GARBLED, "waiting": GARBLED},
    ),
    "deep nesting": (
        b'{"id":7,"rpc":{"data":' + b"[" * 30_000, {"active": GARBLED, "waiting": GARBLED},
    ),
    "more commands than a frame may hold": (
        b"\n".join([b'{"id":7,"unsubscribe":{"channel":"x"}}'] * 11),
        {"active": GARBLED, "waiting": GARBLED},
    ),
}  # fmt: skip


@pytest.mark.requirement("bad-input-answered")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("frame", FRAMES)
def test_every_frame_in_every_state_has_its_answer(state: str, frame: str) -> None:
    sent, expected = FRAMES[frame]
    session = STATES[state]()

    effects = _shown(session.receive(sent, now_ms=12_600, wall_ms=NOW_MS))

    known = {"closed": [], "opening": expected.get("opening", _held(frame))}
    assert effects == expected.get(state, known.get(state, BAD))


def _held(frame: str) -> list[Any]:
    """Return what comes of a frame while channels are asked: commands wait, the rest is garbage."""
    answers = FRAMES[frame][1]
    return GARBLED if answers.get("active") == GARBLED else []


def test_a_connect_and_what_follows_it_in_one_frame_are_answered_in_order() -> None:
    session = _session()

    shown = _send(
        session,
        {"connect": {"token": token(), "name": "js"}, "id": 1},
        {"id": 2, "subscribe": {"channel": "x"}},
        {"id": 3, "rpc": {"method": "m", "data": 1}},
    )

    assert [one.get("id") if isinstance(one, dict) else one for one in shown] == [
        1, "opened by ada", ("enter", "x"), ("m", b"1"),
    ]  # fmt: skip


def test_a_failed_connect_drops_the_rest_of_its_frame() -> None:
    session = _session()

    shown = _send(session, {"id": 1, "connect": {}}, {"id": 2, "rpc": {"method": "m"}})

    assert shown == [{"id": 1, "error": {"code": 101, "message": "unauthorized"}}]


def test_an_expired_token_sends_the_client_for_a_new_one() -> None:
    session = _session()

    shown = _send(session, {"id": 1, "connect": {"token": token(lifetime_ms=-1_000)}})

    assert shown == [{"id": 1, "error": {"code": 109, "message": "token expired"}}]


def test_a_socket_without_a_token_is_closed_as_stale() -> None:
    session = _session()

    assert session.due_ms == 15_000
    assert session.tick(now_ms=14_999) == []
    assert _shown(session.tick(now_ms=15_000)) == [codes.STALE.code]


@pytest.mark.parametrize(("jitter", "first_ms"), [(0.0, 12_500), (0.5, 18_750), (0.999, 24_987)])
def test_first_pings_are_spread_over_the_second_half_of_the_interval(
    jitter: float, first_ms: int
) -> None:
    session = _session(jitter)
    _send(session, {"id": 1, "connect": {"token": token()}})

    assert session.due_ms == first_ms
    assert _shown(session.tick(now_ms=first_ms)) == [{}]


def test_pings_go_on_while_pongs_come() -> None:
    session = _active()
    pings = []

    for _ in range(4):
        at_ms = session.due_ms
        pings.append(at_ms)
        assert _shown(session.tick(now_ms=at_ms)) == [{}]
        assert session.due_ms == at_ms + 10_000
        assert _send(session, {}, at_ms=at_ms + 5) == []

    assert pings == [12_500, 37_500, 62_500, 87_500]


def test_a_ping_without_a_pong_closes_the_connection() -> None:
    session = _waiting()

    assert _shown(session.tick(now_ms=22_500)) == [codes.NO_PONG.code]


def test_a_token_that_runs_out_is_refreshed_or_the_connection_ends() -> None:
    session = _active(lifetime_ms=60_000)

    kept = _send(session, {"id": 2, "refresh": {"token": token(lifetime_ms=120_000)}}, at_ms=50_000)
    assert kept == [{"id": 2, "refresh": {"client": "c1", "expires": True, "ttl": 70}}]
    _answer_pings(session, until_ms=144_999)
    assert _shown(session.tick(now_ms=145_000)) == [codes.EXPIRED.code]


def test_a_connection_whose_token_runs_out_says_so_in_its_answer() -> None:
    session = _session()

    [reply, _] = _send(session, {"id": 1, "connect": {"token": token(lifetime_ms=60_000)}})

    assert reply["connect"]["expires"] is True
    assert reply["connect"]["ttl"] == 60


@pytest.mark.parametrize(
    ("fresh", "code"),
    [
        (token(lifetime_ms=-1_000), codes.EXPIRED.code),
        ("a.b.c", codes.INVALID_TOKEN.code),
        (token(lifetime_ms=60_000, user="eve"), codes.INVALID_TOKEN.code),
        ("", codes.BAD_REQUEST.code),
    ],
    ids=["expired", "forged", "somebody else's", "none"],
)
def test_a_refresh_with_a_bad_token_ends_the_connection(fresh: str, code: int) -> None:
    session = _active(lifetime_ms=60_000)

    assert _send(session, {"id": 2, "refresh": {"token": fresh}}) == [code]


def test_a_refresh_may_change_what_the_client_may_do() -> None:
    session = _active(lifetime_ms=60_000)

    fresh = token(lifetime_ms=60_000, scopes=(TokenScope.SUBSCRIBE,))
    _send(session, {"id": 2, "refresh": {"token": fresh}})

    assert session.grant is not None
    assert session.grant.scopes == {"subscribe"}


def test_answers_to_calls_carry_their_id_and_always_a_message() -> None:
    session = _active()

    assert _shown(session.answered(5, Called(b'{"a": 1}'))) == [
        {"id": 5, "rpc": {"data": {"a": 1}}}
    ]
    assert _shown(session.answered(6, ErrorReply(111, "too many requests", temporary=True))) == [
        {"id": 6, "error": {"code": 111, "message": "too many requests", "temporary": True}}
    ]


def test_an_answer_that_comes_after_the_end_is_dropped() -> None:
    session = _closed()

    assert session.answered(5, Called(b"1")) == []


def test_what_only_the_clock_can_cause_cannot_happen_at_another_time() -> None:
    with pytest.raises(AssertionError, match="cannot happen"):
        _session().happen(Signal.PONG_LATE)


def _answer_pings(session: Session, *, until_ms: int) -> None:
    while session.due_ms <= until_ms:
        at_ms = session.due_ms
        if _shown(session.tick(now_ms=at_ms)) == [{}]:
            _send(session, {}, at_ms=at_ms)
