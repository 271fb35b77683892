"""Which reports are of one thing: a request, a tool call or a prompt of a session.

Reports of one name are of one thing. One that shares no kind of name with what is known is of the
first thing alike that its ingest path has not told of yet, since an ingest path tells of each thing
once: so of things alike there are as many as the ingest path that tells of most says, in whatever
order they come. A thing that another session told of before is remembered as `elsewhere` and counts
nothing here.

The things of a session are remembered within a limit. Beyond it the oldest is settled: further
reports of it change nothing. How many settled things alike each ingest path told of is remembered
too.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Generic, Protocol, TypeVar

from analytics.contracts.facts import Source

Shape = tuple[object, ...]
"""What things alike have in common."""
Signature = tuple[int, int]
"""The ingest paths that told of a thing, and the kinds of names that it has: both only grow."""

INGEST_PATHS: Final = {source: 1 << number for number, source in enumerate(Source)}
"""The bit of each ingest path but a source's traces."""
SPAN_PATH: Final = 1 << len(INGEST_PATHS)
"""The bit of the traces of any source."""

OWN: Final = 1
"""The kind of the name that is a thing's own: what an API or an agent gave it."""
STAND_IN: Final = 2
"""The kind of a name that stands in for it: of a message, or of the prompt's turn."""
TURN: Final = "turn "
"""What the name of a prompt's turn begins with."""
CLIENT: Final = 4
"""The kind of a name that the sender gave to a request before it was answered."""


class Report(Protocol):
    """What is known of one thing."""

    key: str
    """The name that is its own, or the id of the event that told of it first."""
    also: str
    """Its other names, by lines; with `=` before it the key of what it was merged with."""
    when_ms: int
    """When it happened, by the first report."""
    ingest_paths: int
    """The ingest paths that told of it."""
    kinds: int
    """The kinds of names that are known of it."""
    elsewhere: bool
    """Whether another session told of it first."""

    def shape(self) -> Shape:
        """Return what it has in common with things alike."""
        ...


R = TypeVar("R", bound=Report)


class Reports(Generic[R]):
    """The things of one kind that a session is known to have, oldest first."""

    __slots__ = (
        "_alike", "_by_all", "_by_any", "_by_one", "_known_max", "_settled_max", "known", "names",
        "new", "settled", "vague_count",
    )  # fmt: skip

    def __init__(self, *, known_max: int, settled_max: int) -> None:
        self._known_max = known_max
        self._settled_max = settled_max
        self.known: dict[str, R] = {}
        """By key."""
        self.new: dict[str, R] = {}
        """Those of which the store does not know all."""
        self.settled: dict[str, None] = {}
        self.vague_count = 0
        """How many have no name of their own."""
        self.names: dict[str, str] = {}
        """The keys of things by their other names.

        While there is none, and nothing vague, a thing whose own name is not known is a new one.
        """
        self._by_all = -1
        """Roads that told of every thing that is known, and maybe more of them did."""
        self._by_any = 0
        """Roads that told of anything that is known."""
        self._by_one = 0
        """The ingest paths by which the last thing came that made either of them what it is."""
        self._alike: dict[Shape, dict[Signature, dict[str, R]]] | None = None
        """The things of each shape, by the ingest paths and kinds of names that they had when
        they came; none until one has to be found by its shape."""

    def __len__(self) -> int:
        """Return how many entries are held."""
        return len(self.known) + len(self.settled)

    def named(self, name: str) -> R | None:
        """Return the thing of a name."""
        state = self.known.get(name)
        if state is None and name in self.names:
            return self.known.get(self.names[name])
        return state

    def is_news(self, name: str) -> bool:
        """Say at little cost whether a name that is a thing's own can be of nothing known."""
        return not (name in self.known or self.vague_count or self.names or name in self.settled)

    def is_settled(self, name: str) -> bool:
        """Say whether a thing is too old for another report to change it."""
        return name in self.settled

    def may_have(self, ingest_path: int) -> bool:
        """Say whether what a path tells without a name that is known may be known nevertheless.

        Of kinds of things that are remembered by `put` and `add` only.

        It is not, for one, if no ingest path but this one told of anything.
        """
        return not self._by_all & ingest_path or self._by_any & ~ingest_path != 0

    def alike(
        self,
        shapes: Iterable[Shape],
        *,
        ingest_path: int,
        kinds: int,
        when_ms: int,
        elsewhere: bool = False,
    ) -> R | None:
        """Return the nearest thing alike that a path has not told of, under no such kind of name.

        The first shape that there is any of counts. One that is `elsewhere`, or not, as the report
        is comes before the others.
        """
        for shape in shapes:
            free = [
                one
                for (ingest_paths, names), things in self._of(shape).items()
                if not (ingest_paths & ingest_path or names & kinds)
                for one in things.values()
                if not (one.ingest_paths & ingest_path or one.kinds & kinds)
            ]
            if free:
                return min(
                    free,
                    key=lambda one: (
                        one.elsewhere is not elsewhere, abs(one.when_ms - when_ms), one.key
                    ),
                )  # fmt: skip
        return None

    def mistaken(self, shapes: Iterable[Shape], *, ingest_path: int, when_ms: int) -> R | None:
        """Return a thing alike that an ingest path said is elsewhere, and that others told of here.

        It was taken for another of its kind, and is free for one that is this session's own.
        """
        free = [
            one
            for shape in shapes
            for things in self._of(shape).values()
            for one in things.values()
            if one.elsewhere and one.ingest_paths & ingest_path and one.ingest_paths & ~ingest_path
        ]
        return min(free, key=lambda one: (abs(one.when_ms - when_ms), one.key), default=None)

    def put_named(self, name: str, state: R) -> bool:
        """Do as `put` does with a thing whose only name is its own; `may_have` does not see it."""
        known = self.known
        known[name] = self.new[name] = state
        if self._alike is not None:
            self._place(state)
        return len(known) > self._known_max and self._settle_oldest()

    def put(self, state: R) -> bool:
        """Remember a thing of which nothing was known; say whether the oldest was settled for it.

        Its other names are the caller's to give.
        """
        known, key = self.known, state.key
        known[key] = self.new[key] = state
        if not state.kinds & OWN:
            self.vague_count += 1
        if state.ingest_paths != self._by_one:
            self._by_one = state.ingest_paths
            self._by_all &= state.ingest_paths
            self._by_any |= state.ingest_paths
        if self._alike is not None:
            self._place(state)
        return len(known) > self._known_max and self._settle_oldest()

    def add(self, state: R) -> bool:
        """Remember a thing, or what is new of one; say whether the oldest was settled for it."""
        key, known = state.key, self.known
        for name in _lines(state.also) if state.also else ():
            self.names[name.removeprefix("=")] = key
            if name.startswith("=") and name[1:] in known:
                self._drop(known[name[1:]])
        before = known.get(key)
        if before is not None:
            self.vague_count -= not before.kinds & OWN
            self._displace(before, before.shape())
        return self.put(state)

    def name(self, state: R, name: str, kind: int) -> None:
        """Give a thing another name."""
        if kind & OWN and not state.kinds & OWN:
            self.vague_count -= 1
        state.kinds |= kind
        if name and name != state.key:
            state.also = f"{state.also}\n{name}" if state.also else name
            self.names[name.removeprefix("=")] = state.key

    def hand_on(self, state: R, other: R) -> None:
        """Give the names of a thing's own that came by mistake, but for its key, to another."""
        names = [name for name in _lines(state.also) if not name.startswith(("=", TURN))]
        state.also = "\n".join(name for name in _lines(state.also) if name not in names)
        state.kinds &= ~OWN
        self.vague_count += 1
        for name in names:
            self.name(other, name, OWN)

    def merge(self, state: R, other: R) -> None:
        """Let two things be one: the names and ingest paths of `other` go to `state`."""
        self._drop(other)
        for name in (f"={other.key}", *_lines(other.also)):
            self.name(state, name, other.kinds)
        state.ingest_paths |= other.ingest_paths

    def shape_of(self, state: R) -> Shape | None:
        """Return the shape of a thing, if things are found by their shapes or may be."""
        return state.shape() if self.vague_count or self._alike is not None else None

    def changed(self, state: R, before: Shape | None) -> bool:
        """Take note that a thing is not what it was; say whether it may be one told of vaguely."""
        self.new[state.key] = state
        self._by_any |= state.ingest_paths
        if before is None or before == state.shape():
            return False
        if self._alike is not None:
            self._displace(state, before)
            self._place(state)
        return self.vague_count > 0

    def forget_news(self) -> None:
        """Take note that the store knows all."""
        if self.new:
            self.new.clear()

    def _of(self, shape: Shape) -> Mapping[Signature, Mapping[str, R]]:
        """Return the things of a shape, by what paths and kinds of names they had at least."""
        if self._alike is None:
            self._alike = {}
            for state in self.known.values():
                self._place(state)
        return self._alike.get(shape, {})

    def _settle_oldest(self) -> bool:
        state = next(iter(self.known.values()))
        del self.known[state.key]
        self.vague_count -= not state.kinds & OWN
        self._displace(state, state.shape())
        self.settled[state.key] = None
        for name in _lines(state.also):
            self.names.pop(name.removeprefix("="), None)
            self.settled[name.removeprefix("=")] = None
        while len(self.settled) > self._settled_max:
            del self.settled[next(iter(self.settled))]
        return True

    def _drop(self, state: R) -> None:
        del self.known[state.key]
        self.new.pop(state.key, None)
        self.vague_count -= not state.kinds & OWN
        self._displace(state, state.shape())

    def _place(self, state: R) -> None:
        if self._alike is not None:
            things = self._alike.setdefault(state.shape(), {})
            things.setdefault((state.ingest_paths, state.kinds), {})[state.key] = state

    def _displace(self, state: R, shape: Shape) -> None:
        for things in self._alike.get(shape, {}).values() if self._alike is not None else ():
            things.pop(state.key, None)


def _lines(names: str) -> list[str]:
    return names.split("\n") if names else []
