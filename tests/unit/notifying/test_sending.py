"""Notices sent to real servers on loopback: bodies, headers, answers, and what is never said."""

import base64
import hashlib
import hmac
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from analytics.alerts.dispatch.groups import NotifyReason
from analytics.alerts.notify import payloads
from analytics.alerts.notify.receivers import Integration
from analytics.contracts.errors import MainstemError
from streams.notify import addresses, sender, webhook
from streams.notify.failures import ReceiverAway, ReceiverRefused
from tests.support.certificates import self_signed
from tests.support.notified import (
    ALERTS,
    APPRISES_OWN,
    KEY,
    NOTICE,
    NOW_MS,
    OPEN,
    SECRET,
    answering,
    by,
    send,
)  # fmt: skip
from tests.support.receivers import Answer, Hook, hook


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as running:
        yield running


def _hook(server: Hook, more: str = "") -> Integration:
    return by(f"webhook_configs: [{{url: '{server.url}/in?token={SECRET}'{more}}}]")


@pytest.mark.requirement("alert-webhook-shape")
def test_a_webhook_gets_the_body_of_version_4_under_the_key_of_the_notice(server: Hook) -> None:
    send(_hook(server))

    [got] = server.got
    assert got.path == f"/in?token={SECRET}"
    assert got.body == payloads.encoded(payloads.body(NOTICE, external_url="http://board"))
    assert got.key == KEY
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("Mainstem/")


def test_a_webhook_is_told_of_no_more_alerts_than_it_asks_for(server: Hook) -> None:
    send(_hook(server, ", max_alerts: 1"))

    said = server.got[0].said
    assert (len(said["alerts"]), said["truncatedAlerts"]) == (1, 1)


@pytest.mark.parametrize("secret", ["words", "whsec_" + base64.b64encode(b"raw bytes").decode()])
def test_a_webhook_with_a_secret_is_signed_as_standard_webhooks_says(
    server: Hook, secret: str
) -> None:
    send(_hook(server, f", secret: '{secret}'"))

    [got] = server.got
    raw = b"raw bytes" if secret.startswith("whsec_") else secret.encode()
    signed = b".".join([KEY.encode(), str(NOW_MS // 1_000).encode(), got.body])
    digest = base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{digest}"
    assert (got.headers["webhook-id"], got.headers["webhook-timestamp"]) == (KEY, "1800000000")


def test_the_signature_is_that_of_the_example_of_standard_webhooks() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = sender.signature(
        secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("authorization: {credentials: t}", "Bearer t"),
        ("authorization: {type: Token, credentials: t}", "Token t"),
        ("bearer_token: t", "Bearer t"),
        ("basic_auth: {username: u, password: 'p:q'}", "Basic dTpwOnE="),
    ],
)
def test_a_webhook_is_told_who_we_are(server: Hook, given: str, sent: str) -> None:
    send(_hook(server, f", http_config: {{{given}}}"))

    assert server.got[0].headers["authorization"] == sent


def test_who_we_are_may_stand_in_the_url(server: Hook) -> None:
    url = server.url.replace("http://", "http://u:p%20q@")

    send(by(f"webhook_configs: [{{url: '{url}'}}]"))

    assert server.got[0].headers["authorization"] == webhook.basic("u", "p q")


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, ReceiverRefused), (401, ReceiverRefused), (404, ReceiverRefused),
        (410, ReceiverRefused), (301, ReceiverRefused), (302, ReceiverRefused),
        (408, ReceiverAway), (429, ReceiverAway), (500, ReceiverAway), (503, ReceiverAway),
    ],
)  # fmt: skip
def test_an_answer_says_whether_to_try_again(
    server: Hook, status: int, failure: type[MainstemError]
) -> None:
    answering(server, Answer(status, body=SECRET.encode()))

    with pytest.raises(failure, match=f"^the receiver answered {status}$"):
        send(_hook(server))


@pytest.mark.parametrize(
    ("text", "wait_ms"),
    [
        ("7", 7_000), ("0", 0), ("soon", 0), ("-3", 0), ("", 0), ("9" * 40, 0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60_000), ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
    ],
)  # fmt: skip
def test_a_receiver_says_for_how_long_it_wants_to_be_left_alone(
    server: Hook, text: str, wait_ms: int
) -> None:
    answering(server, Answer(429, {"Retry-After": text}))

    with pytest.raises(ReceiverAway) as failed:
        send(_hook(server))

    assert failed.value.retry_after_ms == wait_ms


def test_a_redirect_is_followed_on_the_same_host_with_the_same_body(server: Hook) -> None:
    answering(server, Answer(307, {"Location": "/there"}), Answer())

    send(_hook(server))

    first, second = server.got
    assert second.path == "/there"
    assert (second.body, second.key) == (first.body, first.key)


def test_no_redirect_leads_to_another_host(server: Hook) -> None:
    with hook() as other:
        answering(server, Answer(308, {"Location": f"{other.url}/there"}))

        with pytest.raises(ReceiverRefused, match="another host"):
            send(_hook(server))
        assert other.got == []


def test_redirects_end_and_are_not_followed_where_the_file_says_so(server: Hook) -> None:
    answering(server, Answer(307, {"Location": "/again"}))

    with pytest.raises(ReceiverRefused, match="more than 3 times"):
        send(_hook(server))
    with pytest.raises(ReceiverRefused, match="answered 307"):
        send(_hook(server, ", http_config: {follow_redirects: false}"))


def test_a_receiver_that_hangs_up_or_is_not_there_is_tried_again(server: Hook) -> None:
    answering(server, None)
    with pytest.raises(ReceiverAway, match="did not answer"):
        send(_hook(server))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ReceiverAway, match="no connection to the receiver: connection refused"):
        send(by(f"webhook_configs: [{{url: 'http://127.0.0.1:{port}'}}]"))


def test_a_receiver_that_says_nothing_is_left_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        way = by(f"webhook_configs: [{{url: 'http://127.0.0.1:{listening.getsockname()[1]}'}}]")

        with pytest.raises(ReceiverAway, match="time"):
            send(way, structs.replace(OPEN, timeout_s=0.05))


@pytest.mark.requirement("alert-addresses-guarded")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.5.5", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%lo", "fd00::1", "ff02::1",
        "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_of_the_internet_is_not_public(address: str) -> None:
    assert not addresses.is_public(address)


def test_an_address_of_the_internet_is_public() -> None:
    for address in ("1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"):
        assert addresses.is_public(address)


@pytest.mark.filterwarnings(APPRISES_OWN)
@pytest.mark.requirement("alert-addresses-guarded")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"])
def test_nothing_is_sent_to_this_machine_unless_that_is_allowed(server: Hook, host: str) -> None:
    closed = structs.replace(OPEN, is_private_allowed=False)
    url = f"http://{host}:{server.port}/"

    for block in (
        f"webhook_configs: [{{url: '{url}'}}]",
        f"slack_configs: [{{api_url: '{url}'}}]",
        f"pagerduty_configs: [{{routing_key: k, url: '{url}'}}]",
        f"email_configs: [{{to: a@b.c, from: d@e.f, smarthost: '{host}:{server.port}'}}]",
        f"apprise_configs: [{{url: 'json://{host}:{server.port}/'}}]",
    ):
        with pytest.raises(ReceiverRefused, match=r"NOTIFY_PRIVATE|no service"):
            send(by(block), closed)
    assert server.got == []


def test_tls_is_verified_by_the_authority_that_the_file_names(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, name="127.0.0.1")
    manner = structs.replace(OPEN, files=tmp_path)
    with hook(certificate) as server:
        own = f", http_config: {{tls_config: {{ca_file: {certificate[0].name}}}}}"
        send(_hook(server, own), manner)
        send(_hook(server, ", http_config: {tls_config: {insecure_skip_verify: true}}"))
        with pytest.raises(ReceiverAway, match="its certificate cannot be verified"):
            send(_hook(server))

    assert len(server.got) == 2


def test_secrets_are_read_from_files_of_one_folder_and_of_no_other(
    server: Hook, tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "token").write_text(" t1\n")
    (tmp_path / "other").write_text(SECRET)
    given = ", http_config: {{authorization: {{credentials_file: '{}'}}}}"
    manner = structs.replace(OPEN, files=folder)

    send(_hook(server, given.format("token")), manner)
    send(_hook(server, given.format(folder / "token")), manner)

    assert [one.headers["authorization"] for one in server.got] == ["Bearer t1"] * 2
    for name, reason in (
        ("../other", "outside"), (str(tmp_path / "other"), "outside"), ("none", "cannot be read"),
    ):  # fmt: skip
        with pytest.raises(ReceiverRefused, match=reason):
            send(_hook(server, given.format(name)), manner)
    with pytest.raises(ReceiverRefused, match="MAINSTEM_STREAMS_NOTIFY_FILES"):
        send(_hook(server, given.format("token")))


def test_slack_gets_one_message_a_group_with_the_looks_of_the_file(server: Hook) -> None:
    send(by(f"slack_configs: [{{api_url: '{server.url}/x', channel: '#c', username: u}}]"))

    said = server.got[0].said
    assert said["text"].startswith("[FIRING:2] Slow")
    assert (said["channel"], said["username"], len(said["blocks"])) == ("#c", "u", 3)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b'{"ok": true}', None),
        (b'{"ok": false, "error": "channel_not_found"}', "refused it .channel_not_found."),
        (b'{"ok": false, "error": "ratelimited"}', "did not take it now"),
        (b"<html>", "cannot be read"),
    ],
)
def test_slack_s_own_api_says_inside_its_answer_what_failed(
    server: Hook, answer: bytes, failure: str | None
) -> None:
    answering(server, Answer(body=answer))
    way = by(f"slack_configs: [{{app_token: t, app_url: '{server.url}/api', channel: '#c'}}]")

    if failure is None:
        send(way)
    else:
        with pytest.raises((ReceiverRefused, ReceiverAway), match=failure):
            send(way)
    assert server.got[0].headers["authorization"] == "Bearer t"


def test_pagerduty_gets_an_event_of_one_incident_that_a_later_one_resolves(server: Hook) -> None:
    way = by(f"pagerduty_configs: [{{routing_key: k, url: '{server.url}/v2/enqueue'}}]")
    over = tuple(structs.replace(one, ends_at_ms=9) for one in ALERTS)

    send(way)
    send(way, notice=structs.replace(NOTICE, alerts=over, why=NotifyReason.RESOLVED))

    first, second = (one.said for one in server.got)
    assert (first["event_action"], second["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == second["dedup_key"]
    assert (first["routing_key"], first["payload"]["severity"]) == ("k", "warning")


def test_pagerduty_s_old_keys_are_refused_with_what_to_do(server: Hook) -> None:
    with pytest.raises(ReceiverRefused, match="give routing_key"):
        send(by(f"pagerduty_configs: [{{service_key: k, url: '{server.url}'}}]"))


@pytest.mark.requirement("alert-no-secret-shown")
@pytest.mark.parametrize("url", [f"http://[{SECRET}", f"http://h h/{SECRET}", f"http://h:x/{SECRET}",
                                 f"http:///{SECRET}", f"http://h/{SECRET}\\r\\nX: y"])  # fmt: skip
def test_what_cannot_be_sent_is_said_without_what_it_was(url: str) -> None:
    with pytest.raises((ReceiverRefused, ReceiverAway)) as failed:
        send(by(f'webhook_configs: [{{url: "{url}"}}]'))

    assert not re.search(f"{SECRET}|h h", f"{failed.value!s} {failed.value.__cause__}")
