"""What a worker is made of, and what runs around its stream."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from msgspec import Struct, field

from analytics.contracts.errors import BadSetting
from apps.cli import worker_rules
from apps.local import topics
from apps.runtime import garbage_collection, tracing, watchdog
from apps.runtime.prices import price_table
from apps.runtime.record_keys import signatures_of
from streams import agents
from streams.consumer import health, topology
from streams.consumer.health import ProgressMonitor
from streams.consumer.stream import Parts
from streams.maintenance.alert_folder import Follower
from streams.maintenance.upkeep import Upkeep
from streams.monitoring.stage import STILL_S, Passed, Stage, counted
from streams.notify.notifier import Notifying
from streams.settings import PREFIX, StreamsSettings
from streams.store.checkpoint_postgres import open_checkpoint

SWITCH_S: Final = 0.0005
"""How long a thread that evaluates rules keeps the interpreter from the loop; 5 ms else."""
NO_STORE: Final = "the worker needs a store: set MAINSTEM_STREAMS_STORE_URL or DATABASE_URL"


class Bells(Struct, frozen=True):
    """What one part of a worker rings for another that would have to look in the store."""

    closed: threading.Event = field(default_factory=threading.Event)
    """Windows were closed: there may be something to watch."""
    notices: threading.Event = field(default_factory=threading.Event)
    """There are notices to send."""

    def noticed(self, passed: Passed) -> None:
        """Count a pass of the stage, and ring if it left notices."""
        counted(passed)
        if passed.notices:
            self.notices.set()

    def ring(self) -> None:
        """Ring all."""
        self.closed.set()
        self.notices.set()


@asynccontextmanager
async def opened(settings: StreamsSettings, bells: Bells) -> AsyncIterator[Parts]:
    """Give the parts of a worker, until the context ends; the store may be away."""
    url = settings.store_url.get_secret_value()
    if not url:
        raise BadSetting(NO_STORE)
    signatures = signatures_of(settings, prefix=PREFIX)
    garbage_collection.seldom()
    sys.setswitchinterval(SWITCH_S)
    ensure = partial(
        topics.ensure_topics,
        settings.broker,
        partitions=settings.partitions,
        replication=settings.replication,
    )
    with tracing.collecting("mainstem-worker") as traces:
        async with open_checkpoint(
            url, clock=_now_ms, size_max=settings.store_connections_max
        ) as checkpoints:
            made = topology.recipes(
                price_table(settings.prices_file),
                topology.rules(settings),
                topology.merge_rules(settings),
            )
            yield Parts(
                checkpoints=checkpoints,
                recipes=topology.signed(made, signatures),
                signatures=signatures,
                agents=agents.ALL,
                prepare=ensure,
                jobs=Upkeep(url, worker_rules.retention(settings), now_ms=_now_ms),
                traces=traces,
                closed=bells.closed.set,
            )


@asynccontextmanager
async def serving(
    settings: StreamsSettings, progress: ProgressMonitor, bells: Bells
) -> AsyncIterator[int]:
    """Answer for health and metrics, and watch and tell beside the stream; gives the port."""
    listening = health.serving(progress, host=settings.metrics_host, port=settings.metrics_port)
    async with listening as port, _watching(settings, progress, bells):
        yield port


@asynccontextmanager
async def _watching(
    settings: StreamsSettings, progress: ProgressMonitor, bells: Bells
) -> AsyncIterator[None]:
    """Watch closed windows, tell receivers and follow the folder of alerts, each in a thread."""
    url = settings.store_url.get_secret_value()
    stop = threading.Event()
    parts: list[Callable[[threading.Event], None]] = []
    stage = Stage(
        url,
        worker_rules.watching(settings),
        now_ms=_now_ms,
        told=bells.noticed,
        woken=bells.closed,
    )
    if settings.watch:
        parts.append(stage.run)
    if settings.notify:
        rules = worker_rules.notifying(settings)
        parts.append(Notifying(url, rules, now_ms=_now_ms, woken=bells.notices).run)
    if settings.alerts_folder is not None:
        folder, tenant = settings.alerts_folder, settings.alerts_tenant
        parts.append(Follower(url, folder, tenant=tenant, told=progress).run)
    running = [asyncio.ensure_future(asyncio.to_thread(part, stop)) for part in parts]
    moves = watchdog.Moving(lambda: stage.moved_s, still_s=STILL_S) if settings.watch else _always
    try:
        async with watchdog.watched(watchdog.load().silent_s, moves):
            yield
    finally:
        stop.set()
        bells.ring()
        await asyncio.gather(*running)


def _always() -> bool:
    return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
