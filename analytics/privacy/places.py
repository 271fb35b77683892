"""How many places of a text, and of all texts of an event, are looked at in search of secrets.

To find a place costs next to nothing, to judge whether a secret stands there costs tens of
microseconds. So places are counted: of each kind no more than `PLACES_MAX` in a text are judged,
and what stands behind the last of them is left out, since nobody looked there. Ordinary texts of a
megabyte have some hundreds.
"""

from collections.abc import Iterator
from typing import Final

from analytics.privacy.programs import Found

PLACES_MAX: Final = 2_000
"""Places of a kind that are looked at in one text."""
TOTAL_MAX: Final = 8_000
"""Places of all kinds, and texts with any, that are looked at in one event."""
LEFT_OUT: Final = "<left out: too much to look through>"
"""What stands for the rest of a text in which nobody looked for secrets."""
ALL_LEFT_OUT: Final = "<left out>"
"""What stands for a text that might hold a secret, in an event of which enough was looked at."""


class Effort:
    """What is still looked at of one event, and what was."""

    def __init__(self, most: int = TOTAL_MAX) -> None:
        self._most = most
        self.seen = 0
        self.left_out = 0
        """Texts of which a part was left out."""

    @property
    def is_spent(self) -> bool:
        """Whether no more texts are looked at."""
        return self.seen >= self._most


class Places:
    """The places of one text that are looked at."""

    def __init__(self, data: bytes, effort: Effort | None = None, most: int = PLACES_MAX) -> None:
        self.data = data
        self.end = len(data)
        """From here on nothing was looked at."""
        self._effort = effort or Effort()
        self._most = most
        self._seen: dict[str, int] = {}

    def of(self, kind: str, found: Iterator[Found], offset: int = 0) -> Iterator[Found]:
        """Yield a kind's places, until the text ends or there were too many of that kind."""
        for place in found:
            start = offset + place.span()[0]
            if start >= self.end:
                return
            seen = self._seen.get(kind, 0)
            if seen >= self._most:
                self.end = _of_letter(self.data, start)
                return
            self._seen[kind] = seen + 1
            self._effort.seen += 1
            yield place


def _of_letter(data: bytes, at: int) -> int:
    """Return where the letter begins that a byte of UTF-8 is of."""
    while at and data[at] & 0xC0 == 0x80:
        at -= 1
    return at
