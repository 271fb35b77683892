"""What becomes of records that cannot be read, few or many."""

from typing import Any, Final

import pytest

from analytics.contracts.errors import BrokerAway
from gateway.http.auth import Grant, TokenScope
from gateway.kafka.dead_letters import (
    LETTERS_BYTES_MAX,
    LETTERS_MAX,
    REASONS_MAX,
    Letter,
    send_dead_letters,
)
from tests.support.gateway import TENANT, client, gateway, token
from tests.support.publisher_memory import MemoryPublisher

INGEST_PATH: Final = "events"
GRANT: Final = Grant(
    user="ada", tenant=TENANT, scopes=frozenset({TokenScope.PUBLISH}), expires_ms=None
)
MANY: Final = 10_000
BAD_SPAN: Final = {"traceId": "no hex", "spanId": "neither", "name": "x"}

pytestmark = pytest.mark.requirement("bad-input-answered")


async def test_ten_thousand_bad_records_are_all_answered_and_leave_few_letters() -> None:
    publisher = MemoryPublisher()
    batch: list[Any] = [{"type": "nonsense", "id": f"e{number}"} for number in range(MANY)]

    async with client(gateway(publisher), bearer=token()) as http:
        answer = await http.post("/v1/events", json=batch)

    results = answer.json()["results"]
    assert [one["id"] for one in results] == [f"e{number}" for number in range(MANY)]
    assert {one["status"] for one in results} == {"refused"}
    assert len(publisher.dead_letters) == LETTERS_MAX + 1
    assert publisher.dead_letters[-1].reason.startswith(
        f"{MANY - LETTERS_MAX} more of the same request were refused: "
        f"{MANY - LETTERS_MAX} × type 'nonsense' is not known"
    )


async def test_bad_records_of_opentelemetry_leave_few_letters_too() -> None:
    publisher = MemoryPublisher()
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [BAD_SPAN] * 1_000}]}]}

    async with client(gateway(publisher), bearer=token()) as http:
        answer = await http.post("/v1/traces", json=spans)

    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1000"
    assert len(publisher.dead_letters) == LETTERS_MAX + 1


async def test_few_letters_are_all_kept_as_they_came() -> None:
    publisher = MemoryPublisher()
    letters = [Letter(b"%d" % number, f"reason {number}") for number in range(LETTERS_MAX)]

    await send_dead_letters(publisher, letters, ingest_path=INGEST_PATH, grant=GRANT)

    assert [(letter.payload, letter.reason) for letter in publisher.dead_letters] == [
        (letter.payload, letter.reason) for letter in letters
    ]


async def test_letters_beyond_their_bytes_are_counted_and_the_first_is_always_kept() -> None:
    publisher = MemoryPublisher()
    large = Letter(b"x" * LETTERS_BYTES_MAX, "large")

    await send_dead_letters(
        publisher, [large, large, Letter(b"y", "small")], ingest_path=INGEST_PATH, grant=GRANT
    )

    assert [letter.payload[:1] for letter in publisher.dead_letters] == [b"x", b""]
    assert publisher.dead_letters[1].reason == (
        "2 more of the same request were refused: 1 × large; 1 × small"
    )


async def test_the_letter_about_the_rest_names_its_most_frequent_reasons() -> None:
    publisher = MemoryPublisher()
    letters = [Letter(b"", f"reason {number % 50}") for number in range(1_000)]

    await send_dead_letters(publisher, letters, ingest_path=INGEST_PATH, grant=GRANT)

    assert publisher.dead_letters[-1].reason.count("×") == REASONS_MAX


async def test_a_broker_that_is_away_keeps_no_letter_and_breaks_no_answer() -> None:
    publisher = MemoryPublisher()
    publisher.away = True
    with pytest.raises(BrokerAway):
        await publisher.dead_letter(b"", reason="", origin="", tenant=TENANT)

    await send_dead_letters(
        publisher, [Letter(b"x", "bad")] * 200, ingest_path=INGEST_PATH, grant=GRANT
    )

    assert publisher.dead_letters == []
