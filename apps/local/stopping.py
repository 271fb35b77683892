"""Stopping a running `mainstem up` from another process, and seeing how it ended."""

import os
import signal

from msgspec import Struct

from analytics.contracts.errors import Unavailable
from apps.local import state
from apps.local.home import Home


class StillStopping(Unavailable):
    """The stack has not ended within the time given; it goes on stopping."""

    code = "still-stopping"


class StopOutcome(Struct, frozen=True):
    """How a stop went; `unread` is None where it is not known."""

    was_running: bool
    unread: int | None

    @property
    def sentence(self) -> str:
        """Say it in words."""
        if not self.was_running:
            return "nothing is running"
        if self.unread == 0:
            return "stopped; everything acknowledged is in the store"
        if self.unread is None:
            return "stopped; whether every event is in the store could not be seen"
        return f"stopped; {self.unread} events were not in the store"


def stop(home: Home, *, wait_s: float) -> StopOutcome:
    """Ask the running `up` to stop and wait until it has; raise `StillStopping` after `wait_s`."""
    running = state.running(home)
    if running is None:
        return StopOutcome(was_running=False, unread=0)
    os.kill(running.up.pid, signal.SIGTERM)
    if not state.wait_gone(running.up, wait_s=wait_s):
        raise StillStopping(
            f"process {running.up.pid} is still stopping after {wait_s:g} s; its logs are in"
            f" {str(home.logs)!r}"
        )
    last = state.read(home)
    return StopOutcome(was_running=True, unread=None if last is None else last.unread)
