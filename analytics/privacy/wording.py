"""Secrets that are told by the words before them: `password =`, `Authorization:`, `curl -u`.

What follows such a word is a secret if it looks like one: drawn at random, or chosen as people
choose passwords where the word is one for passwords. In fields of their own (attributes, JSON) the
name says it almost alone; in texts, code among them, a name, a call or a placeholder may follow.
"""

import base64
import binascii
import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from analytics.privacy.guesses import is_chosen, is_drawn, is_stand_in
from analytics.privacy.languages import IS, WIDE, WORDS, as_bytes
from analytics.privacy.named import NAMED
from analytics.privacy.programs import compiled

NAME_MAX: Final = 64
"""Characters of a field's name, from its end, that are looked at."""
KEPT_MAX: Final = 4_096
"""Names of which it is remembered what they tell."""
KEY_MIN: Final = 16
"""Characters of a secret after `key` and the like, which mostly mean something else."""
CHOSEN_MIN: Final = 6
"""Characters of a secret that was chosen, where the word before it may mean something else."""

_PASSWORDS: Final = (
    rf"pass(?:w(?:or)?d|phrase|code|wort|ord)|pwd|secret|credentials?|creds|\bmdp\b|\bclave|{WORDS}"
)
_WORDS: Final = rf"{_PASSWORDS}|token|cookie|auth(?:orization)?|pat|dsn|key"
_SERVICES: Final = "|".join(names for names, _ in NAMED.values())
_NAME: Final = rf"(?:{_WORDS}|{_SERVICES})[ \t\w.-]{{0,20}}"
_TYPE: Final = r"(?::\s?(?:Optional\[)?(?:str|string|bytes|SecretStr)\]?(?:\s?\|\s?None)?\s{0,2})?"
_VALUE: Final = (
    r"""(?:\\{0,3}"([^"\\\s]{4,})|\\{0,3}'([^'\\\s]{4,})|\x60([^\x60\s]{4,})"""
    r"""|([^\s"'\x60,;&<>()\[\]{}|\\]{4,}))"""
)
ASSIGNED: Final = (
    rf"""(?i)({_NAME})(\\{{0,3}}["'\x60]?)\]?\s{{0,3}}{_TYPE}"""
    rf"(=>|:{{1,3}}=|\?=|\|\||={{1,2}}|\+=|:|>|,|{WIDE})\s{{0,8}}{_VALUE}"
)
"""A name, what closes it, the operator, and the value in one of four kinds of quotes."""

_BLANK: Final = r"(?:\s|\\[nrt])"
_FLAGS: Final = rf"--?[\w-]{{0,40}}?(?:{_PASSWORDS}|token|api-?key|access-?key)"
_PROSE: Final = (
    rf"(?:\b(?:password|passphrase|passcode|token|api key|secret(?: key)?|passwort)|{WORDS})"
)
GROUPS: Final = (
    "bearer",
    "basic",
    "scheme",
    "flag",
    "curl",
    "netrc",
    "pair",
    "sql",
    "prose",
    "otp",
    "query",
)
SAID: Final = (
    r"(?i)\bbearer[ \t]{1,8}([A-Za-z0-9._~+/=-]{8,})"
    r"""|\bauthorization\\{0,3}["']?\s{0,4}[:=,]\s{0,4}\\{0,3}["']?(?:basic[ \t]{1,4}"""
    r"""([^\s"'\\,;()\[\]]{6,})|(?:[a-z][a-z0-9-]+[ \t]{1,4})?([^\s"'\\,;()\[\]]{6,}))"""
    rf"""|(?:^|[\s"',\[])({_FLAGS}[ \t=]{{1,4}}\\?["']?[^\s"'\\]{{4,}})"""
    r"""|\bcurl\b(?:[^\n]|\\\n){0,400}?\s(?:-u|--user|--proxy-user)[ =]{0,3}"""
    r"""((?:\\?"[^"\\\n]{1,200}\\?"|'[^'\n]{1,200}'|[^\s"'\\])+)"""
    rf"""|\blogin{_BLANK}{{1,4}}[^\s\\]{{1,64}}{_BLANK}{{1,4}}password{_BLANK}{{1,4}}"""
    r"""([^\s\\"']{3,})"""
    r"""|\b(?:name|key)\\{0,3}["']?\s{0,2}[:=]\s{0,2}\\{0,3}["']?"""
    rf"""([\w.-]{{0,60}}?(?:{_WORDS})"""
    r"""[\w.-]{0,20}\\{0,3}["']?[\s,]{1,40}\\{0,3}["']?value\\{0,3}["']?\s{0,2}[:=]\s{0,2}"""
    r"""\\{0,3}["']?[^\s"'\\<>]{4,})"""
    r"""|\bidentified\s{1,4}(?:with\s{1,4}\S{1,40}\s{1,4})?by\s{1,4}\\?['"]([^'"\s\\]{3,})"""
    rf"""|{_PROSE}\s{{0,4}}{IS}:?\s{{0,4}}\\?["'\x60]?([^\s"'\x60\\]{{4,}})"""
    r"""|otpauth(?:-migration)?://[^\s"'<>\\]{0,512}?[?&;](?:secret|data)=([^\s"'<>\\&]{4,})"""
    r"""|[?&;](?:x-(?:amz|goog)-)?(?:sig|signature|security-token)=([A-Za-z0-9%/+_=-]{16,})"""
)
"""What other ways there are of saying a secret, in the order of `GROUPS`."""
USERINFO: Final = r"""(?:([a-z][a-z0-9+.-]{0,20})|^|[^a-z])://([^\s/?#<>"'\\]{1,256})@"""
"""User and password in an address (RFC 3986, 3.2.1)."""
HEAD: Final = rf"""(?i:(?:{_WORDS}|{_SERVICES})[ \t\w.-]*[^\w \t.-])"""
"""A name in a text, with something that is no part of it behind."""
HEAD_IN_JSON: Final = (
    rf"""(?i:(?:{_WORDS}|{_SERVICES})[ \t\w.-]*(?:[^\w" \t.-]|":[^0-9tfn"-]|":"[^"]))"""
)
"""The same in JSON, whose own quotes end a string: a number behind a name is no secret."""
HEADS: Final = (
    r"(?i:bearer|authorization|identified|curl\b)",
    rf"(?i:-[\w-]*(?:{_PASSWORDS}|token|api-?key|access-?key)[ \t=]|password{_BLANK})",
    rf"(?i:{_PROSE}{_BLANK}{{0,4}}{IS})",
    r"""(?i:otpauth|value[\\"']{0,4}\s{0,2}[:=])""",
    r"(?i:[?&;](?:x-(?:amz|goog)-)?(?:sig|signature|security-token)=)",
)
"""What a text has somewhere if it says a secret in another way, and its JSON too."""

_PASSWORD: Final = re.compile(rf"(?i){_PASSWORDS}")
_OTHER: Final = re.compile(
    r"(?i)(?:ids?|arns?|names?|types?|path|file|url|uri|endpoint|hash|digest|version|count|size|"
    r"length|limit|index|format|policy|manager|class|field|label|group|store|pair|spec|ref|usage|"
    r"modes?|methods?|scopes?|status|expir\w*|ttl|sources?|hint|prompt)[\s_.-]*$"
    r"|^urn:|public|idempoten|finger|thumb|keyword|authors?(?:[^a-z]|$)|::"
    r"|(?:client|request|change|next|page|pagination|continu\w*|creat\w*|start\w*|confirm\w*|lock"
    r"|sync|cursor|resume|import|action)[ _-]?token"
)
_VAGUE: Final = re.compile(r"(?i)(?:key|auth|pat|dsn|cookie)\W*$")
_FIRM: Final = re.compile(rf"(?i){_PASSWORDS}|token|authorization|(?:api|access|private)[_. -]?key")
_VALUES: Final = tuple(
    (re.compile(rf"(?i)(?:^|[\W_]|(?<=[a-z])(?=[A-Z]))(?:{names})"), re.compile(rf"(?i:{form})"))
    for names, form in NAMED.values()
)
_AT_END: Final = compiled(rf"(?i)(?:{_WORDS}|{_SERVICES})[ \t\w.\x80-\xff-]{{0,20}}$")
_SAYS_ALL: Final = re.compile(
    rf"(?i)pass(?:w(?:or)?d|phrase|code|wort|ord)|pwd|secret|authorization|api[ _.-]?key"
    rf"|private[ _.-]?key|{WORDS}"
)


_NUMBER_TOO: Final = re.compile(
    rf"(?i)(?:^|[\W_]|[a-z])(?:pass(?:w(?:or)?d|code|wort|ord)|pwd|{WORDS})$"
)

_QUOTES: Final = re.compile(r"""[\\"'{}]""")
_APART: Final = re.compile(r"""[\s"'\\,=:]+""")
_ANY_WORD: Final = re.compile(
    r"(?i)[a-z_-]*(?:pass(?:word|wd|phrase)?|pw|pwd|secret|token|key|id|port|email|login|seed|"
    r"channel|server|host(?:name)?|user)[a-z0-9]?"
)
_STORES: Final = frozenset(
    {
        "postgres", "postgresql", "mysql", "mariadb", "mongodb", "mongodb+srv", "redis", "rediss",
        "amqp", "amqps", "mssql", "sqlserver", "clickhouse", "cockroachdb", "ftp", "sftp", "ssh",
    }
)  # fmt: skip
"""Schemes of addresses whose password is one, whatever word it is."""


class NamedValue(Struct, frozen=True, kw_only=True):
    """A value with the name before it, as they stand in a text."""

    name: str
    value: str
    quoted: bool
    listed: bool
    """Name and value are apart by a comma: two in a list, or two that a function is given."""


def is_told(told: NamedValue) -> bool:
    """Say whether a value in a text is a secret."""
    value = told.value
    if is_stand_in(value):
        return False
    if _is_of_service(told.name, value):
        return True
    if _OTHER.search(told.name):
        return False
    if not _FIRM.search(told.name):
        is_vague = _VAGUE.search(told.name) is not None and len(value) >= KEY_MIN
        return is_vague and not told.listed and is_drawn(value)
    if is_drawn(value):
        return True
    if told.listed:
        return False
    if told.quoted and value.isdigit():
        return len(value) >= CHOSEN_MIN
    return _PASSWORD.search(told.name) is not None and is_chosen(value)


def is_secret_field(name: str, value: str) -> bool:
    """Say whether the value of a field, whose name is all that says so, is a secret."""
    name = as_bytes(name)
    if not value or not _tells(name[-NAME_MAX:]) or value.startswith(("<", "$")):
        return False
    if _SAYS_ALL.search(name):
        return True
    if is_stand_in(value):
        return False
    if _is_of_service(name, value) or is_drawn(value):
        return True
    return "token" in name.lower() and len(value) >= CHOSEN_MIN and is_chosen(value)


def is_password_field(name: str) -> bool:
    """Say whether even a number under this name is a secret."""
    return _NUMBER_TOO.search(as_bytes(name)[-NAME_MAX:]) is not None


@lru_cache(maxsize=KEPT_MAX)
def _tells(name: str) -> bool:
    """Say whether a field of this name may hold a secret, however its value looks."""
    return _AT_END.search(name.encode("latin-1")) is not None and _OTHER.search(name) is None


def is_said(group: str, value: str) -> bool:
    """Say whether what was said in one of the `GROUPS` is a secret."""
    if group in {"flag", "pair"}:
        told = _apart(value)
        return is_told(told) or (group == "pair" and _is_password(told))
    if group == "otp":
        return not value.startswith(("<", "$", "{"))
    if group == "curl":
        return _is_login(value)
    if group == "basic":
        return _is_basic(value)
    if is_stand_in(value):
        return False
    if group == "netrc":
        return _ANY_WORD.fullmatch(value) is None
    has_digit = any(map(str.isdigit, value))
    if group == "bearer":
        return has_digit
    return is_drawn(value) or (is_chosen(value) and (has_digit or group != "prose"))


def is_userinfo(scheme: str, value: str) -> bool:
    """Say whether what stands before the @ of an address holds a password or a token."""
    user, colon, password = value.partition(":")
    if colon:
        is_word = _ANY_WORD.fullmatch(password) is not None and scheme not in _STORES
        return bool(password) and not is_word and not is_stand_in(password)
    return len(user) >= KEY_MIN and is_drawn(user)


def _apart(said: str) -> NamedValue:
    """Return the name and the value in what was said of a flag or a pair."""
    parts = [part for part in _APART.split(said) if part]
    name, value = parts[0], parts[-1]
    return NamedValue(name=name, value=value, quoted=True, listed=False)


def _is_password(told: NamedValue) -> bool:
    """Say whether a value that is plainly one has a password's name."""
    is_named = _PASSWORD.search(told.name) is not None and not _OTHER.search(told.name)
    return is_named and len(told.value) >= CHOSEN_MIN and not is_stand_in(told.value)


def _is_login(value: str) -> bool:
    """Say whether an argument is a name and a password, or a key in place of the name."""
    user, colon, password = _QUOTES.sub("", value).partition(":")
    told = password or user
    if not colon or is_stand_in(told) or _ANY_WORD.fullmatch(told):
        return False
    return bool(password) or is_chosen(user)


def _is_basic(value: str) -> bool:
    """Say whether a value is a name and a password as RFC 7617 writes them."""
    try:
        return b":" in base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return is_drawn(value)


def _is_of_service(name: str, value: str) -> bool:
    is_random = any(map(str.isdigit, value)) or is_drawn(value)
    return is_random and any(form.fullmatch(value) for form in _forms_after(name[-NAME_MAX:]))


@lru_cache(maxsize=KEPT_MAX)
def _forms_after(name: str) -> tuple[re.Pattern[str], ...]:
    """Return the forms of the services that a name has in it."""
    return tuple(form for names, form in _VALUES if names.search(name))
