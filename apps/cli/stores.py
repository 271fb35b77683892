"""Which store a command is about: the one that is named, else the one that runs on this machine."""

import os
from typing import Final

from analytics.contracts.errors import BadSetting
from apps.local import database, state
from apps.local.home import home

STORE_URL: Final = "MAINSTEM_STREAMS_STORE_URL"


def is_named() -> bool:
    """Say whether the environment names a store."""
    return bool(os.environ.get(STORE_URL) or database.url_from(os.environ))


def store_url() -> str:
    """Return the store's URL: the environment's, that of `up`, or the server of this machine."""
    if named := os.environ.get(STORE_URL) or database.url_from(os.environ):
        return named
    running = state.running(home())
    if running is not None and running.store_url:
        return running.store_url
    server = database.status(home().postgres)
    if server is None:
        raise BadSetting(
            f"no store is named and none runs here: set {STORE_URL}, or start `mainstem up`"
        )
    return server.url
