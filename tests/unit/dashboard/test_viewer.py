"""Who may look at the dashboard and what they may do, before it has a sign-in of its own."""

from types import SimpleNamespace
from typing import Any, Final

import pytest
import streamlit as st

from analytics.contracts.errors import BadSetting
from apps.cli import dashboard
from apps.dashboard import controlling, viewer, viewing
from apps.dashboard.settings import DashboardSettings, load

HEADER: Final = "X-Forwarded-User"
BEYOND: Final = ("0.0.0.0", "::", "192.0.2.7", "2001:db8::7", "board.example", "")
LOOPBACK: Final = ("127.0.0.1", "127.8.8.8", "::1", "localhost")


def _settings(**changed: object) -> DashboardSettings:
    return load(**changed)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Look from an address with headers, under settings."""

    def by(peer: str | None, headers: dict[str, str], **changed: object) -> None:
        monkeypatch.setattr(viewing, "settings", lambda: _settings(**changed))
        monkeypatch.setattr(st, "context", SimpleNamespace(ip_address=peer, headers=headers))

    return by


@pytest.mark.parametrize("host", BEYOND)
def test_beyond_loopback_it_does_not_listen_without_a_proxys_word(host: str) -> None:
    with pytest.raises(BadSetting, match="READER_HEADER"):
        viewer.check_reach(host, _settings())

    viewer.check_reach(host, _settings(reader_header=HEADER))
    viewer.check_reach(host, _settings(published_on_loopback=True))


@pytest.mark.parametrize("host", LOOPBACK)
def test_on_loopback_it_listens(host: str) -> None:
    viewer.check_reach(host, _settings())


def test_the_command_refuses_before_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINSTEM_DASHBOARD_READER_HEADER", raising=False)

    with pytest.raises(BadSetting, match="no sign-in"):
        dashboard.command(host="0.0.0.0", port=0)


@pytest.mark.parametrize(
    ("peer", "headers", "name"),
    [
        (None, {HEADER: "ada"}, "ada"),
        (None, {HEADER: "  "}, ""),
        (None, {}, ""),
        ("10.0.0.9", {HEADER: "ada"}, "ada"),
        ("::ffff:10.0.0.9", {HEADER: "ada"}, "ada"),
        ("192.0.2.7", {HEADER: "mallory"}, ""),
        ("not an address", {HEADER: "mallory"}, ""),
        (None, {HEADER: "a" * 900}, "a" * viewer.NAME_LENGTH_MAX),
    ],
)
def test_a_name_is_believed_from_trusted_proxies_alone(
    look: Any, peer: str | None, headers: dict[str, str], name: str
) -> None:
    look(peer, headers, reader_header=HEADER, proxies=("127.0.0.0/8", "10.0.0.0/8"))

    assert viewer.name() == name
    assert viewer.who() == (name or viewer.WHO)


def test_without_a_header_that_is_asked_for_nobody_has_a_name(look: Any) -> None:
    look(None, {HEADER: "mallory"})

    assert viewer.name() == ""


def test_a_dashboard_that_only_shows_changes_nothing(look: Any) -> None:
    look(None, {}, read_only=True)
    done: list[str] = []

    assert not controlling.change(lambda _db, tenant: done.append(tenant), done="done")
    assert done == []


def test_proxies_have_to_be_networks() -> None:
    with pytest.raises(BadSetting, match="PROXIES"):
        _settings(proxies=("nowhere",))
