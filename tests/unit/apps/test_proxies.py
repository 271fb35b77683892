"""A proxy of the environment is for other machines: what runs here is asked directly."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from apps.cli import main
from apps.connect import forward

PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_given: object) -> None:
        pass


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve a page of this machine, in an environment whose proxy nobody can reach."""
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        serving.join()


def test_a_hook_is_handed_to_a_gateway_of_this_machine_directly(page: str) -> None:
    forward.send(page, b"{}", token="t")


@pytest.mark.parametrize("given", ["", "intranet.example"])
def test_a_command_and_what_it_starts_ask_this_machine_directly(
    page: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", given)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(SystemExit):
        main.main(["--help"])

    assert set(os.environ["no_proxy"].split(",")) == {*main.HERE, *filter(None, [given])}
    assert requests.get(page, timeout=5).status_code == 200


@pytest.mark.parametrize("host", ["gateway.example", "10.1.2.3", "local.example"])
def test_another_machine_is_asked_by_the_proxy(page: str, host: str) -> None:
    with pytest.raises(OSError, match="refused"):
        forward.opener(f"http://{host}/").open(f"http://{host}/", timeout=5)
