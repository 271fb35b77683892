"""Where a connected agent sends to: the gateway that runs here, or the one that is named.

What is written into an agent's settings outlives the environment that `connect` ran in, which may
lie in a cache (`uvx`) or be removed with a checkout. So the forwarder is copied to the data folder,
and the interpreter named is the one that environments are made from.
"""

import os
import re
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from analytics.contracts.errors import BadSetting
from apps.connect import forward
from apps.connect.telemetry import Telemetry
from apps.local import state, tokens
from apps.local.configured import configured
from apps.local.home import Home, make
from apps.local.ports import LOOPBACK

_NOT_IN_URL: Final = re.compile(r'[\s"]')


def telemetry(home: Home, *, url: str | None, sends_traces: bool = False) -> Telemetry:
    """Return address and token for agents on this machine; both are made on first use."""
    make(home.root)
    return Telemetry(
        url=http_url(url, option="--url") if url else gateway_url(home),
        token=tokens.token(home),
        token_file=home.token,
        forwarder=(interpreter(), "-I", "-S", str(_forwarder(home))),
        sends_traces=sends_traces,
    )


def interpreter() -> str:
    """Return the Python that environments are made from; this process's own where it is hidden."""
    base = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    names = (base / "bin" / version, base / "bin" / "python3", base / "python.exe")
    return str(next((name for name in names if os.access(name, os.X_OK)), sys.executable))


def _forwarder(home: Home) -> Path:
    """Return the forwarder in the data folder, brought up to date."""
    program = Path(forward.__file__).read_bytes()
    if not home.forwarder.is_file() or home.forwarder.read_bytes() != program:
        beside = home.forwarder.with_suffix(".new")
        beside.write_bytes(program)
        beside.replace(home.forwarder)
    return home.forwarder


def gateway_url(home: Home) -> str:
    """Return where the running gateway listens, or where the next one would."""
    running = state.running(home)
    return f"http://{LOOPBACK}:{configured().port}" if running is None else running.gateway_url


def http_url(url: str, *, option: str) -> str:
    """Return an http(s) URL without its last slash; raise `BadSetting` where it is none."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or _NOT_IN_URL.search(url):
        raise BadSetting(
            f"{option} takes an http(s) URL such as http://127.0.0.1:4318, not {url!r}"
        )
    return url.rstrip("/")
