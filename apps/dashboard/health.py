"""Whether the gateway and the worker answer, asked over HTTP, briefly and at most so often.

Only addresses from the settings are asked. An answer is read up to `BODY_BYTES_MAX` and kept for
`KEPT_S`, whoever looks.
"""

import re
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

import streamlit as st
from msgspec import Struct

from apps.dashboard.settings import DashboardSettings
from apps.local import invocation

WAIT_S: Final = 0.5
KEPT_S: Final = 4.0
BODY_BYTES_MAX: Final = 1_000_000

Lags = dict[tuple[str, int], int]
"""Records not in the store yet, by topic and partition."""

_LAG: Final = re.compile(
    r'^streams_lag_records\{partition="(\d+)",topic="([^"]+)"\} ([\d.e+]+)$', re.MULTILINE
)


class ProcessHealth(Struct, frozen=True, kw_only=True):
    """One process: whether it answers, and what it says."""

    name: str
    well: bool
    known: bool
    says: str
    lags: Lags | None = None


def parts(settings: DashboardSettings) -> tuple[ProcessHealth, ...]:
    """Return how the processes beside the store are."""
    return _asked(settings.gateway_url, settings.worker_metrics_url)


def lags_of(metrics: str) -> Lags:
    """Return the lag of each partition from the worker's metrics text."""
    return {
        (topic, int(partition)): int(float(number))
        for partition, topic, number in _LAG.findall(metrics)
    }


@st.cache_data(ttl=KEPT_S, max_entries=4, show_spinner=False)
def _asked(gateway_url: str, worker_url: str) -> tuple[ProcessHealth, ...]:
    return _gateway(gateway_url), _worker(worker_url)


def _gateway(url: str) -> ProcessHealth:
    if not url:
        return ProcessHealth(
            name="Gateway", well=False, known=False, says="no address is set for it"
        )
    said = _get(url.rstrip("/") + "/health/ready")
    if said is None:
        hint = invocation.told(
            f"{url} does not answer that it is ready; `mainstem doctor` says why"
        )
        return ProcessHealth(name="Gateway", well=False, known=True, says=hint)
    return ProcessHealth(name="Gateway", well=True, known=True, says=f"ready at {url}")


def _worker(url: str) -> ProcessHealth:
    if not url:
        return ProcessHealth(
            name="Worker", well=False, known=False, says="no address is set for its metrics"
        )
    said = _get(url)
    if said is None:
        hint = invocation.told(f"{url} does not answer; start it with `mainstem worker`")
        return ProcessHealth(name="Worker", well=False, known=True, says=hint)
    lags = lags_of(said)
    return ProcessHealth(
        name="Worker", well=True, known=True, lags=lags, says=f"reads {len(lags)} partitions"
    )


def _get(url: str) -> str | None:
    try:
        with urlopen(url, timeout=WAIT_S) as answer:  # noqa: S310 - http(s) only, by the settings
            return bytes(answer.read(BODY_BYTES_MAX)).decode("utf-8", "replace")
    except (URLError, OSError, ValueError):
        return None
