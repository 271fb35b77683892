"""Texts without e-mail addresses, users' names in home paths, and secrets.

What is found is replaced by a mark that says what was there: `<email>`, `~`, `<secret>`. Secrets
are known by the forms that their issuers publish and by the words before them (see `findings`). A
scan goes over a text a fixed number of times and looks at each place no further than a named limit,
so its time is linear in the text's length whatever is in it; and so many places are looked at and
no more (see `places`), the text behind them is left out. A filtered text is filtered no further,
and is at most `GROWTH_MAX` times as long as it was.
"""

import re
from typing import Final

from analytics.privacy.findings import is_suspect, secrets_in
from analytics.privacy.places import ALL_LEFT_OUT, LEFT_OUT, Effort, Places
from analytics.privacy.rules import PrivacyRules

EMAIL: Final = "<email>"
HIDDEN: Final = "<secret>"
_HIDDEN: Final = HIDDEN.encode()
HOME: Final = "~"
_LEFT_OUT: Final = LEFT_OUT.encode()
GROWTH_MAX: Final = 2
ROUNDS_MAX: Final = 4
"""How often a text is gone through: what was replaced may bring forth a boundary."""
LOCAL_MAX: Final = 64
"""Characters of the part before the @ (RFC 5321, 4.5.3.1.1)."""

_HOST: Final = re.compile(
    r"(?:(?:@|%40)(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}[^\W\d_][\w-]{1,62})+"
)
_AT: Final = re.compile(r"@|%40")
_LOCAL: Final = re.compile(r"[\w.+-]{1,64}")
_HOMES: Final = re.compile(
    r"(?<![\w.])(?:/mnt/[a-z]|/var|/private|/export|/System/Volumes/Data|[A-Za-z]:)?"
    r"/(?:home|Users)/[^\s/\\~\"'<>:|*?,;()\[\]{}]{1,64}"
    r"|(?:\b[A-Za-z]:)?\\{1,2}[Uu]sers\\{1,2}"
    r"(?:[^\\/~\"'<>:|*?\r\n]{1,64}(?=\\)|[^\s/\\~\"'<>:|*?,;()\[\]{}]{1,64})"
)
_PROJECTS: Final = re.compile(r"(/projects/)-(?:home|Users)-[^\s/\\~\"'<>:|*?,;-]{1,64}")


def scrub(text: str, rules: PrivacyRules, effort: Effort | None = None) -> str:
    """Return the text without what the rules do not keep; `effort` is that of its event."""
    effort = effort or Effort()
    if effort.is_spent and not rules.secrets and is_suspect(_bytes(text)):
        effort.left_out += 1
        return ALL_LEFT_OUT
    for _ in range(ROUNDS_MAX):
        cleaned = _once(text, rules, effort)
        if cleaned == text:
            break
        text = cleaned
    return text


def _once(text: str, rules: PrivacyRules, effort: Effort) -> str:
    if not rules.secrets:
        text = _without_secrets(text, effort)
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
        start = found.start() - size
        if not size and not before.endswith('"'):
            ats = list(_AT.finditer(text, found.start(), found.end()))
            if len(ats) < 2:
                continue
            start = ats[0].end()
        parts += (text[end:start], EMAIL)
        end = found.end()
    return "".join((*parts, text[end:]))


def _without_secrets(text: str, effort: Effort) -> str:
    data = _bytes(text)
    if not is_suspect(data):
        return text
    effort.seen += 1
    places = Places(data, effort)
    spans = secrets_in(places)
    is_whole = places.end == len(data)
    if is_whole and not spans:
        return text
    parts: list[bytes] = []
    end = 0
    for start, after in spans:
        parts += (data[end:start], _HIDDEN)
        end = after
    parts.append(data[end : places.end])
    if not is_whole:
        effort.left_out += not text.endswith(LEFT_OUT)
        parts.append(_LEFT_OUT)
    return b"".join(parts).decode("utf-8", "surrogatepass")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
