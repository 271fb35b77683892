"""The dashboard asks no outside address, whoever connects."""

import http.client
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.browser import dashboard

pytestmark = pytest.mark.embedded

HANDSHAKE = {
    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "http://evil.example",
}  # fmt: skip


def test_a_page_of_another_origin_is_refused_without_asking_anybody_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever it would ask outside goes to a proxy here, which nobody may reach."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert os.environ["http_proxy"]
        with dashboard("postgresql://nobody@127.0.0.1:1/none", home=tmp_path) as url:
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
            connection.request("GET", "/_stcore/stream", headers=HANDSHAKE)
            status = connection.getresponse().status
            connection.close()

        with pytest.raises(TimeoutError):
            trap.accept()
    assert status == 403
