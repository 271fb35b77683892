"""`mainstem dashboard`: run the dashboard from the installed package.

Every option that Streamlit reads is given here, theme included, so that it is the same in whatever
folder it is started; nothing is sent to anyone. SIGTERM and Ctrl-C end it with exit code 0.
"""

import json
import os
import socket
from pathlib import Path
from typing import Annotated, Final

import typer

from analytics.contracts.errors import Unavailable

PORT: Final = "MAINSTEM_DASHBOARD_PORT"


class PortTaken(Unavailable):
    """Somebody else listens where the dashboard should."""

    code = "port-taken"


def command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it answers as a JSON object.")
    ] = False,
) -> None:
    """Run the dashboard.

    Example: mainstem dashboard --port 8501
    """
    from apps.dashboard import settings, theme

    chosen = settings.load()
    address = host or chosen.host
    taken = free_port(address, chosen.port if port is None else port)
    path = chosen.base_path.strip("/")
    if as_json:
        typer.echo(json.dumps({"dashboard": f"http://{address}:{taken}/{path}"}))
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
    from streamlit.web import bootstrap

    from apps.dashboard import theme

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
