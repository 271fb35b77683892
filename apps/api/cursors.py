"""Where the next page begins: the range of the first page, and the key of the last row before.

A cursor holds what the first page was asked about in absolute times, so that a range such as the
last day does not move while somebody pages, and a key that no later event changes. So pages tell
every row that was there at the first one, once. What a cursor says is nobody's secret: it is read
back with bounds, and a tenant's rows are the token's whatever it says.
"""

import base64
import binascii
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from apps.api import questions
from apps.api.questions import Parameters
from streams.queries.grouped import BadQuestion

LENGTH_MAX: Final = 400
_Time = Annotated[int, Meta(ge=0, le=2**53)]
_Text = Annotated[str, Meta(max_length=200)]


class Cursor(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """See the module."""

    from_ms: _Time
    until_ms: _Time
    number: Annotated[int, Meta(ge=0, le=2**62)]
    """The key of the last row, or when it was."""
    name: _Text = ""
    """Its id, where a time alone is no key."""


def read(asked: Parameters) -> Cursor | None:
    """Return the cursor that is given as `after`, if any; raise `BadQuestion`."""
    text = questions.one(asked, "after", "")
    if not text:
        return None
    try:
        if len(text) <= LENGTH_MAX:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            found = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Cursor)
            if found.from_ms < found.until_ms:
                return found
    except (binascii.Error, UnicodeError, msgspec.MsgspecError):
        pass
    raise BadQuestion(f"'after' is the `next` of the page before, not {text[:40]!r}")


def written(cursor: Cursor) -> str:
    """Return a cursor as the `next` of a page."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")
