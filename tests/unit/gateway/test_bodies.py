"""Request bodies within limits: bombs, memory that senders share, and whose turn it is."""

import asyncio
import gzip
import itertools
import threading
import zlib
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts.errors import BadBody, TooLarge, Unavailable
from gateway.http.body_readers import Readers
from gateway.http.limits import INLINE_BYTES, Bodies, Inflation, inflate
from tests.support.gateway import client, gateway, token, until
from tests.support.publisher_memory import MemoryPublisher

LIMIT: Final = 1_048_576
DEEP: Final = 200_000
JSON: Final = {"Content-Type": "application/json"}
INGEST_PATHS: Final = ("/v1/events", "/v1/logs", "/v1/metrics", "/v1/traces", "/hooks/claude")
STARTED: Final = b'{"type":"session.started","id":"e","session_id":"s","at_ms":%b}'

pytestmark = pytest.mark.requirement("limits-have-names")


def _bomb(size: int) -> bytes:
    return gzip.compress(bytes(size), 9)


@pytest.mark.parametrize("ingest_path", INGEST_PATHS)
@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", _bomb(64 * LIMIT), 413),
        ("gzip", _bomb(LIMIT) * 60, 413),
        ("gzip", _bomb(1) * 100, 400),
        ("gzip", _bomb(100)[:-9], 400),
        ("gzip", zlib.compress(bytes(100)), 400),
        ("gzip, gzip", gzip.compress(_bomb(64 * LIMIT)), 415),
        ("gzip", gzip.compress(_bomb(64 * LIMIT)), 400),
        ("deflate", zlib.compress(bytes(64 * LIMIT)), 415),
        ("zstd", b"\x28\xb5\x2f\xfd" + bytes(100), 415),
        ("br", bytes(100), 415),
    ],
    ids=["a bomb", "many bombs", "many members", "torn", "no gzip", "declared nested", "nested",
         "deflate", "zstd", "brotli"],
)  # fmt: skip
async def test_what_is_packed_is_refused_for_what_it_is(
    ingest_path: str, encoding: str, body: bytes, status: int
) -> None:
    under_test = gateway(
        MemoryPublisher(), body_bytes_max=LIMIT, hook_bytes_max=LIMIT, hook_body_bytes_max=LIMIT
    )

    async with client(under_test, bearer=token()) as http:
        headers = {**JSON, "Content-Encoding": encoding}
        answer = await http.post(ingest_path, content=body, headers=headers)

    assert answer.status_code == status


NUMBERS: Final = [
    b"9" * DEEP, b"-1e" + b"9" * DEEP, b"0." + b"1" * DEEP, b'"' + b"\\u0000" * DEEP + b'"',
    b'"' + b"\xff" * DEEP + b'"', b"\x00" * DEEP,
]  # fmt: skip
HOOK: Final = b'{"hook_event_name":"PostToolUse","tool_input":%b,"tool_response":%b}'
ATTRIBUTE: Final = b'{"key":"a","value":%b}'
LOGS: Final = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{},"attributes":[%b]}]}]}]}'


@pytest.mark.parametrize("ingest_path", INGEST_PATHS)
@pytest.mark.parametrize("number", NUMBERS, ids=itertools.count())
async def test_numbers_and_texts_without_an_end_are_answered(
    ingest_path: str, number: bytes
) -> None:
    async with client(gateway(MemoryPublisher()), bearer=token()) as http:
        answers = [
            await http.post(ingest_path, content=body, headers=JSON)
            for body in (STARTED % number, number, HOOK % (number, number), LOGS % number)
        ]

    assert {answer.status_code for answer in answers} <= {200, 400, 413}


@pytest.mark.parametrize("opened", [b"[", b'{"a":'], ids=["lists", "objects"])
async def test_whatever_the_depth_it_is_answered(opened: bytes) -> None:
    closed = b"]" if opened == b"[" else b"}"
    statuses = set()

    async with client(gateway(MemoryPublisher()), bearer=token()) as http:
        for depth in (10, 90, 120, 300, 700, *range(900, 1_050, 10), DEEP):
            deep = opened * depth + b"1" + closed * depth
            values = b'{"arrayValue":{"values":[' * (depth // 3) + b"]}}" * (depth // 3)
            for ingest_path, body in (
                ("/v1/events", STARTED % (b'1,"more":' + deep)),
                ("/v1/events", deep),
                ("/hooks/claude", HOOK % (deep, deep)),
                ("/v1/logs", LOGS % (ATTRIBUTE % deep)),
                ("/v1/logs", LOGS % (ATTRIBUTE % values)),
                ("/v1/traces", deep),
            ):
                answer = await http.post(ingest_path, content=body, headers=JSON)
                statuses.add(answer.status_code)

    assert statuses <= {200, 400, 413}


@given(
    parts=st.lists(st.binary(max_size=5_000), min_size=1, max_size=5),
    step=st.integers(1, 7_000),
)
def test_a_body_unpacks_to_what_was_packed_whatever_the_steps(
    parts: list[bytes], step: int
) -> None:
    packed = b"".join(gzip.compress(part) for part in parts)
    inflation = Inflation(packed, bytes_max=100_000)
    found = []
    while not inflation.done:
        found.append(inflation.step(step))

    assert b"".join(found) == b"".join(parts)
    assert all(len(one) <= step for one in found)
    assert inflate(packed, bytes_max=100_000) == b"".join(parts)


@given(size=st.integers(0, 3 * INLINE_BYTES), room=st.integers(0, 3 * INLINE_BYTES))
def test_a_body_is_refused_exactly_where_it_holds_more_than_it_may(size: int, room: int) -> None:
    packed = _bomb(size)
    if size <= room:
        assert len(inflate(packed, bytes_max=room)) == size
        return
    with pytest.raises(TooLarge):
        inflate(packed, bytes_max=room)


@given(cut=st.integers(0, 200))
def test_a_body_that_is_torn_is_never_taken(cut: int) -> None:
    packed = gzip.compress(b"abc" * 300)
    torn = packed[: min(cut, len(packed) - 1)]

    with pytest.raises(BadBody):
        inflate(torn, bytes_max=10_000)


def test_one_sender_leaves_room_for_the_others() -> None:
    bodies = Bodies(bytes_max=100)
    greedy = bodies.hold("greedy")
    greedy.grow(30)

    with pytest.raises(Unavailable):
        greedy.grow(30)
    bodies.hold("other").grow(40)
    greedy.release()
    bodies.hold("greedy").grow(50)

    assert bodies.bytes == 90


async def test_a_body_gives_its_memory_back_once_it_is_answered() -> None:
    under_test = gateway(MemoryPublisher(), bodies_bytes_max=3_000_000)

    async with client(under_test, bearer=token()) as http:
        answers = [
            await http.post("/v1/events", content=b" " * 1_400_000 + b"[]", headers=JSON)
            for _ in range(3)
        ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_senders_take_turns_and_not_their_bodies() -> None:
    readers = Readers()
    order: list[str] = []
    going = threading.Event()

    def read(name: str) -> Callable[[], None]:
        def told() -> None:
            going.wait(5)
            order.append(name)

        return told

    async with asyncio.TaskGroup() as tasks:
        for name in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
            tasks.create_task(readers.run(name[0], read(name)))
            await asyncio.sleep(0)
        going.set()

    assert order == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


async def test_who_leaves_while_waiting_holds_nobody_up() -> None:
    readers = Readers()
    going = threading.Event()
    done: list[str] = []
    first = asyncio.ensure_future(readers.run("a", lambda: going.wait(5)))
    leaving = asyncio.ensure_future(readers.run("b", lambda: done.append("b")))
    staying = asyncio.ensure_future(readers.run("c", lambda: done.append("c")))
    await asyncio.sleep(0)

    leaving.cancel()
    going.set()
    await first
    await until(staying.done)

    assert done == ["c"]
