"""A recovered run is unbroken or said to be broken, whatever is cut, replaced or raced with."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from gateway.channels.values import Joined, Position
from tests.support.channels import MemoryArchive, MemoryLog, Watcher, grant, node, note

NAMES = ("here", "there")
records = st.lists(st.sampled_from(NAMES), max_size=12)


def _fill(log: MemoryLog, names: list[str]) -> None:
    for name in names:
        log.add(note(name, str(log.end)))


def _here(log: MemoryLog, after: int) -> list[int]:
    """Return the positions of what is in the channel `here`."""
    lines = log.lines(max(after, log.first), log.end)
    return [line.position for line in lines if line.stream.base == "notes:here"]


class Case(Struct, frozen=True):
    """What happens to a log and to somebody who comes back to it."""

    before: list[str]
    heard: int
    missed: list[str]
    racing: list[tuple[list[str], bool]]
    later: list[str]
    cut: int
    replaced: bool
    archive_away: bool
    pauses: int
    warm: int
    records_max: int
    publications_max: int


cases = st.builds(
    Case,
    before=records,
    heard=st.integers(0, 12),
    missed=records,
    racing=st.lists(st.tuples(records, st.booleans()), max_size=6),
    later=records,
    cut=st.integers(0, 20),
    replaced=st.booleans(),
    archive_away=st.booleans(),
    pauses=st.integers(0, 4),
    warm=st.integers(1, 8),
    records_max=st.integers(1, 8),
    publications_max=st.integers(1, 20),
)


async def _come_back(log: MemoryLog, since: Position, case: Case) -> tuple[Joined, Watcher]:
    """Join while records come, then go live while more come."""
    archive, watcher = MemoryArchive(log), Watcher()
    archive.away, archive.pauses = case.archive_away, case.pauses
    there = node(
        log,
        [archive],
        warm=case.warm,
        records_max=case.records_max,
        publications_max=case.publications_max,
    )
    joining = asyncio.create_task(
        there.hub.join(watcher, "notes:here", grant=grant(), since=since, tags=None)
    )
    for names, pulled in case.racing:
        _fill(log, names)
        if pulled and there.source.watches:
            there.source.pull()
        await asyncio.sleep(0)
    joined = await joining
    assert isinstance(joined, Joined)
    _fill(log, case.later[:4])
    there.source.pull()
    there.hub.live(watcher, "notes:here")
    _fill(log, case.later[4:])
    there.source.pull()
    there.hub.leave_all(watcher)
    assert there.source.watches == 0
    return joined, watcher


@pytest.mark.requirement("recovered-or-gap")
@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_what_is_recovered_and_then_heard_is_all_of_it_once(case: Case) -> None:
    log = MemoryLog()
    _fill(log, case.before)
    since = Position(log.epoch, min(case.heard, log.end))
    _fill(log, case.missed)
    log.cut(case.cut)
    kept_from = log.first
    if case.replaced:
        log.replace()
        _fill(log, case.missed)

    joined, watcher = asyncio.run(_come_back(log, since, case))

    live = [one.offset for one in watcher.heard]
    told = [one.offset for one in joined.publications]
    assert joined.was_recovering
    assert joined.epoch == log.epoch
    assert not watcher.cuts
    if joined.recovered:
        assert not case.replaced
        assert kept_from <= since.offset
        assert told + live == _here(log, since.offset)
    else:
        assert told == []
        assert live == _here(log, joined.offset)


@settings(max_examples=30, deadline=None)
@given(runs=st.lists(records, min_size=1, max_size=5), replaced=st.integers(0, 5))
def test_whoever_stays_hears_everything_once_or_is_sent_to_recover(
    runs: list[list[str]], replaced: int
) -> None:
    log = MemoryLog()

    async def scenario() -> tuple[Watcher, list[int]]:
        watcher, expected = Watcher(), list[int]()
        there = node(log, records_max=3)
        joined = await there.hub.join(watcher, "notes:here", grant=grant(), since=None, tags=None)
        assert isinstance(joined, Joined)
        there.hub.live(watcher, "notes:here")
        for number, names in enumerate(runs):
            if number == replaced:
                log.replace()
                there.source.pull()
                assert watcher.cuts == [("notes:here", 2500)]
                return watcher, expected
            at = log.end
            _fill(log, names)
            expected += _here(log, at)
            there.source.pull()
        return watcher, expected

    watcher, expected = asyncio.run(scenario())

    assert [one.offset for one in watcher.heard] == expected
