"""A process that sends the notices of a store until it is told to stop, or killed."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import structs

from analytics.alerts.notify.delivery import Policy
from streams.notify.notifier import NotifierOptions, Notifying
from streams.notify.sender import SendOptions
from streams.store.controls import Db
from tests.support.receivers import WAIT_S

RULES = NotifierOptions(
    manner=SendOptions(timeout_s=5, is_private_allowed=True, external_url="http://board"),
    policy=Policy(wait_ms=1, wait_ms_max=1),
    lease_spare_s=-4.5,
    tick_s=0.01,
)
"""Retries come at once, and so does what a killed worker had in hand."""
HASTY = structs.replace(RULES, policy=structs.replace(RULES.policy, lasts_ms=0, attempts_min=3))
"""Gives up after three attempts."""


def notifying(
    url: str, rules: NotifierOptions = RULES, woken: threading.Event | None = None
) -> Notifying:
    """Return what sends the notices of a store."""
    return Notifying(
        url, rules, now_ms=lambda: time.time_ns() // 1_000_000, chance=lambda: 0.5, woken=woken
    )


def until(held: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline_s = time.monotonic() + WAIT_S
    while not held():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.01)


def rows(db: Db) -> dict[str, tuple[Any, ...]]:
    """Return the notices of a store by their keys, in order."""
    query = "select key, state, attempts, error from notices order by at, key"
    return {row[0].partition("/")[2]: row[1:] for row in db.execute(query)}


def settled(db: Db) -> bool:
    """Say whether no notice waits."""
    return all(row[0] != "waiting" for row in rows(db).values())


@contextmanager
def running(
    url: str, rules: NotifierOptions = RULES, *, woken: threading.Event | None = None
) -> Iterator[None]:
    """Send notices for a while."""
    stop, woken = threading.Event(), woken or threading.Event()
    thread = threading.Thread(target=notifying(url, rules, woken).run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        woken.set()
        thread.join()


if __name__ == "__main__":
    notifying(sys.argv[1]).run(threading.Event())
