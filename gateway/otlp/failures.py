"""Why a model request failed, told from a status code, a vendor's word or the error's text."""

from typing import Final

_BY_STATUS: Final = {401: "auth", 402: "billing", 403: "auth", 408: "network", 429: "rate_limit",
                     529: "overloaded"}  # fmt: skip
_BY_WORD: Final = {
    "rate_limit": "rate_limit",
    "overloaded": "overloaded",
    "authentication_failed": "auth",
    "oauth_org_not_allowed": "auth",
    "billing_error": "billing",
    "invalid_request": "invalid",
    "model_not_found": "invalid",
    "max_output_tokens": "invalid",
    "server_error": "server",
}
_BY_TEXT: Final = (
    ("rate_limit", ("rate limit", "rate_limit", "ratelimit", "too many requests", "quota",
                    "resource_exhausted", "usage limit")),
    ("overloaded", ("overloaded", "at capacity")),
    ("billing", ("credit balance", "billing", "payment")),
    ("auth", ("unauthorized", "authentication", "invalid api key", "permission denied", "forbidden",
              "please run /login")),
    ("network", ("timeout", "timed out", "connection", "network", "econn", "enotfound", "socket",
                 "fetch failed", "stream closed", "disconnected")),
    ("refusal", ("refusal", "refused to")),
    ("invalid", ("invalid_request", "invalid request", "bad request", "not found", "too long")),
    ("server", ("internal server error", "api_error", "server error", "bad gateway")),
)  # fmt: skip


def kind_of(status_code: int | None, error: str) -> str:
    """Return the kind of failure: what the status says, else the vendor's word, else the text."""
    if status_code is not None and status_code >= 400:
        known = _BY_STATUS.get(status_code)
        if known:
            return known
        return "server" if status_code >= 500 else "invalid"
    word = error.strip().lower()
    if word in _BY_WORD:
        return _BY_WORD[word]
    for kind, signs in _BY_TEXT:
        if any(sign in word for sign in signs):
            return kind
    return "unknown"
