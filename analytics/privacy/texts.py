"""Texts without e-mail addresses, users' names in home paths, and secrets.

What is found is replaced by a mark that says what was there: `<email>`, `~`, `<secret>`. Secrets
are known by the forms that their issuers publish (prefixes of API keys, JSON Web Tokens of RFC
7519, PEM of RFC 7468, user information of RFC 3986) and by the word before them (`password=`). A
scan goes over a text a fixed number of times and looks at each place no further than a named limit,
so its time is linear in the text's length whatever is in it. A filtered text is filtered no
further, and is at most `GROWTH_MAX` times as long as it was.
"""

import re
from typing import Final

from analytics.privacy.rules import PrivacyRules

EMAIL: Final = "<email>"
HIDDEN: Final = "<secret>"
HOME: Final = "~"
GROWTH_MAX: Final = 2
ROUNDS_MAX: Final = 4
"""How often a text is gone through: what was replaced may bring forth a boundary."""
LOCAL_MAX: Final = 64
"""Characters of the part before the @ (RFC 5321, 4.5.3.1.1)."""
RUN_MIN: Final = 16
"""Characters that a key or token has at least."""

_HOST: Final = re.compile(
    r"(?:(?:@|%40)(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}[^\W\d_][\w-]{1,62})+"
)
_LOCAL: Final = re.compile(r"[\w.+-]{1,64}")
_RUN: Final = re.compile(r"[A-Za-z0-9_.-]{16,}+")
_TOKEN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-|[srp]k_live_|gh[oprsu]_|github_pat_|glpat-|xox[abeoprs]-|xapp-|"
    r"AKIA|ASIA|AIza|hf_|npm_|pypi-|eyJ)"
)
_BEARER: Final = re.compile(r"(?i:\bbearer)[ \t]{1,8}([A-Za-z0-9._~+/=-]{8,}+)")
_ASSIGNED: Final = re.compile(
    r"((?i:passwo?r?d|secret|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|"
    r"access[_-]?token|refresh[_-]?token)[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?)"
    r"([^\s\"',;&<>]{4,}+)"
)
_USERINFO: Final = re.compile(r"(://)[^\s/@:<>]{1,64}:[^\s/@<>]{1,128}@")
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_HOMES: Final = re.compile(
    r"(?<![\w.])(?:/mnt/[a-z]|/var|/private|/export|/System/Volumes/Data|[A-Za-z]:)?"
    r"/(?:home|Users)/[^\s/\\~\"'<>:|*?,;()\[\]{}]{1,64}"
    r"|(?:\b[A-Za-z]:)?\\{1,2}[Uu]sers\\{1,2}"
    r"(?:[^\\/~\"'<>:|*?\r\n]{1,64}(?=\\)|[^\s/\\~\"'<>:|*?,;()\[\]{}]{1,64})"
)
_PROJECTS: Final = re.compile(r"(/projects/)-(?:home|Users)-[^\s/\\~\"'<>:|*?,;-]{1,64}")
_SUSPECT: Final = re.compile(
    r"(?i)sk-|k_live_|gh[oprsu]_|github_pat|glpat|xox|xapp|akia|asia|aiza|hf_|npm_|pypi-|eyj|"
    r"bearer|passw|secret|[ _ipse-]key|[hs][_-]?token|://"
)


def is_suspect(text: str) -> bool:
    """Say whether a text might hold a secret; false means that none would be found."""
    return _SUSPECT.search(text) is not None


def scrub(text: str, rules: PrivacyRules) -> str:
    """Return the text without what the rules do not keep."""
    for _ in range(ROUNDS_MAX):
        cleaned = _once(text, rules)
        if cleaned == text:
            break
        text = cleaned
    return text


def _once(text: str, rules: PrivacyRules) -> str:
    if not rules.secrets and is_suspect(text):
        text = _without_secrets(text)
    if not rules.emails and ("@" in text or "%40" in text):
        text = _without_emails(text)
    if not rules.paths and ("/" in text or "\\" in text):
        text = _PROJECTS.sub(r"\1-~", _HOMES.sub(HOME, text))
    return text


def _without_emails(text: str) -> str:
    """Return the text without addresses: each is found by its host, then backwards to its start."""
    parts: list[str] = []
    end = 0
    for found in _HOST.finditer(text):
        before = text[max(end, found.start() - LOCAL_MAX) : found.start()]
        local = _LOCAL.match(before[::-1])
        size = local.end() if local else 0
        if not size and not before.endswith('"'):
            continue
        parts += (text[end : found.start() - size], EMAIL)
        end = found.end()
    return "".join((*parts, text[end:]))


def _without_secrets(text: str) -> str:
    if "PRIVATE KEY" in text:
        text = _PEM.sub(HIDDEN, text)
    text = _RUN.sub(_run, text)
    text = _BEARER.sub(_bearer, text)
    text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
    return _USERINFO.sub(rf"\1{HIDDEN}@", text)


def _run(found: re.Match[str]) -> str:
    """Return a run of word characters without the token that begins in it, if one does."""
    run = found.group()
    token = _TOKEN.search(run)
    if token is None:
        return run
    rest = run[token.start() :]
    told = len(rest) >= RUN_MIN and any(map(str.isdigit, rest))
    return run[: token.start()] + HIDDEN if told else run


def _bearer(found: re.Match[str]) -> str:
    whole, token = found.group(), found.group(1)
    return whole.removesuffix(token) + HIDDEN if any(map(str.isdigit, token)) else whole
