"""Answers are shared by viewers, kept apart by tenant, bounded, and outlive their store."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from analytics.contracts.errors import StoreAway
from apps.dashboard.source import PAUSE_S, SLOW_FACTOR, Answers


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Store:
    """A store that counts how often it is asked, and can be away or slow."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked = 0
        self.away = ""
        self.takes_s = 0.0

    @contextmanager
    def connection(self) -> Iterator[Any]:
        self.asked += 1
        if self.away:
            raise StoreAway(self.away)
        self.clock.now_s += self.takes_s
        yield self


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    return Store(clock)


@pytest.fixture
def answers(clock: Clock, store: Store) -> Answers:
    return Answers(store.connection, clock=clock, keep_s=1.0, answers_max=16)


def test_many_viewers_within_a_moment_ask_the_store_once(answers: Answers, store: Store) -> None:
    for _ in range(20):
        assert answers.ask("local", ("cost", "1h"), lambda db: 7).value == 7

    assert store.asked == 1


def test_an_answer_is_asked_for_again_after_its_time(
    answers: Answers, store: Store, clock: Clock
) -> None:
    answers.ask("local", ("cost",), lambda db: 1)
    clock.now_s += 1.0

    assert answers.ask("local", ("cost",), lambda db: 2).value == 2
    assert store.asked == 2


@pytest.mark.requirement("tenant-isolated")
def test_two_tenants_never_share_an_answer(answers: Answers) -> None:
    answers.ask("acme", ("cost", "1h"), lambda db: "of acme")

    assert answers.ask("umbrella", ("cost", "1h"), lambda db: "of umbrella").value == "of umbrella"


def test_a_slow_answer_is_kept_longer(answers: Answers, store: Store, clock: Clock) -> None:
    store.takes_s = 2.0
    answers.ask("local", ("story",), lambda db: 1)
    clock.now_s += 2.0 * SLOW_FACTOR - 0.1

    answers.ask("local", ("story",), lambda db: 2)

    assert store.asked == 1


def test_while_the_store_is_away_the_last_good_answer_is_given_with_its_age(
    answers: Answers, store: Store, clock: Clock
) -> None:
    answers.ask("local", ("cost",), lambda db: 7)
    store.away = "the store did not do a page: connection refused"
    clock.now_s += 60

    answer = answers.ask("local", ("cost",), lambda db: 8)

    assert (answer.value, answer.asked_s, answer.problem) == (7, 1_000.0, store.away)


def test_a_store_that_is_away_is_left_alone_for_a_moment_and_then_asked_again(
    answers: Answers, store: Store, clock: Clock
) -> None:
    store.away = "gone"
    for _ in range(5):
        with pytest.raises(StoreAway, match="gone"):
            answers.ask("local", ("cost",), lambda db: 8)
    assert store.asked == 1

    store.away = ""
    clock.now_s += PAUSE_S
    assert answers.ask("local", ("cost",), lambda db: 8).value == 8


def test_no_more_answers_are_kept_than_the_limit(answers: Answers, store: Store) -> None:
    for number in range(17):
        answers.ask("local", ("page", number), lambda db: 0)
    asked = store.asked

    answers.ask("local", ("page", 16), lambda db: 0)
    answers.ask("local", ("page", 0), lambda db: 0)

    assert store.asked == asked + 1
