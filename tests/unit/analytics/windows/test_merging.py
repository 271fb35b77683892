"""The second stage: when a window of several partitions closes, and what happens afterwards."""

import msgspec
import pytest

from analytics.contracts.errors import BadSetting
from analytics.contracts.ids import TenantId
from analytics.measures.rows import (
    MEASURES,
    ON_TIME,
    BatchOutcome,
    CellKey,
    CellRow,
    Grain,
    Measures,
)
from analytics.windows import partials
from analytics.windows.final_aggregation import MARKS_MAX, Arrived, MergeFold, MergeRules
from analytics.windows.partials import BadShuffleBatch, ShuffleBatch

RULES = MergeRules(idle_ms=20_000, kept_ms=60_000, partials_max=100)
KEY = CellKey(TenantId("acme"), Grain.FLEET, model="m")
T0_MS = 1_000_000
Told = list[tuple[int, int, int, int]]
"""Start, revision, sources and calls of what was told, in order."""


def cell(calls: int, *, start_ms: int = 0, key: CellKey = KEY) -> CellRow:
    """Return a closed window of 10 s."""
    return CellRow(key, 10_000, start_ms, ON_TIME, Measures(calls=calls), b"", True)


def parcel(partition: int, watermark_ms: int, *cells: CellRow, quiet: bool = False) -> ShuffleBatch:
    """Return what a partition says to the target of `KEY`."""
    sent = partials.parcels(
        cells, log_id=1, partition=partition, watermark_ms=watermark_ms, quiet=quiet
    )
    [mine] = [one for one in sent if one.target == partials.target_of(KEY)]
    return mine


class Stage:
    """A fold that is fed parcels one by one."""

    def __init__(self, rules: MergeRules = RULES) -> None:
        self.rules = rules
        self.fold = MergeFold(state=b"", kept=(), rules=rules)
        self.kept: dict[int, tuple[int, bytes]] = {}
        self.last: BatchOutcome | None = None
        self.at = 0

    def hear(self, one: ShuffleBatch, *, at_ms: int = T0_MS) -> Told:
        """Feed a parcel; return what that told."""
        self.at += 1
        return self._told(
            self.fold.fold(
                [Arrived(self.at, at_ms, one, partials.encode(one))],
                first_offset=self.at,
                next_offset=self.at + 1,
                now_ms=0,
            )
        )

    def wait(self, now_ms: int) -> Told:
        """Let time pass; return what that told."""
        outcome = self.fold.tick(next_offset=self.at, now_ms=now_ms)
        return self._told(outcome) if outcome else []

    def restart(self) -> None:
        """Go on from what was kept."""
        assert self.last is not None
        payloads = [payload for _, payload in self.kept.values()]
        self.fold = MergeFold(state=self.last.state, kept=payloads, rules=self.rules)

    def _told(self, outcome: BatchOutcome) -> Told:
        self.last = outcome
        self.kept |= {row.offset: (row.until_ms, row.payload) for row in outcome.kept}
        self.kept = {
            offset: row for offset, row in self.kept.items() if row[0] > outcome.released_ms
        }
        return [
            (row.start_ms, row.revision, row.source_count, row.measures.calls)
            for row in outcome.merged
        ]


@pytest.fixture
def stage() -> Stage:
    """Give a second stage that has heard of two partitions."""
    made = Stage()
    made.hear(parcel(0, 1))
    made.hear(parcel(1, 1))
    return made


@pytest.mark.requirement("partials-merge")
def test_a_window_closes_when_the_last_active_partition_has_passed_its_end(stage: Stage) -> None:
    assert stage.hear(parcel(0, 10_000, cell(2))) == []
    assert stage.hear(parcel(1, 9_999)) == []
    assert stage.hear(parcel(1, 10_000, cell(3))) == [(0, 0, 2, 5)]


def test_a_partition_that_is_idle_holds_no_window_open(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000, cell(2)), at_ms=T0_MS + 5_000)

    assert stage.wait(T0_MS + 19_999) == []
    assert stage.wait(T0_MS + 20_000) == [(0, 0, 1, 2)]


def test_what_an_idle_partition_brings_later_revises_the_window(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000, cell(2)))
    stage.wait(T0_MS + 20_000)

    assert stage.hear(parcel(1, 10_000, cell(3))) == [(0, 1, 2, 5)]


def test_a_partition_that_says_it_fell_quiet_is_not_waited_for(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000, cell(2)))

    assert stage.hear(parcel(1, 5_000, quiet=True)) == [(0, 0, 1, 2)]


def test_when_all_fell_quiet_everything_closes(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000, cell(2), quiet=True))

    assert stage.hear(parcel(1, 20_000, cell(3, start_ms=10_000), quiet=True)) == [
        (0, 0, 1, 2),
        (10_000, 0, 1, 3),
    ]


def test_revisions_of_one_window_are_told_apart_by_their_numbers(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000, cell(2)))
    stage.hear(parcel(1, 10_000, cell(3)))

    numbers = [stage.hear(parcel(1, 10_000, cell(calls)))[0][1] for calls in (4, 5, 6)]

    assert numbers == [1, 2, 3]


def test_what_was_said_again_changes_nothing(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000, cell(2)))
    stage.hear(parcel(1, 10_000, cell(3)))

    assert stage.hear(parcel(1, 10_000, cell(3))) == []
    assert stage.hear(parcel(0, 10_000, cell(2))) == []


def test_a_partial_replaces_what_its_partition_said_before(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000, cell(2)))
    stage.hear(parcel(1, 10_000, cell(3)))

    assert stage.hear(parcel(1, 10_000, cell(4))) == [(0, 1, 2, 6)]


def test_a_series_that_comes_after_its_window_closed_is_told_of_as_it_is(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000))
    stage.hear(parcel(1, 10_000))

    assert stage.hear(parcel(0, 10_000, cell(2))) == [(0, 0, 1, 2)]


@pytest.mark.requirement("late-counted")
def test_what_comes_when_its_window_is_kept_no_more_is_counted_late(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000, cell(2)))
    closed_ms = T0_MS + RULES.kept_ms // MARKS_MAX
    stage.hear(parcel(1, 10_000), at_ms=closed_ms)
    stage.restart()

    kept_ms = closed_ms + RULES.kept_ms
    assert stage.hear(parcel(1, 20_000, cell(3)), at_ms=kept_ms - 1) == [(0, 1, 2, 5)]
    assert stage.wait(kept_ms) == []
    assert stage.hear(parcel(1, 30_000, cell(4)), at_ms=kept_ms) == []
    assert stage.last is not None
    assert stage.last.late_count == 1
    assert (stage.fold.remembered_count, stage.kept) == (0, {})


def test_a_window_is_kept_by_the_clock_and_not_by_how_far_another_partition_is(
    stage: Stage,
) -> None:
    far_ms = 10 * RULES.kept_ms
    stage.hear(parcel(0, far_ms, cell(2)))
    stage.wait(T0_MS + RULES.idle_ms)
    assert stage.fold.watermark_ms == far_ms

    assert stage.hear(parcel(1, 10_000, cell(3)), at_ms=T0_MS + 30_000) == [(0, 1, 2, 5)]


def test_a_restart_knows_revisions_watermarks_and_windows(stage: Stage) -> None:
    stage.hear(parcel(0, 10_000, cell(2)))
    stage.hear(parcel(1, 10_000, cell(3)))
    stage.hear(parcel(1, 20_000, cell(4), cell(1, start_ms=10_000)))
    stage.restart()

    assert stage.hear(parcel(1, 20_000, cell(5))) == [(0, 2, 2, 7)]
    assert stage.hear(parcel(0, 20_000)) == [(10_000, 0, 1, 1)]


@pytest.mark.requirement("limits-have-names")
def test_too_many_partials_close_the_oldest_windows_early_and_let_them_go() -> None:
    stage = Stage(msgspec.structs.replace(RULES, partials_max=2))
    stage.hear(parcel(1, 1))
    starts = [0, 10_000, 20_000, 30_000]

    told = stage.hear(parcel(0, 40_000, *(cell(1, start_ms=start) for start in starts)))

    assert told == [(0, 0, 1, 1), (10_000, 0, 1, 1)]
    assert stage.fold.remembered_count == 2
    assert stage.last is not None
    assert stage.last.forced_count == 2


def test_a_source_silent_for_long_is_forgotten_and_met_anew(stage: Stage) -> None:
    stage.hear(parcel(0, 100_000), at_ms=T0_MS + 90_000)
    stage.hear(parcel(0, 110_000, cell(2, start_ms=100_000)), at_ms=T0_MS + 91_000)

    assert stage.hear(parcel(1, 110_000, cell(3, start_ms=100_000)), at_ms=T0_MS + 92_000) == [
        (100_000, 1, 2, 5)
    ]


@pytest.mark.parametrize("data", [b"\x00", b"{}", b"\x95\x01"])
def test_a_state_or_a_parcel_that_cannot_be_read_says_so(data: bytes) -> None:
    with pytest.raises(BadShuffleBatch):
        MergeFold(state=data, kept=(), rules=RULES)
    with pytest.raises(BadShuffleBatch):
        MergeFold(state=b"", kept=[data], rules=RULES)


@pytest.mark.parametrize("field", ["idle_ms", "kept_ms", "partials_max"])
def test_a_second_stage_that_could_keep_nothing_is_refused(field: str) -> None:
    with pytest.raises(BadSetting, match="raise it"):
        MergeRules(**{field: 0})


def test_a_parcel_is_cut_before_it_weighs_too_much_and_time_travels_last() -> None:
    keys = [
        CellKey(TenantId("acme"), Grain.FLEET, project=letter * 2_000, model=f"m{n}")
        for n in range(700)
        for letter in ("p", "漢", "😀")
    ]
    full = Measures(*range(2**62, 2**62 + len(MEASURES)))
    cells = [CellRow(key, 10_000, 0, ON_TIME, full, b"\0" * 600, True) for key in keys]

    sent = partials.parcels(cells, log_id=1, partition=0, watermark_ms=7)

    assert max(len(partials.encode(one)) for one in sent) <= partials.PARCEL_BYTES_MAX
    assert sum(len(one.partials) for one in sent) == len(keys)
    for target in range(partials.TARGETS):
        marks = [one.watermark_ms for one in sent if one.target == target]
        assert marks == [0] * (len(marks) - 1) + [7]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("latency", b"\x01"),
        ("columns", ((len(MEASURES), 1),)),
        ("columns", ((0, 2**63),)),
        ("width_ms", 7),
        ("series", ("acme", "fleet")),
        ("series", ("acme", "galaxy", *[""] * 8)),
    ],
)
def test_what_could_not_be_merged_is_refused_when_it_is_read(field: str, wrong: object) -> None:
    good = partials.partial_of(cell(2))
    parts = [wrong if name == field else getattr(good, name) for name in good.__struct_fields__]

    with pytest.raises(BadShuffleBatch):
        partials.decode(msgspec.msgpack.encode([1, 0, 0, 10_000, [parts]]))


def test_a_parcel_of_a_sender_that_says_less_or_more_is_read() -> None:
    good = partials.partial_of(cell(2))

    less = partials.decode(msgspec.msgpack.encode([1, 0, 0, 10_000, [good]]))
    more = partials.decode(msgspec.msgpack.encode([1, 0, 0, 10_000, [good], True, "later"]))

    assert (less.partials, less.quiet) == ([good], False)
    assert (more.partials, more.quiet) == ([good], True)
