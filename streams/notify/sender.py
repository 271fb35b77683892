"""Send one notice by one integration: its body, its headers, and who to.

Every send carries the notice's key, which is the same at each attempt: as `Idempotency-Key` of
webhooks (draft-ietf-httpapi-idempotency-key-header), as `Message-ID` of e-mails, and PagerDuty has
its own of the group. A webhook with a `secret` is signed as Standard Webhooks says: `webhook-id`,
`webhook-timestamp` and `webhook-signature`, an HMAC-SHA256 over all three parts of it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final, assert_never

import msgspec
from msgspec import Struct

from analytics.alerts import durations
from analytics.alerts.dispatch.groups import Notice
from analytics.alerts.notify import messages, payloads
from analytics.alerts.notify.messages import Json
from analytics.alerts.notify.receivers import ChannelKind, Integration
from streams.notify import email, webhook
from streams.notify.apprise import Others
from streams.notify.connections import Tls
from streams.notify.credentials import Credentials
from streams.notify.email import Mail
from streams.notify.failures import ReceiverAway, ReceiverRefused
from streams.notify.webhook import Post, Web

JSON_TYPE: Final = "application/json"
PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"
SLACK_URL: Final = "https://slack.com/api/chat.postMessage"
SIGNED: Final = "whsec_"
"""What a secret of Standard Webhooks begins with; the rest is base64."""
LOOKS: Final = ("channel", "username", "icon_emoji", "icon_url")
"""Settings of a Slack receiver that go into its message."""
_PASSING: Final = frozenset(
    {
        "ratelimited",
        "rate_limited",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
    }
)
"""Errors of Slack's API that may be over later."""


class SendOptions(Struct, frozen=True, kw_only=True):
    """How notices are sent, by the settings."""

    timeout_s: float = 10.0
    """The most that one attempt takes, and more than a receiver may ask for."""
    is_private_allowed: bool = False
    files: Path | None = None
    """The folder in which files that routing names may lie."""
    external_url: str = ""


class NoticeSender:
    """Sends notices, from any thread."""

    def __init__(self, manner: SendOptions, *, now_ms: Callable[[], int]) -> None:
        self._manner = manner
        self._now_ms = now_ms
        self._credentials = Credentials(manner.files)

    def send(self, notice: Notice, by: Integration, key: str) -> None:
        """Return once the receiver took it; raise `Unavailable` or `Refused`."""
        match by.kind:
            case ChannelKind.WEBHOOK:
                self._webhook(notice, by, key)
            case ChannelKind.SLACK:
                self._slack(notice, by, key)
            case ChannelKind.PAGERDUTY:
                self._pagerduty(notice, by, key)
            case ChannelKind.EMAIL:
                self._email(notice, by, key)
            case ChannelKind.APPRISE:
                self._apprise(notice, by)
            case _:
                assert_never(by.kind)

    def _webhook(self, notice: Notice, by: Integration, key: str) -> None:
        body = payloads.body(
            notice, external_url=self._manner.external_url, alerts_max=by.alerts_max
        )
        data = payloads.encoded(body)
        secret = self._credentials.of(by, "secret")
        headers = signature(secret, key, self._now_ms() // 1_000, data) if secret else {}
        self._post(by, self._url(by, "url"), data, key=key, headers=headers)

    def _slack(self, notice: Notice, by: Integration, key: str) -> None:
        body = messages.slack(notice)
        for name in LOOKS:
            if by.settings.get(name):
                body[name] = by.settings[name]
        url = self._credentials.of(by, "api_url")
        if url:
            self._post(by, url, msgspec.json.encode(body), key=key)
            return
        token = self._credentials.of(by, "app_token")
        headers = {"Authorization": f"Bearer {token}"}
        url = by.settings.get("app_url") or SLACK_URL
        _check_slack(self._post(by, url, msgspec.json.encode(body), key=key, headers=headers))

    def _pagerduty(self, notice: Notice, by: Integration, key: str) -> None:
        routing_key = self._credentials.of(by, "routing_key")
        if not routing_key:
            raise ReceiverRefused("service_key is of PagerDuty's old API: give routing_key")
        body: Mapping[str, Json] = messages.pagerduty(
            notice, routing_key, external_url=self._manner.external_url
        )
        url = self._credentials.of(by, "url") or PAGERDUTY_URL
        self._post(by, url, msgspec.json.encode(body), key=key)

    def _email(self, notice: Notice, by: Integration, key: str) -> None:
        said = by.settings
        made = email.message(notice, to=said["to"], sender=said["from"], key=key)
        begins = _flag(by, "implicit_tls") or _flag(by, "force_implicit_tls")
        route = email.Route(
            smarthost=said["smarthost"],
            hello=said.get("hello") or email.HELLO,
            username=said.get("auth_username", ""),
            password=self._credentials.of(by, "auth_password", "auth_secret"),
            needs_tls=_flag(by, "require_tls", default=True),
            begins_with_tls=begins or said["smarthost"].endswith(f":{email.TLS_PORT}"),
            tls=_tls(by),
        )
        sender = Mail(
            self._credentials,
            timeout_s=self._manner.timeout_s,
            is_private_allowed=self._manner.is_private_allowed,
        )
        sender.send(made, route)

    def _apprise(self, notice: Notice, by: Integration) -> None:
        told = messages.email(notice)
        others = Others(
            timeout_s=self._manner.timeout_s, is_private_allowed=self._manner.is_private_allowed
        )
        others.send(self._credentials.of(by, "url"), title=told.subject, body=told.text)

    def _post(
        self,
        by: Integration,
        url: str,
        body: bytes,
        *,
        key: str,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        sender = Web(
            self._credentials,
            timeout_s=self._timeout_s(by),
            is_private_allowed=self._manner.is_private_allowed,
            now_ms=self._now_ms,
        )
        given = {
            "Content-Type": JSON_TYPE,
            "User-Agent": f"Mainstem/{version('mainstem')}",
            "Idempotency-Key": key,
            **self._authorization(by),
            **(headers or {}),
        }
        follows = _flag(by, "follow_redirects", default=True)
        return sender.post(Post(url=url, body=body, headers=given, tls=_tls(by), follows=follows))

    def _url(self, by: Integration, name: str) -> str:
        return self._credentials.of(by, name)

    def _authorization(self, by: Integration) -> dict[str, str]:
        token = self._credentials.of(by, "authorization.credentials")
        if token:
            return {"Authorization": f"{by.settings.get('authorization.type', 'Bearer')} {token}"}
        username = self._credentials.of(by, "basic_auth.username")
        password = self._credentials.of(by, "basic_auth.password")
        return {"Authorization": webhook.basic(username, password)} if username else {}

    def _timeout_s(self, by: Integration) -> float:
        own = by.settings.get("timeout", "")
        try:
            asked_s = durations.milliseconds(own) / 1_000 if own else 0.0
        except ValueError:
            asked_s = 0.0
        return min(asked_s or self._manner.timeout_s, self._manner.timeout_s)


def signature(secret: str, key: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign a body; a secret is text, or `whsec_` and base64."""
    raw = secret.encode()
    if secret.startswith(SIGNED):
        try:
            raw = base64.b64decode(secret.removeprefix(SIGNED), validate=True)
        except binascii.Error:
            raise ReceiverRefused("the secret begins with whsec_ and is no base64") from None
    digest = hmac.new(raw, f"{key}.{at_s}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": key,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _check_slack(answer: bytes) -> None:
    """Raise what Slack's API says inside an answer of 200."""
    try:
        said = msgspec.json.decode(answer, type=_Said)
    except msgspec.MsgspecError:
        raise ReceiverAway("Slack's answer cannot be read") from None
    if said.ok:
        return
    if said.error in _PASSING:
        raise ReceiverAway("Slack did not take it now")
    word = said.error if said.error.isidentifier() and len(said.error) <= 64 else "no reason"
    raise ReceiverRefused(f"Slack refused it ({word})")


class _Said(Struct):
    ok: bool
    error: str = ""


def _tls(by: Integration) -> Tls:
    said = by.settings
    return Tls(
        ca_file=said.get("tls.ca_file", ""),
        cert_file=said.get("tls.cert_file", ""),
        key_file=said.get("tls.key_file", ""),
        server_name=said.get("tls.server_name", ""),
        insecure_skip_verify=_flag(by, "tls.insecure_skip_verify"),
    )


def _flag(by: Integration, name: str, *, default: bool = False) -> bool:
    said = by.settings.get(name, "")
    return said.lower() in {"true", "yes", "on"} if said else default
