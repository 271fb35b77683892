"""What is one thing counts once, whichever ingest path and whichever session's file tells of it."""

import json
from collections.abc import Iterable, Mapping

import pytest

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.measures.rows import Measures
from gateway.hooks.claude_code import read_hook
from gateway.otlp.intake import OtlpSignal
from gateway.transcripts.reader import TranscriptReader
from tests.support.facts import arrivals
from tests.support.folding import fold_all
from tests.support.ingest import NOW_MS, log, span, taken

pytestmark = pytest.mark.requirement("one-identity")

RESOURCE = {"service.name": "claude-code"}
PARENT, FORK = "parent-7f3a91c2", "fork-51be08d4"

Line = dict[str, object]


def asked(number: int, session: str = PARENT, **more: object) -> Line:
    """Return a person's line; its ids say nothing of the session."""
    return {
        "type": "user",
        "uuid": f"8a1b22c3-d4u{number}77e9",
        "sessionId": session,
        "timestamp": f"2026-01-01T00:00:{10 + number}.000Z",
        "message": {"role": "user", "content": f"question {number}"},
        **more,
    }


def answered(
    number: int,
    session: str = PARENT,
    *,
    request_id: bool = True,
    failed: bool = False,
    **more: object,
) -> Line:
    """Return a model's line of ten times `number` tokens, and of one tool call."""
    usage = {"input_tokens": 10 * number, "output_tokens": number}
    block = {"type": "tool_use", "id": f"toolu_91c4e7{number}a2b3", "name": "Bash", "input": {}}
    line: Line = {
        "type": "assistant",
        "uuid": f"9c3d44e5-f6a{number}88b7",
        "sessionId": session,
        "timestamp": f"2026-01-01T00:00:{10 + number}.500Z",
        "message": {
            "id": f"msg_01c5f8{number}d7e9",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [block],
            "usage": usage,
        },
        **({"requestId": f"req_77a1b2{number}c3d4"} if request_id else {}),
        **more,
    }
    if failed:
        line |= {"isApiErrorMessage": True, "error": "overloaded"}
    return line


def message_of(line: Line) -> dict[str, object]:
    message = line["message"]
    assert isinstance(message, dict)
    return message


def imported(*files: Iterable[Line]) -> list[AgentEvent]:
    """Return what one import makes of transcripts, read in this order."""
    reader = TranscriptReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS)
    made: list[AgentEvent] = []
    for place, lines in enumerate(files):
        reader.open(str(place), session_id="of-the-file")
        for number, line in enumerate(lines, start=1):
            made += reader.line(json.dumps(line).encode() + b"\n", number)
        made += reader.close()
    return [*made, *reader.finish()]


def counted(*batches: Iterable[AgentEvent]) -> Measures:
    """Return what all sessions add up to once the batches are folded, one after the other."""
    number, logs = 0, []
    for batch in batches:
        logs.append(arrivals(batch, first_offset=number, received_ms=NOW_MS))
        number += len(logs[-1])
    rows = fold_all(logs, now_ms=NOW_MS).sessions.values()
    return Measures(
        *(sum(getattr(row.totals, name) for row in rows) for name in Measures.__struct_fields__)
    )


def hook(name: str, session: str = PARENT, **fields: object) -> list[AgentEvent]:
    given = {"hook_event_name": name, "session_id": session, **fields}
    return list(read_hook(json.dumps(given).encode(), tenant=DEFAULT_TENANT, received_ms=NOW_MS))


def logged(name: str, **attributes: object) -> list[AgentEvent]:
    told = {"session.id": PARENT, **_dotted(attributes)}
    return list(taken(OtlpSignal.LOGS, [log(name, told)], RESOURCE).events)


def traced(name: str, **attributes: object) -> list[AgentEvent]:
    told = {"session.id": PARENT, **_dotted(attributes)}
    return list(taken(OtlpSignal.TRACES, [span(f"claude_code.{name}", told)], RESOURCE).events)


def _dotted(attributes: Mapping[str, object]) -> dict[str, object]:
    return {name.replace("__", "."): value for name, value in attributes.items()}


HISTORY = [line for number in (1, 2) for line in (asked(number), answered(number))]
COPIED = [{**line, "sessionId": FORK} for line in HISTORY]
NAMED = [{**line, "forkedFrom": {"sessionId": PARENT, "messageUuid": line["uuid"]}}
         for line in COPIED]  # fmt: skip
OWN = [asked(3, FORK), answered(3, FORK)]
GOES_ON = [*HISTORY, asked(4), answered(4)]


@pytest.mark.parametrize("copied", [COPIED, NAMED], ids=["unnamed", "forkedFrom"])
@pytest.mark.parametrize("first", ["parent", "fork"])
def test_a_fork_counts_what_is_its_own_whichever_file_is_read_first(
    copied: list[Line], first: str
) -> None:
    fork = [*copied, *OWN]
    files = [HISTORY, fork] if first == "parent" else [fork, HISTORY]

    measures = counted(imported(*files))

    assert (measures.calls, measures.prompts, measures.input_tokens) == (3, 3, 60)


def test_the_same_folder_imported_again_in_another_order_adds_what_is_new() -> None:
    fork = [*COPIED, *OWN]

    measures = counted(imported(HISTORY, fork), imported(fork, GOES_ON), imported(GOES_ON, fork))

    assert (measures.calls, measures.prompts, measures.input_tokens) == (4, 4, 100)


@pytest.mark.parametrize("live_first", [True, False])
def test_a_parent_that_was_told_of_live_and_its_fork_on_disk_count_once(
    *, live_first: bool
) -> None:
    live = [
        *hook("UserPromptSubmit", prompt_id="turn-1", prompt="question 1"),
        *logged("user_prompt", prompt__id="turn-1", prompt_length=10,
                message__uuid="8a1b22c3-d4u177e9"),
        *logged("api_request", request_id="req_77a1b21c3d4", model="claude-sonnet-4-5",
                input_tokens=10, output_tokens=1),
    ]  # fmt: skip
    disk = imported([*COPIED, *OWN])

    measures = counted(live, disk) if live_first else counted(disk, live)

    assert (measures.calls, measures.prompts, measures.input_tokens) == (3, 3, 60)


@pytest.mark.parametrize("ids", [{}, {"client_request_id": "c-90817263"}], ids=["none", "client"])
@pytest.mark.parametrize("live_first", [True, False])
def test_without_a_request_id_live_and_imported_count_once(
    ids: dict[str, object], *, live_first: bool
) -> None:
    tokens: dict[str, object] = {
        "model": "us.anthropic.claude-sonnet-4-5-v1",
        "input_tokens": 10,
        "output_tokens": 1,
    }
    live = [
        *logged("api_request", **ids, **tokens, cost_usd=0.25),
        *traced("llm_request", **ids, **tokens, success=True),
    ]
    disk = imported([asked(1), answered(1, request_id=False)])

    measures = counted(live, disk, disk) if live_first else counted(disk, live, disk)

    assert (measures.calls, measures.input_tokens, measures.cost_nanousd) == (1, 10, 250_000_000)


def test_without_request_ids_as_many_alike_count_as_the_ingest_path_that_tells_of_most_says() -> (
    None
):
    tokens: dict[str, object] = {"model": "m", "input_tokens": 10, "output_tokens": 1}
    live = [event for at in "123" for event in logged("api_request", **tokens, sequence=at)]
    again = answered(1, request_id=False, uuid="9c3d44e5-f6a188another1")
    again["message"] = message_of(again) | {"id": "msg_01c5f8another9"}
    twice = [answered(1, request_id=False), again]

    assert counted(live, imported(twice)).calls == 3
    assert counted(imported(twice), live[:1]).calls == 2


def test_a_failure_told_by_log_span_hook_and_transcript_counts_once() -> None:
    told: dict[str, object] = {
        "request_id": "req_77a1b21c3d4",
        "status_code": 529,
        "error": "Overloaded",
    }
    reports = [
        logged("api_error", **told),
        traced("llm_request", **told, success=False),
        hook("StopFailure", error="overloaded"),
        imported([asked(1), answered(1, failed=True)]),
    ]

    for order in (reports, reports[::-1], reports[2:] + reports[:2]):
        measures = counted(*order)
        assert (measures.calls, measures.call_errors) == (1, 1)


def test_two_failures_told_by_their_logs_and_one_hook_are_two() -> None:
    logs = [logged("api_error", request_id=f"req_77a1b2{number}c3d4") for number in (1, 2)]

    assert counted(*logs, hook("StopFailure", error="overloaded")).call_errors == 2


def test_a_tools_result_without_its_id_is_of_the_call_that_a_hook_told_of() -> None:
    by_hook = [hook(name, tool_name="Bash", tool_use_id="toolu_91c4e71a2b3", tool_input={"a": 1})
               for name in ("PreToolUse", "PostToolUse")]  # fmt: skip
    by_log = logged("tool_result", tool_name="Bash", success="true", duration_ms=4)

    assert counted(*by_hook, by_log).tool_calls == 1
    assert counted(by_log, *by_hook).tool_calls == 1
    assert counted(by_hook[0], by_log, by_hook[1]).tool_calls == 1


def test_a_tool_call_that_a_fork_copied_counts_once() -> None:
    result: Line = {
        "type": "user", "uuid": "8a1b22c3-d4r177e9", "timestamp": "2026-01-01T00:00:12.000Z",
        "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_91c4e71a2b3", "content": "ok"}]},
    }  # fmt: skip
    whole = [answered(1), {**result, "sessionId": PARENT}]
    copy = [{**line, "sessionId": FORK} for line in whole]

    assert counted(imported(copy, whole), imported(whole, copy)).tool_calls == 1


def test_names_that_are_numbered_in_each_session_are_not_taken_for_copies() -> None:
    files = []
    for session in (PARENT, FORK):
        line = answered(1, session)
        line["message"] = message_of(line) | {"id": f"msg_{session}"}
        line["requestId"] = f"req_{session}"
        call = {"type": "tool_result", "tool_use_id": "functions.Bash:12", "content": "ok"}
        result = {**asked(1, session), "message": {"role": "user", "content": [call]}}
        files.append([line, result])

    measures = counted(imported(*files))

    assert (measures.calls, measures.tool_calls) == (2, 2)


def test_a_fork_gives_its_own_turn_to_the_prompts_it_copied_and_they_stay_apart() -> None:
    turn = {"promptId": "turn-of-the-fork-1"}
    parent = [{**asked(number), "promptId": f"turn-{number}-of-parent"} for number in (1, 2)]
    fork = [{**asked(number, FORK), **turn} for number in (1, 2, 3)]
    live = [
        *hook("UserPromptSubmit", FORK, prompt_id="turn-of-the-fork-1", prompt="question 3"),
        *hook("UserPromptSubmit", prompt_id="turn-1-of-parent", prompt="question 1"),
    ]

    for order in ([parent, fork], [fork, parent]):
        for batches in ([live, imported(*order)], [imported(*order), live]):
            assert counted(*batches).prompts == 3
