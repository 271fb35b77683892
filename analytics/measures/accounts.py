"""Two accounts of one session: what its events tell, and what its sender's own metrics say.

Of each measure that both tell of, the fuller account counts for the session: the larger of the two
sums, whichever ingest path is ahead, so nothing is added twice and no single event makes a choice.
A report adds to its own account; the session's sum grows by what makes the larger of the two
larger. The growth goes to the window of the report, and among labels (model, skill, query source)
to those of which the fuller account tells more than is counted, the report's own first. Where one
account tells at least as much as the other under all labels, the groups are therefore exactly its
groups, in whatever order the two come. Where neither does, what was counted under a label stays
there.

What another session has of what was done here (see `identities`) is taken off both accounts, so
the metrics' may be below zero under labels, or until the metrics tell of it.

Tokens that only metrics tell of, where these state no cost, have no price: as many are counted as
the metrics tell more than the events, whose prices are settled one by one.

Lines and time of work are told under labels that never agree (a tool here, a model there): their
growth stays with the report. Labels beyond `LABELS_MAX` of a session share one entry.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct, structs

from analytics.measures.columns import (
    ACTIVE_MS,
    CACHE_READ_TOKENS,
    CACHE_WRITE_TOKENS,
    COST_NANOUSD,
    INPUT_TOKENS,
    LINES_ADDED,
    LINES_REMOVED,
    OUTPUT_TOKENS,
    SUM_MAX,
    USAGE_ACTIVE_MS,
    USAGE_CACHE_READ_TOKENS,
    USAGE_CACHE_WRITE_TOKENS,
    USAGE_COST_NANOUSD,
    USAGE_INPUT_TOKENS,
    USAGE_LINES_ADDED,
    USAGE_LINES_REMOVED,
    USAGE_OUTPUT_TOKENS,
)
from analytics.measures.rows import Measures
from analytics.measures.session_accumulators import Labels

LABELS_MAX: Final = 128
"""Labels that one session's accounts are kept apart by."""
NO_LABELS: Final[Labels] = ("", "", "", "")

COUNTED: Final = (
    INPUT_TOKENS, OUTPUT_TOKENS, CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, COST_NANOUSD,
    LINES_ADDED, LINES_REMOVED, ACTIVE_MS,
)  # fmt: skip
"""The measures that both accounts tell of."""
TOLD: Final = (
    USAGE_INPUT_TOKENS, USAGE_OUTPUT_TOKENS, USAGE_CACHE_READ_TOKENS, USAGE_CACHE_WRITE_TOKENS,
    USAGE_COST_NANOUSD, USAGE_LINES_ADDED, USAGE_LINES_REMOVED, USAGE_ACTIVE_MS,
)  # fmt: skip
"""Where the sums of senders' metrics stand as they came, in the same order."""
PLACES: Final = {column: place for place, column in enumerate(COUNTED)}
PLACES_TOLD: Final = {column: place for place, column in enumerate(TOLD)}
COSTLESS: Final = len(COUNTED)
"""The place, beside these, of all tokens that metrics tell of without a cost."""
WIDTH: Final = len(COUNTED) + 1
_TOKENS: Final = 4
"""So many of the measures, from the first, are tokens."""
LABELLED: Final = 5
"""So many of the measures, from the first, are kept apart by labels."""
WORK: Final = PLACES[ACTIVE_MS]
NEVER: Final = 2**62
"""Since when metrics tell of a session that they have told nothing of."""


class Account(Struct, array_like=True, gc=False):
    """What is told and counted under some labels, measure by measure, as it is kept."""

    labels: Labels
    events: list[int]
    metrics: list[int]
    """Empty as long as the sender's metrics told nothing of the session."""
    counted: list[int]
    """Empty likewise: then it is what events tell."""


Changes = Sequence[tuple[Labels | None, int]]
"""What is counted more (or less), and under which labels: None where it is the report's own."""


class Accounts:
    """The two accounts of a session, and what of them is counted."""

    __slots__ = (
        "_by_labels", "_events", "_known", "_metrics", "_touched", "base", "costless", "metered_ms",
        "told",
    )  # fmt: skip

    def __init__(self) -> None:
        self.base = Account(NO_LABELS, [0] * WIDTH, [], [])
        """What is kept apart by no labels; its events may be added to at once, too."""
        self.told = False
        """Whether the sender's own metrics tell of the session. As long as they do not, all that
        events tell counts, and `events_of` may be added to at once."""
        self.costless = False
        """Whether metrics tell of tokens without a cost: then `settle_costless` after reports."""
        self.metered_ms = NEVER
        """Since when the sender's own metrics tell of it."""
        self._by_labels = {NO_LABELS: self.base}
        self._touched: dict[Labels, Account] = {}
        self._events = [0] * WIDTH
        self._metrics = [0] * WIDTH
        self._known = [0] * WIDTH
        """What the store knows that events tell under no labels."""

    def __len__(self) -> int:
        """Return how many labels are kept apart, beside none."""
        return len(self._by_labels) - 1

    def events_of(self, labels: Labels) -> list[int]:
        """Return what events tell under labels, to be added to as long as nothing is `told`."""
        touched = self._touched.get(labels)
        return self._touch(labels).events if touched is None else touched.events

    def take_event(self, place: int, labels: Labels, amount: int) -> Changes:
        """Take what an event tells of the measure in a place."""
        entry = self._touch(labels if place < LABELLED else NO_LABELS)
        entry.events[place] += amount
        if not self.told:
            return ((None, amount),)
        events, other = self._events, self._metrics[place]
        before = events[place]
        after = events[place] = before + amount
        grown = max(other, after) - max(other, before)
        return self._change(place, entry, grown) if grown else ()

    def take_metric(self, place: int, labels: Labels, amount: int) -> Changes:
        """Take what the sender's metrics tell of the measure in a place."""
        if not self.told:
            self._tell()
        entry = self._touch(labels if place < LABELLED else NO_LABELS)
        entry.metrics[place] += amount
        metrics, other = self._metrics, self._events[place]
        before = metrics[place]
        after = metrics[place] = before + amount
        grown = max(other, after) - max(other, before)
        return self._change(place, entry, grown) if grown else ()

    def take_costless(self, labels: Labels, tokens: int) -> None:
        """Take note that the metrics just taken state no cost of their tokens."""
        self._touch(labels).metrics[COSTLESS] += tokens
        self._metrics[COSTLESS] += tokens
        self.costless = True

    def settle_costless(self, labels: Labels) -> Changes:
        """Return by how much more, or less, tokens have no price as only metrics tell of them."""
        wanted = max(0, self._metrics[COSTLESS] - sum(self._events[:_TOKENS]))
        counted = sum(one.counted[COSTLESS] for one in self._by_labels.values())
        grown = wanted - counted
        return self._change(COSTLESS, self._touch(labels), grown) if grown else ()

    def recall(self, kept: Iterable[Account], totals: Measures | None) -> None:
        """Take up what is kept, the last word on labels last, or else what the session counts."""
        found = {one.labels: one for one in kept}
        for one in found.values():
            for sums in (one.events, one.metrics, one.counted):
                sums.extend([0] * (WIDTH - len(sums)) if sums else ())
        self._by_labels.update(found)
        self.base = self._by_labels[NO_LABELS]
        if any(one.metrics for one in found.values()):
            self._tell()
        self._known = list(self.base.events)
        self._touched.clear()
        if totals is not None and not found:
            self._take_former(totals)

    def news(self) -> list[Account]:
        """Return what changed since the last time, and begin anew."""
        if self.base.events != self._known:
            self._touched[NO_LABELS] = self.base
            self._known = list(self.base.events)
        news = list(self._touched.values())
        self._touched.clear()
        for one in news:
            for sums in (one.events, one.metrics, one.counted):
                if sums and (max(sums) > SUM_MAX or min(sums) < -SUM_MAX):
                    sums[:] = [max(-SUM_MAX, min(SUM_MAX, amount)) for amount in sums]
        return news

    def _touch(self, labels: Labels) -> Account:
        entry = self._by_labels.get(labels)
        if entry is None:
            if len(self._by_labels) >= LABELS_MAX:
                return self.base
            nothing = [0] * WIDTH if self.told else []
            entry = Account(labels, [0] * WIDTH, nothing, list(nothing))
            self._by_labels[labels] = entry
        self._touched[entry.labels] = entry
        return entry

    def _tell(self) -> None:
        """Begin to keep the metrics' account: what was counted so far is the events'."""
        self.told = True
        for labels, one in self._by_labels.items():
            if not one.metrics:
                one.metrics, one.counted = [0] * WIDTH, list(one.events)
                self._touched[labels] = one
        self._add_up()

    def _add_up(self) -> None:
        entries = self._by_labels.values()
        self.costless = any(one.metrics[COSTLESS] for one in entries)
        self._events = [sum(one.events[place] for one in entries) for place in range(WIDTH)]
        self._metrics = [sum(one.metrics[place] for one in entries) for place in range(WIDTH)]

    def _change(self, place: int, own: Account, grown: int) -> Changes:
        """Count what the fuller account grew by, where it tells more than is counted so far."""
        of_events = self._events[place] >= self._metrics[place]
        told_here, counted = (own.events if of_events else own.metrics)[place], own.counted
        if 0 < grown <= told_here - counted[place]:
            counted[place] += grown
            return ((None, grown),)
        changes: list[tuple[Labels | None, int]] = []
        left = grown
        for one, room in self._rooms(place, own, of_events=of_events, falls=grown < 0):
            amount = min(left, room) if left > 0 else -min(-left, room)
            if room > 0 and amount:
                one.counted[place] += amount
                self._touched[one.labels] = one
                changes.append((None if one is own else one.labels, amount))
                left -= amount
            if not left:
                break
        return changes

    def _rooms(
        self, place: int, own: Account, *, of_events: bool, falls: bool
    ) -> Iterator[tuple[Account, int]]:
        """Return by how much more, or less, may be counted under which labels, best first.

        What is told may be less than nothing, of what is another session's; what is counted is not.
        """
        entries = (own, *self._by_labels.values())
        for one in entries:
            told, counted = (one.events if of_events else one.metrics)[place], one.counted[place]
            yield one, counted - max(0, told) if falls else told - counted
        for one in entries if falls else ():
            yield one, one.counted[place]

    def _take_former(self, totals: Measures) -> None:
        """Take up a session from before there were accounts: what it counts is one of them.

        Events told it, unless no model call was ever seen as one; and metrics are taken to tell no
        more than it, so that there is no step.
        """
        base, sums = self.base, structs.astuple(totals)
        if any(sums[column] for column in TOLD):
            self._tell()
        for place, (column, column_told) in enumerate(zip(COUNTED, TOLD, strict=True)):
            counted, told = sums[column], sums[column_told]
            base.events[place] = counted
            if self.told:
                base.counted[place] = counted
                base.metrics[place] = min(told, counted)
                if told == counted and not totals.calls:
                    base.events[place] = 0
        if self.told:
            self._add_up()
