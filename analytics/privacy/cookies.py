"""Sessions in cookies: who has one is signed in as its owner until it ends.

In a header `Cookie` all that looks like a session goes, elsewhere what has the name of a session in
one of the common frameworks, and what was drawn at random after a name that says session.
"""

import re
from typing import Final

from analytics.privacy.guesses import is_drawn, is_stand_in

NAMES: Final = (
    r"JSESSIONID(?:SSO)?|PHPSESSID|ASP\.NET_SessionId|ASPSESSIONID[A-Z]{8}|\.?ASPXAUTH"
    r"|\.AspNet(?:Core)?\.[\w.-]{1,40}|connect\.sid|CFTOKEN|laravel_session|ci_sessions?|XSRF-TOKEN"
    r"|remember_(?:me|token|web_\w{8,64})|wordpress_(?:logged_in|sec)_\w{8,64}|_\w{1,40}_session"
    r"|grafana_session|sails\.sid|rack\.session|koa[.:]sess(?:\.sig)?|express[.:]sess(?:\.sig)?"
    r"|__(?:Secure|Host)-[\w.-]{1,64}|next-auth\.session-token|authjs\.session-token|sb-[\w-]{4,40}-auth-token"
    r"|SAPISID|APISID|SSID|HSID|li_at|csrftoken|auth_session|user_session|session_token"
    r"|MoodleSession\w{0,16}|SESS[0-9a-f]{32}|SSESS[0-9a-f]{32}|frontend|adminhtml|zbx_session\w{0,4}"
    r"|symfony|BIGipServer\w{1,40}|AWSALB(?:CORS|TG)?|JENKINS\w{0,40}|JSESSIONID\.[0-9a-f]{8}|sysauth"
)
_LOOSE: Final = r"sess(?:ion)?(?:id)?|sid|session[_-]?key|sess_id|auth[_-]?cookie|login[_-]?session"
_BETWEEN: Final = r"""\\{0,3}["']?[ \t]{0,2}(?:=|:|=>|,)[ \t]{0,2}\\{0,3}["']?"""
_IN_QUOTES: Final = r"""\\{0,3}["'][ \t]{0,2}(?:=>|[:,])[ \t]{0,2}\\{0,3}["']"""
_VALUE: Final = r"""([^\s"'\\;,&<>(){}\[\]\x60]{4,})"""
PATTERN: Final = (
    rf"(?i)(?:(?:^|[^\w-])(?:set-)?cookies?2?{_BETWEEN}"
    r"|[ \t](?:-b|--cookie)[= \t]{1,4}\\?[\"']?)"
    r"([^\s\"'\\;,=(){}\[\]]{1,64}=[^\r\n\"'\\<>]{4,})"
    rf"|(?i)(?:^|[^\w.-])(?:{NAMES}){_BETWEEN}{_VALUE}"
    rf"|(?i)(?:^|[^\w.-])(?:{_LOOSE})(?:=|{_IN_QUOTES}){_VALUE}"
)
"""A header's pairs; a value after a name of a session; one after a word for it."""
_UNBOUNDED: Final = re.sub(r"\{\d+,\d+\}", "*", NAMES)
HEADS: Final = (
    r"(?i:cookies?2?[\\\"']{0,4}[ \t]*[:=,])|(?:-b|--cookie)[= \t]+[\\\"']*[^\s=]+=",
    rf"(?i:(?:{_UNBOUNDED})[\\\"']*[ \t]*[=:,])",
    rf"(?i:(?:^|[^\w.-])(?:{_LOOSE})(?:=|[\\\"']{{1,4}}[ \t]*(?:=>|[:,])))",
)
PAIR: Final = re.compile(rb"""([^\s"'\\;,=]{1,64})=([^\s"'\\;,]{4,})""")
_HARMLESS: Final = re.compile(
    r"(?i)expires|max-age|path|domain|samesite|version|priority|comment|theme|lang(?:uage)?|locale"
    r"|tz|timezone|consent|_ga\w*"
)
_SESSION: Final = re.compile(
    rf"(?i)(?:{NAMES}|{_LOOSE}|.*(?:sess|auth|token|sid|login|remember|secret|jwt|csrf|xsrf).*)"
)
SIZE_MIN: Final = 8
_UUID: Final = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_session(name: str, value: str) -> bool:
    """Say whether a cookie in a header is a session."""
    if is_stand_in(value) or _HARMLESS.fullmatch(name):
        return False
    if _SESSION.fullmatch(name):
        return any(map(str.isdigit, value)) or len(value) >= SIZE_MIN
    return is_drawn(value)


def is_named(value: str) -> bool:
    """Say whether what follows the name of a session is one."""
    if is_stand_in(value) or len(value) < SIZE_MIN:
        return False
    return any(map(str.isdigit, value)) or is_drawn(value)


def is_loose(value: str) -> bool:
    """Say whether what follows a word for a session is one, and no id of an agent's."""
    return not is_stand_in(value) and is_drawn(value) and _UUID.fullmatch(value) is None
