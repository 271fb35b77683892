"""Limits as senders meet them: headers on each answer, 429 past them, nothing for the refused."""

from typing import Any, Final

import httpx
import pytest

from analytics.contracts.errors import BadSetting
from analytics.contracts.ids import TenantId
from gateway.app import Gateway
from gateway.http import health
from gateway.settings import load
from tests.support.gateway import URL, Clock, client, gateway, token
from tests.support.peer import connected
from tests.support.publisher_memory import MemoryPublisher

EVENTS: Final = "/v1/events"
JSON: Final = {"content-type": "application/json"}

pytestmark = pytest.mark.requirement("rates-held")


def _under_test(clock: Clock | None = None, /, **rates: Any) -> Gateway:
    unlimited: dict[str, Any] = {"rate_commands_by_token": "", "rate_connections_by_address": ""}
    return gateway(MemoryPublisher(), clock, **{**unlimited, **rates})


async def _post(under_test: Gateway, *, bearer: str | None = None, body: Any = b"[]") -> Any:
    async with client(under_test, bearer=bearer or token()) as http:
        return await http.post(EVENTS, content=body, headers=JSON)


async def test_an_answer_says_how_much_is_left_and_a_refusal_when_to_come_again() -> None:
    clock = Clock()
    under_test = _under_test(clock, rate_commands_by_token="2/60s")

    first, second, third = [await _post(under_test) for _ in range(3)]
    clock.now_ms += 30_000
    later = await _post(under_test)

    assert [one.status_code for one in (first, second, third, later)] == [200, 200, 429, 200]
    assert [one.headers["ratelimit"] for one in (first, second, third)] == [
        '"commands-by-token";r=1;t=30',
        '"commands-by-token";r=0;t=60',
        '"commands-by-token";r=0;t=60',
    ]
    assert {one.headers["ratelimit-policy"] for one in (first, third)} == {
        '"commands-by-token";q=2;w=60'
    }
    assert third.headers["retry-after"] == "30"
    assert third.headers["content-type"] == "application/problem+json"
    assert third.json()["type"] == "urn:mainstem:problem:rate-limited"
    assert "retry-after" not in second.headers


async def test_every_limit_that_was_asked_is_told_of() -> None:
    under_test = _under_test(rate_commands_by_address="9/9s", rate_commands_by_tenant="7/7s+20")

    answer = await _post(under_test)

    assert answer.headers["ratelimit"] == (
        '"commands-by-address";r=8;t=1, "commands-by-tenant";r=19;t=1'
    )
    assert answer.headers["ratelimit-policy"] == (
        '"commands-by-address";q=9;w=9, "commands-by-tenant";q=20;w=20'
    )


@pytest.mark.parametrize(
    ("limit", "other", "held"),
    [
        ("rate_commands_by_token", {"user": "bo"}, False),
        ("rate_commands_by_tenant", {"user": "bo"}, True),
        ("rate_commands_by_tenant", {"tenant": TenantId("umbrella")}, False),
        ("rate_commands_by_address", {"tenant": TenantId("umbrella")}, True),
    ],
)
async def test_who_shares_a_limit_is_held_by_it_and_nobody_else(
    limit: str, other: dict[str, Any], held: bool
) -> None:
    under_test = _under_test(**{limit: "1/60s"})

    await _post(under_test)
    answer = await _post(under_test, bearer=token(**other))

    assert answer.status_code == (429 if held else 200)


async def test_who_guesses_tokens_is_held_by_its_address() -> None:
    under_test = _under_test(rate_commands_by_address="2/60s")

    answers = [await _post(under_test, bearer="guessed") for _ in range(3)]

    assert [one.status_code for one in answers] == [401, 401, 429]


async def test_proxies_that_are_trusted_share_no_limit_and_others_cannot_pretend() -> None:
    trusting = _under_test(rate_commands_by_address="1/60s", proxies=("127.0.0.0/8",))
    alone = _under_test(rate_commands_by_address="1/60s")

    statuses = []
    for under_test in (trusting, alone):
        for address in ("198.51.100.1", "198.51.100.2", "198.51.100.2"):
            async with client(under_test, bearer=token()) as http:
                said = {**JSON, "x-forwarded-for": f"1.1.1.1, {address}"}
                answer = await http.post(EVENTS, content=b"[]", headers=said)
                statuses.append(answer.status_code)

    assert statuses == [200, 200, 429, 200, 429, 429]


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_bytes_count_whether_they_are_declared_or_not(chunked: bool) -> None:
    under_test = _under_test(rate_bytes_by_token="1000/60s")

    async def parts() -> Any:
        for _ in range(7):
            yield b" " * 99 + b"\n"

    answers = [await _post(under_test, body=parts() if chunked else b" " * 700) for _ in range(2)]

    assert [one.status_code for one in answers] == [400, 429]
    assert int(answers[1].headers["retry-after"]) > 1


async def test_open_paths_are_not_limited() -> None:
    under_test = _under_test(rate_commands_by_address="1/60s")

    async with client(under_test) as http:
        answers = [await http.get(health.LIVE) for _ in range(5)]

    assert {one.status_code for one in answers} == {200}


async def test_sockets_past_the_limit_of_their_address_get_429() -> None:
    under_test = _under_test(rate_connections_by_address="1/60s")

    async with connected(under_test) as first:
        await first.until(lambda: first.sent)
        async with connected(under_test) as second:
            await second.until(lambda: len(second.sent) == 2)

    start = second.sent[0]
    assert first.sent[0]["type"] == "websocket.accept"
    assert start["status"] == 429
    assert dict(start["headers"])[b"retry-after"] == b"60"


async def test_an_unknown_ingest_path_asks_the_limits_too() -> None:
    under_test = _under_test(rate_commands_by_token="1/60s")

    transport = httpx.ASGITransport(under_test.asgi)
    headers = {"authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as http:
        answers = [await http.get("/nothing") for _ in range(2)]

    assert [one.status_code for one in answers] == [404, 429]


@pytest.mark.parametrize("spelled", ["fast", "0/1s", "5/0s", "5/1m", "5/1s+0", "5/1s "])
def test_a_rate_that_is_misspelled_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    monkeypatch.setenv("MAINSTEM_GATEWAY_RATE_COMMANDS_BY_TOKEN", spelled)

    with pytest.raises(BadSetting, match="RATE_COMMANDS_BY_TOKEN"):
        load()


def test_a_burst_of_bytes_that_no_body_fits_in_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAINSTEM_GATEWAY_RATE_BYTES_BY_TOKEN", "1000/1s")

    with pytest.raises(BadSetting, match="rate_bytes_by_token"):
        load()
