"""How many secrets the filter finds, how often it takes something for one, and how fast it is.

Secrets are drawn by form (`tests/support/secret_forms.py`), in each text in which they may stand,
and by the way in which they are said (`tests/support/secret_said.py`).
What it takes for one in the texts and the code of installed packages counts as false, though much
of it is a token that an example of theirs shows.
"""

import random
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from analytics.privacy.rules import PrivacyRules
from analytics.privacy.texts import HIDDEN, scrub
from apps.bench.report import BenchReport, Figure, report
from tests.support.secret_forms import OURS, PUBLIC, forms
from tests.support.secret_said import ISSUED, said
from tests.support.secret_said import KINDS as KINDS_SAID
from tests.support.secret_texts import texts

RULES: Final = PrivacyRules(emails=True, paths=True)
DRAWS: Final = 10
SEED: Final = 12
MB: Final = 1_000_000
TEXT_MB: Final = 50
FILE_BYTES_MAX: Final = 1_000_000
KINDS: Final = frozenset(
    {
        ".py", ".pyi", ".md", ".txt", ".rst", ".json", ".js", ".ts", ".yaml", ".yml", ".toml",
        ".html", ".css", ".h", ".c", ".sql", ".cfg", ".ini",
    }
)  # fmt: skip


def run() -> BenchReport:
    """Measure."""
    chance = random.Random(SEED)
    least, found, all_of_them = 1.0, 0, 0
    for samples in _samples(chance):
        hidden = sum(one not in scrub(text, RULES) for text, one in samples)
        least = min(least, hidden / len(samples))
        found += hidden
        all_of_them += len(samples)
    size, false, seconds = _of_packages()
    return report(
        "secrets",
        __doc__ or "",
        figures=(
            Figure(
                name="secrets found", value=found / all_of_them * 100, unit="%", goal=95,
                at_least=True, note=f"of {all_of_them}",
            ),
            Figure(
                name="of the form that is found least", value=least * 100, unit="%", goal=95,
                at_least=True,
            ),
            Figure(
                name="taken for one in others' texts and code", value=false / size, unit="a MB",
                goal=1.0, note=f"{false} in {size:.0f} MB",
            ),
            Figure(name="texts and code gone through", value=size / seconds, unit="MB/s"),
        ),
    )  # fmt: skip


def _samples(chance: random.Random) -> Iterator[list[tuple[str, str]]]:
    """Yield the texts of each form and of each way of saying a secret, with what is in them."""
    for form in (*forms(PUBLIC), *forms(OURS), *forms(ISSUED)):
        drawn = [form.draw(chance) for _ in range(DRAWS)]
        yield [(text, one) for one in drawn for text in texts(form.service, one)]
    for kind in KINDS_SAID:
        yield [
            (said(text, one), one)
            for text in kind.texts
            for one in (kind.draw(chance) for _ in range(DRAWS))
        ]


def _of_packages() -> tuple[float, int, float]:
    """Return how many MB were gone through, what was taken for a secret, and the seconds of CPU."""
    size = false = 0
    seconds = 0.0
    for text in _packages():
        begun = time.process_time()
        false += scrub(text, RULES).count(HIDDEN) - text.count(HIDDEN)
        seconds += time.process_time() - begun
        size += len(text.encode())
        if size > TEXT_MB * MB:
            break
    return size / MB, false, seconds


def _packages() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*")):
        if path.suffix not in KINDS or not path.is_file():
            continue
        if path.stat().st_size <= FILE_BYTES_MAX:
            try:
                yield path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
