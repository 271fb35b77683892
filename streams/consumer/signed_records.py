"""The readers of a worker that takes signed records only.

What no key of ours signed goes to the dead letters, of no tenant, since who wrote it may have
written anybody's name on it; the records beside it are read as ever.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from analytics.contracts.signatures import Seal, SignatureRules
from streams import metrics
from streams.consumer.deserialising import ConsumedRecord, DeserialisedBatch, Reader, as_dead_letter

REASONS: Final = {
    Seal.MISSING: "signature missing: no process of ours wrote this record, or one without a key",
    Seal.WRONG: "signature wrong: the record was changed, or signed with another key",
}
NOBODY: Final = ""
A = TypeVar("A")


def checked(topic: str, read: Reader[A], rules: SignatureRules) -> Reader[A]:
    """Return a reader of what was signed."""

    def read_checked(
        partition: int, records: Sequence[ConsumedRecord], now_ms: int
    ) -> DeserialisedBatch[A]:
        refused = rules.refused
        seals = [refused(topic, one.value or b"", one.headers) for one in records]
        if not any(seals):
            return read(partition, records, now_ms)
        ours = [record for record, seal in zip(records, seals, strict=True) if seal is None]
        reading = read(partition, ours, now_ms)
        dead_letters = list(reading.dead_letters)
        for record, seal in zip(records, seals, strict=True):
            if seal is not None:
                metrics.UNSIGNED.labels(topic, seal.value).inc()
                letter = as_dead_letter(topic, partition, record, now_ms, reason=REASONS[seal])
                dead_letters.append(replace(letter, tenant=NOBODY))
        return DeserialisedBatch(reading.arrivals, dead_letters)

    return read_checked
