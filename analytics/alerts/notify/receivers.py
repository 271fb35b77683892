"""Receivers as routing files declare them: webhook, e-mail, Slack, PagerDuty, and the others.

What we send ourselves is read strictly; `apprise_configs` is ours and reaches everything else.
Integrations of Alertmanager that we do not send are accepted with a caution, so that a file loads.
Secrets are kept in `secrets`, apart from what is shown; `*_file` names where one is read from.
What lies in `http_config` and `tls_config` stands beside the other settings, see `connections`.
Texts of messages are Mainstem's own: templates for them are read, and a caution says so.
`send_resolved` differs by kind, as in Alertmanager: webhook and PagerDuty true, e-mail and Slack
false.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from analytics.alerts.documents import Caution, Node, Position
from analytics.alerts.notify import connections


class ChannelKind(StrEnum):
    """How a receiver is told."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    SLACK = "slack"
    PAGERDUTY = "pagerduty"
    APPRISE = "apprise"


SENDS_RESOLVED: Final[Mapping[ChannelKind, bool]] = {
    ChannelKind.WEBHOOK: True,
    ChannelKind.EMAIL: False,
    ChannelKind.SLACK: False,
    ChannelKind.PAGERDUTY: True,
    ChannelKind.APPRISE: True,
}
"""Whether a kind tells of the end of alerts where the file does not say."""
OTHERS: Final = frozenset(
    {
        "opsgenie", "wechat", "pushover", "victorops", "sns", "telegram", "webex", "discord",
        "msteams", "msteamsv2", "jira", "rocketchat", "mattermost", "incidentio",
    }
)  # fmt: skip
"""Integrations of Alertmanager that are read and not sent."""
SECRETS: Final = frozenset(
    {
        "url", "api_url", "auth_password", "auth_secret", "routing_key", "service_key", "secret",
        "app_token",
    }
)  # fmt: skip
"""Settings that are never shown."""
_KNOWN: Final[Mapping[ChannelKind, frozenset[str]]] = {
    ChannelKind.WEBHOOK: frozenset(
        {"url", "url_file", "http_config", "max_alerts", "timeout", "secret", "secret_file"}
    ),
    ChannelKind.EMAIL: frozenset(
        {
            "to", "from", "hello", "smarthost", "auth_username", "auth_password",
            "auth_password_file", "auth_secret", "auth_identity", "require_tls", "tls_config",
            "html", "text", "headers", "implicit_tls", "force_implicit_tls", "threading",
            "auth_secret_file",
        }
    ),
    ChannelKind.SLACK: frozenset(
        {
            "api_url", "api_url_file", "http_config", "channel", "username", "color", "title",
            "title_link", "pretext", "text", "fields", "short_fields", "footer", "fallback",
            "callback_id", "icon_emoji", "icon_url", "image_url", "thumb_url", "link_names",
            "mrkdwn_in", "actions", "app_token", "app_token_file", "app_url", "message_text",
            "timeout",
        }
    ),
    ChannelKind.PAGERDUTY: frozenset(
        {
            "routing_key", "routing_key_file", "service_key", "service_key_file", "url", "client",
            "client_url", "description", "severity", "source", "details", "images", "links",
            "component", "class", "group", "http_config", "timeout",
        }
    ),
    ChannelKind.APPRISE: frozenset({"url", "url_file"}),
}  # fmt: skip
_UNUSED: Final[Mapping[ChannelKind, frozenset[str]]] = {
    ChannelKind.WEBHOOK: frozenset(),
    ChannelKind.EMAIL: frozenset({"html", "text", "headers", "auth_identity", "threading"}),
    ChannelKind.SLACK: frozenset(
        {
            "color", "title", "title_link", "pretext", "text", "fields", "short_fields", "footer",
            "fallback", "callback_id", "image_url", "thumb_url", "link_names", "mrkdwn_in",
            "actions", "message_text",
        }
    ),
    ChannelKind.PAGERDUTY: frozenset(
        {
            "client", "client_url", "description", "severity", "source", "details", "images",
            "links", "component", "class", "group",
        }
    ),
    ChannelKind.APPRISE: frozenset(),
}  # fmt: skip
"""What is read so that a file loads, and changes nothing."""
_BLOCKS: Final = {"http_config": connections.http, "tls_config": connections.tls}
_ONE_OF: Final[Mapping[ChannelKind, tuple[str, ...]]] = {
    ChannelKind.WEBHOOK: ("url", "url_file"),
    ChannelKind.EMAIL: ("to",),
    ChannelKind.SLACK: ("api_url", "api_url_file", "app_token", "app_token_file"),
    ChannelKind.PAGERDUTY: ("routing_key", "routing_key_file", "service_key", "service_key_file"),
    ChannelKind.APPRISE: ("url", "url_file"),
}
_GLOBAL: Final[Mapping[ChannelKind, Mapping[str, str]]] = {
    ChannelKind.WEBHOOK: {"http_config": "http_config"},
    ChannelKind.EMAIL: {
        "tls_config": "smtp_tls_config", "smarthost": "smtp_smarthost", "from": "smtp_from",
        "hello": "smtp_hello",
        "auth_username": "smtp_auth_username", "auth_password": "smtp_auth_password",
        "auth_password_file": "smtp_auth_password_file", "auth_identity": "smtp_auth_identity",
        "auth_secret": "smtp_auth_secret", "require_tls": "smtp_require_tls",
    },
    ChannelKind.SLACK: {
        "http_config": "http_config",
        "api_url": "slack_api_url", "api_url_file": "slack_api_url_file",
        "app_token": "slack_app_token", "app_token_file": "slack_app_token_file",
        "app_url": "slack_app_url",
    },
    ChannelKind.PAGERDUTY: {"http_config": "http_config", "url": "pagerduty_url"},
}  # fmt: skip


class Integration(Struct, frozen=True, kw_only=True):
    """One way in which a receiver is told."""

    id: str
    """`receiver/kind/position`: what a notification log knows it by."""
    kind: ChannelKind
    place: Position
    sends_resolved: bool
    settings: Mapping[str, str] = {}
    """Plain settings, fit to be shown."""
    secrets: Mapping[str, str] = {}
    """Settings that are never shown nor logged."""
    alerts_max: int = 0
    """How many alerts one message may hold; 0 is all."""

    def __repr__(self) -> str:
        return f"Integration({self.id!r})"


class Receiver(Struct, frozen=True):
    """A name with the ways in which it is told; none at all is a quiet one."""

    name: str
    place: Position
    integrations: tuple[Integration, ...] = ()


def receiver(node: Node, defaults: Mapping[str, Node], cautions: list[Caution]) -> Receiver:
    """Read one receiver of a file; `defaults` are the file's global fields."""
    blocks = {f"{kind.value}_configs": kind for kind in ChannelKind}
    others = {f"{name}_configs" for name in OTHERS}
    fields = node.fields(frozenset({"name", *blocks, *others}))
    name = fields["name"].text() if "name" in fields else ""
    if not name:
        raise node.refuse("a receiver needs a name")
    found: list[Integration] = []
    for block, kind in blocks.items():
        for position, entry in enumerate(fields[block].items() if block in fields else []):
            known = f"{name}/{kind.value}/{position}"
            found.append(_integration(entry, kind, known, defaults, cautions=cautions))
    for block in sorted(others & fields.keys()):
        reason = f"{block} is read but not sent; use apprise_configs"
        cautions.append(fields[block].caution(reason))
    return Receiver(name, fields["name"].place, tuple(found))


def _integration(
    node: Node,
    kind: ChannelKind,
    name: str,
    defaults: Mapping[str, Node],
    *,
    cautions: list[Caution],
) -> Integration:
    fields = node.fields(_KNOWN[kind] | {"send_resolved"})
    stated = {own.removesuffix("_file") for own in fields}
    given = fields | {
        own: defaults[outer]
        for own, outer in _GLOBAL.get(kind, {}).items()
        if outer in defaults and own.removesuffix("_file") not in stated
    }
    wanted = _ONE_OF[kind]
    if not any(own in given and given[own].text() for own in wanted):
        raise node.refuse(f"{kind.value} needs {' or '.join(wanted)}")
    _check(kind, node, given)
    unused = sorted(fields.keys() & _UNUSED[kind])
    if unused:
        reason = f"{', '.join(unused)}: read and not used, messages are Mainstem's own"
        cautions.append(node.caution(reason))
    texts = {own: one.text() for own, one in given.items() if one.is_scalar}
    for own in sorted(_BLOCKS.keys() & given.keys()):
        texts |= _BLOCKS[own](given[own], cautions)
    alerts_max = given["max_alerts"].whole() if "max_alerts" in given else 0
    sends = SENDS_RESOLVED[kind]
    return Integration(
        id=name,
        kind=kind,
        place=node.place,
        sends_resolved=fields["send_resolved"].flag() if "send_resolved" in fields else sends,
        settings={own: text for own, text in texts.items() if not _is_secret(own)},
        secrets={own: text for own, text in texts.items() if _is_secret(own)},
        alerts_max=alerts_max,
    )


def _check(kind: ChannelKind, node: Node, given: Mapping[str, Node]) -> None:
    for own, one in given.items():
        both = f"{own}_file"
        if both in given and not one.is_null:
            raise given[both].refuse(f"either {own} or {both} is given, not both")
    if kind is ChannelKind.EMAIL:
        for own, outer in (("smarthost", "smtp_smarthost"), ("from", "smtp_from")):
            if own not in given or not given[own].text():
                raise node.refuse(f"email needs {own}, here or as global {outer}")
    if kind is ChannelKind.WEBHOOK and "url" in given:
        scheme = given["url"].text().partition("://")[0]
        if scheme not in {"http", "https"}:
            raise given["url"].refuse("a webhook's url begins with http:// or https://")


def _is_secret(own: str) -> bool:
    return own in SECRETS | connections.SECRETS
