"""`mainstem dashboard`: run the dashboard from the installed package.

Every option that Streamlit reads is given here, theme included, so that it is the same in whatever
folder it is started; nothing is sent to anyone. SIGTERM and Ctrl-C end it with exit code 0, within
`STOP_S` whatever Streamlit still waits for: a browser that stays, or a parent that reads no more.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

import typer

from analytics.contracts.errors import Unavailable

if TYPE_CHECKING:
    from streamlit.web.server import Server

PORT: Final = "MAINSTEM_DASHBOARD_PORT"
READ_ONLY: Final = "MAINSTEM_DASHBOARD_READ_ONLY"
STOP_S: Final = 5.0
"""Seconds in which the server may end by itself once it is told to stop."""
FORWARDED: Final = "FORWARDED_ALLOW_IPS"
"""Whose X-Forwarded-For Streamlit's server believes: nobody's, so that a peer is who it is."""


class PortTaken(Unavailable):
    """Somebody else listens where the dashboard should."""

    code = "port-taken"


def command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
    ] = None,
    *,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only show; change nothing from there.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it answers as a JSON object.")
    ] = False,
) -> None:
    """Run the dashboard.

    It has no sign-in of its own: beyond loopback it listens only behind a proxy that says who
    reads, by the header that MAINSTEM_DASHBOARD_READER_HEADER names.

    Example: mainstem dashboard --port 8501
    """
    from apps.dashboard import settings, theme, viewer
    from apps.runtime import watchdog

    if read_only:
        os.environ[READ_ONLY] = "true"  # for the pages, which read their settings themselves
    chosen = settings.load()
    address = host or chosen.host
    viewer.check_reach(address, chosen)
    os.environ[FORWARDED] = ""
    taken = free_port(address, chosen.port if port is None else port)
    path = chosen.base_path.strip("/")
    asked = "127.0.0.1" if address in {"", "0.0.0.0", "::"} else address  # noqa: S104 - compared
    health = "/".join(filter(None, (f"http://{asked}:{taken}", path, "_stcore/health")))
    if as_json:
        typer.echo(json.dumps({"dashboard": f"http://{address}:{taken}/{path}"}))
    with watchdog.watched_server(watchdog.load().silent_s, health):
        serve(
            {
                **theme.options(),
                "server.address": address,
                "server.port": taken,
                "server.baseUrlPath": path,
            }
        )


def serve(options: dict[str, object]) -> None:
    """Run Streamlit with `options` and those that are always so, until it is told to stop."""
    from streamlit import net_util
    from streamlit.web import bootstrap

    from apps.dashboard import theme

    # Streamlit would ask a server outside for this machine's address: when it listens on all of
    # them, and whenever a page of another origin tries to connect.
    net_util.get_external_ip = lambda: None
    # Its own handlers say first that they stop, which fails once nobody reads that any more, and
    # the server does not stop then; nor is there an end to waiting for what it still serves.
    bootstrap._set_up_signal_handler = _stop_on_signals  # noqa: SLF001 - there is no other way

    flags = {
        **options,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.enableStaticServing": False,
        "global.developmentMode": False,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "logger.level": "warning",
    }
    given = {name.replace(".", "_"): value for name, value in flags.items()}
    bootstrap.load_config_options(given)
    script = Path(theme.__file__).with_name("app.py")
    bootstrap.run(str(script), is_hello=False, args=[], flag_options=given)


def _stop_on_signals(server: "Server") -> None:
    """Stop the server on a signal, and end the process if it does not in time."""
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: FrameType | None) -> None:
        ending = threading.Timer(STOP_S, os._exit, (0,))
        ending.daemon = True
        ending.start()
        loop.call_soon_threadsafe(_stop, server)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _stop(server: "Server") -> None:
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - kept for the rest of the process
    server.stop()


def free_port(host: str, port: int) -> int:
    """Return a port that nobody listens on; raise `PortTaken` if the one asked for is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        if os.name == "posix":
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"the dashboard cannot listen on {host!r} port {port!r} ({error.strerror}): "
                f"stop what uses it, or choose another with --port or {PORT}"
            ) from error
        return int(trial.getsockname()[1])
