"""Whatever comes in a frame: no crash, and an answer or a close."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.auth import Verifier
from gateway.protocol.codec_json import JsonCodec
from gateway.protocol.effects import Call, Effect, Shut, Write
from gateway.protocol.messages import Reply
from gateway.protocol.session import Manners, Session
from gateway.protocol.transitions import State
from gateway.rates_meter import Unmetered
from tests.support.gateway import KEY, NOW_MS, token

KINDS = (
    "connect", "rpc", "subscribe", "unsubscribe", "publish", "presence", "presence_stats",
    "history", "ping", "send", "refresh", "sub_refresh", "nonsense",
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSONS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
COMMANDS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(-2, 5) | JSONS,
        **{kind: st.fixed_dictionaries({}, optional={
            "token": st.sampled_from([token(), "", "x.y.z"]) | JSONS,
            "method": st.text() | JSONS,
            "data": JSONS,
            "channel": st.text() | JSONS,
        }) | JSONS for kind in KINDS},
    },
)  # fmt: skip
LINES = COMMANDS.map(lambda fields: json.dumps(fields).encode()) | st.binary(max_size=40)
FRAMES = st.lists(LINES, max_size=4).map(b"\n".join) | st.binary(max_size=200)
CODEC = JsonCodec(commands_max=8)
MANNERS = Manners(version="v", ping_ms=25_000, pong_ms=10_000, stale_ms=15_000)
VERIFIER = Verifier(KEY, cached_max=10)


def _session() -> Session:
    return Session(
        client="c1",
        codec=CODEC,
        verify=lambda text, wall_ms: VERIFIER.verify(text, now_ms=wall_ms),
        manners=MANNERS,
        meter=Unmetered(),
        jitter=0.0,
        now_ms=0,
    )


def _check(effects: list[Effect]) -> None:
    for effect in effects:
        if isinstance(effect, Write):
            told: dict[str, Any] = json.loads(CODEC.encode(effect.outbound))
            assert isinstance(effect.outbound, Reply)
            assert told["id"] >= 1
            if "error" in told:
                assert told["error"]["code"]
                assert told["error"]["message"]


@settings(max_examples=200, deadline=None)
@given(frames=st.lists(FRAMES, max_size=4), known=st.booleans())
@example(frames=[b'{"id":1,"rpc":{"data":' + b'{"a":' * 5_000], known=True)
@example(frames=[b'{"id":1e400,"rpc":{}}'], known=True)
@example(frames=[b'{"id":1,"rpc":{"method":"\\ud800"}}'], known=True)
@example(frames=[b"\x00" * 64, b"\n\n\n"], known=True)
def test_any_frames_are_answered_and_the_connection_is_open_or_closed_once(
    frames: list[bytes], known: bool
) -> None:
    session = _session()
    if known:
        hello = json.dumps({"id": 1, "connect": {"token": token()}}).encode()
        session.receive(hello, now_ms=0, wall_ms=NOW_MS)
    closes = 0

    for frame in frames:
        effects = session.receive(frame, now_ms=0, wall_ms=NOW_MS)
        _check(effects)
        closes += sum(isinstance(effect, Shut) for effect in effects)
        if not known and session.grant is None:
            assert not any(isinstance(effect, Call) for effect in effects)

    assert closes == (1 if session.state is State.CLOSED else 0)
