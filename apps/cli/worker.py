"""`mainstem worker`: one stream worker, until it is told to stop."""

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Annotated, Final

import typer

from apps.runtime.logging import log_to_stderr

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
    log_to_stderr(quiet=QUIET)
    asyncio.run(_work(settings, as_json=as_json))


async def _work(settings: "StreamsSettings", *, as_json: bool) -> None:
    from apps.worker import parts
    from streams.consumer.worker import Worker

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    bells = parts.Bells()
    async with parts.opened(settings, bells) as made:
        worker = Worker(settings, made)
        async with parts.serving(settings, worker.progress, bells) as port:
            _announce(settings.metrics_host, port, as_json=as_json)
            await worker.run(stopping)


def _announce(host: str, port: int, *, as_json: bool) -> None:
    url = f"http://{host}:{port}"
    if as_json:
        typer.echo(json.dumps({"metrics": f"{url}/metrics", "health": f"{url}/health/ready"}))
    else:
        typer.echo(f"worker: health and metrics on {url}")
