"""Receivers as routing files declare them, with how they are connected to."""

from typing import Final

import pytest

from analytics.alerts.dispatch import routing_files
from analytics.alerts.documents import BadFile
from analytics.alerts.notify.receivers import Integration

HEAD: Final = "route: {receiver: r}\n"


def _read(receiver: str, given: str = "{}") -> tuple[Integration, list[str]]:
    text = f"{HEAD}global: {given}\nreceivers: [{{name: r, {receiver}}}]"
    routing = routing_files.load("r.yml", text)
    return routing.receivers["r"].integrations[0], [one.reason for one in routing.cautions]


def test_authorization_and_tls_are_read_and_what_is_secret_is_kept_apart() -> None:
    hook, cautions = _read(
        "webhook_configs: [{url: 'http://h', http_config: {basic_auth: {username: u, password: p},"
        " tls_config: {ca_file: ca.pem, insecure_skip_verify: yes}, follow_redirects: no}}]"
    )

    assert hook.settings == {
        "basic_auth.username": "u", "tls.ca_file": "ca.pem", "tls.insecure_skip_verify": "true",
        "follow_redirects": "false",
    }  # fmt: skip
    assert hook.secrets == {"url": "http://h", "basic_auth.password": "p"}
    assert cautions == []


def test_an_old_bearer_token_reads_as_authorization() -> None:
    hook, _ = _read("webhook_configs: [{url: 'http://h', http_config: {bearer_token: t}}]")

    assert hook.secrets["authorization.credentials"] == "t"


@pytest.mark.parametrize(
    ("receiver", "caution"),
    [
        ("webhook_configs: [{url: 'http://h', http_config: {proxy_url: 'http://p'}}]",
         "proxy_url is read and not used"),
        ("slack_configs: [{api_url: 'http://s', title: t, text: x}]",
         "text, title: read and not used, messages are Mainstem's own"),
        ("email_configs: [{to: a@b.c, from: d@e.f, smarthost: 'h:25', tls_config: {ca: x}}]",
         "ca is read and not used"),
    ],
)  # fmt: skip
def test_what_is_read_and_not_used_is_said(receiver: str, caution: str) -> None:
    assert _read(receiver)[1] == [caution]


def test_two_ways_to_authorize_are_refused() -> None:
    both = "{bearer_token: t, basic_auth: {username: u}}"

    with pytest.raises(BadFile, match=r"r\.yml:3:\d+: either authorization or basic_auth"):
        _read(f"webhook_configs: [{{url: 'http://h', http_config: {both}}}]")


def test_what_a_receiver_says_goes_before_what_is_said_for_all() -> None:
    chat, _ = _read("slack_configs: [{api_url: 'http://own'}]", "{slack_api_url_file: all}")
    other, _ = _read("slack_configs: [{channel: c}]", "{slack_api_url_file: all}")

    assert (chat.secrets, chat.settings) == ({"api_url": "http://own"}, {})
    assert other.settings == {"api_url_file": "all", "channel": "c"}


def test_nothing_secret_is_shown() -> None:
    page, _ = _read("pagerduty_configs: [{routing_key: hidden}]")

    assert "hidden" not in repr(page)
