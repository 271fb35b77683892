"""What gitleaks, whose rules are public, finds in drawn secrets, and finds no more in what is kept.

It is the oracle of the forms: a sample that gitleaks does not take for one of the form says nothing
about the filter, and what it still finds in filtered texts got past.
"""

import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec
import pytest
from msgspec import Struct, field

from analytics.privacy.rules import PrivacyRules
from analytics.privacy.texts import scrub
from tests.support.secret_forms import PUBLIC, forms
from tests.support.secret_texts import texts

RULES: Final = PrivacyRules(emails=True, paths=True)
SHARE_MIN: Final = 0.95
DRAWS: Final = 2
INSTALL: Final = "go install github.com/zricethezav/gitleaks/v8@v8.30.1"


class Finding(Struct):
    """What gitleaks says of a secret; the secret itself it leaves out."""

    rule: str = field(name="RuleID")
    file: str = field(name="File")


@pytest.fixture(scope="module")
def gitleaks() -> str:
    """Return gitleaks, or skip; where CI is set it must be there."""
    found = shutil.which("gitleaks")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"gitleaks is required where CI is set; run `{INSTALL}`")
        pytest.skip(f"gitleaks is not here; run `{INSTALL}`, and put it on the path")
    return found


@pytest.fixture(scope="module")
def samples() -> dict[str, str]:
    """Return texts with drawn secrets in them, by the id of their form."""
    chance = random.Random(8)
    return {
        form.id: "\n\n".join(
            text for _ in range(DRAWS) for text in texts(form.service, form.draw(chance))
        )
        for form in forms(PUBLIC)
    }


def test_the_samples_are_what_gitleaks_takes_for_secrets_of_their_forms(
    gitleaks: str, samples: dict[str, str], tmp_path: Path
) -> None:
    found = _found(gitleaks, samples, tmp_path)

    known = {finding.rule for finding in found if finding.rule == Path(finding.file).stem}
    assert len(known) / len(samples) >= SHARE_MIN, samples.keys() - known


def test_gitleaks_finds_nothing_in_what_the_filter_lets_pass(
    gitleaks: str, samples: dict[str, str], tmp_path: Path
) -> None:
    before = _found(gitleaks, samples, tmp_path / "before")
    kept = {name: scrub(text, RULES) for name, text in samples.items()}

    after = _found(gitleaks, kept, tmp_path / "after")

    assert len(after) / len(before) <= 1 - SHARE_MIN, {finding.rule for finding in after}


def _found(gitleaks: str, written: dict[str, str], folder: Path) -> list[Finding]:
    texts_in = folder / "texts"
    texts_in.mkdir(parents=True)
    for name, text in written.items():
        (texts_in / f"{name}.txt").write_text(text)
    told = folder / "found.json"
    subprocess.run(
        [
            gitleaks, "dir", texts_in, "--no-banner", "--redact", "--exit-code=0",
            "--report-format=json", f"--report-path={told}",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return msgspec.json.decode(told.read_bytes(), type=list[Finding])
