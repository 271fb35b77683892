"""Where in a text secrets stand: found by their issuers' forms, and by the word before them.

All patterns are RE2's, so the time is linear in the text whatever is in it; a text that holds the
beginning of no form costs one look. Texts are bytes in UTF-8 and are read byte by byte, so that
what is no UTF-8 is gone through too.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

from analytics.privacy import cookies, issued_more, plain, tools, wording
from analytics.privacy.guesses import is_drawn
from analytics.privacy.issued import BEFORE, DRAWN, HEADS, ISSUED, WITH_DIGIT
from analytics.privacy.issued_more import GLUED, HASHES, SERVICES
from analytics.privacy.places import Places
from analytics.privacy.programs import Found, Span, compiled, looking_for
from analytics.privacy.wording import is_told

SHORT_BYTES_MAX: Final = 4_096
"""Bytes of a text that all kinds are looked for in at once."""
DRAWN_FROM: Final = 2
"""Characters of a form's beginning that are never drawn."""
NAME_MAX: Final = 40
"""Bytes of a name that are looked at, before the word in it that tells of a secret."""
USES_MAX: Final = 6
"""Places of a word that are looked at, in search of a variable of that name."""
_PLAIN_NAMES: Final = (0, 7, 9)
_PLAIN_VALUES: Final = (3, 4, 5, 6, 8, 10, 11, 12)
_PLAIN_BARE: Final = frozenset({6, 12})
_ASSIGNS: Final = frozenset({b"=", b":", b">", b"-"})
_CALLS: Final = frozenset({b"(", b"[", b"{"})


_ISSUED: Final = compiled(f"{BEFORE}({'|'.join(ISSUED.values())})")
_MORE: Final = compiled(f"{BEFORE}({'|'.join((*SERVICES.values(), *HASHES.values()))})")
_GLUED: Final = compiled(f"[A-Za-z0-9]{GLUED}")
_LOOSE: Final = compiled(
    f"{BEFORE}(?:({'|'.join(WITH_DIGIT.values())})|({'|'.join(DRAWN.values())}))"
)
_ASSIGNED: Final = compiled(wording.ASSIGNED)
_SAID: Final = compiled(wording.SAID)
_USERINFO: Final = compiled(wording.USERINFO)
_PLAIN: Final = compiled(plain.PATTERN)
_TOOLS: Final = compiled(tools.PATTERN)
_FLAGS: Final = tuple(compiled(pattern) for _, pattern in tools.TOOLS)
_PHRASES: Final = compiled(tools.PHRASES)
_COOKIES: Final = compiled(cookies.PATTERN)
_PEM: Final = compiled(
    r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----"
    r"""(?:\\[nrt]|[\s"'+,]|[A-Za-z-]{2,24}: ?[\w .,;-]{0,200})*[A-Za-z0-9+/]{4}"""
)
_PEM_END: Final = compiled(r"-----END[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----")
_OPAQUE: Final = compiled(r"""(?i)\bkind["']?:\s{0,4}["']?secret\b""")
_ENTRY: Final = compiled(r"""(?m)^[ \t]+(?:- )?["']?[\w.-]+["']?:[ \t]{1,8}["']?([\w+/=-]{8,})""")


def is_suspect(data: bytes) -> bool:
    """Say whether a text might hold a secret; false means that none is found."""
    return len(data) > SHORT_BYTES_MAX or _suspect(data) is not None


def is_suspect_json(data: bytes) -> bool:
    """Say whether a text or a field in compact JSON might hold a secret."""
    return len(data) > SHORT_BYTES_MAX or _suspect_json(data) is not None


def secrets_in(places: Places) -> list[Span]:
    """Return where in a text secrets stand, in order and apart, up to where it was looked at."""
    spans: list[Span] = []
    for look, find in _LOOKS:
        if look(places.data) is not None:
            spans += find(places)
    end = places.end
    return _merged([(start, min(after, end)) for start, after in spans if start < end])


def _opaque(places: Places) -> Iterator[Span]:
    if _OPAQUE.search(places.data):
        for found in places.of("entry", _ENTRY.finditer(places.data)):
            yield found.span(1)


def _pem(places: Places) -> Iterator[Span]:
    """Yield the private keys in PEM (RFC 7468); one that was cut goes to the text's end."""
    data, end = places.data, 0
    for found in places.of("pem", _PEM.finditer(data)):
        start, body = found.span()
        if start < end:
            continue
        closing = next(_PEM_END.finditer(data, body), None)
        end = closing.span()[1] if closing else len(data)
        yield start, end


def _issued(places: Places) -> Iterator[Span]:
    yield from _issued_only(places)
    yield from _issued_more(places)


def _issued_more(places: Places) -> Iterator[Span]:
    for found in places.of("more", _MORE.finditer(places.data)):
        yield found.span(1)


def _glued(places: Places) -> Iterator[Span]:
    for found in places.of("glued", _GLUED.finditer(places.data)):
        start, end = found.span(1)
        rest = _text(places.data[start + DRAWN_FROM : end])
        if any(map(str.isdigit, rest)) and not rest.isdigit():
            yield start, end


def _issued_only(places: Places) -> Iterator[Span]:
    for found in places.of("issued", _ISSUED.finditer(places.data)):
        yield found.span(1)
    for found in places.of("loose", _LOOSE.finditer(places.data)):
        with_digit, drawn = found.groups()
        if with_digit is not None and any(map(str.isdigit, _text(with_digit))):
            yield found.span(1)
        elif drawn is not None and is_drawn(_text(drawn[DRAWN_FROM:])):
            yield found.span(2)


def _assigned(places: Places) -> Iterator[Span]:
    data = places.data
    for found in places.of("assigned", _ASSIGNED.finditer(data)):
        name, _, operator, *values = found.groups()
        place = next(n for n, value in enumerate(values) if value is not None)
        start, end = found.span(place + 4)
        is_quoted = place < 3
        if not is_quoted and (data[end : end + 1] in _CALLS or operator == b","):
            continue
        told = wording.NamedValue(
            name=_name_before(data, found.span()[0]) + _text(name),
            value=_text(data[start:end]),
            quoted=is_quoted,
            listed=operator == b",",
        )
        if is_told(told):
            yield start, end


def _name_before(data: bytes, at: int) -> str:
    """Return what a name begins with, before the word that tells; `:` before it is kept."""
    before = _text(data[max(0, at - NAME_MAX) : at])
    start = len(before)
    while start and (before[start - 1].isalnum() or before[start - 1] in "_.-:"):
        start -= 1
    return before[start:]


def _said(places: Places) -> Iterator[Span]:
    for found in places.of("said", _SAID.finditer(places.data)):
        for place, value in enumerate(found.groups(), start=1):
            if value is not None and wording.is_said(wording.GROUPS[place - 1], _text(value)):
                yield found.span(place)


def _userinfo(places: Places) -> Iterator[Span]:
    for found in places.of("userinfo", _USERINFO.finditer(places.data)):
        start, end = found.span(2)
        if wording.is_userinfo(_text(found.groups()[0]), _text(places.data[start:end])):
            yield start, end


def _plain(places: Places) -> Iterator[Span]:
    data = places.data
    for found in places.of("plain", _PLAIN.finditer(data)):
        groups = found.groups()
        place = next(n for n in _PLAIN_VALUES if groups[n] is not None)
        start, end = found.span(place + 1)
        told = plain.Plain(
            name=_text(next(groups[n] for n in _PLAIN_NAMES if groups[n] is not None)),
            value=_text(data[start:end]),
            operator=_text(groups[1]),
            quoted=place not in _PLAIN_BARE,
            spaced=bool(groups[2]),
            apart=data[found.span(2)[0] - 1 : found.span(2)[0]].isspace(),
            before=_before(data, found.span()[0]),
            after=data[end : end + plain.AFTER],
            is_used=partial(_is_used, data, start, end),
        )
        if plain.is_password(told):
            yield start, end


def _before(data: bytes, at: int) -> bytes:
    return data[max(0, at - plain.BEFORE) : at]


def _is_used(data: bytes, start: int, end: int) -> bool:
    """Say whether a word stands nearby as something else than what is assigned."""
    word = data[start:end]
    low, high = max(0, start - plain.WINDOW), end + plain.WINDOW
    at = low
    for _ in range(USES_MAX):
        at = data.find(word, at, high)
        if at < 0:
            return False
        around = data[at - 1 : at] + data[at + len(word) : at + len(word) + 1]
        before = data[max(low, at - 4) : at].rstrip(b" \"'\\")[-1:]
        is_whole = not any(sign.isalnum() or sign == "_" for sign in _text(around))
        if at != start and is_whole and before not in _ASSIGNS:
            return True
        at += 1
    return False


def _told_to_tools(places: Places) -> Iterator[Span]:
    data, seen_to = places.data, [0] * len(_FLAGS)
    for found in places.of("tools", _TOOLS.finditer(data)):
        number, start = tools.number_of(_text(found.groups()[0])), found.span(1)[1]
        if start < seen_to[number]:
            continue
        command = tools.command(data, start)
        seen_to[number] = start + len(command)
        for value in places.of("flags", _FLAGS[number].finditer(command), start):
            yield from _of_tool(value, start)
    for found in places.of("phrases", _PHRASES.finditer(data)):
        yield from _of_tool(found, 0)


def _of_tool(found: Found, offset: int) -> Iterator[Span]:
    for place, value in enumerate(found.groups(), start=1):
        if value is not None and tools.is_password(_text(value)):
            start, end = found.span(place)
            yield start + offset, end + offset


def _cookies(places: Places) -> Iterator[Span]:
    for found in places.of("cookies", _COOKIES.finditer(places.data)):
        pairs, named, loose = found.groups()
        if pairs is not None:
            offset = found.span(1)[0]
            for pair in places.of("pairs", cookies.PAIR.finditer(pairs), offset):
                if cookies.is_session(*map(_text, pair.groups())):
                    start, end = pair.span(2)
                    yield offset + start, offset + end
        elif named is not None and cookies.is_named(_text(named)):
            yield found.span(2)
        elif loose is not None and cookies.is_loose(_text(loose)):
            yield found.span(3)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _text(data: bytes | None) -> str:
    return (data or b"").decode("latin-1")


def is_issued(name: str) -> bool:
    """Say whether a name is plainly a secret: a whole token of an issuer's form."""
    data = name.encode("utf-8", "surrogatepass")
    return any(end - start >= len(data) - 1 for start, end in _issued(Places(data)))


_FINDERS: Final = (
    (HEADS, _issued_only),
    (issued_more.HEADS, _issued_more),
    ((issued_more.GLUED_HEAD,), _glued),
    ((wording.HEAD,), _assigned),
    (wording.HEADS, _said),
    ((r"://[^/]*@",), _userinfo),
    ((r"PRIVATE KEY",), _pem),
    ((r"""(?i:kind[\\"']{0,4}:)""",), _opaque),
    ((plain.HEAD,), _plain),
    (tools.HEADS, _told_to_tools),
    (cookies.HEADS, _cookies),
)
"""What a text has somewhere if there is a secret of a kind, and how those are found.

Each kind is looked for on its own in what is long: the states of all of them together are too many.
"""
_LOOKS: Final = tuple((looking_for(*heads), find) for heads, find in _FINDERS)
_ALL_HEADS: Final = tuple(head for heads, _ in _FINDERS for head in heads)
_suspect: Final = looking_for(*_ALL_HEADS)
_suspect_json: Final = looking_for(
    *(head for head in _ALL_HEADS if head != wording.HEAD), wording.HEAD_IN_JSON
)
