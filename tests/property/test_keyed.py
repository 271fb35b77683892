"""Laws of windows by key: a plain count agrees, however readings are cut, also over restarts."""

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from analytics.measures.sketch import bucket_of, from_bytes, merge, to_bytes
from analytics.windows.keyed import (
    NO_VALUE,
    VALUE_MAX,
    KeyedBatch,
    KeyedWindows,
    Pane,
    Width,
    WindowSpec,
)

NARROW_MS, WIDE_MS, ROLLED_MS = 1_000, 10_000, 60_000
LATENESS_MS = 1_500
SKEW_MS = 5_000
SPEC = WindowSpec(
    widths=(Width(NARROW_MS, 40_000), Width(WIDE_MS, 80_000)),
    rolled=(Width(ROLLED_MS, 120_000),),
    lateness_ms=LATENESS_MS,
    future_skew_ms=SKEW_MS,
)
Reading = tuple[str, int, int, int]
"""key, event time, arrival and value."""
PaneId = tuple[str, int, int]

_values = st.just(NO_VALUE) | st.integers(0, 3) | st.integers(0, 10**6) | st.integers(10**6, 10**15)
_readings = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(100_000, 230_000) | st.integers(200_000, 215_000),
        st.integers(200_000, 215_000),
        _values,
    ),
    max_size=60,
)
_cuts = st.lists(st.integers(0, 60), max_size=6)


class Sum(Struct):
    """What readings add up to."""

    count: int = 0
    value_count: int = 0
    value_sum: int = 0
    sketch: bytes = b""

    def add(self, pane: Pane[str]) -> None:
        """Add what a pane says."""
        counts = from_bytes(self.sketch)
        merge(counts, from_bytes(pane.sketch))
        self.count += pane.count
        self.value_count += pane.value_count
        self.value_sum += pane.value_sum
        self.sketch = to_bytes(counts)


class Written:
    """What a store would hold: open panes are replaced, closed and apart ones only added."""

    def __init__(self) -> None:
        self.open: dict[PaneId, Pane[str]] = {}
        self.closed: dict[PaneId, Pane[str]] = {}
        self.apart: list[Pane[str]] = []

    def take(self, windows: KeyedWindows[str]) -> None:
        """Write what is to be written."""
        panes = windows.take()
        for pane in panes.open:
            assert _id(pane) not in self.closed, "a closed window opened again"
            self.open[_id(pane)] = pane
        for pane in panes.closed:
            assert _id(pane) not in self.closed, "a window closed twice"
            self.open.pop(_id(pane), None)
            self.closed[_id(pane)] = pane
        self.apart += panes.apart

    def total(self) -> dict[PaneId, Sum]:
        """Return what a reader adds up."""
        sums: dict[PaneId, Sum] = defaultdict(Sum)
        for pane in (*self.open.values(), *self.closed.values(), *self.apart):
            sums[_id(pane)].add(pane)
        return dict(sums)


def _id(pane: Pane[str]) -> PaneId:
    return (pane.key, pane.width_ms, pane.start_ms)


def _cut(readings: list[Reading], cuts: list[int]) -> list[list[Reading]]:
    bounds = [0, *sorted(cut for cut in cuts if cut < len(readings)), len(readings)]
    return [readings[start:end] for start, end in pairwise(bounds)]


def _columns(readings: list[Reading]) -> KeyedBatch[str]:
    return KeyedBatch(
        [key for key, _, _, _ in readings],
        [at_ms for _, at_ms, _, _ in readings],
        [received_ms for _, _, received_ms, _ in readings],
        [value for _, _, _, value in readings],
    )


def _run(
    batches: list[list[Reading]], *, spec: WindowSpec = SPEC, restarted: bool = False
) -> tuple[Written, KeyedWindows[str]]:
    written, windows = Written(), KeyedWindows[str](spec)
    late_count = 0
    for batch in batches:
        if restarted:
            late_count += windows.late_count
            windows = KeyedWindows(
                spec, watermark_ms=windows.watermark_ms, restored=written.open.values()
            )
        windows.add(_columns(batch))
        written.take(windows)
    windows.late_count += late_count if restarted else 0
    return written, windows


def _oracle(readings: list[Reading]) -> tuple[dict[PaneId, Sum], int, int]:
    """Return sums, the number of late readings and the watermark, reading by reading."""
    sums: dict[PaneId, Sum] = defaultdict(Sum)
    mark_ms = late_count = 0
    for key, at_ms, received_ms, value in readings:
        when_ms = min(at_ms, received_ms + SKEW_MS)
        mark_ms = max(mark_ms, when_ms - LATENESS_MS)
        late_count += when_ms - when_ms % NARROW_MS + NARROW_MS <= mark_ms
        age_ms = received_ms - when_ms
        widths = [one for one in SPEC.widths if age_ms <= one.kept_ms] or [
            one for one in SPEC.rolled if age_ms <= one.kept_ms
        ]
        if age_ms > SPEC.widths[-1].kept_ms:
            assert set(widths) <= set(SPEC.rolled)
        for width in widths:
            start_ms = when_ms - when_ms % width.width_ms
            counted = min(value, VALUE_MAX)
            sketch = b"" if value == NO_VALUE else to_bytes({bucket_of(counted): 1})
            valued = value != NO_VALUE
            one = Pane(key, width.width_ms, start_ms, 1, int(valued), counted * valued, sketch)
            sums[_id(one)].add(one)
    return dict(sums), late_count, mark_ms


@pytest.mark.requirement("late-counted")
@given(readings=_readings, cuts=_cuts)
def test_windows_hold_what_a_plain_count_says(readings: list[Reading], cuts: list[int]) -> None:
    written, windows = _run(_cut(readings, cuts))

    assert (written.total(), windows.late_count, windows.watermark_ms) == _oracle(readings)


@given(readings=_readings, cuts=_cuts)
def test_closed_windows_are_the_same_to_the_byte_however_readings_are_cut(
    readings: list[Reading], cuts: list[int]
) -> None:
    whole, _ = _run([readings])
    cut, _ = _run(_cut(readings, cuts))

    assert cut.closed == whole.closed
    assert cut.open == whole.open


@given(readings=_readings, cuts=_cuts)
def test_a_restart_after_every_batch_changes_nothing(
    readings: list[Reading], cuts: list[int]
) -> None:
    batches = _cut(readings, cuts)
    steady, kept = _run(batches)
    restarted, restored = _run(batches, restarted=True)

    assert restarted.closed == steady.closed
    assert restarted.open == steady.open
    assert restarted.total() == steady.total()
    assert (restored.late_count, restored.watermark_ms) == (kept.late_count, kept.watermark_ms)


@given(readings=_readings, cuts=_cuts, panes_max=st.integers(0, 4))
def test_beyond_the_limit_of_open_windows_no_sum_changes(
    readings: list[Reading], cuts: list[int], panes_max: int
) -> None:
    narrow = WindowSpec(
        widths=SPEC.widths,
        rolled=SPEC.rolled,
        lateness_ms=LATENESS_MS,
        future_skew_ms=SKEW_MS,
        panes_max=panes_max,
    )

    written, windows = _run(_cut(readings, cuts), spec=narrow)

    assert windows.open_count <= panes_max
    assert (written.total(), windows.late_count, windows.watermark_ms) == _oracle(readings)


@given(readings=_readings)
def test_readings_apart_are_all_counted_and_move_no_window(readings: list[Reading]) -> None:
    windows, written = KeyedWindows[str](SPEC), Written()

    windows.add_apart(_columns(readings))
    written.take(windows)

    assert written.total() == _oracle(readings)[0]
    assert (windows.watermark_ms, windows.late_count, windows.open_count) == (0, 0, 0)
