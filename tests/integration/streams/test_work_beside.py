"""What goes beside the stream never ends unnoticed, and the outbox has an answer under any plan."""

from itertools import combinations

import psycopg
import pytest

from streams.store.outbox_order import Turns
from tests.support.broker import RunningBroker, tansu
from tests.support.database import database_url, migrated_template, postgres
from tests.support.stream_worker import running, settings, until

__all__ = ["database_url", "migrated_template", "postgres", "tansu"]

WAYS = ("hashagg", "hashjoin", "material", "mergejoin", "nestloop", "seqscan", "sort")
PLANS = [(), *combinations(WAYS, 1), *combinations(WAYS, 2)]
FILL = """
insert into outbox (topic, key, value, headers)
select 'metrics', 'loud', 'v', '[]' from generate_series(1, 10000)
"""


@pytest.mark.embedded
async def test_a_work_that_fails_as_nobody_expects_has_the_stream_built_anew(
    tansu: RunningBroker, database_url: str
) -> None:
    runs: list[int] = []

    async def jobs() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise ZeroDivisionError("a mistake of ours")

    async with running(settings(tansu.address, database_url, jobs_wait_s=1), jobs=jobs):
        await until(lambda: len(runs) > 1)

    assert runs[:2] == [0, 1]


@pytest.mark.embedded
async def test_an_outbox_that_was_full_and_is_empty_has_nothing_to_send_whatever_the_plan(
    database_url: str,
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as db:
        await db.execute(FILL)
        await db.execute("analyze outbox")
        await db.execute("delete from outbox")
        for avoided in PLANS:
            for way in WAYS:
                answer = "off" if way in avoided else "on"
                await db.execute(f"set enable_{way} = {answer}".encode())

            assert await Turns().take(db, limit=500) == [], avoided
