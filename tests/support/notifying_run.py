"""A process that sends the notices of a store until it is told to stop, or killed."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import structs

from analytics.alerts.delivery import Policy
from streams.notifying.loop import Notifying, Rules
from streams.notifying.sending import Manner

RULES = Rules(
    manner=Manner(timeout_s=5, is_private_allowed=True, external_url="http://board"),
    policy=Policy(wait_ms=1, wait_ms_max=1),
    lease_spare_s=-4.5,
)
"""Retries come at once, and so does what a killed worker had in hand."""
HASTY = structs.replace(RULES, policy=structs.replace(RULES.policy, lasts_ms=0, attempts_min=3))
"""Gives up after three attempts."""


def notifying(url: str, rules: Rules = RULES) -> Notifying:
    """Return what sends the notices of a store."""
    return Notifying(url, rules, now_ms=lambda: time.time_ns() // 1_000_000, chance=lambda: 0.5)


@contextmanager
def running(url: str, rules: Rules = RULES) -> Iterator[None]:
    """Send notices for a while."""
    stop = threading.Event()
    thread = threading.Thread(target=notifying(url, rules).run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    notifying(sys.argv[1]).run(threading.Event())
