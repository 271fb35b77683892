"""A session's time of work: a sum over its signs of work in the order of time, not as they came.

A *sign* says that an agent works, rests or is asked for something, and when. The signs of a session
are kept sorted, so whoever tells of one first, in which batch and how often, the sum is the same.
Time between two signs counts if somebody is at work after the first, the second is no prompt (until
it the session waited for a person) and they are at most the longest pause apart. A sign that comes
late changes the sum by what it makes of its neighbours, which may be less than nothing.

Whose turn was told to be over by a hook is over: signs of weak work (what runs on the side, what a
sender's clock puts too late) say nothing until a prompt or strong work (a call told by a hook). A
session rests when an agent does, unless another one is at work.

A session keeps its newest `SIGNS_MAX` signs or a few more; when there are `SPARE` more, it forgets
those, the oldest first, whenever that is and however the log is cut into batches. A sign that is
older than a forgotten one says nothing and adds nothing. So what a late sign costs is bounded.

A sign is an integer that sorts by time, then kind, then agent. Agents are told apart by digests of
17 bits, so that a sign has 63.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct
from xxhash import xxh3_64_intdigest

from analytics.contracts.facts import Source
from analytics.measures.activity import AGENTS_MAX, Activity
from analytics.measures.rows import SessionState

SIGNS_MAX: Final = 256
"""Signs of one session that others may still come between."""
SPARE: Final = 64
CLOCK_SLACK_MS: Final = 30_000
"""By how much two senders' clocks may differ: within it, a prompt told by another than who told of
the turn's end is the one that the turn was about."""

STARTED: Final = 0
"""Kinds of signs, in the order in which signs of one moment are taken."""
PROMPTED: Final = 1
PROMPTED_SOFTLY: Final = 2
"""A prompt told by another than a hook."""
STRONG: Final = 3
WEAK: Final = 4
NOTICED: Final = 5
"""The main agent asks for something, or a subagent does: the sender does not say."""
ASKED: Final = 6
RESTED: Final = 7
FINISHED: Final = 8
"""The agent's turn is over, as a hook told."""
ENDED: Final = 9

_AGENTS_KNOWN_MAX: Final = 4_096
"""Agents whose digests are at hand: to make one anew takes longer, no more."""
MAIN: Final = 0
"""The agent that is no subagent."""
_AGENT_BITS: Final = 17
_KIND_BITS: Final = 4
_AGENT_MASK: Final = (1 << _AGENT_BITS) - 1
_KIND_MASK: Final = (1 << _KIND_BITS) - 1
SHIFT: Final = _AGENT_BITS + _KIND_BITS
"""How far left of all else the time of a sign is."""
_WHEN_MAX_MS: Final = (1 << (63 - SHIFT)) - 1
_SIGN_MAX: Final = (1 << 63) - 1
_SIGN: Final = struct.Struct("<q")
_PROMPTS: Final = frozenset({PROMPTED, PROMPTED_SOFTLY})
_WORKS: Final = frozenset({*_PROMPTS, STRONG, WEAK})

_AT_WORK: Final = -1
_ASKS: Final = -2
_RESTS: Final = -3
_NEVER: Final = 1 << 62


class Standing(Struct, frozen=True):
    """Who is at work after a sign."""

    working: bool
    """Whether time until the next sign counts."""
    agents: dict[int, int]
    """What each agent does: since when its turn is over, or one of the values above."""


NOBODY: Final = Standing(working=False, agents={})


class Tail(NamedTuple):
    """How a session stands after all its signs."""

    working: bool
    """Whether time until the next sign counts."""
    last_ms: int
    """When the last sign was that said anything."""
    newest_ms: int
    """When the last sign was."""
    goes_on: bool
    """Whether a later sign of work of the main agent changes nothing but the time."""


After = tuple[Standing, int, int]
"""How a session stands after a sign, when its last sign was, and for how long it worked before."""


def sign_of(when_ms: int, kind: int, agent_id: str = "") -> int:
    """Return the sign of an agent."""
    if not 0 <= when_ms <= _WHEN_MAX_MS:
        when_ms = min(max(when_ms, 0), _WHEN_MAX_MS)
    return (when_ms << SHIFT) | (kind << _AGENT_BITS) | _agent_of(agent_id)


class WorkTime:
    """The signs of a session, and how it stood after each."""

    __slots__ = ("_floor", "_lasts", "_news", "_signs", "_standings", "_start", "ahead")

    def __init__(self) -> None:
        self.ahead: list[int] = []
        """Signs of work of the main agent, each later than any before: they may be put here while
        `tail` says that it goes on, instead of `take`, and add the time since the sign before."""
        self._signs: list[int] = []
        self._standings: list[Standing] = []
        self._lasts: list[int] = []
        """When the last sign that said anything was, up to each sign."""
        self._news: list[int] = []
        self._start: tuple[Standing, int] = (NOBODY, 0)
        """How the session stood, and when its last sign was, before all that are kept."""
        self._floor = -1
        """The newest sign that was forgotten."""

    def __len__(self) -> int:
        """Return how many signs are kept."""
        return len(self._signs) + len(self.ahead)

    def tail(self) -> Tail:
        """Return how the session stands after all signs that were taken."""
        signs = self._signs
        if self.ahead or not signs:
            self._catch_up()
            standing, last_ms = self._before(len(signs))
            newest = signs[-1] if signs else self._floor
        else:
            standing, last_ms, newest = self._standings[-1], self._lasts[-1], signs[-1]
        working = standing.working
        goes_on = working and standing.agents.get(MAIN) == _AT_WORK
        return Tail(working, last_ms, newest >> SHIFT, goes_on)

    def take(self, sign: int, *, gap_max_ms: int) -> int:
        """Take a sign; return by how much longer (or shorter) the session worked than was known."""
        if self.ahead:
            self._catch_up()
        signs = self._signs
        at = bisect_left(signs, sign)
        is_last = at == len(signs)
        if sign <= self._floor or not (is_last or signs[at] != sign):
            return 0
        self._news.append(sign)
        was, was_ms = self._before(at)
        now, now_ms, grown_ms = _after(was, was_ms, sign, gap_max_ms)
        signs.insert(at, sign)
        self._standings.insert(at, now)
        self._lasts.insert(at, now_ms)
        if is_last or (now is was and self._goes_between(at, was_ms, gap_max_ms)):
            self._forget()
            return grown_ms if is_last else 0
        for place in range(at + 1, len(signs)):
            if now_ms == was_ms and now == was:
                break
            following = signs[place]
            was, was_ms, counted_ms = _after(was, was_ms, following, gap_max_ms)
            now, now_ms, counts_ms = _after(now, now_ms, following, gap_max_ms)
            grown_ms += counts_ms - counted_ms
            self._standings[place], self._lasts[place] = now, now_ms
        self._forget()
        return grown_ms

    def _goes_between(self, at: int, was_ms: int, gap_max_ms: int) -> bool:
        """Say whether the sign in a place, which changes no standing, only parts time that counts.

        That is the usual one of those that come late.
        """
        sign, following = self._signs[at], self._signs[at + 1]
        when_ms = following >> SHIFT
        return (
            when_ms - was_ms <= gap_max_ms
            and when_ms == self._lasts[at + 1]
            and (sign >> _AGENT_BITS) & _KIND_MASK not in _PROMPTS
            and (following >> _AGENT_BITS) & _KIND_MASK not in _PROMPTS
        )

    def encode(self) -> bytes:
        """Return the signs taken since the last time, and begin anew."""
        if self.ahead:
            self._catch_up()
        news, self._news = self._news, []
        if news and max(news) > _SIGN_MAX:  # of a clock that is a century ahead
            news = [min(sign, _SIGN_MAX) for sign in news]
        return struct.pack(f"<{len(news)}q", *news)

    def recall(self, pieces: Iterable[bytes]) -> None:
        """Take up the signs that were encoded, on top of how the session stood before any."""
        for (sign,) in _SIGN.iter_unpack(b"".join(pieces)):
            signs = self._signs
            if not signs or sign > signs[-1]:
                if sign > self._floor:
                    signs.append(sign)
            elif sign > self._floor:
                at = bisect_left(signs, sign)
                if signs[at] != sign:
                    signs.insert(at, sign)
            if len(signs) >= SIGNS_MAX + SPARE:
                self._stand(SPARE)
                self._forget()
        self._stand(len(self._signs))

    def _stand(self, number: int) -> None:
        """Find out how the session stood after each of the first signs."""
        standing, last_ms = self._start
        for sign in self._signs[:number]:
            standing, last_ms, _ = _after(standing, last_ms, sign, 0)
            self._standings.append(standing)
            self._lasts.append(last_ms)

    def restart(self, main: Activity, agents: Mapping[str, Activity]) -> None:
        """Stand as a version that kept no signs knew; what is older adds nothing."""
        every = [(MAIN, main), *((_agent_of(name), agent) for name, agent in agents.items())]
        stands = {number: _stands(agent) for number, agent in every}
        standing = Standing(
            main.working, {number: does for number, does in stands.items() if does != _RESTS}
        )
        self._start = (standing, main.active_at_ms)
        self._floor = sign_of(main.active_at_ms, _KIND_MASK) if main.active_at_ms else -1

    def _before(self, place: int) -> tuple[Standing, int]:
        if place:
            return self._standings[place - 1], self._lasts[place - 1]
        return self._start

    def _forget(self) -> None:
        """Forget the oldest signs, as many as are to spare, if there are that many."""
        over = (len(self._signs) - SIGNS_MAX) // SPARE * SPARE
        if over > 0:
            self._start = self._before(over)
            self._floor = self._signs[over - 1]
            del self._signs[:over], self._standings[:over], self._lasts[:over]

    def _catch_up(self) -> None:
        ahead = self.ahead
        self._standings += [self._before(len(self._signs))[0]] * len(ahead)
        self._signs += ahead
        self._news += ahead
        self._lasts += [sign >> SHIFT for sign in ahead]
        ahead.clear()
        self._forget()


def _after(standing: Standing, last_ms: int, sign: int, gap_max_ms: int) -> After:
    """Return how a session stands after a sign, by how it stood before."""
    now = _stood(standing, sign)
    if now is None:
        return standing, last_ms, 0
    when_ms = sign >> SHIFT
    if standing.working and (sign >> _AGENT_BITS) & _KIND_MASK not in _PROMPTS:
        gap_ms = when_ms - last_ms
        return now, when_ms, gap_ms if gap_ms <= gap_max_ms else 0
    return now, when_ms, 0


def _stood(standing: Standing, sign: int) -> Standing | None:
    """Return who is at work after a sign; None where the sign says nothing."""
    kind, agent, agents = (sign >> _AGENT_BITS) & _KIND_MASK, sign & _AGENT_MASK, standing.agents
    was = agents.get(agent, _RESTS)
    if kind in _WORKS:
        if was == _AT_WORK and standing.working:
            return standing
        if was >= 0 and not _takes_up(kind, (sign >> SHIFT) - was):
            return None
        return _made(agents, agent, _AT_WORK)
    if kind == ENDED:
        return NOBODY
    if kind == NOTICED and any(
        does == _ASKS for other, does in agents.items() if other != MAIN
    ):  # fmt: skip
        return None
    if kind == STARTED or was >= 0:
        return _made(agents, agent, was, rests=True)
    if kind == FINISHED:
        return _made(agents, agent, sign >> SHIFT, rests=True)
    return _made(agents, agent, _RESTS if kind == RESTED else _ASKS, rests=True)


def _takes_up(kind: int, since_ms: int) -> bool:
    """Say whether a sign of work, so long after an agent's turn, means that it works again."""
    return kind in {PROMPTED, STRONG} or (kind == PROMPTED_SOFTLY and since_ms > CLOCK_SLACK_MS)


def _made(agents: dict[int, int], agent: int, does: int, *, rests: bool = False) -> Standing:
    """Return how a session stands once an agent does something else."""
    changed = dict(agents)
    if does == _RESTS:
        changed.pop(agent, None)
    else:
        changed[agent] = does
    if len(changed) > AGENTS_MAX:
        others = [one for one in changed if one not in {MAIN, agent}]
        del changed[min(others, key=lambda one: (changed[one] % _NEVER, one))]
    working = not rests or any(
        what == _AT_WORK for other, what in changed.items() if other != agent
    )
    return Standing(working, changed)


@lru_cache(_AGENTS_KNOWN_MAX)
def _agent_of(agent_id: str) -> int:
    if not agent_id:
        return MAIN
    return 1 + xxh3_64_intdigest(agent_id.encode("utf-8", "surrogatepass")) % _AGENT_MASK


def _stands(agent: Activity) -> int:
    """Return what an agent does by its state."""
    if agent.is_over and agent.over_source == Source.HOOK:
        return agent.since_ms
    if agent.state is SessionState.RUNNING:
        return _AT_WORK
    return _ASKS if agent.state is SessionState.WAITING else _RESTS
