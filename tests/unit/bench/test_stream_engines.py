"""The log of the stream bench is what its truth says; engines that are wrong are found out."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import pytest
from msgspec import Struct

from analytics.contracts import events
from analytics.contracts.errors import MissingPart
from tests.bench import streams
from tests.bench.engines import bare, log
from tests.bench.engines.log import Log
from tests.bench.engines.task import Measured, Window

LOG: Final = Log(topic="t", partitions=1, events=3_000, begin_ms=1_750_000_000_000)


class Written(Struct, frozen=True):
    """A record with the only part of it that the bare loop reads."""

    value: bytes


def _counted(of: Log) -> list[Window]:
    """Return what the bare loop makes of a log."""
    windows = bare.Windows()
    windows.add(0, [Written(log._value(event)) for event in log.events(of)])
    return windows.closed


def test_a_log_holds_valid_events_of_some_270_bytes_mildly_out_of_order() -> None:
    values = [log._value(event) for event in log.events(LOG)]

    told = events.decode_all(values)
    times = [one.at_ms for one in told[: LOG.events]]
    assert 260 <= sum(map(len, values)) / len(values) <= 280
    assert len({one.id for one in told}) == LOG.records
    assert times != sorted(times)
    assert max(max(times[:place]) - at for place, at in enumerate(times) if place) < 1_000


def test_the_bare_loop_finds_every_window_there_is_and_no_other() -> None:
    true = {log.place(one): one for one in log.truth(LOG)}

    found = [one for one in _counted(LOG) if one.start_ms < LOG.horizon_ms]

    assert sum(one.count for one in true.values()) == 2 * LOG.events
    assert log.complaint(true, found) == ""


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda found: found[1:], "1 windows are missing"),
        (lambda found: [*found, found[0]], "came twice"),
        (
            lambda found: [msgspec.structs.replace(found[0], count=7_777), *found[1:]],
            "1 windows differ",
        ),
        (
            lambda found: [msgspec.structs.replace(found[0], sketch=b"\0" * 6), *found[1:]],
            "1 windows differ",
        ),
    ],
    ids=["one missing", "one twice", "a wrong count", "a wrong sketch"],
)
def test_windows_that_are_wrong_are_complained_of(
    spoil: Callable[[list[Window]], Iterable[Window]], complaint: str
) -> None:
    compare = streams.Compare(log.truth(LOG), horizon_ms=LOG.horizon_ms)

    assert complaint in compare.complaint(spoil(_counted(LOG)))
    assert compare.complaint(_counted(LOG)) == ""


def test_a_peer_that_is_missing_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "PEERS", ("a_peer_of_no_such_name",))

    with pytest.raises(MissingPart, match=r"'a_peer_of_no_such_name'.*--extra bench"):
        streams.run()


def test_goals_are_ratios_of_medians_and_a_wrong_engine_misses_one() -> None:
    def runs(rate: int, complaint: str = "") -> streams.Runs:
        measured = [
            Measured(events=one * rate, cpu_s=1, wall_s=2, memory_mib=3, windows=[])
            for one in (1, 2, 90)
        ]
        return streams.Runs(measured, [1.0], complaint)

    found = {
        one.name: one
        for one in streams.figures(
            {
                engine: runs(100 if engine == "mainstem_fold" else 50, "no" * (engine == "bare"))
                for engine in streams.NAMES
            }
        )
    }

    assert found["Mainstem, fold path / bare loop"].value == 2
    assert found["Mainstem, fold path / bare loop"].held
    assert not found["Mainstem, fold path / Quix Streams"].held
    assert not found["engines whose windows are right"].held
    assert "bare loop: no" in found["engines whose windows are right"].note
