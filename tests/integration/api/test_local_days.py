"""Groups add up at every step, days are those of a place, and a range is not widened in silence."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

from analytics.contracts.ids import TenantId
from apps.api.routes import METRICS
from streams.maintenance import rollups
from streams.series.measures import Db
from streams.store import levels
from streams.store.holdings import DIMENSIONS
from tests.integration.api.conftest import Clients
from tests.support import seeds

pytestmark = pytest.mark.embedded

HOUR_MS = 3_600_000
PLACE = TenantId("place")


def _total(told: dict[str, object]) -> int:
    groups = told["groups"]
    assert isinstance(groups, list)
    return sum(point[1] for one in groups for point in one["points"])


@pytest.mark.parametrize("dimension", DIMENSIONS)
async def test_one_dimension_adds_up_at_every_step_once_minutes_are_settled(
    client: Clients, fleet: Db, database_url: str, now_ms: int, dimension: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        rollups.run(db, levels.detect(db), now_ms=now_ms)
    until_ms = now_ms // 300_000 * 300_000
    asked = {"measures": "calls", "from": str(until_ms - 6 * HOUR_MS), "until": str(until_ms)}

    async with client() as http:
        whole = (await http.get(METRICS, params=asked)).json()
        by_step = {
            step: (await http.get(METRICS, params={
                **asked, "group_by": dimension, **({"aggregation": step} if step else {}),
            })).json()
            for step in ("", "10s", "1m", "5m", "1h")
        }  # fmt: skip

    assert {_total(told) for told in by_step.values()} == {_total(whole)} != {0}
    groups = [{one["labels"][dimension] for one in told["groups"]} for told in by_step.values()]
    assert all(one == groups[0] for one in groups)


def _evening(now_ms: int, zone: ZoneInfo) -> datetime:
    """Return the local midnight of two days ago."""
    today = datetime.fromtimestamp(now_ms / 1_000, tz=UTC).astimezone(zone).date()
    return datetime.combine(today - timedelta(days=2), datetime.min.time(), tzinfo=zone)


def _hour(begun: datetime, hours: float) -> int:
    return int((begun.timestamp() + hours * 3_600) * 1_000)


@pytest.fixture
def midnight(fleet: Db, now_ms: int) -> datetime:
    """Let a place have tokens an hour before its midnight, twice in its day, and an hour after."""
    begun = _evening(now_ms, ZoneInfo("America/Los_Angeles"))
    rows = seeds.Seeds(tenant=PLACE, log_id=3)
    rows.session("s", at_ms=_hour(begun, -2))
    for hours, tokens in ((-1, 1_000), (2, 100), (20.5, 200), (26, 5_000)):
        rows.call("s", _hour(begun, hours), model="m", duration_ms=5, input_tokens=tokens)
    rows.write(fleet)
    return begun


@pytest.mark.parametrize(
    "named",
    [
        {"tz": "America/Los_Angeles", "from": "{day}", "until": "{next}"},
        {
            "tz": "America/Los_Angeles",
            "from": "{day}T00:00:00-08:00",
            "until": "{next}T00:00-08:00",
        },
        {"from": "{start}", "until": "{end}"},
    ],
    ids=["days of the zone", "with an offset", "of UTC, cut"],
)
async def test_a_day_of_a_place_is_what_happened_in_it(
    client: Clients, midnight: datetime, named: dict[str, str]
) -> None:
    after = midnight + timedelta(days=1)
    offset = f"{midnight:%z}"
    values = {
        "day": f"{midnight:%Y-%m-%d}", "next": f"{after:%Y-%m-%d}",
        "start": str(_hour(midnight, 0)), "end": str(_hour(after, 0)),
    }  # fmt: skip
    asked = {
        key: text.format(**values).replace("-08:00", f"{offset[:3]}:{offset[3:]}")
        for key, text in named.items()
    }
    async with client(tenant=PLACE) as http:
        answer = await http.get(
            METRICS, params={"measures": "input_tokens", "aggregation": "1d", **asked}
        )

    told = answer.json()
    assert _total(told) == 300
    assert (told["from_ms"], told["until_ms"]) == (_hour(midnight, 0), _hour(after, 0))
    assert told["tz"] == asked.get("tz", "UTC")
    if "tz" in asked:
        assert [point[0] for point in told["groups"][0]["points"]] == [_hour(midnight, 0)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"tz": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"tz": "Europe/Berlin", "from": "-400d", "aggregation": "1d"}, "WINDOW_1H_DAYS"),
        ({"tz": "Asia/Kolkata", "from": "-100d", "aggregation": "1d"}, "WINDOW_5M_DAYS"),
    ],
)
async def test_days_that_nothing_is_kept_of_are_refused_with_what_to_do(
    client: Clients, asked: dict[str, str], said: str
) -> None:
    async with client() as http:
        answer = await http.get(METRICS, params=asked)

    assert answer.status_code == 400
    assert said in answer.json()["detail"]
