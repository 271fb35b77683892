"""Text that is not clean costs nothing: no record, no neighbour, whichever ingest path it came by.

On every ingest path three records are told; one of them holds text of a kind that JSON, UTF-8 or
the store cannot hold, as a value, as a name or in the session's id. The law: what reaches the log
is what would have been told with U+FFFD in that text's place.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts import clean, topics
from analytics.contracts.events import Event
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.privacy.filter import Filter
from analytics.privacy.rules import PrivacyRules
from gateway.hooks.claude_code import read_hook
from gateway.http.auth import Grant
from gateway.kafka import admission
from gateway.kafka.admission import Admission
from gateway.kafka.publisher import OutgoingEvent
from gateway.kafka.redaction import Private
from gateway.otlp.intake import OtlpSignal, read
from gateway.protocol.codec_json import JsonCodec
from gateway.protocol.codec_protobuf import ProtobufCodec
from gateway.protocol.messages import Rpc
from gateway.protocol.schema import classes
from gateway.transcripts.reader import TranscriptReader
from gateway.webhooks import github
from streams.consumer import deserialising
from streams.store import storable
from tests.support import ingest
from tests.support.publisher_memory import MemoryPublisher

NOW_MS: Final = ingest.NOW_MS
GRANT: Final = Grant(user="u", tenant=DEFAULT_TENANT, scopes=frozenset())
MARKS: Final = ("QQ0QQ", "QQ1QQ", "QQ2QQ")

RAW: Final = {
    "no-utf8": b"\xff",
    "cut-character": b"\xe2\x82",
    "half-in-utf8": b"\xed\xa0\xbd",
    "overlong": b"\xc0\x80",
}
"""Bytes that stand in a text of any wire format."""
ESCAPED: Final = {
    "first-half": rb"\ud83d",
    "second-half": rb"\ude00",
    "capitals": rb"\uD83D",
    "halves-swapped": rb"\ude00\ud83d",
    "half-before-pair": rb"\ud83d\ud83d\ude00",
    "nul-escape": rb"\u0000",
    "nul": b"\0",
    "control": b"\x01",
}
"""What stands in JSON alone."""
IN_JSON: Final = RAW | ESCAPED
IN_PROTOBUF: Final = RAW | {"nul": b"\0"}

Road = Callable[[bytes], list[Event]]


def _observed(mark: str) -> dict[str, Any]:
    return {
        "type": "agent.observed",
        "id": mark,
        "session_id": f"s-{mark}",
        "at_ms": NOW_MS,
        "name": "n",
        "attributes": {mark: mark},
    }


def _hook(mark: str) -> dict[str, Any]:
    return {
        "hook_event_name": "Setup",
        "session_id": f"s-{mark}",
        "trigger": mark,
        mark: mark,
    }


def _line(mark: str) -> dict[str, Any]:
    return {
        "type": "assistant",
        "uuid": f"u-{mark}",
        "sessionId": f"s-{mark}",
        "timestamp": "2026-01-01T00:00:00Z",
        "message": {
            "id": f"m-{mark}",
            "role": "assistant",
            "model": f"model-{mark}",
            "content": [{"type": "text", "text": mark, mark: mark}],
            "usage": {"input_tokens": 10, "output_tokens": 1},
        },
    }


def _given(mark: str) -> dict[str, object]:
    return {"session.id": f"s-{mark}", mark: mark}


_SPAN: Final = "b7ad6b716920333"
_REQUESTS: Final[dict[OtlpSignal, dict[str, Any]]] = {
    OtlpSignal.LOGS: ingest.request(
        OtlpSignal.LOGS, [ingest.log("claude_code.x", _given(mark), body=mark) for mark in MARKS]
    ),
    OtlpSignal.TRACES: ingest.request(
        OtlpSignal.TRACES,
        [
            ingest.span(mark, _given(mark), spanId=f"{_SPAN}{number}")
            for number, mark in enumerate(MARKS, start=1)
        ],
    ),
    OtlpSignal.METRICS: ingest.request(
        OtlpSignal.METRICS,
        [ingest.metric(mark, "sum", [ingest.point(1, _given(mark))]) for mark in MARKS],
    ),
}


def _otlp(signal: OtlpSignal, *, as_json: bool) -> Road:
    def ingest_path(body: bytes) -> list[Event]:
        taken = read(
            signal, body, as_json=as_json, tenant=DEFAULT_TENANT, received_ms=NOW_MS,
            keep_content=True,
        )  # fmt: skip
        assert not taken.refused
        return list(taken.events)

    return ingest_path


def _hooks(body: bytes) -> list[Event]:
    told = [
        read_hook(one, tenant=DEFAULT_TENANT, received_ms=NOW_MS, keep_content=True)
        for one in body.split(b"\n")
    ]
    return [event for events in told for event in events]


def _admitted(batch: admission.EventBatch) -> list[Event]:
    way_in = Admission(MemoryPublisher(), events_max=10, new_id=lambda: "made")
    read_all = [way_in._read(item, grant=GRANT, traceparent="") for item in batch.items]
    for one in read_all:
        assert isinstance(one, OutgoingEvent), one
    return [one.event for one in read_all if isinstance(one, OutgoingEvent)]


def _together(body: bytes) -> list[Event]:
    return _admitted(admission.split(body))


def _lines(body: bytes) -> list[Event]:
    return _admitted(admission.split_lines(body))


def _socket_json(body: bytes) -> list[Event]:
    return _called(JsonCodec(commands_max=10), body)


def _socket_protobuf(body: bytes) -> list[Event]:
    message: Any = classes()["Command"]
    frame = bytearray()
    for number, one in enumerate(body.split(b"\n"), start=1):
        command = message(id=number)
        command.rpc.method = "events.publish"
        command.rpc.data = one
        encoded = command.SerializeToString()
        frame += bytes((len(encoded) & 0x7F | 0x80, len(encoded) >> 7)) + encoded
    return _called(ProtobufCodec(commands_max=10), bytes(frame))


def _called(codec: JsonCodec | ProtobufCodec, frame: bytes) -> list[Event]:
    asked = [command.request for command in codec.decode(frame)]
    return [
        event
        for one in asked
        if isinstance(one, Rpc)
        for event in _admitted(admission.split(one.data))
    ]


def _transcript(body: bytes) -> list[Event]:
    reader = TranscriptReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS, keep_content=True)
    reader.open("t", session_id="t")
    told: list[Event] = []
    for number, raw in enumerate(body.splitlines(keepends=True), start=1):
        told += reader.line(raw, number)
    assert not reader.totals.skipped
    return told + list(reader.close())


def _webhooks(body: bytes) -> list[Event]:
    told: list[Event] = []
    for number, one in enumerate(body.split(b"\n")):
        delivery = github.WebhookDelivery(
            id=f"delivery-{number}", event="pull_request_review_comment", tenant=DEFAULT_TENANT,
            received_ms=NOW_MS, keep_content=True,
        )  # fmt: skip
        told += github.read(one, delivery)
    return told


class _Written(msgspec.Struct):
    offset: int
    value: bytes
    timestamp: int = NOW_MS
    headers: tuple[tuple[str, bytes], ...] = ()


def _worker(body: bytes) -> list[Event]:
    records = [_Written(number, one) for number, one in enumerate(body.split(b"\n"))]
    read_all = deserialising.events_of(topics.AGENTS)(0, records, NOW_MS)
    assert not read_all.dead_letters
    for arrival in read_all.arrivals:
        assert _is_storable(arrival.payload)
    return [arrival.event for arrival in read_all.arrivals]


def _comment(mark: str) -> dict[str, Any]:
    return {
        "action": "created",
        "repository": {"full_name": f"octo/{mark}"},
        "pull_request": {"number": 1},
        "comment": {"id": 1, "body": mark, "path": mark, "line": 3},
        "sender": {"login": mark},
        mark: mark,
    }


def _joined(records: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(one, separators=(",", ":")).encode() for one in records)


_OBSERVED: Final = [_observed(mark) for mark in MARKS]
_CALLS: Final = [
    {"id": number, "rpc": {"method": "events.publish", "data": one}}
    for number, one in enumerate(_OBSERVED, start=1)
]
_JSON: Final[dict[str, tuple[Road, bytes]]] = {
    "otlp-logs": (
        _otlp(OtlpSignal.LOGS, as_json=True),
        json.dumps(_REQUESTS[OtlpSignal.LOGS]).encode(),
    ),
    "otlp-spans": (
        _otlp(OtlpSignal.TRACES, as_json=True),
        json.dumps(_REQUESTS[OtlpSignal.TRACES]).encode(),
    ),
    "otlp-metrics": (
        _otlp(OtlpSignal.METRICS, as_json=True),
        json.dumps(_REQUESTS[OtlpSignal.METRICS]).encode(),
    ),
    "hooks": (_hooks, _joined([_hook(mark) for mark in MARKS])),
    "events-list": (_together, json.dumps(_OBSERVED).encode()),
    "events-object": (_together, json.dumps({"events": _OBSERVED}).encode()),
    "events-lines": (_lines, _joined(_OBSERVED)),
    "websocket-json": (_socket_json, _joined(_CALLS)),
    "websocket-protobuf": (_socket_protobuf, _joined(_OBSERVED)),
    "transcript": (_transcript, _joined([_line(mark) for mark in MARKS]) + b"\n"),
    "webhook": (_webhooks, _joined([_comment(mark) for mark in MARKS])),
    "worker": (_worker, _joined([{**one, "tenant": "local"} for one in _OBSERVED])),
}
_PROTOBUF: Final[dict[str, tuple[Road, bytes]]] = {
    f"otlp-{signal}-protobuf": (
        _otlp(signal, as_json=False),
        ingest.as_protobuf(signal, _REQUESTS[signal]),
    )
    for signal in OtlpSignal
}
_CASES: Final = [(ingest_path, kind) for ingest_path in _JSON for kind in IN_JSON] + [
    (ingest_path, kind) for ingest_path in _PROTOBUF for kind in IN_PROTOBUF
]
_PUT: Final = {**_JSON, **_PROTOBUF}


@pytest.mark.parametrize(("ingest_path", "kind"), _CASES)
def test_a_record_with_unclean_text_and_its_neighbours_are_told(
    ingest_path: str, kind: str
) -> None:
    take, body = _PUT[ingest_path]
    for position in range(len(MARKS)):
        unclean = _with(body, position, IN_JSON[kind])
        replaced = _with(body, position, clean.REPLACEMENT.encode())

        assert _kept(take(unclean)) == _kept(take(replaced))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    "ingest_path", ["otlp-logs", "events-list", "events-object", "events-lines"]
)
def test_a_body_may_begin_with_a_byte_order_mark(ingest_path: str, encoding: str) -> None:
    take, body = _PUT[ingest_path]

    assert _kept(take(body.decode().encode(encoding))) == _kept(take(body))


@pytest.mark.parametrize(
    "ingest_path", ["hooks", "transcript", "websocket-json", "webhook", "worker"]
)
def test_each_line_may_begin_with_a_byte_order_mark(ingest_path: str) -> None:
    take, body = _PUT[ingest_path]
    marked = b"\n".join(b"\xef\xbb\xbf" + line for line in body.strip().split(b"\n"))

    assert _kept(take(marked)) == _kept(take(body.strip()))


@given(st.binary() | st.text().map(str.encode))
def test_cleaning_twice_changes_nothing(data: bytes) -> None:
    cleaned = clean.json_bytes(data)

    cleaned.decode()
    assert clean.json_bytes(cleaned) == cleaned


@given(st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_clean_json_stays_letter_for_letter(value: object) -> None:
    for is_ascii in (True, False):
        data = json.dumps(value, ensure_ascii=is_ascii).replace("\\u0000", "x").encode()

        assert clean.json_bytes(data) == data


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_held_once_clean(value: str) -> None:
    cleaned = clean.text(value)

    cleaned.encode()
    assert "\0" not in cleaned
    assert len(cleaned) == len(value)


def _with(body: bytes, position: int, unclean: bytes) -> bytes:
    """Return a body with `unclean` in the place of one mark, and clean text in the others'.

    What is shorter than the mark is filled up: in protobuf, lengths stand before what they measure.
    """
    for number, mark in enumerate(MARKS):
        text = unclean if number == position else b"okay!"
        body = body.replace(mark.encode(), text.ljust(len(mark), b"x"))
    return body


def _is_storable(payload: bytes) -> bool:
    return bool(json.loads(storable.payload(payload)) == json.loads(payload))


def _kept(told: list[Event]) -> list[object]:
    """Return what events say once they are on their way to the log, whatever their ids."""
    private = Private(MemoryPublisher(), Filter(PrivacyRules(content=True)))
    kept = []
    for item in private._passed([OutgoingEvent(event=event) for event in told]):
        assert item.payload is not None
        assert _is_storable(item.payload)
        says = msgspec.json.decode(item.payload)
        for name in ("id", "series", "request_id"):
            says.pop(name, None)
        kept.append(json.loads(_SAME.sub("\ufffd", json.dumps(says, ensure_ascii=False))))
    return kept


_SAME: Final = re.compile("[\ufffd\U0001f600x]+")
"""What stands in an unclean text's place, however many characters it takes."""
