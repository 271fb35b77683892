"""What is remembered of a session, how it is kept, and what happens at its limits."""

import msgspec
import pytest

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.activity import AGENTS_MAX
from analytics.measures.cells import Accumulator
from analytics.measures.merging import CounterState, PromptState, RequestState, ToolState
from analytics.measures.rows import SessionState
from analytics.measures.session_memory import (
    BadMemory,
    Counters,
    MemoryLimits,
    SessionMemory,
    digests_of,
)

KEY = (TenantId("local"), SessionId("s1"))


def memory(**limits: int) -> SessionMemory:
    return SessionMemory(KEY, MemoryLimits(**limits), Accumulator(0))


def request_state(key: str) -> RequestState:
    return RequestState(key, 7, "p", "a", "m", "s", "main", input_tokens=3, duration_ms=9)


def learnt() -> SessionMemory:
    made = memory()
    made.ids[digests_of(["e1"])[0]] = None
    made.add_request(request_state("r1"), Counters())
    made.add_tool(ToolState("t1", 7, "p", "a", "Bash", ""), Counters())
    made.add_prompt(PromptState("p1", 7), Counters())
    made.counters["c1", 1] = made.new_counters["c1", 1] = CounterState("c1", 1, 2, 3)
    made.doing.loop_count = 4
    return made


def test_what_was_learnt_is_recalled() -> None:
    made, again = learnt(), memory()

    again.recall(None, [made.encode()])

    assert again.ids == made.ids
    assert again.requests.known == made.requests.known
    assert again.tools.known == made.tools.known
    assert again.prompts.known == made.prompts.known
    assert again.counters == made.counters
    assert again.doing == made.doing
    assert again.weight == made.weight == 5


def test_a_piece_of_the_version_before_is_recalled() -> None:
    """That version wrote six or seven parts, and eight of what the session was doing."""
    doing = ["waiting", 5, "permission", False, 7, "Bash", "d", 2]
    for digest in ([], [1]):
        piece = msgspec.msgpack.encode([b"", [], [], ["p1"], [], doing, *digest])
        again = memory()

        again.recall(None, [len(piece).to_bytes(4, "little") + piece])

        assert again.doing.state is SessionState.WAITING
        assert (again.doing.attention, again.doing.heard_ms) == ("permission", 7)
        assert again.agents == {}


def test_subagents_beyond_the_limit_are_forgotten_those_first_whose_turn_is_over() -> None:
    made = memory()
    made.doing_of("first")
    made.doing_of("second").is_over = True
    for number in range(AGENTS_MAX - 1):
        made.doing_of(f"a{number}")

    assert len(made.agents) == AGENTS_MAX
    assert "first" in made.agents
    assert "second" not in made.agents


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
        assert list(one.requests.known) == list(one.tools.known) == ["r2", "r3"]
        assert one.requests.is_settled("r1")
        assert one.tools.is_settled("r1")
        assert not one.requests.is_settled("r2")
    assert counters.merges_settled == 2


@pytest.mark.requirement("limits-have-names")
def test_prompts_are_remembered_within_their_limit() -> None:
    made = memory(prompts_max=2)

    for key in ("a", "b", "c"):
        made.add_prompt(PromptState(key, 7), Counters())

    assert list(made.prompts.known) == ["b", "c"]
    assert made.prompts.is_settled("a")


def test_a_digest_depends_on_the_whole_id() -> None:
    digests = digests_of(["x", "x" * 199, "x" * 200, "\ud800"])

    assert {len(digest) for digest in digests} == {8}
    assert len(set(digests)) == 4
