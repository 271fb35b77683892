"""Tokens from issuers whose clocks are wrong: within the leeway they are taken, beyond refused."""

import json
from typing import Any, Final

import pytest

from analytics.contracts.errors import Unauthenticated
from gateway.http.auth import CLOCK_SKEW_MS, TokenExpired, Verifier
from gateway.http.rate_limiter import Unmetered
from gateway.protocol import codes
from gateway.protocol.codec_json import JsonCodec
from gateway.protocol.effects import Shut, Write
from gateway.protocol.session import Session, SessionOptions
from gateway.protocol.transitions import State
from tests.support.gateway import KEY, NOW_MS, signed

LIFE_S: Final = 60
SKEW_S: Final = CLOCK_SKEW_MS // 1_000
CODEC: Final = JsonCodec(commands_max=10)
YET: Final = codes.INVALID_TOKEN.code
TAKEN: Final = [-LIFE_S + 1, -SKEW_S - 1, -SKEW_S, -1, 0, 1, SKEW_S]
"""Seconds that an issuer's clock is ahead; one behind costs its tokens that much of their life."""

pytestmark = pytest.mark.requirement("tokens-forged-refused")


def _issued(ahead_s: int, *, at_s: int = 0, **more: object) -> str:
    """Return a token of a minute, by a clock that is ahead."""
    now_s = NOW_MS // 1_000 + at_s + ahead_s
    return signed(iat=now_s, nbf=now_s, exp=now_s + LIFE_S, **more)


@pytest.mark.parametrize("ahead_s", TAKEN)
def test_a_clock_within_the_leeway_gives_tokens_that_are_taken(ahead_s: int) -> None:
    grant = Verifier(KEY, cached_max=10).verify(_issued(ahead_s), now_ms=NOW_MS)

    assert grant.expires_ms == NOW_MS + (ahead_s + LIFE_S) * 1_000


@pytest.mark.parametrize(
    ("ahead_s", "refusal"),
    [
        (SKEW_S + 1, Unauthenticated),
        (3_600, Unauthenticated),
        (-LIFE_S, TokenExpired),
        (-LIFE_S - SKEW_S, TokenExpired),
    ],
)
def test_a_clock_beyond_the_leeway_gives_tokens_that_are_refused(
    ahead_s: int, refusal: type[Unauthenticated]
) -> None:
    with pytest.raises(Unauthenticated) as refused:
        Verifier(KEY, cached_max=10).verify(_issued(ahead_s), now_ms=NOW_MS)

    assert type(refused.value) is refusal


def _told(session: Session, command: dict[str, Any], *, at_s: int = 0) -> list[Any]:
    """Return what is written, and the code of a close."""
    at_ms = at_s * 1_000
    effects = session.receive(json.dumps(command).encode(), now_ms=at_ms, wall_ms=NOW_MS + at_ms)
    told: list[Any] = [
        json.loads(CODEC.encode(one.outbound)) for one in effects if isinstance(one, Write)
    ]
    return told + [one.close.code for one in effects if isinstance(one, Shut)]


def _connected(ahead_s: int) -> Session:
    verifier = Verifier(KEY, cached_max=10)
    session = Session(
        client="c1",
        codec=CODEC,
        verify=lambda text, wall_ms: verifier.verify(text, now_ms=wall_ms),
        session_options=SessionOptions(
            version="v", ping_ms=600_000, pong_ms=10_000, stale_ms=15_000
        ),
        meter=Unmetered(),
        now_ms=0,
    )
    [reply] = _told(session, {"id": 1, "connect": {"token": _issued(ahead_s)}})
    assert reply["connect"]["ttl"] == LIFE_S + ahead_s
    return session


@pytest.mark.parametrize("ahead_s", TAKEN)
def test_a_connection_is_refreshed_by_the_same_wrong_clock_before_its_token_runs_out(
    ahead_s: int,
) -> None:
    session = _connected(ahead_s)
    at_s = max(0, LIFE_S + ahead_s - 1)

    fresh = {"id": 2, "refresh": {"token": _issued(ahead_s, at_s=at_s)}}
    [reply] = _told(session, fresh, at_s=at_s)

    assert reply["refresh"]["ttl"] == LIFE_S + ahead_s
    assert session.state is State.ACTIVE


@pytest.mark.parametrize(("ahead_s", "code"), [(SKEW_S + 1, YET), (-LIFE_S, codes.EXPIRED.code)])
def test_a_refresh_by_a_clock_that_went_beyond_the_leeway_ends_the_connection(
    ahead_s: int, code: int
) -> None:
    session = _connected(0)

    told = _told(session, {"id": 2, "refresh": {"token": _issued(ahead_s, at_s=30)}}, at_s=30)

    assert told == [code]
