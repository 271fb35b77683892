"""What signing a record costs whoever writes it, and checking it whoever reads it."""

import time
from collections.abc import Callable
from typing import Final

from analytics.contracts import cloudevents
from analytics.contracts.signatures import SignatureRules, signed
from apps.bench.report import BenchReport, Figure, report
from tests.support import facts

KEY: Final = b"k" * 48
COUNT: Final = 20_000
ROUNDS: Final = 7


def run() -> BenchReport:
    """Measure."""
    record = cloudevents.record(facts.request("r1", id="0123456789abcdef0123456789abcdef"))
    ours = signed(record, KEY)
    one, two = SignatureRules(keys=(KEY,)), SignatureRules(keys=(b"n" * 48, KEY))
    return report(
        "signing",
        __doc__ or "",
        figures=(
            Figure(name="to sign a record", value=_least(lambda: signed(record, KEY)), unit="µs"),
            Figure(
                name="to check one",
                value=_least(lambda: one.refused(ours.topic, ours.value, ours.headers)),
                unit="µs",
                note=f"of {len(ours.value)} bytes",
            ),
            Figure(
                name="to check one that the second key signed",
                value=_least(lambda: two.refused(ours.topic, ours.value, ours.headers)),
                unit="µs",
            ),
        ),
    )


def _least(work: Callable[[], object]) -> float:
    took: list[float] = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(COUNT):
            work()
        took.append((time.process_time() - begun) / COUNT * 1e6)
    return min(took)
