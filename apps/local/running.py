"""One `mainstem up` from its first look at the machine to its last word.

Signals: the first SIGINT, SIGTERM or SIGHUP stops everything in order, a second one stops without
waiting for the drain. What an earlier `up` that was killed left behind is ended first.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import webbrowser
from typing import Final

from msgspec import Struct, structs

from analytics.contracts.errors import BadSetting
from apps.local import banner, broker, kafka, record_signing, state, tokens
from apps.local.broker import BrokerKind, Choice
from apps.local.history import HistoryImport
from apps.local.home import Home, Unusable, cache_folder, make
from apps.local.parts import Wiring
from apps.local.ports import LOOPBACK, claim, claim_free_port, is_free
from apps.local.settings import LocalSettings
from apps.local.stack import Stack

API_PORT: Final = 4_319
ORPHAN_WAIT_S: Final = 5.0
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Options(Struct, frozen=True, kw_only=True):
    """What the user asked of `up`."""

    demo_speed: float | None = None
    opens_browser: bool = True
    imports: bool | None = None
    """True and False as told; None asks on a terminal."""
    as_json: bool = False


def run(home: Home, settings: LocalSettings, options: Options) -> bool:
    """Run the stack until it is told to stop; say whether it read everything out."""
    make(home.root)
    _log_to_terminal()
    with state.lock(home):
        make(home.logs)
        make(home.alerts)
        end_orphans(home)
        wiring = structs.replace(wire(home, settings), is_demo=options.demo_speed is not None)
        tokens.token(home)
        record_signing.make_key(home)
        return asyncio.run(_run(Stack(wiring, settings, demo_speed=options.demo_speed), options))


def wire(home: Home, settings: LocalSettings) -> Wiring:
    """Return where everything will be; raise where a port is busy or a part is missing."""
    chosen = broker.choice(settings.broker)
    port = 0
    address = chosen.address
    if chosen.kind is BrokerKind.TANSU:
        broker.tansu_command(port=1, cluster_id="")
    if chosen.kind is BrokerKind.KAFKA:
        kafka.libraries(cache_folder())
    if chosen.kind is not BrokerKind.EXTERNAL:
        port = _port(settings.broker_port, what="the broker", option="MAINSTEM_LOCAL_BROKER_PORT")
        address = f"{LOOPBACK}:{port}"
    return Wiring(
        home=home,
        broker=Choice(chosen.kind, chosen.address),
        broker_address=address,
        broker_port=port,
        gateway_port=_port(settings.port, what="the gateway", option="--port"),
        dashboard_port=_port(
            settings.dashboard_port, what="the dashboard", option="--dashboard-port"
        ),
        api_port=_api_port(settings.api_port),
        metrics_port=claim_free_port(),
        partitions=settings.partitions,
        store_url=store_url(os.environ),
    )


def store_url(environment: "os._Environ[str] | dict[str, str]") -> str:
    """Return the URL of a store of the user's own, or empty text for the embedded one."""
    url = environment.get("MAINSTEM_STREAMS_STORE_URL") or environment.get("DATABASE_URL") or ""
    if url and not url.startswith(("postgres://", "postgresql://")):
        raise BadSetting("DATABASE_URL must start with postgresql://")
    return url


def end_orphans(home: Home) -> list[str]:
    """End processes that a killed `up` left; return their names."""
    before = state.read(home)
    if before is None:
        return []
    left = {name: one for name, one in before.children.items() if state.is_alive(one)}
    for one in left.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGTERM)
    for one in left.values():
        if not state.wait_gone(one, wait_s=ORPHAN_WAIT_S):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
    return list(left)


async def _run(stack: Stack, options: Options) -> bool:
    stopping, hurry = _on_signals()
    starting = asyncio.create_task(stack.start())
    told = asyncio.create_task(stopping.wait())
    history = HistoryImport(stack.wiring, wanted=options.imports)
    try:
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            _reraise(starting)
            _welcome(stack, options)
            await history.begin()
            await told
        _say("stopping: what was acknowledged is read out first (Ctrl-C again does not wait)")
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        told.cancel()
        await history.end()
        whole = await stack.stop(hurry=hurry, say=_say)
    _say("stopped; everything acknowledged is in the store" if whole else "stopped")
    return whole


def _reraise(starting: "asyncio.Task[None]") -> None:
    """Raise what went wrong while starting: of several failures, the first."""
    error = starting.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error


def _welcome(stack: Stack, options: Options) -> None:
    wiring = stack.wiring
    is_demo = options.demo_speed is not None
    words = banner.as_json(wiring) if options.as_json else banner.text(wiring, is_demo=is_demo)
    print(words, flush=True)  # noqa: T201 - the banner is what `up` prints
    if options.opens_browser and _has_display():
        webbrowser.open(wiring.dashboard_url)


def _has_display() -> bool:
    if os.environ.get("SSH_CONNECTION") or os.environ.get("CI"):
        return False
    return sys.platform == "darwin" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _on_signals() -> tuple[asyncio.Event, asyncio.Event]:
    stopping, hurry = asyncio.Event(), asyncio.Event()

    def heard() -> None:
        (hurry if stopping.is_set() else stopping).set()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, heard)
    return stopping, hurry


def _port(wanted: int, *, what: str, option: str) -> int:
    if wanted == 0:
        return claim_free_port()
    if not (is_free(wanted) and claim(wanted)):
        raise Unusable(
            f"port {wanted} for {what} is taken by another program; stop that one, or choose"
            f" another port with {option}"
        )
    return wanted


def _api_port(wanted: int | None) -> int:
    """Return the port of the query API, which a second `up` may have elsewhere."""
    if wanted is None:
        return API_PORT if is_free(API_PORT) and claim(API_PORT) else claim_free_port()
    return _port(wanted, what="the query API", option="MAINSTEM_LOCAL_API_PORT")


def _log_to_terminal() -> None:
    """Say what the supervisor notices as it says everything else, with its fields."""

    class Words(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            told = {name: getattr(record, name, None) for name in ("part", "pause_ms", "failures")}
            fields = " ".join(
                f"{name}={value}" for name, value in told.items() if value is not None
            )
            return f"mainstem: {super().format(record)} {fields}".rstrip()

    handler = logging.StreamHandler()
    handler.setFormatter(Words("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _say(words: str) -> None:
    print(f"mainstem: {words}", file=sys.stderr, flush=True)  # noqa: T201 - what `up` says
