"""Cycles are looked for less often, and still found."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from apps import collecting


class Node:
    """What refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def as_before() -> Iterator[None]:
    """Leave the collector as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("as_before")
def test_what_is_there_is_not_looked_through_again_but_cycles_that_come_later_are() -> None:
    collecting.seldom()
    frozen = gc.get_freeze_count()
    lost = ref(Node())

    kept: list[list[int]] = [[] for _ in range(2 * collecting.YOUNG_MAX)]

    assert frozen > 0
    assert lost() is None
    assert len(kept) == 2 * collecting.YOUNG_MAX
