"""Codex's rollouts as four genuine versions wrote them: each total is the agent's own."""

import itertools
import json
from datetime import UTC, datetime

import pytest

from analytics.contracts.agent_events import (
    AgentEvent,
    ContextCompacted,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SessionStarted,
    ToolFinished,
)
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.measures.rows import Measures
from gateway.otlp.intake import OtlpSignal, read
from gateway.transcripts.codex import CodexReader
from tests.support.facts import arrivals
from tests.support.folding import fold_all
from tests.support.rollouts import (
    BEGAN_MS,
    FOLDER,
    NOW_MS,
    VERSIONS,
    Form,
    Thread,
    Turn,
    captured,
    imported,
    lines_of,
    written,
)

OWN = {
    "0.50.0": {"134de4": 3_541},
    "0.98.0": {"9aa38d": 7_214, "ddac87": 7_577, "08553b": 7_566 - 5_658, "00247f": 9_496 - 7_566},
    "0.130.0": {
        "e8dfb5": 7_390,
        "872008": 7_841,
        "d51f83": 7_830 - 5_856,
        "41e1d5": 9_826 - 7_830,
        "61d8e5": 2_221,
    },
    "0.171.0": {
        "b91512": 4_376,
        "3c5968": 5_514 - 4_376,
        "566106": 1_160,
        "6529b0": 4_800,
        "35bc5b": 8_149,
        "bfe1eb": 8_138 - 6_087,
        "c2aeeb": 10_211 - 8_138,
        "f67fbf": 2_155,
    },
}
"""The last total that each thread's rollout says, by the end of its id, less its parent's then."""


def total_of(event: RequestFinished) -> int:
    return event.input_tokens + event.cache_read_tokens + event.output_tokens


def by_thread(events: list[AgentEvent]) -> dict[str, int]:
    """Return the tokens that are told of each thread."""
    added: dict[str, int] = {}
    for event in events:
        if isinstance(event, RequestFinished):
            key = event.session_id[-6:]
            added[key] = added.get(key, 0) + total_of(event)
    return added


def folded(*batches: list[AgentEvent]) -> Measures:
    number, logs = 0, []
    for batch in batches:
        logs.append(arrivals(batch, first_offset=number, received_ms=NOW_MS))
        number += len(batch)
    rows = fold_all(logs, now_ms=NOW_MS).sessions.values()
    names = Measures.__struct_fields__
    return Measures(*(sum(getattr(row.totals, name) for row in rows) for name in names))


def live() -> list[AgentEvent]:
    """Return what the same client's telemetry told while it wrote the rollouts."""
    body = (FOLDER / "0.171.0" / "otlp_logs.json").read_bytes()
    intake = read(OtlpSignal.LOGS, body, as_json=True, tenant=DEFAULT_TENANT, received_ms=NOW_MS)
    return list(intake.events)


@pytest.mark.requirement("one-identity")
@pytest.mark.parametrize("version", VERSIONS)
def test_each_thread_comes_to_what_codex_itself_counted_of_it(version: str) -> None:
    _, events = imported(map(lines_of, captured(version)))

    assert by_thread(events) == OWN[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_order_of_reading_and_a_file_read_again_add_nothing(version: str) -> None:
    files = [lines_of(path) for path in captured(version)]

    for order in itertools.islice(itertools.permutations(files), 0, 120, 17):
        reader, events = imported([*order, order[0]])

        assert by_thread(events) == OWN[version]
        assert reader.totals.spent.output_tokens == sum(
            event.output_tokens for event in events if isinstance(event, RequestFinished)
        )


def test_a_fork_that_is_left_alone_tells_of_its_parents_turns_as_its_parents() -> None:
    fork = captured("0.130.0")[3]

    _, events = imported([lines_of(fork)])

    assert by_thread(events) == {"872008": 5_856, "d51f83": 7_830 - 5_856, "41e1d5": 9_826 - 7_830}


def test_prompts_tools_failures_and_compactions_are_told() -> None:
    reader, events = imported(map(lines_of, captured("0.171.0")))

    tools = [event for event in events if isinstance(event, ToolFinished)]
    assert reader.totals.prompts == 13 == sum(isinstance(e, PromptSubmitted) for e in events)
    assert [(tool.tool, tool.succeeded) for tool in tools] == [
        ("exec_command", True),
        ("exec_command", False),
        ("exec_command", True),
        ("exec_command", True),
        ("spawn_agent", True),
    ]
    assert [e.before_tokens for e in events if isinstance(e, ContextCompacted)] == [1_600]
    assert sum(isinstance(e, RequestFailed) for e in events) == reader.totals.failures == 1
    started = [event for event in events if isinstance(event, SessionStarted)]
    assert {event.project for event in started} == {"plant"}
    assert {event.version for event in started} == {"0.171.0"}


def test_no_contents_are_told_unless_they_are_kept() -> None:
    _, events = imported(map(lines_of, captured("0.171.0")))
    reader = CodexReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS, keep_content=True)
    reader.open("f", session_id="s")
    kept = [
        event
        for number, line in enumerate(lines_of(captured("0.171.0")[0]), start=1)
        for event in reader.line(json.dumps(line).encode(), number)
    ]

    texts = [event.text for event in kept if isinstance(event, PromptSubmitted)]
    assert not any(event.text for event in events if isinstance(event, PromptSubmitted))
    assert texts == ["Please RUN something", "RUN_FAIL now"]


@pytest.mark.requirement("one-identity")
def test_live_telemetry_and_the_import_of_the_same_threads_count_once() -> None:
    _, events = imported(map(lines_of, captured("0.171.0")))

    alone, after, before = folded(events), folded(live(), events), folded(events, live())

    assert after == before
    for measure in ("input_tokens", "cache_read_tokens", "output_tokens", "prompts", "sessions",
                    "tool_calls", "tool_errors", "cost_nanousd"):  # fmt: skip
        assert getattr(after, measure) == getattr(alone, measure), measure
    assert after.calls - after.call_errors == alone.calls - alone.call_errors


def test_two_forks_that_ask_and_use_the_same_both_count() -> None:
    root = Thread(number=1, began_ms=BEGAN_MS, turns=(turn(1, BEGAN_MS),))
    forks = [
        Thread(
            number=number,
            began_ms=BEGAN_MS + 60_000 * number,
            turns=(turn(number, BEGAN_MS + 60_000 * number + 5_000),),
            parent=root,
            kept=root.turns,
        )
        for number in (2, 3)
    ]

    for form in (Form(), Form(records=True), Form(copies=False)):
        reader, _ = imported(written(thread, form) for thread in (root, *forks))

        assert reader.totals.requests == 3, form
        assert reader.totals.spent.output_tokens == 21, form


def turn(number: int, began_ms: int) -> Turn:
    return Turn(number=number, text="the same", answers=(7,), began_ms=began_ms)


def line(kind: str, payload: object, *, second: int = 0) -> bytes:
    at = f"2026-11-30T10:00:{second:02d}.000Z"
    return json.dumps({"timestamp": at, "type": kind, "payload": payload}).encode() + b"\n"


def token_count(total: dict[str, int], last: dict[str, int]) -> bytes:
    info = {"total_token_usage": total, "last_token_usage": last}
    return line("event_msg", {"type": "token_count", "info": info})


def read_lines(*lines: bytes) -> CodexReader:
    reader = CodexReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS)
    reader.open("f", session_id="s")
    for number, raw in enumerate(lines, start=1):
        reader.line(raw, number)
    return reader


def test_a_total_that_begins_anew_counts_from_its_last_request() -> None:
    ten = {"input_tokens": 10, "output_tokens": 1, "total_tokens": 11}
    full = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 9_000}
    four = {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}

    reader = read_lines(token_count(ten, ten), token_count(full, full), token_count(four, four))

    assert reader.totals.requests == 2
    assert (reader.totals.spent.input_tokens, reader.totals.spent.output_tokens) == (14, 3)


def test_lines_that_say_only_what_the_last_request_took_add_up() -> None:
    info = {"last_token_usage": {"input_tokens": 4, "output_tokens": 2}}
    last = line("event_msg", {"type": "token_count", "info": info})

    reader = read_lines(last, last)

    assert (reader.totals.requests, reader.totals.spent.output_tokens) == (2, 4)


def head(thread_id: str, at_ms: int, **more: object) -> dict[str, object]:
    began = datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat()
    payload = {"id": thread_id, "timestamp": began, **more}
    return {"timestamp": began, "type": "session_meta", "payload": payload}


def spent(at_ms: int, total: int, last: int, **turn: object) -> list[dict[str, object]]:
    at = datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat()
    told = {
        "total_token_usage": {"input_tokens": 0, "output_tokens": total},
        "last_token_usage": {"input_tokens": 0, "output_tokens": last},
    }
    usage = {"type": "token_count", "info": told}
    return [
        {"timestamp": at, "type": "turn_context", "payload": {"model": "m", **turn}},
        {"timestamp": at, "type": "event_msg", "payload": usage},
    ]


@pytest.mark.parametrize("numbered", [True, False])
def test_copies_that_keep_their_time_and_have_no_heads_are_their_parents(numbered: bool) -> None:
    turns = [{"turn_id": str(n)} if numbered else {} for n in range(3)]
    parent = [
        head("parent", 1_000),
        *spent(2_000, 5, 5, **turns[0]),
        *spent(3_000, 9, 4, **turns[1]),
    ]
    fork = [head("fork", 10_000, forked_from_id="parent"), *parent[1:],
            *spent(11_000, 12, 3, **turns[2])]  # fmt: skip

    for files in ([parent, fork], [fork, parent]):
        _, events = imported(files)

        answers = [event for event in events if isinstance(event, RequestFinished)]
        assert {(event.session_id, event.output_tokens) for event in answers} >= {("fork", 3)}
        assert sum(event.output_tokens for event in answers) == 12


def test_numbered_turns_of_threads_that_are_not_kin_are_different_ones() -> None:
    threads = [[head(name, 1_000), *spent(2_000, 5, 5, turn_id="1")] for name in ("a", "b")]

    reader, _ = imported(threads)

    assert (reader.totals.requests, reader.totals.spent.output_tokens) == (2, 10)


def test_a_fork_that_goes_on_from_its_parents_total_counts_its_own_requests_only() -> None:
    parent = [head("parent", 1_000), *spent(2_000, 5, 5)]
    again = spent(11_000, 5, 5)
    fork = [head("fork", 10_000, forked_from_id="parent"), *again, *spent(12_000, 8, 3)]
    at_once = [head("at once", 10_000, forked_from_id="parent"), *spent(12_000, 7, 2)]

    of_fork = [head("of fork", 20_000, forked_from_id="fork"), *spent(21_000, 5, 5)]

    reader, _ = imported([parent, fork, at_once, of_fork])

    assert (reader.totals.requests, reader.totals.spent.output_tokens) == (3, 10)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"[1]\n", "not-an-object"),
        (b"{\n", "not-json"),
        (b'{"type"', "torn-last-line"),
        (b'{"timestamp":"2026-01-01T00:00:00Z","payload":{}}\n', "no-type"),
        (b'{"type":"event_msg","payload":{}}\n', "no-timestamp"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_the_next_one_counts(
    raw: bytes, fault: str
) -> None:
    ten = {"input_tokens": 10, "output_tokens": 1}

    reader = read_lines(raw, token_count(ten, ten))

    assert {str(key): number for key, number in reader.totals.skipped.items()} == {fault: 1}
    assert reader.totals.requests == 1


def test_lines_of_the_first_versions_and_of_unknown_kinds_are_passed_over() -> None:
    reader = read_lines(
        b'{"id":"x","timestamp":"2025-06-01T00:00:00Z","instructions":null}\n',
        b'{"type":"message","role":"user","content":[]}\n',
        b'{"record_type":"state"}\n',
        line("event_msg", {"type": "quite_new"}),
        line("quite_new", {"a": 1}),
        line("event_msg", {"type": "token_count", "info": "odd"}),
        line("response_item", {"type": "function_call_output", "output": "never called"}),
    )

    assert not reader.totals.skipped
    assert reader.totals.uncounted == {"head": 2, "message": 1, "quite_new": 2}
