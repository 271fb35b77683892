"""Pages while data arrives: what was there at the first page is told once, whatever comes next."""

import random
from collections.abc import Callable
from typing import Final

import httpx
import pytest

from apps.api.app import build
from apps.api.parts import Asking
from apps.api.routes import SESSIONS
from apps.api.watching import ANOMALIES, HISTORY
from gateway.http.auth import TokenScope, Verifier
from streams.clients.reader import Reader
from streams.series.measures import Db
from tests.integration.api.conftest import LOCAL, Clients
from tests.support import seeds
from tests.support.gateway import KEY, Clock, clocks, settings, token

pytestmark = pytest.mark.embedded

MINUTE_MS: Final = 60_000
LISTS: Final = {
    SESSIONS: ("sessions", "session_id"),
    ANOMALIES: ("anomalies", "anomaly_id"),
    HISTORY: ("changes", "number"),
}


class Arriving:
    """Lets a step of what happens to a store happen, drawn by chance."""

    def __init__(self, db: Db, now_ms: int, seed: int) -> None:
        self.wall_ms = now_ms
        self._db = db
        self._chance = random.Random(seed)
        self._count = 0

    def step(self) -> None:
        """Let a session come, work, cost, or begin earlier than was known; anomalies and alerts."""
        self.wall_ms += self._chance.randrange(10 * MINUTE_MS)
        self._count += 1
        ((self._came, self._worked, self._began_earlier, self._odd, self._changed))[
            self._chance.randrange(5)
        ]()
        self._db.commit()

    def _came(self) -> None:
        rows = seeds.Seeds(log_id=50 + self._count)
        at_ms = self.wall_ms - self._chance.randrange(20 * 60 * MINUTE_MS)
        rows.session(f"came-{self._count}", at_ms=at_ms)
        rows.write(self._db)

    def _worked(self) -> None:
        self._db.execute(
            "update sessions set last_at = to_timestamp(%s / 1000.0), calls = calls + 1,"
            " cost_nanousd = cost_nanousd + %s where tenant = 'local' and session_id = %s",
            [self.wall_ms, self._chance.randrange(10**10), self._any()],
        )

    def _began_earlier(self) -> None:
        self._db.execute(
            "update sessions set started_at = started_at - interval '2 hours'"
            " where tenant = 'local' and session_id = %s",
            [self._any()],
        )

    def _odd(self) -> None:
        self.anomaly(f"late-{self._count}", self.wall_ms - self._chance.randrange(600) * MINUTE_MS)

    def _changed(self) -> None:
        self.change(self.wall_ms)

    def anomaly(self, name: str, at_ms: int) -> None:
        """Let a reading be odd."""
        self._db.execute(
            "insert into anomalies (anomaly_id, tenant, at, watch_id, measure, dimension, part,"
            " value, expected_low, expected_high, score, rarity, ingredient, reason, contributors)"
            " values (%s, 'local', to_timestamp(%s / 1000.0), 1, 'cost_usd', '', '', 9, 1, 2, 0.9,"
            " 3, 'level', 'too much', '[]')",
            [name, at_ms],
        )

    def change(self, at_ms: int) -> None:
        """Let an alert change."""
        self._db.execute(
            "insert into alert_changes (tenant, at, fingerprint, labels, was, state)"
            " values ('local', to_timestamp(%s / 1000.0), 'f', '{}', 'inactive', 'firing')",
            [at_ms],
        )

    def _any(self) -> str:
        rows = self._db.execute("select session_id from sessions where tenant = 'local'").fetchall()
        return str(self._chance.choice(sorted(rows))[0])


Asked = Callable[[], httpx.AsyncClient]


@pytest.fixture
def arriving(fleet: Db, now_ms: int) -> Arriving:
    """Give a store with some of everything, to which more comes."""
    found = Arriving(fleet, now_ms, seed=3)
    for number in range(12):
        found.anomaly(f"a{number}", now_ms - number // 3 * 37 * MINUTE_MS)
        found.change(now_ms - number * 71 * MINUTE_MS)
    fleet.commit()
    return found


@pytest.fixture
def later(reader: Reader, arriving: Arriving) -> httpx.AsyncClient:
    """Return a client of an API whose clock goes on while data arrives."""
    api = build(
        settings(),
        Asking(reader=reader, wall_ms=lambda: arriving.wall_ms),
        verifier=Verifier(KEY, cached_max=10),
        clocks=clocks(Clock()),
    )
    bearer = token(tenant=LOCAL, scopes=(TokenScope.SUBSCRIBE,))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(api),
        base_url="http://api",
        headers={"Authorization": f"Bearer {bearer}"},
    )


@pytest.mark.parametrize("limit", [1, 3, 7])
@pytest.mark.parametrize("path", LISTS)
async def test_pages_repeat_and_miss_nothing_that_was_there_at_the_first(
    later: httpx.AsyncClient, arriving: Arriving, path: str, limit: int
) -> None:
    name, key = LISTS[path]
    async with later as http:
        whole = (await http.get(path, params={"from": "-20h", "limit": "1000"})).json()
        told: list[object] = []
        after: str | None = ""
        while after is not None:
            asked = {"from": "-20h", "limit": str(limit), **({"after": after} if after else {})}
            answer = await http.get(path, params=asked)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            told += [one[key] for one in page[name]]
            after = page["next"]
            for _ in range(2):
                arriving.step()

    assert len(told) == len(set(told))
    was_there = [one[key] for one in whole[name]]
    assert len(was_there) > 10
    assert [one for one in told if one in set(was_there)] == was_there


@pytest.mark.parametrize("sort", ["cost", "recent", "started"])
async def test_an_order_that_changes_has_no_further_page_and_says_so(
    client: Clients, sort: str
) -> None:
    async with client() as http:
        first = (await http.get(SESSIONS, params={"limit": "2"})).json()
        top = (await http.get(SESSIONS, params={"limit": "2", "sort": sort})).json()
        refused = await http.get(SESSIONS, params={"sort": sort, "after": first["next"]})

    assert (top["next"], top["more"]) == (None, True)
    assert refused.status_code == 400
    assert "order in which sessions came" in refused.json()["detail"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("after", ["x", "é", "W10", "WzEsMCwxXQ", "a" * 5_000, "5.a1", "25"])
async def test_what_is_no_cursor_of_ours_is_refused(client: Clients, path: str, after: str) -> None:
    async with client() as http:
        answer = await http.get(path, params={"after": after})

    assert answer.status_code == 400
    assert "`next` of the page before" in answer.json()["detail"]
