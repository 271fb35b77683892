"""Large bodies cut while they come: what is left is JSON within the limit."""

import gzip
import json
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.contracts import clean
from analytics.contracts.errors import TooLarge
from gateway.http.truncated_json import TEXT_BYTES_MAX, Cutter, TruncatedBody
from tests.support.gateway import client, gateway, token
from tests.support.publisher_memory import MemoryPublisher

TEXT_MAX: Final = 60
KEPT_MAX: Final = 400
HEADERS: Final = {"content-type": "application/json", "authorization": f"Bearer {token()}"}
LONG: Final = st.sampled_from(["A", "é", '"', "\\", "\n", "\U0001f600", "\0"]).map(
    lambda one: one * (TEXT_MAX + 3)
)
VALUES: Final = st.recursive(
    st.none() | st.integers() | st.text(max_size=9) | LONG,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def _cut(body: bytes, *, pieces: int) -> TruncatedBody:
    cutter = Cutter(kept_max=KEPT_MAX, text_max=TEXT_MAX)
    for start in range(0, len(body), pieces):
        cutter.feed(body[start : start + pieces])
    return cutter.result()


def _read(body: bytes) -> object:
    return clean.decoded(msgspec.json.decode, body)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.sampled_from([1, 7, 90]))
def test_what_is_left_is_json_within_the_limit_however_it_comes(
    fields: dict[str, object], pieces: int
) -> None:
    body = json.dumps(fields, separators=(",", ":")).encode()

    cut = _cut(body, pieces=pieces)

    assert cut == _cut(body, pieces=len(body))
    assert len(cut.body) <= 2 * KEPT_MAX
    left = _read(cut.body)
    assert isinstance(left, dict)
    assert list(left) == list(json.loads(body))
    for name, value in fields.items():
        assert (left[name] == value) == (name not in cut.lost)


@given(st.lists(VALUES, min_size=2, max_size=2))
def test_values_that_differed_still_differ(values: list[object]) -> None:
    first, second = (_cut(json.dumps({"v": value}).encode(), pieces=33) for value in values)

    assert (first.body == second.body) == (json.dumps(values[0]) == json.dumps(values[1]))


def test_many_small_values_are_left_out_together_and_their_neighbours_stay() -> None:
    fields = {"a": 1, "lines": [["x"] * 9] * 9_999, "z": [{"b": []}]}

    body = json.dumps(fields, separators=(",", ":")).encode()

    cut = _cut(body, pieces=41)

    left = _read(cut.body)
    assert isinstance(left, dict)
    assert (left["a"], left["z"]) == (1, [{"b": []}])
    size = len(body) - len('{"a":1,"lines":,"z":[{"b":[]}]}')
    assert left["lines"].startswith(f"…[{size} bytes cut")
    assert cut.lost == {"lines": size}


@pytest.mark.parametrize("body", [b"[" + b"1," * KEPT_MAX * 2, b"1" * KEPT_MAX * 3])
def test_what_is_no_object_is_refused_at_the_limit(body: bytes) -> None:
    with pytest.raises(TooLarge):
        _cut(body, pieces=64)


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("size", [3_000_000, 9_000_000])
async def test_a_hook_that_carries_an_image_is_counted(size: int, encoding: str) -> None:
    publisher = MemoryPublisher()
    hook = {
        "session_id": "s",
        "hook_event_name": "PostToolUse",
        "tool_name": "Read",
        "tool_use_id": "t1",
        "tool_input": {"file_path": "/a.png"},
        "tool_response": {"type": "image", "file": {"base64": "A" * size}},
        "duration_ms": 7,
    }
    body = json.dumps(hook).encode()
    headers = HEADERS | ({"content-encoding": encoding} if encoding else {})

    async with client(gateway(publisher)) as http:
        answer = await http.post(
            "/hooks/claude", content=gzip.compress(body) if encoding else body, headers=headers
        )

    assert answer.status_code == 200
    [record] = publisher.records
    told = json.loads(record.value)
    assert (told["type"], told["tool_use_id"], told["duration_ms"]) == ("tool.finished", "t1", 7)
    assert told["result_bytes"] == pytest.approx(size, abs=200)
    assert len(record.value) < TEXT_BYTES_MAX
    assert publisher.dead_letters == []


async def test_a_hook_beyond_every_limit_is_refused() -> None:
    publisher = MemoryPublisher()
    under_test = gateway(publisher, hook_bytes_max=10_000, hook_body_bytes_max=20_000)

    async with client(under_test) as http:
        answer = await http.post("/hooks/claude", content=b"[" + b"1," * 10_000, headers=HEADERS)

    assert answer.status_code == 413
