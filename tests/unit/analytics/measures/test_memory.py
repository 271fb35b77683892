"""What is remembered of a session, how it is kept, and what happens at its limits."""

import pytest

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.cells import Tally
from analytics.measures.memory import (
    BadMemory,
    Counters,
    MemoryLimits,
    SessionMemory,
    digests_of,
)
from analytics.measures.merging import CounterState, RequestState, ToolState

KEY = (TenantId("local"), SessionId("s1"))


def memory(**limits: int) -> SessionMemory:
    return SessionMemory(KEY, MemoryLimits(**limits), Tally(0))


def request_state(key: str) -> RequestState:
    return RequestState(key, 7, "p", "a", "m", "s", "main", input_tokens=3, duration_ms=9)


def learnt() -> SessionMemory:
    made = memory()
    made.ids[digests_of(["e1"])[0]] = None
    made.add_request(request_state("r1"), Counters())
    made.add_tool(ToolState("t1", 7, "p", "a", "Bash", ""), Counters())
    assert made.is_new_prompt("p1")
    made.counters["c1"] = made.new_counters["c1"] = CounterState("c1", 1, 2, 3)
    made.doing.loop_count = 4
    return made


def test_what_was_learnt_is_recalled() -> None:
    made, again = learnt(), memory()

    again.recall(None, [made.encode()])

    assert again.ids == made.ids
    assert again.requests == made.requests
    assert again.tools == made.tools
    assert again.prompts == made.prompts
    assert again.counters == made.counters
    assert again.doing == made.doing
    assert again.weight == made.weight == 5


def test_a_piece_holds_only_what_is_new() -> None:
    made = learnt()

    first, second = made.encode(), made.encode()

    assert len(second) < len(first)
    assert len(second) < 40


def test_joined_pieces_read_as_one_after_the_other() -> None:
    made = learnt()
    first = made.encode()
    made.ids[digests_of(["e2"])[0]] = None

    again = memory()
    again.recall(None, [first + made.encode()])

    assert list(again.ids) == digests_of(["e1", "e2"])


@pytest.mark.parametrize("data", [b"\x05\x00\x00\x00ab", b"\x01\x00\x00\x00\xc1", b"\x01"])
def test_bytes_that_are_no_memory_are_refused(data: bytes) -> None:
    with pytest.raises(BadMemory, match="memory"):
        memory().recall(None, [data])


@pytest.mark.requirement("limits-have-names")
def test_the_oldest_ids_are_forgotten_beyond_the_limit() -> None:
    made, counters = memory(ids_max=2), Counters()
    made.ids.update(dict.fromkeys(digests_of(["a", "b", "c"])))

    made.trim(counters)

    assert list(made.ids) == digests_of(["b", "c"])
    assert counters.ids_forgotten == 1


@pytest.mark.requirement("limits-have-names")
def test_the_oldest_request_is_settled_beyond_the_limit_and_stays_so_when_recalled() -> None:
    made, counters = memory(merges_max=2), Counters()

    for key in ("r1", "r2", "r3"):
        made.add_request(request_state(key), counters)
        made.add_tool(ToolState(key, 7, "p", "a", "Bash", ""), counters)
    again = memory(merges_max=2)
    again.recall(None, [made.encode()])

    for one in (made, again):
        assert list(one.requests) == list(one.tools) == ["r2", "r3"]
        assert one.is_settled("request", "r1")
        assert one.is_settled("tool", "r1")
        assert not one.is_settled("request", "r2")
    assert counters.merges_settled == 2


@pytest.mark.requirement("limits-have-names")
def test_prompts_are_remembered_within_their_limit() -> None:
    made = memory(prompts_max=2)

    told = [made.is_new_prompt(name) for name in ("a", "b", "b", "c", "a")]

    assert told == [True, True, False, True, True]
    assert len(made.prompts) == 2


def test_a_digest_depends_on_the_whole_id() -> None:
    digests = digests_of(["x", "x" * 199, "x" * 200, "\ud800"])

    assert {len(digest) for digest in digests} == {8}
    assert len(set(digests)) == 4
