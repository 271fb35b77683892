"""Where a connected agent sends to: the gateway that runs here, or the one that is named."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from analytics.contracts.errors import BadSetting
from apps.connect import forward
from apps.connect.telemetry import Telemetry
from apps.local import state, tokens
from apps.local.configured import configured
from apps.local.home import Home, make
from apps.local.ports import LOOPBACK


def telemetry(home: Home, *, url: str | None, sends_traces: bool = False) -> Telemetry:
    """Return address and token for agents on this machine; both are made on first use."""
    make(home.root)
    return Telemetry(
        url=_checked(url) if url else gateway_url(home),
        token=tokens.token(home),
        token_file=home.token,
        forwarder=(sys.executable, "-I", "-S", str(Path(forward.__file__))),
        sends_traces=sends_traces,
    )


def gateway_url(home: Home) -> str:
    """Return where the running gateway listens, or where the next one would."""
    running = state.running(home)
    return f"http://{LOOPBACK}:{configured().port}" if running is None else running.gateway_url


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or '"' in url:
        raise BadSetting(f"--url takes an address such as http://127.0.0.1:4318, not {url!r}")
    return url.rstrip("/")
