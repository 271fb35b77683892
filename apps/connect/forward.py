"""Hands a hook's JSON on to the gateway; for the two hooks that agents run as commands only.

Never in the agent's way: it prints nothing, always succeeds, and on systems that can fork it leaves
at once and sends from the background within `SEND_S`. Standard library only, runnable by itself:
`python -I -S forward.py URL TOKEN_FILE < hook.json`.
"""

import os
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Final

SEND_S: Final = 2.0
BODY_BYTES_MAX: Final = 1_048_576


def main() -> None:
    """Send what is on standard input; never fail."""
    url, token_file = sys.argv[1:3]
    body = sys.stdin.buffer.read(BODY_BYTES_MAX)
    if hasattr(os, "fork"):
        if os.fork():
            os._exit(0)
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
    try:
        send(url, body, token=Path(token_file).read_text().strip())
    except (OSError, ValueError):
        os._exit(0)


def send(url: str, body: bytes, *, token: str) -> None:
    """Post one hook's JSON."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - our own address
    with opener(url).open(request, timeout=SEND_S):
        pass


def opener(url: str) -> urllib.request.OpenerDirector:
    """Return what opens an address: by the environment's proxy, but never for this machine."""
    host = urllib.parse.urlsplit(url).hostname or ""
    if host in {"localhost", "::1"} or host.startswith("127."):
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener()


if __name__ == "__main__":
    main()
