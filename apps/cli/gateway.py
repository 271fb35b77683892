"""`mainstem gateway`: one gateway process, until it is told to stop."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from random import random
from typing import TYPE_CHECKING, Annotated, Final
from uuid import uuid4

import typer

from analytics.contracts.errors import MainstemError
from apps.runtime.logging import log_to_stderr

if TYPE_CHECKING:
    from apps.cli.gateway_channels import Channels
    from gateway.channels.presence_registry import RegistryRoll
    from gateway.http.clocks import Clocks
    from gateway.http.server import Server
    from gateway.kafka.publisher_kafka import KafkaPublisher
    from gateway.registry.registry import KnownEventIds
    from gateway.registry.registry_keeper import RegistryKeeper
    from gateway.settings import GatewaySettings
    from gateway.tracing import Tracing

QUIET: Final = ("aiokafka", "uvicorn")
"""Libraries that repeat in their own words what we log once."""
YOUNG_MAX: Final = 20_000
SWITCH_S: Final = 0.0005
"""How long a thread that reads a large body keeps the interpreter from the loop; 5 ms else."""
OLDER_EVERY: Final = 5
"""As for `collecting.seldom`: sockets that closed leave cycles, some 500,000 values at most."""


def command(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any.")] = None,
    broker: Annotated[str | None, typer.Option(help="Kafka bootstrap, HOST:PORT.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it listens as a JSON object.")
    ] = False,
) -> None:
    """Run one gateway: sockets and HTTP in, Kafka out.

    Options win over MAINSTEM_GATEWAY_* variables. While the broker is away it runs on and is not
    ready; on SIGTERM or Ctrl-C it drains and leaves with 0.

    Example: mainstem gateway --broker 127.0.0.1:9092
    """
    from apps.runtime import tracing, watchdog
    from gateway.settings import load

    settings = load(host=host, port=port, broker=broker)
    log_to_stderr(quiet=QUIET)
    with (
        metrics_served(settings.metrics_host, settings.metrics_port),
        tracing.collecting("mainstem-gateway") as spans,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(watchdog.guarded(_serve(settings, spans=spans, as_json=as_json)))


async def _serve(settings: "GatewaySettings", *, spans: "Tracing | None", as_json: bool) -> None:
    from apps.runtime import garbage_collection

    publisher = publisher_of(settings)
    running = server_of(settings, publisher, tracing=spans)
    publisher.start()
    try:
        serving = asyncio.create_task(quietly(running))
        await running.listening(serving)
        if running.started:
            sys.setswitchinterval(SWITCH_S)
            garbage_collection.seldom(young_max=YOUNG_MAX, older_every=OLDER_EVERY)
            _announce(settings.host, running.port, as_json=as_json)
        await serving
    finally:
        await publisher.stop()
    if not running.started:
        where = f"{settings.host}:{settings.port}"
        raise CannotListen(f"cannot listen on {where!r}; is the port taken? use --port")


class CannotListen(MainstemError):
    """The address is not to be had."""

    code = "cannot-listen"


@contextmanager
def metrics_served(host: str, port: int | None) -> Iterator[int | None]:
    """Show the metrics on a port of their own, without a token; give the port, if there is one."""
    if port is None:
        yield None
        return
    from prometheus_client import start_http_server

    from gateway.metrics import REGISTRY

    try:
        served, thread = start_http_server(port, host, registry=REGISTRY)
    except OSError as error:
        raise CannotListen(
            f"cannot show metrics on {f'{host}:{port}'!r}; set MAINSTEM_GATEWAY_METRICS_PORT"
        ) from error
    try:
        yield served.server_port
    finally:
        served.shutdown()
        served.server_close()
        thread.join()


def publisher_of(settings: "GatewaySettings") -> "KafkaPublisher":
    """Return the publisher that these settings ask for, not yet started."""
    from analytics.contracts import signatures
    from apps.local import topics
    from apps.runtime.record_keys import signatures_of
    from gateway.http.settings import PREFIX
    from gateway.kafka.publisher_kafka import Bounds, KafkaPublisher

    async def prepare() -> str:
        await topics.ensure_topics(
            settings.broker, partitions=settings.partitions, replication=settings.replication
        )
        return await topics.cluster_id(settings.broker)

    bounds = Bounds(
        records_max=settings.inflight_records_max,
        bytes_max=settings.inflight_bytes_max,
        event_bytes_max=settings.event_bytes_max,
        recent_ids_max=settings.recent_ids_max,
        ack_ms=int(settings.ack_seconds_max * 1_000),
        linger_ms=settings.linger_ms,
        drain_ms=int(settings.drain_seconds_max * 1_000),
    )
    keys = signatures_of(settings, prefix=PREFIX).keys
    if not keys:
        return KafkaPublisher(settings.broker, prepare=prepare, bounds=bounds)
    sign = partial(signatures.signed, key=keys[0])
    return KafkaPublisher(settings.broker, prepare=prepare, bounds=bounds, sign=sign)


def server_of(
    settings: "GatewaySettings",
    publisher: "KafkaPublisher",
    *,
    tracing: "Tracing | None" = None,
) -> "Server":
    """Return the gateway's server over this publisher, not yet started."""
    from apps.runtime import garbage_collection
    from gateway.app import GatewayParts, build
    from gateway.channels.presence_registry import RegistryRoll
    from gateway.http.auth_refresh import verifier_of
    from gateway.http.server import server
    from gateway.kafka.pace import Pace
    from gateway.kafka.worker_progress import Progress
    from gateway.registry.joining import keeper_of
    from gateway.registry.registry import Load

    kept = verifier_of(settings)
    clocks = clocks_of()
    node = settings.node or uuid4().hex[:12]
    keeper = keeper_of(
        settings,
        node=node,
        now_ms=clocks.now_ms,
        load=lambda: Load(
            connections=len(gateway.sessions),
            draining=gateway.sessions.draining,
            breakers=gateway.pools.open_breakers(),
        ),
    )
    share_ids(publisher, keeper)
    channels = _channels(settings, publisher, clocks, RegistryRoll(keeper))

    async def set_aside() -> None:
        await garbage_collection.Setting(gateway.sessions).run()

    pace = Pace()
    progress = Progress(settings.broker, pace, group=settings.worker_group, now_ms=clocks.now_ms)
    gateway = build(
        settings,
        verifier=kept.verifier,
        publisher=publisher,
        clocks=clocks,
        node=node,
        version=version("mainstem"),
        around=GatewayParts(
            hub=channels.hub,
            tracing=tracing,
            pace=pace,
            tasks=(*kept.tasks, channels.run, keeper.run, progress.run, set_aside),
        ),
    )
    gateway.sessions.journal = keeper.journal
    gateway.pools.elsewhere = lambda: [
        one.load.breakers for one in keeper.nodes if one.node != node
    ]
    return server(gateway.asgi, settings, drain=gateway.drain)


def clocks_of() -> "Clocks":
    """Return the real clocks, chance and ids."""
    from gateway.http.clocks import Clocks

    return Clocks(
        now_ms=lambda: time.monotonic_ns() // 1_000_000,
        wall_ms=lambda: time.time_ns() // 1_000_000,
        jitter=random,
        new_id=lambda: uuid4().hex,
    )


def _channels(
    settings: "GatewaySettings", publisher: "KafkaPublisher", clocks: "Clocks", roll: "RegistryRoll"
) -> "Channels":
    from apps.cli.gateway_channels import channels_of
    from apps.runtime.record_keys import signatures_of
    from gateway.http.settings import PREFIX

    signatures = signatures_of(settings, prefix=PREFIX)
    return channels_of(
        settings, publisher=publisher, clock=clocks, roll=roll, signatures=signatures
    )


def share_ids(publisher: "KafkaPublisher", keeper: "RegistryKeeper") -> None:
    """Tell other gateways which events the log has, and take their word for it, of one log."""
    from gateway.registry.registry_keeper import keys_of

    def learn(told: "KnownEventIds") -> None:
        if told.log_id == publisher.log_id:
            publisher.recent.learn(keys_of(told))

    keeper.log_id = lambda: publisher.log_id
    keeper.on_told = learn
    publisher.recent.on_accepted = keeper.journal.accepted


async def quietly(running: "Server") -> None:
    """Serve; an address that cannot be had ends it, where uvicorn would end the process."""
    try:
        await running.serve()
    except SystemExit:
        return


def _announce(host: str, port: int, *, as_json: bool) -> None:
    url = f"http://{host}:{port}"
    typer.echo(json.dumps({"url": url}) if as_json else f"gateway listens on {url}")


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None
    return partial(uvloop.new_event_loop)
