"""`mainstem worker`: one stream worker, until it is told to stop."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from analytics.contracts.errors import BadSetting
from apps.telemetry import log_to_stderr

if TYPE_CHECKING:
    from streams.settings import StreamsSettings

QUIET: Final = ("aiokafka", "faust", "mode")
"""Libraries that repeat in their own words what we log once."""


def command(
    *,
    broker: Annotated[str | None, typer.Option(help="Kafka bootstrap, HOST:PORT.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of /metrics and /health; 0 takes any.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it answers as a JSON object.")
    ] = False,
) -> None:
    """Run one stream worker: Kafka in, store out.

    Options win over MAINSTEM_STREAMS_* variables; the store's URL comes from
    MAINSTEM_STREAMS_STORE_URL or DATABASE_URL. While the broker or the store is away it waits; on
    SIGTERM or Ctrl-C it finishes the batch in hand and leaves with 0.

    Example: mainstem worker --broker 127.0.0.1:9092
    """
    from streams.settings import load

    settings = load(broker=broker, metrics_port=metrics_port)
    if not settings.store_url.get_secret_value():
        raise BadSetting("the worker needs a store: set MAINSTEM_STREAMS_STORE_URL or DATABASE_URL")
    log_to_stderr(quiet=QUIET)
    asyncio.run(_work(settings, as_json=as_json))


async def _work(settings: "StreamsSettings", *, as_json: bool) -> None:
    from apps import collecting, topics, tracing
    from apps.prices import price_table
    from streams import health, recipes
    from streams.app import Parts, Worker
    from streams.store.ledger_postgres import open_ledger
    from streams.upkeep import Upkeep

    collecting.seldom()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    url = settings.store_url.get_secret_value()
    ensure = partial(
        topics.ensure_topics,
        settings.broker,
        partitions=settings.partitions,
        replication=settings.replication,
    )
    with tracing.collecting("mainstem-worker") as traces:
        async with open_ledger(
            url, clock=_now_ms, size_max=settings.store_connections_max
        ) as ledger:
            parts = Parts(
                ledger=ledger,
                recipes=recipes.recipes(
                    price_table(settings.prices_file),
                    recipes.rules(settings),
                    recipes.merge_rules(settings),
                ),
                prepare=ensure,
                jobs=Upkeep(url, recipes.retention(settings), now_ms=_now_ms),
                traces=traces,
            )
            worker = Worker(settings, parts)
            listening = health.serving(
                worker.progress, host=settings.metrics_host, port=settings.metrics_port
            )
            async with listening as port, _watching(settings, url):
                _announce(settings.metrics_host, port, as_json=as_json)
                await worker.run(stopping)


@asynccontextmanager
async def _watching(settings: "StreamsSettings", url: str) -> AsyncIterator[None]:
    """Watch closed windows and tell receivers beside the stream, each in a thread of its own."""
    from streams import recipes
    from streams.notifying.loop import Notifying
    from streams.store.watching.stage import Stage

    stop = threading.Event()
    parts: list[Callable[[threading.Event], None]] = []
    if settings.watch:
        parts.append(Stage(url, recipes.watching(settings), now_ms=_now_ms).run)
    if settings.notify:
        parts.append(Notifying(url, recipes.notifying(settings), now_ms=_now_ms).run)
    running = [asyncio.ensure_future(asyncio.to_thread(part, stop)) for part in parts]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*running)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _announce(host: str, port: int, *, as_json: bool) -> None:
    url = f"http://{host}:{port}"
    if as_json:
        typer.echo(json.dumps({"metrics": f"{url}/metrics", "health": f"{url}/health/ready"}))
    else:
        typer.echo(f"worker: health and metrics on {url}")
