"""Notices that go as e-mails, and by apprise."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from analytics.alerts.notify.receivers import Integration
from analytics.contracts.errors import MainstemError, MissingPart
from streams.notify.failures import ReceiverAway, ReceiverRefused
from tests.support.certificates import self_signed
from tests.support.mailbox import mailbox
from tests.support.notified import APPRISES_OWN, KEY, OPEN, SECRET, answering, by, send
from tests.support.receivers import Answer, Hook, hook


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as running:
        yield running


def test_an_e_mail_goes_over_tls_in_text_and_html_after_a_login(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, name="127.0.0.1")
    with mailbox(certificate) as box:
        send(
            by(
                "email_configs: [{to: 'a@b.c, Ada <ada@b.c>', from: m@b.c,"
                f" smarthost: '{box.route}',"
                " auth_username: u, auth_password: p, tls_config: {ca_file: redis.crt}}]"
            ),
            structs.replace(OPEN, files=tmp_path),
        )

    [mail] = box.got
    assert (mail["To"], mail["From"]) == ("a@b.c, ada@b.c", "m@b.c")
    assert mail["Subject"] == "[FIRING:2] Slow"
    assert mail["Message-ID"] == f"<{KEY}@mainstem>"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    words = box.commands
    assert words.index("STARTTLS") < words.index("AUTH") < words.index("MAIL")


def _mail(route: str, more: str = "require_tls: false") -> Integration:
    return by(f"email_configs: [{{to: 'a@b.c, b@b.c', from: m@b.c, smarthost: '{route}', {more}}}]")


def test_an_e_mail_does_not_go_without_tls_unless_the_file_says_so() -> None:
    with mailbox() as box:
        with pytest.raises(ReceiverRefused, match="STARTTLS"):
            send(_mail(box.route, "hello: here"))
        assert box.got == []
        send(_mail(box.route))

    assert len(box.got) == 1


@pytest.mark.parametrize(
    ("answers", "failure"),
    [
        ({"a@b.c": "550 no"}, None),
        ({"a@b.c": "550 no", "b@b.c": "550 no"}, ReceiverRefused),
        ({"a@b.c": "451 later", "b@b.c": "451 later"}, ReceiverAway),
    ],
)
def test_an_e_mail_fails_when_nobody_takes_it(
    answers: dict[str, str], failure: type[MainstemError] | None
) -> None:
    with mailbox() as box:
        box.recipient_answers = answers
        if failure is None:
            send(_mail(box.route))
        else:
            with pytest.raises(failure, match=r"^the mail server answered \d+$"):
                send(_mail(box.route))

    assert len(box.got) == (failure is None)


def test_an_e_mail_to_nobody_or_of_two_lines_is_refused() -> None:
    for given in ("to: ',', from: m@b.c", 'to: a@b.c, from: "m@b.c\\nBcc: x@y.z"'):
        with pytest.raises(ReceiverRefused, match="address"):
            send(by(f"email_configs: [{{{given}, smarthost: 'h:25'}}]"))


@pytest.mark.filterwarnings(APPRISES_OWN)
def test_apprise_sends_to_all_other_services(server: Hook) -> None:
    pytest.importorskip("apprise", reason="runs where the extra `apprise` is installed")

    send(by(f"apprise_configs: [{{url: 'json://127.0.0.1:{server.port}/x'}}]"))

    assert server.got[0].said["title"] == "[FIRING:2] Slow"


@pytest.mark.filterwarnings(APPRISES_OWN)
def test_a_service_that_apprise_does_not_know_or_that_fails_is_said(server: Hook) -> None:
    answering(server, Answer(500))

    with pytest.raises(ReceiverRefused, match="no service that apprise knows"):
        send(by("apprise_configs: [{url: 'nowhere://x'}]"))
    with pytest.raises(ReceiverAway, match=r"^apprise could not send it$"):
        send(by(f"apprise_configs: [{{url: 'json://127.0.0.1:{server.port}/{SECRET}'}}]"))


def test_without_apprise_its_receivers_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(MissingPart, match=r"mainstem\[apprise\]"):
        send(by("apprise_configs: [{url: 'json://h'}]"))
