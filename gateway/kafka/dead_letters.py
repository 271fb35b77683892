"""Dead letters of one request: the first of them as they came, the rest counted in one.

Whoever sends ten thousand records that cannot be read is answered as soon as whoever sends one:
`LETTERS_MAX` of them and `LETTERS_BYTES_MAX` bytes are kept, and one letter says how many more
there were and why. The sender is answered for each, whether its letter was kept or not.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import MainstemError
from gateway import metrics
from gateway.http.auth import Grant
from gateway.kafka.publisher import Publisher

LETTERS_MAX: Final = 100
"""Dead letters of one request that are kept as they came."""
LETTERS_BYTES_MAX: Final = 1_048_576
"""Bytes of them; the first is kept whatever its size."""
REASONS_MAX: Final = 10
"""Reasons that the letter about the rest names."""


class Letter(Struct, frozen=True):
    """A payload that could not be read, and why."""

    payload: bytes
    reason: str


async def send_dead_letters(
    publisher: Publisher, letters: Sequence[Letter], *, ingest_path: str, grant: Grant
) -> None:
    """Keep the letters of a request, as far as that can be done."""
    kept = _first(letters)
    rest = letters[len(kept) :]
    if rest:
        metrics.LIMITS_HIT.labels("dead_letters").inc()
        metrics.DEAD_LETTERS.labels("counted").inc(len(rest))
        kept = [*kept, Letter(b"", _about(rest))]
    await asyncio.gather(
        *(_keep(publisher, one, ingest_path=ingest_path, grant=grant) for one in kept)
    )


def _first(letters: Sequence[Letter]) -> Sequence[Letter]:
    size = 0
    for number, letter in enumerate(letters):
        size += len(letter.payload)
        if number == LETTERS_MAX or (number and size > LETTERS_BYTES_MAX):
            return letters[:number]
    return letters


def _about(rest: Sequence[Letter]) -> str:
    reasons = Counter(letter.reason for letter in rest).most_common(REASONS_MAX)
    said = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    return f"{len(rest)} more of the same request were refused: {said}"


async def _keep(publisher: Publisher, letter: Letter, *, ingest_path: str, grant: Grant) -> None:
    try:
        await publisher.dead_letter(
            letter.payload, reason=letter.reason, origin=ingest_path, tenant=grant.tenant
        )
    except MainstemError:
        return
