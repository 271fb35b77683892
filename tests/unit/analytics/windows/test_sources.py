"""Whom a second stage waits for: every standing of a source, and every signal."""

from itertools import product

import pytest

from analytics.windows.sources import (
    TRANSITIONS,
    Sources,
    SourceSignal,
    SourceStanding,
    SourceState,
)

SOURCE = (3, 1, 0)
OTHER = (3, 2, 0)
IDLE_MS, FORGOTTEN_MS = 20_000, 600_000
T0_MS = 1_000_000
IMPOSSIBLE = {
    (SourceStanding.UNKNOWN, SourceSignal.SILENT),
    (SourceStanding.UNKNOWN, SourceSignal.FORGOTTEN),
    (SourceStanding.ACTIVE, SourceSignal.FORGOTTEN),
    (SourceStanding.IDLE, SourceSignal.SILENT),
}
"""Who is not known cannot fall silent; who is silent is idle before it is forgotten."""


def sources(*known: SourceState) -> Sources:
    """Return the sources of a stage that knows these."""
    return Sources(known, idle_ms=IDLE_MS, forgotten_ms=FORGOTTEN_MS)


def known(standing: SourceStanding, *, watermark_ms: int = 100) -> list[SourceState]:
    """Return a source that stands so, heard of at `T0_MS`."""
    if standing is SourceStanding.UNKNOWN:
        return []
    return [SourceState(*SOURCE, watermark_ms, T0_MS, standing)]


def happen(stage: Sources, signal: SourceSignal, *, watermark_ms: int = 100) -> None:
    """Have a signal happen to the source, as it does in life."""
    match signal:
        case SourceSignal.CAME_ON:
            stage.hear(SOURCE, watermark_ms=watermark_ms + 1, heard_ms=T0_MS, quiet=False)
        case SourceSignal.REPEATED:
            stage.hear(SOURCE, watermark_ms=0, heard_ms=T0_MS, quiet=False)
        case SourceSignal.LEFT:
            stage.hear(SOURCE, watermark_ms=watermark_ms, heard_ms=T0_MS, quiet=True)
        case SourceSignal.SILENT:
            stage.reached_ms(T0_MS + IDLE_MS)
        case SourceSignal.FORGOTTEN:
            stage.forget(T0_MS + FORGOTTEN_MS, watermark_ms=watermark_ms)


@pytest.mark.parametrize(("standing", "signal"), list(product(SourceStanding, SourceSignal)))
def test_every_signal_in_every_standing_does_what_the_table_says(
    standing: SourceStanding, signal: SourceSignal
) -> None:
    stage = sources(*known(standing))
    expected = TRANSITIONS.get(standing, {}).get(signal, standing)

    happen(stage, signal)

    found = [one.standing for one in stage.known]
    assert found == ([] if expected is SourceStanding.UNKNOWN else [expected])
    assert (signal not in TRANSITIONS[standing]) == ((standing, signal) in IMPOSSIBLE)


@pytest.mark.parametrize(("standing", "signal"), sorted(IMPOSSIBLE))
def test_a_pair_that_is_not_in_the_table_is_a_bug(
    standing: SourceStanding, signal: SourceSignal
) -> None:
    one = SourceState(*SOURCE, 100, T0_MS, standing)

    with pytest.raises(KeyError):
        one.take(signal)


def test_time_is_the_least_of_those_that_are_waited_for() -> None:
    stage = sources(
        SourceState(*SOURCE, 50, T0_MS, SourceStanding.ACTIVE),
        SourceState(*OTHER, 90, T0_MS, SourceStanding.ACTIVE),
        SourceState(3, 3, 0, 10, T0_MS, SourceStanding.IDLE),
    )

    assert (stage.reached_ms(T0_MS), stage.active_count) == (50, 2)


def test_with_nobody_to_wait_for_time_is_the_latest_that_was_told() -> None:
    stage = sources(
        SourceState(*SOURCE, 50, T0_MS, SourceStanding.ACTIVE),
        SourceState(*OTHER, 90, T0_MS, SourceStanding.IDLE),
    )

    assert stage.reached_ms(T0_MS + IDLE_MS) == 90
    assert sources().reached_ms(T0_MS) == 0


def test_an_old_farewell_that_comes_again_sends_nobody_away() -> None:
    stage = sources(*known(SourceStanding.ACTIVE, watermark_ms=100))

    stage.hear(SOURCE, watermark_ms=99, heard_ms=T0_MS, quiet=True)

    assert stage.active_count == 1


def test_a_source_that_is_ahead_of_what_closed_is_not_forgotten() -> None:
    stage = sources(*known(SourceStanding.IDLE, watermark_ms=100))

    stage.forget(T0_MS + FORGOTTEN_MS, watermark_ms=99)

    assert [one.source for one in stage.known] == [SOURCE]
