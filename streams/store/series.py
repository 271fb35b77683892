"""The short names of series, and which of them the store is known to have.

A series' id is a digest of what it is, so that any worker gives it the same one. What the store has
is remembered in a bounded memory, least recently used first out, and for a day at most: forgetting
costs one more insert, which says that the series is in use (see `leftovers`).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.rows import CellKey, Grain

REMEMBERED_MAX: Final = 20_000
REMEMBERED_MS: Final = 86_400_000
"""How long the store is trusted to have a series; it keeps those that nothing needs for longer."""
FIELDS: Final = CellKey.__struct_fields__
LATER: Final = frozenset({"kind"})
"""Dimensions that came after there were stores with series."""


def series_id(key: CellKey) -> int:
    """Return the id of the series: the first 8 bytes of a BLAKE2b digest over its dimensions.

    A dimension of `LATER` that does not apply is left out, so that series which the store had
    before there was one keep their ids.
    """
    digest = hashlib.blake2b(digest_size=8)
    for field in FIELDS:
        if field in LATER and not getattr(key, field):
            continue
        data = str(getattr(key, field)).encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    return int.from_bytes(digest.digest(), "big", signed=True)


def key_of(values: Iterable[object]) -> CellKey:
    """Return the series that the columns of table `series`, from tenant on, describe."""
    tenant, grain, *rest = (str(value) for value in values)
    project, session_id, agent, model, tool, skill, query_source, kind = rest
    return CellKey(
        tenant=TenantId(tenant),
        grain=Grain(grain),
        project=project,
        session_id=SessionId(session_id),
        agent=agent,
        model=model,
        tool=tool,
        skill=skill,
        query_source=query_source,
        kind=kind,
    )


class KnownSeries:
    """Ids by series, and whether a commit has put them into the store."""

    def __init__(
        self, *, remembered_max: int = REMEMBERED_MAX, clock: Callable[[], int] = lambda: 0
    ) -> None:
        self._ids: OrderedDict[CellKey, int] = OrderedDict()
        self._remembered_max = remembered_max
        self._clock = clock
        self._since_ms = clock()

    def split(self, keys: Iterable[CellKey]) -> tuple[dict[CellKey, int], dict[CellKey, int]]:
        """Return the ids of all these series, and of those that may not be in the store yet."""
        ids: dict[CellKey, int] = {}
        new: dict[CellKey, int] = {}
        now_ms = self._clock()
        if now_ms - self._since_ms >= REMEMBERED_MS:
            self._ids.clear()
            self._since_ms = now_ms
        for key in keys:
            if key in ids:
                continue
            known = self._ids.get(key)
            if known is None:
                known = new[key] = series_id(key)
            else:
                self._ids.move_to_end(key)
            ids[key] = known
        return ids, new

    def forget(self) -> None:
        """Remember nothing: what was known to be in the store may have been erased."""
        self._ids.clear()

    def stored(self, series: dict[CellKey, int]) -> None:
        """Remember what a commit has put into the store."""
        self._ids.update(series)
        while len(self._ids) > self._remembered_max:
            self._ids.popitem(last=False)
