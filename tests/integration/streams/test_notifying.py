"""Notices of a real store, sent to real servers: once, in order, whoever is killed when."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Final

import pytest
from msgspec import structs

from analytics.alerts.dispatch.groups import Notice, NotifyReason, SentAlert
from analytics.alerts.notify import delivery
from analytics.contracts.ids import TenantId
from apps.cli import main
from streams import metrics
from streams.store import alert_files, controls, notices
from streams.store.alert_files import UploadedFile
from streams.store.controls import Db
from tests.support import watching_run
from tests.support.database import database_url, migrated_template, postgres
from tests.support.facts import T0_MS
from tests.support.notifying_run import HASTY, RULES, rows, running, settled, until
from tests.support.receivers import WAIT_S, Answer, Got, Hook, hook
from tests.support.watched_windows import fleet, write

__all__ = ["database_url", "migrated_template", "postgres"]

TENANT: Final = "local"
LOCAL: Final = TenantId(TENANT)
NOW_MS: Final = 1_800_000_000_000
SECRET: Final = "hidden-words"
ROUTING: Final = """
route:
  receiver: people
  group_by: [alertname]
  group_wait: 0s
  escalate_after: 30m
  escalate_to: [boss]
receivers:
  - name: people
    webhook_configs: [{{url: "{url}/people?token=hidden-words"}}]
  - name: boss
    webhook_configs: [{{url: "{url}/boss"}}]
  - name: quiet
"""
RULE: Final = """
groups:
  - name: mine
    rules: [{alert: Fails, expr: "sum(tool_errors_total) > 0"}]
"""


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as held:
        yield held


@pytest.fixture
def db(database_url: str, server: Hook) -> Iterator[Db]:
    """Give a store whose tenant has a routing to the server."""
    with controls.opened(database_url) as connection:
        body = ROUTING.format(url=server.url)
        file = UploadedFile(name="r.yml", body=body)
        alert_files.put(connection, TENANT, file, by="ada")
        yield connection


def _notice(number: int, *, group: str = "0:{}", receiver: str = "people") -> Notice:
    return Notice(
        key=f"k{number}",
        group=group,
        group_key="{}:{}",
        group_labels={"alertname": "Slow"},
        receiver=receiver,
        integration=f"{receiver}/webhook/0",
        why=NotifyReason.FIRING,
        alerts=(SentAlert(labels={"alertname": "Slow", "number": str(number)}, starts_at_ms=5),),
        at_ms=T0_MS + number,
    )


def test_a_notice_is_sent_once_and_noted(db: Db, database_url: str, server: Hook) -> None:
    notices.add(db, TENANT, _notice(1))
    notices.add(db, TENANT, _notice(1))

    with running(database_url):
        until(lambda: settled(db))

    [got] = server.got
    assert got.path == f"/people?token={SECRET}"
    assert got.key == delivery.idempotency_key(f"{TENANT}/k1")
    assert rows(db) == {"k1": ("sent", 1, "")}


def test_a_notice_that_is_left_later_is_sent_when_the_sender_is_woken(
    db: Db, database_url: str, server: Hook
) -> None:
    woken = threading.Event()

    with running(database_url, structs.replace(RULES, tick_s=3_600.0), woken=woken):
        for number in (1, 2, 3):
            notices.add(db, TENANT, _notice(number))
            woken.set()
            server.wait(number)

    assert len({one.key for one in server.got}) == 3


def test_a_receiver_that_is_away_is_told_once_it_is_back(
    db: Db, database_url: str, server: Hook
) -> None:
    notices.add(db, TENANT, _notice(1))
    server.answer = lambda _: Answer(503 if len(server.got) < 4 else 200)

    with running(database_url):
        until(lambda: settled(db))

    assert len({one.key for one in server.got}) == 1
    assert rows(db) == {"k1": ("sent", 4, "")}


def test_a_receiver_that_asks_to_be_left_alone_is(db: Db, database_url: str, server: Hook) -> None:
    notices.add(db, TENANT, _notice(1))
    server.answer = lambda _: Answer(429, {"Retry-After": "300"})

    with running(database_url):
        server.wait(1)
        until(lambda: rows(db)["k1"][2] != "")

    row = db.execute("select next_at - now() > interval '280 s' from notices").fetchone()
    assert row == (True,)
    assert rows(db) == {"k1": ("waiting", 1, "the receiver answered 429")}


@pytest.mark.requirement("alert-receiver-dead")
@pytest.mark.parametrize("status", [503, 404])
def test_a_receiver_that_stays_dead_is_given_up_and_the_next_is_told_once(
    db: Db, database_url: str, server: Hook, status: int
) -> None:
    notices.add(db, TENANT, _notice(1))
    server.answer = lambda got: Answer(status if got.path.startswith("/people") else 200)

    with running(database_url, HASTY):
        until(lambda: settled(db) and len(rows(db)) == 2)
    with running(database_url, HASTY):
        until(lambda: settled(db))

    boss = [one.said for one in server.got if one.path == "/boss"]
    assert [[one["labels"]["alertname"] for one in said["alerts"]] for said in boss] == [
        ["ReceiverDead", "Slow"]
    ]
    first = rows(db)["k1"]
    assert first == ("given up", 3 if status == 503 else 1, f"the receiver answered {status}")


def test_the_last_receiver_of_all_is_given_up_and_nobody_is_told_for_ever(
    db: Db, database_url: str, server: Hook
) -> None:
    notices.add(db, TENANT, _notice(1))
    server.answer = lambda _: Answer(404)

    with running(database_url):
        until(lambda: settled(db) and len(rows(db)) == 2)

    assert {row[0] for row in rows(db).values()} == {"given up"}


@pytest.mark.requirement("alert-sent-in-order")
def test_a_group_is_told_of_in_order_and_others_need_not_wait_for_it(
    db: Db, database_url: str, server: Hook
) -> None:
    for number in range(6):
        notices.add(db, TENANT, _notice(number))
    notices.add(db, TENANT, _notice(9, group="0:{other}"))
    failed: list[str] = []

    def answer(got: Got) -> Answer:
        number = got.said["alerts"][0]["labels"]["number"]
        if number == "2" and len(failed) < 3:
            failed.append(number)
            return Answer(500)
        return Answer()

    server.answer = answer
    with running(database_url), running(database_url):
        until(lambda: settled(db))

    told = [one.said["alerts"][0]["labels"]["number"] for one in server.got]
    assert [one for one in told if one != "9"] == ["0", "1", "2", "2", "2", "2", "3", "4", "5"]
    assert told.index("9") < told.index("5")


def test_a_receiver_that_is_slow_keeps_no_other_waiting(
    db: Db, database_url: str, server: Hook
) -> None:
    let_go = threading.Event()
    for number in range(8):
        notices.add(db, TENANT, _notice(number, group=f"0:{number}"))
    notices.add(db, TENANT, _notice(9, receiver="boss"))

    def answer(got: Got) -> Answer:
        if got.path.startswith("/people"):
            let_go.wait(WAIT_S)
        return Answer()

    server.answer = answer
    with running(database_url, structs.replace(RULES, at_once=3, lease_spare_s=20)):
        until(lambda: rows(db)["k9"][0] == "sent")
        slow = [one for one in server.got if one.path.startswith("/people")]
        let_go.set()
        until(lambda: settled(db))

    assert len(slow) <= 2


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"receiver": "quiet", "integration": "quiet/webhook/0"}, ("sent", 1, "")),
        (
            {"receiver": "gone", "integration": "gone/webhook/0"},
            ("given up", 1, "the routing does not have this receiver any more"),
        ),
    ],
)
def test_nobody_is_told_where_there_is_nobody(
    db: Db, database_url: str, server: Hook, change: dict[str, str], row: tuple[object, ...]
) -> None:
    notices.add(db, TENANT, structs.replace(_notice(1), **change))
    db.execute(
        "insert into notices (key, tenant, at, receiver, integration, why, body)"
        " values ('local/odd', 'local', now(), 'people', 'people/webhook/0', 'firing', 'x')"
    )

    with running(database_url):
        until(lambda: settled(db))

    assert server.got == []
    assert rows(db)["k1"] == row
    assert rows(db)["odd"][0] == "given up"


def test_a_tenant_without_a_routing_file_goes_by_the_pack_that_tells_nobody(
    db: Db, database_url: str
) -> None:
    notices.add(db, "other", structs.replace(_notice(1), receiver="shadow"))

    with running(database_url):
        until(lambda: settled(db))

    assert rows(db) == {"k1": ("sent", 1, "")}


@pytest.mark.requirement("alert-sent-under-one-key")
def test_a_worker_killed_between_sending_and_noting_sends_it_once_more_under_the_same_key(
    db: Db, database_url: str, server: Hook
) -> None:
    notices.add(db, TENANT, _notice(1))
    command = [sys.executable, "-m", "tests.support.notifying_run", database_url]
    with subprocess.Popen(command) as worker:

        def answer(_: Got) -> Answer:
            if len(server.got) == 1:
                os.kill(worker.pid, signal.SIGKILL)
                worker.wait()
            return Answer()

        server.answer = answer
        server.wait(1)
        worker.wait()
    assert rows(db) == {"k1": ("waiting", 1, "")}

    with running(database_url):
        until(lambda: settled(db))

    first, second = server.got
    assert first.key == second.key
    assert first.body == second.body
    assert rows(db) == {"k1": ("sent", 2, "")}


def test_a_mark_of_a_worker_whose_lease_was_over_changes_nothing(db: Db) -> None:
    notices.add(db, TENANT, _notice(1))
    [late] = notices.take(db, limit=1, each=1, busy=[], lease_s=-1)
    [now] = notices.take(db, limit=1, each=1, busy=[], lease_s=60)
    verdict = delivery.DeliveryDecision(state=delivery.DeliveryState.GIVEN_UP, reason="late")

    assert not notices.mark(db, late, verdict, [_notice(2)])
    assert notices.mark(db, now, delivery.DeliveryDecision(state=delivery.DeliveryState.SENT))
    assert rows(db) == {"k1": ("sent", 2, "")}


def test_a_store_that_is_cut_off_while_a_notice_is_sent_hears_of_it_when_it_is_back(
    db: Db, database_url: str, server: Hook
) -> None:
    notices.add(db, TENANT, _notice(1))

    def answer(_: Got) -> Answer:
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'mainstem notifying' and datname = current_database()"
        )
        return Answer()

    server.answer = answer
    with running(database_url, structs.replace(RULES, lease_spare_s=60)):
        until(lambda: settled(db))

    assert len(server.got) == 1
    assert rows(db) == {"k1": ("sent", 1, "")}


@pytest.mark.requirement("alert-no-secret-shown")
def test_no_secret_is_in_a_log_an_error_or_a_metric(
    db: Db, database_url: str, server: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    notices.add(db, TENANT, _notice(1))
    server.answer = lambda _: Answer(400, body=SECRET.encode())

    with caplog.at_level(logging.DEBUG), running(database_url):
        until(lambda: settled(db) and len(rows(db)) == 2)

    logged = "".join(str(vars(one)) for one in caplog.records)
    told = db.execute("select string_agg(n::text, '') from notices n").fetchone()
    assert "a receiver is given up" in logged
    assert SECRET not in logged + metrics.exposition().decode() + str(told)
    assert str(server.port) not in logged


def test_a_fault_of_ours_is_given_up_like_any_other_failure_and_ends_nothing(
    db: Db, database_url: str, server: Hook
) -> None:
    odd = SentAlert(labels={"alertname": "Slow"}, starts_at_ms=10**18)
    notices.add(db, TENANT, structs.replace(_notice(1), alerts=(odd,)))
    notices.add(db, TENANT, _notice(2, group="0:{other}"))

    with running(database_url, HASTY):
        until(lambda: settled(db) and len(rows(db)) == 3)

    found = rows(db)
    assert found["k1"][0] == "given up"
    assert found["k1"][2].startswith("a fault of ours: ")
    assert found["k2"][0] == "sent"


@pytest.mark.requirement("alert-notified-once")
def test_a_restart_between_evaluation_and_notification_tells_exactly_once(
    db: Db, database_url: str, server: Hook
) -> None:
    body = UploadedFile(name="mine.yml", body=RULE)
    alert_files.put(db, TENANT, body, by="ada")
    series = fleet(tool="Bash", agent="claude-code")
    errors = ((series, minute, {"tool_calls": 5, "tool_errors": 1}) for minute in range(9))
    write(database_url, errors, reached_minutes=9)

    for _ in range(2):
        watching_run.watched(database_url, reached_ms=T0_MS + 9 * 60_000)
    decided = [row for row in rows(db).values() if row[0] == "waiting"]
    for _ in range(2):
        with running(database_url):
            until(lambda: settled(db))

    told = [one.said for one in server.got if one.said["groupLabels"]["alertname"] == "Fails"]
    assert decided
    assert len(told) == 1
    assert len(server.got) == len(decided)


@pytest.mark.requirement("alert-silence-link")
def test_the_silence_link_that_a_receiver_got_mutes_that_alert_from_the_next_pass_on(
    db: Db, database_url: str, server: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    alert_files.put(db, TENANT, UploadedFile(name="mine.yml", body=RULE), by="ada")
    series = fleet(tool="Bash", agent="claude-code")
    errors = ((series, minute, {"tool_calls": 5, "tool_errors": 1}) for minute in range(12))
    write(database_url, errors, reached_minutes=12)
    rules = structs.replace(watching_run.RULES, external_url="http://board")
    watching_run.watched(database_url, reached_ms=T0_MS + 9 * 60_000, rules=rules)
    with running(database_url):
        until(lambda: settled(db))
    [told] = [one.said for one in server.got if one.said["groupLabels"]["alertname"] == "Fails"]

    link = told["alerts"][0]["annotations"]["silence"]
    command = ["alerts", "silence", "add", "--link", link, "--comment", "known", "--json"]
    assert main.run([*command, "--store-url", database_url]) == 0
    made = json.loads(capsys.readouterr().out)["id"]
    watching_run.watched(database_url, reached_ms=T0_MS + 12 * 60_000, rules=rules)

    query = "select state, silenced_by from alerts where rule = 'Fails'"
    assert db.execute(query).fetchall() == [("firing", [made])]
