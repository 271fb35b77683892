"""An evaluation takes turns with the loop that folds everybody's events."""

import pytest

from streams.monitoring.evaluation import PAUSE, RUN_S, Turn


class Thread:
    """A thread that gets a share of the interpreter."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.now_s = self.computed_s = 0.0
        self.pauses: list[float] = []
        self.turn = Turn(
            clock=lambda: self.now_s, computed=lambda: self.computed_s, sleep=self._sleep
        )

    def run(self, seconds: float) -> None:
        self.now_s += seconds
        self.computed_s += self.share * seconds
        self.turn.look()

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


def test_an_evaluation_that_is_alone_never_pauses() -> None:
    thread = Thread(share=1.0)

    for _ in range(100):
        thread.run(RUN_S)

    assert thread.pauses == []
    assert thread.turn.now_s() == thread.now_s


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_one_that_others_wait_beside_leaves_them_twice_what_it_takes(share: float) -> None:
    thread = Thread(share=share)

    for _ in range(100):
        thread.run(RUN_S)

    assert sum(thread.pauses) == pytest.approx(PAUSE * thread.computed_s)


def test_its_own_time_is_without_the_pauses() -> None:
    thread = Thread(share=0.5)

    for _ in range(100):
        thread.run(RUN_S)

    assert thread.turn.now_s() == pytest.approx(100 * RUN_S)


def test_it_does_not_look_more_often_than_it_has_to() -> None:
    thread = Thread(share=0.0)

    thread.run(RUN_S / 4)
    thread.run(RUN_S / 4)

    assert thread.pauses == []
