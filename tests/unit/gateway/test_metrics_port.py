"""The port for metrics alone: what a scraper in a network of its own reads without a token."""

import socket
from urllib.request import urlopen

import pytest

from apps.cli.gateway import CannotListen, metrics_served

HOST = "127.0.0.1"


def test_the_metrics_are_shown_without_a_token_for_as_long_as_the_gateway_runs() -> None:
    with (
        metrics_served(HOST, 0) as port,
        urlopen(f"http://{HOST}:{port}/metrics", timeout=5) as answer,
    ):
        shown = answer.read().decode()

    assert "gateway_connections " in shown
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://{HOST}:{port}/metrics", timeout=5)


def test_without_a_port_nothing_listens() -> None:
    with metrics_served(HOST, None) as port:
        assert port is None


def test_a_port_that_is_taken_is_one_sentence_that_names_the_setting() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = int(taken.getsockname()[1])

        with (
            pytest.raises(CannotListen, match="MAINSTEM_GATEWAY_METRICS_PORT"),
            metrics_served(HOST, port),
        ):
            pass
