"""Laws of the two accounts: the fuller one counts, by any path, in any order, over any restart.

`MAINSTEM_TESTS_HISTORIES` histories are drawn of each law.
"""

import os
import random
from collections import defaultdict
from copy import deepcopy
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from analytics.contracts import agent_events as kinds
from analytics.contracts.agent_events import AgentEvent
from analytics.measures.accounts import LABELLED, NO_LABELS, WIDTH, Accounts
from analytics.measures.rows import WIDTHS_MS, Grain
from analytics.measures.session_accumulators import Labels
from tests.property.strategies import cut
from tests.support.facts import T0_MS, arrivals, fact
from tests.support.folding import Kept, fold_all

HISTORIES: Final = int(os.environ.get("MAINSTEM_TESTS_HISTORIES", "300"))
LABELS: Final[tuple[Labels, ...]] = (
    NO_LABELS, ("opus", "", "", "main"), ("opus", "", "", "auxiliary"), ("haiku", "", "pdf", ""),
)  # fmt: skip
law = settings(max_examples=HISTORIES)


class Report(Struct, frozen=True):
    """What one ingest path tells of one measure under some labels."""

    by_metrics: bool
    place: int
    labels: Labels
    amount: int


reports = st.builds(
    Report, st.booleans(), st.integers(0, WIDTH - 1), st.sampled_from(LABELS), st.integers(0, 99)
)
histories = st.lists(reports, max_size=30)


def told(accounts: Accounts, one: Report) -> dict[Labels, int]:
    """Let a report be told; return what it changes under which labels."""
    take = accounts.take_metric if one.by_metrics else accounts.take_event
    changes: dict[Labels, int] = defaultdict(int)
    for labels, amount in take(one.place, one.labels, one.amount):
        changes[labels or one.labels] += amount
    return changes


def sums_of(history: list[Report], *, by_metrics: bool) -> dict[int, dict[Labels, int]]:
    """Return what one ingest path tells of each measure, by labels."""
    sums: dict[int, dict[Labels, int]] = {place: defaultdict(int) for place in range(WIDTH)}
    for one in history:
        if one.by_metrics is by_metrics:
            sums[one.place][one.labels] += one.amount
    return sums


def counted_of(
    history: list[Report], cuts: frozenset[int] = frozenset()
) -> list[dict[Labels, int]]:
    """Return what is counted of each measure, by labels; at a cut the accounts are recalled."""
    accounts, kept = Accounts(), []
    counted: list[dict[Labels, int]] = [defaultdict(int) for _ in range(WIDTH)]
    for number, one in enumerate(history):
        if number in cuts:
            kept += accounts.news()
            accounts = Accounts()
            accounts.recall(deepcopy(kept), None)
        for labels, amount in told(accounts, one).items():
            counted[one.place][labels] += amount
            assert amount >= 0
    return counted


@law
@given(history=histories)
def test_at_every_moment_the_larger_of_the_two_sums_is_counted(history: list[Report]) -> None:
    accounts, counted = Accounts(), [0] * WIDTH
    sums = {True: [0] * WIDTH, False: [0] * WIDTH}

    for one in history:
        counted[one.place] += sum(told(accounts, one).values())
        sums[one.by_metrics][one.place] += one.amount

        assert counted == list(map(max, sums[True], sums[False]))


@law
@given(history=histories, cuts=st.frozensets(st.integers(0, 30)))
def test_accounts_that_are_recalled_go_on_as_if_uninterrupted(
    history: list[Report], cuts: frozenset[int]
) -> None:
    assert counted_of(history, cuts) == counted_of(history)


@law
@given(history=histories, order=st.randoms(use_true_random=False))
def test_groups_are_the_fuller_accounts_where_it_tells_at_least_as_much_everywhere(
    history: list[Report], order: random.Random
) -> None:
    events, metrics = (sums_of(history, by_metrics=book) for book in (False, True))
    order.shuffle(history)

    counted = counted_of(history)

    for place in range(LABELLED):
        for fuller, other in ((events[place], metrics[place]), (metrics[place], events[place])):
            if all(fuller[labels] >= other[labels] for labels in LABELS):
                assert {k: v for k, v in counted[place].items() if v} == {
                    k: v for k, v in fuller.items() if v
                }


@law
@given(history=histories, moved=histories, order=st.randoms(use_true_random=False))
def test_what_of_the_metrics_is_another_sessions_is_taken_off_and_nothing_falls_below_zero(
    history: list[Report], moved: list[Report], order: random.Random
) -> None:
    taken_off = [Report(True, one.place, one.labels, -one.amount) for one in moved]
    every = [*history, *taken_off]
    events, metrics = (
        [
            sum(one.amount for one in every if one.place == place and one.by_metrics is book)
            for place in range(WIDTH)
        ]
        for book in (False, True)
    )
    accounts = Accounts()
    counted: list[dict[Labels, int]] = [defaultdict(int) for _ in range(WIDTH)]
    order.shuffle(every)

    for one in every:
        for labels, amount in told(accounts, one).items():
            counted[one.place][labels] += amount
        assert one.place >= LABELLED or min(counted[one.place].values(), default=0) >= 0

    assert [sum(of.values()) for of in counted] == list(map(max, events, metrics))


@law
@given(history=histories)
def test_under_no_labels_more_is_counted_than_either_account_tells(history: list[Report]) -> None:
    events, metrics = (sums_of(history, by_metrics=book) for book in (False, True))

    counted = counted_of(history)

    for place in range(LABELLED):
        for labels, amount in counted[place].items():
            assert amount <= max(events[place][labels], metrics[place][labels])


class Told(Struct, frozen=True):
    """What happened in a session, and by which ingest paths it is told."""

    session_id: str
    at_ms: int
    model: str
    input_tokens: int
    cost_nanousd: int
    lines_added: int
    by_events: bool
    by_metrics: bool
    times: int
    """How often each report comes."""


facts = st.builds(
    Told,
    st.sampled_from(["s1", "s2", "s3"]), st.integers(T0_MS, T0_MS + 150_000),
    st.sampled_from(["opus", "haiku"]), st.integers(0, 5_000), st.integers(0, 10**9),
    st.integers(0, 50), st.booleans(), st.booleans(), st.integers(1, 2),
)  # fmt: skip
stray = st.sampled_from([
    kinds.SessionStarted, kinds.TurnFinished, kinds.RequestFailed, kinds.ToolStarted,
    kinds.PromptSubmitted,
])  # fmt: skip


def events_of(number: int, one: Told) -> list[AgentEvent]:
    """Return what an agent logs of a fact: an answer, and a call of a tool."""
    base = {"session_id": one.session_id, "at_ms": one.at_ms}
    return [
        fact(
            kinds.RequestFinished, id=f"r{number}", request_id=f"r{number}" if number % 2 else "",
            model=one.model, input_tokens=one.input_tokens, cost_nanousd=one.cost_nanousd, **base,
        ),
        fact(
            kinds.ToolFinished, id=f"t{number}", tool="Edit", lines_added=one.lines_added, **base,
            tool_use_id=f"t{number}" if number % 2 else "",
        ),
    ]  # fmt: skip


def points_of(number: int, one: Told) -> list[AgentEvent]:
    """Return what an agent's own metrics say of a fact, as growth or as a total of its own."""
    base = {
        "session_id": one.session_id, "at_ms": one.at_ms, "model": one.model,
        "cumulative": number % 2 == 0, "start_ms": number,
    }  # fmt: skip
    said = (
        ("claude_code.token.usage", "input", float(one.input_tokens)),
        ("claude_code.cost.usage", "", one.cost_nanousd / 10**9),
        ("claude_code.lines_of_code.count", "added", float(one.lines_added)),
    )
    return [
        fact(kinds.UsageReported, id=f"u{number}-{place}", metric=metric, kind=kind, value=value,
            series=f"{number}-{place}",
             **base)
        for place, (metric, kind, value) in enumerate(said)
    ]  # fmt: skip


def fuller(history: list[Told], session_id: str, name: str) -> int:
    """Return the larger of what the two ingest paths tell of a session."""
    of_session = [one for one in history if one.session_id == session_id]
    return max(
        sum(int(getattr(one, name)) for one in of_session if one.by_events),
        sum(int(getattr(one, name)) for one in of_session if one.by_metrics),
    )


MEASURED: Final = ("input_tokens", "cost_nanousd", "lines_added")


@law
@given(
    history=st.lists(facts, min_size=1, max_size=8), strays=st.lists(stray, max_size=3),
    order=st.randoms(use_true_random=False), cuts=st.sets(st.integers(1, 40), max_size=6),
    restarting=st.booleans(),
)  # fmt: skip
def test_each_sessions_windows_and_the_fleets_add_up_to_its_fuller_account(
    history: list[Told], strays: list[type[AgentEvent]], order: random.Random, cuts: set[int],
    *, restarting: bool,
) -> None:  # fmt: skip
    made: list[AgentEvent] = [
        event
        for number, one in enumerate(history)
        for event in [
            *(events_of(number, one) if one.by_events else ()),
            *(points_of(number, one) if one.by_metrics else ()),
        ]
        * one.times
    ]
    made += [
        fact(kind, id=f"stray{number}", session_id="s1", at_ms=T0_MS + number * 40_000)
        for number, kind in enumerate(strays)
    ]
    order.shuffle(made)
    batches = cut(arrivals(made, received_ms=T0_MS + 200_000), sorted(cuts))

    kept = fold_all(batches, now_ms=T0_MS + 200_000, restarting=restarting)

    for name in MEASURED:
        whole = {one: fuller(history, one, name) for one in ("s1", "s2", "s3")}
        assert {row.session_id: getattr(row.totals, name) for row in kept.sessions.values()} == {
            one: amount for one, amount in whole.items() if one in heard(kept)
        }
        for width_ms in WIDTHS_MS:
            assert kept.sum_of(width_ms, Grain.FLEET, name) == sum(whole.values())
            assert kept.sum_of(width_ms, Grain.SESSION, name) == sum(whole.values())


def heard(kept: Kept) -> set[str]:
    """Return the sessions that anything was heard of."""
    return {row.session_id for row in kept.sessions.values()}
