"""A receiver that is tried, and pages of who was told of what, over a real store."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from analytics.contracts.ids import TenantId
from streams.queries import notices, receivers
from streams.queries.notices import NoticeFilter
from streams.store import alert_files, controls
from streams.store.alert_files import UploadedFile
from streams.store.controls import Db
from tests.support.database import database_url, migrated_template, postgres
from tests.support.notifying_run import running
from tests.support.receivers import WAIT_S, Answer, hook

__all__ = ["database_url", "migrated_template", "postgres"]

TENANT: Final = "local"
LOCAL: Final = TenantId(TENANT)
NOW_MS: Final = 1_800_000_000_000


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    with controls.opened(database_url) as connection:
        yield connection


def _until(held: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not held():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.01)


@pytest.mark.requirement("receiver-tested")
def test_a_test_goes_the_way_of_every_notice_and_says_what_came_of_it(
    db: Db, database_url: str
) -> None:
    with hook() as good, hook() as bad:
        bad.answer = lambda _: Answer(status=503)
        body = (
            f"route: {{receiver: both}}\nreceivers:\n- name: both\n  webhook_configs:\n"
            f"  - {{url: '{good.url}/x'}}\n  - {{url: '{bad.url}/SECRET'}}\n"
        )
        alert_files.put(db, TENANT, UploadedFile(name="r.yml", body=body), by="ada")
        keys = receivers.send_test(db, TENANT, "both", by="ada", now_ms=NOW_MS)
        which = NoticeFilter(from_ms=0, until_ms=NOW_MS + 1, keys=keys)
        with running(database_url):
            _until(lambda: all(one.state != "waiting" for one in notices.notices(db, LOCAL, which)))

        found = {one.integration: one for one in notices.notices(db, LOCAL, which)}
        [got] = good.wait(1)

    assert set(found) == {"both/webhook/0", "both/webhook/1"}
    assert found["both/webhook/0"].state == "sent"
    failed = found["both/webhook/1"]
    assert (failed.state, failed.attempts) == ("given up", 1)
    assert "503" in failed.error
    assert "SECRET" not in failed.error
    assert got.said["alerts"][0]["labels"]["alertname"] == "ReceiverTest"
    assert len(bad.got) == 1
    counted = db.execute("select count(*) from notices where why <> 'test'").fetchone()
    assert counted == (0,)


def test_pages_of_notices_neither_repeat_nor_miss_any(db: Db) -> None:
    body = "route: {receiver: r}\nreceivers: [{name: r, webhook_configs: [{url: http://h}]}]"
    alert_files.put(db, TENANT, UploadedFile(name="r.yml", body=body), by="ada")
    made = [
        receivers.send_test(db, TENANT, "r", by="ada", now_ms=NOW_MS + place // 3)[0]
        for place in range(10)
    ]
    which, after, seen = NoticeFilter(from_ms=0, until_ms=NOW_MS + 10), notices.FIRST, list[str]()
    while page := notices.notices(db, LOCAL, which, limit=4, after=after):
        seen += [one.key for one in page]
        after = (page[-1].at_ms, page[-1].key)
        receivers.send_test(db, TENANT, "r", by="ben", now_ms=NOW_MS + 9)

    assert sorted(seen) == sorted(made)
