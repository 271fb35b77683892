"""Cycles are looked for less often, and still found."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from apps.runtime import garbage_collection


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
    garbage_collection.seldom()
    frozen = gc.get_freeze_count()
    lost = ref(Node())

    kept: list[list[int]] = [[] for _ in range(2 * garbage_collection.YOUNG_MAX)]

    assert frozen > 0
    assert lost() is None
    assert len(kept) == 2 * garbage_collection.YOUNG_MAX


class Crowd:
    """So many that are there, and so many that are gone."""

    def __init__(self) -> None:
        self.gone_count = 0
        self.there: list[Node] = []

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.there)


@pytest.mark.usefixtures("as_before")
def test_a_crowd_is_set_aside_as_it_comes_and_what_it_leaves_is_freed_once_it_is_much() -> None:
    gc.disable()
    crowd = Crowd()
    setting = garbage_collection.Setting(crowd)
    before = gc.get_freeze_count()
    crowd.there = [Node() for _ in range(setting.COME_MIN)]
    first = ref(crowd.there[0])

    setting.look()
    aside = gc.get_freeze_count()
    crowd.there.clear()
    gc.collect()
    kept = first()
    crowd.gone_count = setting.GONE_MIN
    setting.look()
    del kept
    crowd.gone_count *= 2
    setting.look()
    gc.enable()

    assert aside - before >= 2 * setting.COME_MIN
    assert first() is None


@pytest.mark.usefixtures("as_before")
def test_a_few_that_come_or_go_change_nothing() -> None:
    crowd = Crowd()
    crowd.there = [Node() for _ in range(garbage_collection.Setting.COME_MIN - 1)]
    crowd.gone_count = garbage_collection.Setting.GONE_MIN - 1
    before = gc.get_freeze_count()

    garbage_collection.Setting(crowd).look()

    assert gc.get_freeze_count() == before
