"""How a receiver is connected to: the blocks `http_config` and `tls_config` of routing files.

Both are read into plain names, such as `basic_auth.username` and `tls.ca_file`, beside a receiver's
own settings. What is read and not used here (proxies, OAuth 2, headers) is named in a caution. Old
`bearer_token` reads as `authorization`.
"""

from collections.abc import Mapping
from typing import Final

from analytics.alerts.documents import Caution, Node

SECRETS: Final = frozenset({"authorization.credentials", "basic_auth.password"})
"""Names that are never shown."""
_AUTHORIZATION: Final = frozenset({"type", "credentials", "credentials_file"})
_BASIC: Final = frozenset({"username", "username_file", "password", "password_file"})
_TLS: Final = frozenset({"ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"})
_TLS_OTHERS: Final = frozenset({"ca", "cert", "key", "min_version", "max_version"})
_OTHERS: Final = frozenset(
    {
        "oauth2", "proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header",
        "enable_http2", "http_headers",
    }
)  # fmt: skip
_HTTP: Final = frozenset(
    {
        "authorization", "basic_auth", "bearer_token", "bearer_token_file", "follow_redirects",
        "tls_config", *_OTHERS,
    }
)  # fmt: skip


def http(node: Node, cautions: list[Caution]) -> dict[str, str]:
    """Return what `http_config` says, by plain names."""
    fields = node.fields(_HTTP)
    _warn(fields, _OTHERS, cautions)
    found: dict[str, str] = {}
    for name, known in (("authorization", _AUTHORIZATION), ("basic_auth", _BASIC)):
        if name in fields:
            found |= _named(name, fields[name].fields(known))
    for old, plain in (("bearer_token", "credentials"), ("bearer_token_file", "credentials_file")):
        if old in fields:
            found[f"authorization.{plain}"] = fields[old].text()
    if {name.partition(".")[0] for name in found} == {"authorization", "basic_auth"}:
        raise node.refuse("either authorization or basic_auth is given, not both")
    if "follow_redirects" in fields:
        found["follow_redirects"] = "true" if fields["follow_redirects"].flag() else "false"
    return found | (tls(fields["tls_config"], cautions) if "tls_config" in fields else {})


def tls(node: Node, cautions: list[Caution]) -> dict[str, str]:
    """Return what `tls_config` says, by plain names."""
    fields = node.fields(_TLS | _TLS_OTHERS)
    _warn(fields, _TLS_OTHERS, cautions)
    found = _named("tls", {name: one for name, one in fields.items() if name in _TLS})
    if "insecure_skip_verify" in fields:
        is_open = fields["insecure_skip_verify"].flag()
        found["tls.insecure_skip_verify"] = "true" if is_open else "false"
    return found


def _named(prefix: str, fields: Mapping[str, Node]) -> dict[str, str]:
    return {f"{prefix}.{name}": one.text() for name, one in fields.items()}


def _warn(fields: Mapping[str, Node], others: frozenset[str], cautions: list[Caution]) -> None:
    cautions.extend(
        fields[name].caution(f"{name} is read and not used")
        for name in sorted(fields.keys() & others)
    )
