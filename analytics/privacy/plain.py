"""Passwords that are words: `password=swordfish`, `PASSWORD="open sesame 42"`, `пароль: ...`.

After a name that says password and nothing else, anything is one that is no code. In code stand
names of variables, types and calls there, and words that stand in for a password; in texts that
people read, labels and sentences. What is left are words, one or some, that nothing else explains.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from analytics.privacy.guesses import is_chosen, is_drawn, is_stand_in
from analytics.privacy.languages import WIDE, WORDS
from analytics.privacy.programs import compiled

WINDOW: Final = 2_048
"""Bytes on either side in which the name of a variable is looked for once more."""
BEFORE: Final = 48
"""Bytes before a name that are looked at."""
AFTER: Final = 4
"""Bytes behind a value that are looked at."""

SECRETS: Final = rf"pass(?:w(?:or)?d|phrase|code|wort|ord)s?|passw|pwd|secret|{WORDS}"
_SHORT: Final = r"(?:\b|_)(?:pass|pw)|[a-z](?-i:Pass)"
_TAIL: Final = (
    r"(?:[_-]?(?:\d{1,2}|new|old|prod|dev|test|staging|confirm(?:ation)?|again|repeat)"
    r"|[ \t](?:for|of|de|du|del|da|para|to|do|dla|voor)[ \t][ \t\w.@-]*?)?"
)
NAME: Final = rf"(?:{SECRETS}|{_SHORT}){_TAIL}"
_OPERATOR: Final = rf"=>|:{{1,2}}=|\?=|={{1,3}}|\+=|:|{WIDE}"
_TYPE: Final = r"(?::\s?(?:Optional\[)?(?:str|string|bytes|SecretStr)\]?(?:\s?\|\s?None)?\s{0,2})?"
_IN_QUOTES: Final = r"""[^"\\\n]"""
PATTERN: Final = (
    rf"""(?i)({NAME})\\{{0,3}}["'\x60]?\]?[ \t]{{0,3}}{_TYPE}({_OPERATOR})([ \t]{{0,8}})"""
    r"""(?:\\{0,3}"((?:[^"\\\n]|\\[^"n]){3,128})|\\{0,3}'([^'\\\n]{3,128})"""
    r"""|\x60([^\x60\n]{3,128})|([^\s"'\x60,;&<>()\[\]{}|\\=:]{3,64}))"""
    rf"""|(?i)(?:<|[\w.:-])((?:{SECRETS}))>\s{{0,16}}([^<>\n]{{3,64}}?)\s{{0,16}}</"""
    rf"""|(?i)(?:^|[\s"',\[])(--?[\w-]*?(?:pass(?:w(?:or)?d|phrase|code|wort)?|pwd))"""
    r"""(?:=|[ \t]{1,4}|["'],\s{0,8})(?:\\?"([^"\\\n]{3,128})|\\?'([^'\\\n]{3,128})"""
    r"""|([^\s"'\x60,;&<>()\[\]{}|\\=:]{3,64}))"""
)
"""A name and a value in one of the kinds of quotes; in a tag; behind a flag."""
HEAD: Final = (
    rf"""(?i:(?:{SECRETS}|pass|pw){_TAIL}[\\"'\x60\]]{{0,4}}[ \t]{{0,3}}(?:[:=+?>]|{WIDE}))"""
    r"|(?i:-(?:pass|pwd)[\w-]*[=\s\"'])"
)


_NO_PASSWORD: Final = compiled(
    rf"(?i)pass|pwd|secret|token|creden|encrypt|decrypt|redact|prompt|undefined|optional|{WORDS}"
    r"|required|placeholder|example|changeme|\*\*\*|xxx|username|string|bytes"
    r"|^(?:(?:test|your|my|some|the|new|old|fake|mock|dummy|sample|foo|bar|baz|enter|please|use|is|has|get"
    r"|set|no|not|an?|this|self|any|each)(?:[ _-].*)?"
    r"|(?:str|text|chars?|varchar|int|integer|bool|boolean|byte|float|double|number|object|array|list"
    r"|dict|map|any|void|func(?:tion)?|async|await|lambda|class|const|let|var|val|type|typing|unknown"
    r"|never|null|nil|none|true|false|yes|off|undef|default|empty|blank|hidden|masked|plain"
    r"|basic|value|values|data|result|results|response|request|input|output|line|lines|args?|argv"
    r"|kwargs|opts?|options?|params?|conf|config|settings|env|environ|auth|login|user|users|name|names"
    r"|keys?|hash|hashed|hasher|salt|field|fields|item|items|obj|return|yield|raise|throw|super|quote"
    r"|unquote|decode|encode|format|print|read|load|open|file|path|url|uri|host|port|email|id|code"
    r"|schema|model|form|body|content|message|error|client|server|account|profile|admin|root|guest"
    r"|and|or|with|in|from|for|to|of|on|at|by|be|if|else|when|where|will|can|must|should|flag"
    r"|option|argument|instead|only|also|are|was|it|that|which|but|via|instructions|setting|missing"
    r"|invalid|incorrect|wrong|correct|expired|changed|reset|updated|accepted|rejected|denied|failed"
    r"|failure|success|ok|unset|same|see|stdin|authentication|authorization|manager|generator|policy"
    r"|here|there|todo|tbd|n/?a|else|end|then|do|begin|temp|tmp|buf|buffer|ptr|len|size|new|delete)s?"
    r"|[a-z]{0,3}\W*)$"
)
_SENTENCE: Final = compiled(
    r"(?i)\b(?:the|an?|your|you|is|are|was|be|been|to|for|must|should|can|cannot|will|with|please|enter"
    r"|type|use|used|using|of|in|on|at|from|by|and|or|if|not|no|this|that|it|its|has|have|does|do|did"
    r"|at least|characters?|new|confirm|forgot|wrong|invalid|missing|required|optional|only|all|any"
    r"|le|la|les|das|der|die|und|el|los|il|um|uma)\b|[.?!:;,]$|%[sdr]|\{|\}|\$\(|=>|->|[()<>=]"
)
_SHORT_NAME: Final = re.compile(r"pass|Pass|pw")
_WORD: Final = re.compile(r"[a-z\x80-\xff]+|[A-Z][a-z\x80-\xff]+|[A-Z]+")
_WORDS: Final = re.compile(r"[^\W_]+(?:-[^\W_]+)*|[\w.@#!$%^&*+~?-]*[\x80-\xff][^\s]*")
_SOURCE: Final = re.compile(r"[(\[.:<?|{]|\s{0,2}[=(]|\s\||\s[-+*/?&|]{1,2}\s|->")
_OTHER_FOR: Final = re.compile(r"(?i)(?:for|of|de|du|del|da|para|to|do|dla|voor)[ \t]")
_DESCRIBED: Final = re.compile(
    rb":(?:param|type|arg|argument|key|keyword|kwarg|ivar|cvar|var|vartype)[ \t]"
    rb"[\w .*,|\[\]]{0,40}$"
)
"""What stands before a name that a docstring describes."""
_PASS_OF: Final = re.compile(r"(?i)pass[ \t]+(?:of|to)\b")
"""Not a password but a going through."""
_OF_PASSWD: Final = frozenset({"passwd:gecos", "passwd:dir", "passwd:shell", "passwd:class"})
"""Fields of an entry of passwd(5), as languages and tools name them."""
WORDS_MAX: Final = 10
"""Words of a password that is a sentence of its own."""


class Plain(Struct, frozen=True, kw_only=True):
    """A value after a name that says password, and what is around it."""

    name: str
    value: str
    operator: str
    quoted: bool
    spaced: bool
    """There is a blank behind the operator."""
    apart: bool
    """And one before it."""
    before: bytes
    after: bytes
    is_used: Callable[[], bool]
    """The same word stands nearby, not as what is assigned to such a name: a variable."""


def is_password(plain: Plain) -> bool:
    """Say whether a value after a name that says password is one."""
    value = plain.value.strip()
    data = value.encode("latin-1")
    if (
        is_stand_in(value)
        or _NO_PASSWORD.search(data) is not None
        or plain.operator.startswith("==")
    ):
        return plain.quoted and plain.operator.startswith("==") and is_chosen(value)
    if plain.quoted:
        return value == plain.value and _is_word_or_words(value)
    if _SOURCE.match(plain.after.decode("latin-1")) or _is_prose(plain) or plain.is_used():
        return False
    if _is_described(plain):
        return is_chosen(value)
    if is_chosen(value) or is_drawn(value):
        return True
    if plain.name.isupper() and not plain.spaced:
        return True
    return _WORDS.fullmatch(value) is not None and all(map(_is_word, value.split("-")))


def _is_word_or_words(value: str) -> bool:
    if " " not in value:
        return not value.startswith(("#", ".", "/", "+", "_", ")", "-", "&"))
    words = value.split()
    return 1 < len(words) <= WORDS_MAX and _SENTENCE.search(value.encode("latin-1")) is None


def _is_described(plain: Plain) -> bool:
    """Say whether a name is one that a text about programs tells of, and no word a value."""
    if plain.operator != ":":
        return False
    is_pass_of = _PASS_OF.match(plain.name) is not None
    is_field = f"{plain.name}:{plain.value}" in _OF_PASSWD
    return is_pass_of or is_field or _DESCRIBED.search(plain.before) is not None


def _is_prose(plain: Plain) -> bool:
    """Say whether a name and a sign after it are words of a sentence."""
    if plain.operator == "=":
        return plain.spaced and not plain.apart
    is_short = _SHORT_NAME.fullmatch(plain.name) is not None
    return is_short and plain.spaced and not is_chosen(plain.value)


def _is_word(part: str) -> bool:
    return part.isdigit() or _WORD.fullmatch(part) is not None
