"""So many places of a text and of an event are looked at; what is behind them is left out."""

import random
from typing import Final

import msgspec
import pytest

from analytics.contracts import events
from analytics.privacy.filter import Filter
from analytics.privacy.places import ALL_LEFT_OUT, LEFT_OUT, PLACES_MAX, TOTAL_MAX, Effort
from analytics.privacy.rules import PrivacyRules
from analytics.privacy.texts import scrub
from analytics.privacy.torn import NAMED_MAX
from tests.support.secret_said import HOSTILE, KINDS, Kind, said

RULES: Final = PrivacyRules(content=True, emails=True, paths=True)
MB: Final = 1_000_000
HIDDEN_MAX: Final = 6 * PLACES_MAX
"""A text is gone through up to four times, by some kinds that find anything in it."""
LAST: Final = " ghp_aB3dE5fG7hI9kL1mN3oP5qR7sT9uV1wX3yZ5"
HEAD: Final = {
    "type": "agent.observed", "id": "i", "tenant": "t", "at_ms": 1, "session_id": "s", "name": "n",
}  # fmt: skip


def _by_one_of_each_kind(kind: Kind) -> str:
    return said(kind.texts[0], kind.draw(random.Random(kind.id))) + "\n"


REPEATED: Final = (*HOSTILE, *map(_by_one_of_each_kind, KINDS))


@pytest.mark.requirement("privacy-filter")
@pytest.mark.parametrize("piece", REPEATED)
def test_of_a_megabyte_so_many_places_are_looked_at_and_no_more(piece: str) -> None:
    text = piece * (MB // len(piece)) + LAST
    effort = Effort()

    cleaned = scrub(text, RULES, effort)

    assert effort.seen <= HIDDEN_MAX
    assert LAST.strip() not in cleaned
    assert cleaned.endswith(LEFT_OUT) == bool(effort.left_out)
    assert cleaned.count(LEFT_OUT) <= 1
    assert scrub(cleaned, RULES) == cleaned


@pytest.mark.parametrize("line", ["password=abcdef{n}\n", "token: Ab3dE5fG7hI9{n}\n"])
def test_what_nobody_looked_at_is_left_out_and_what_is_before_it_stays(line: str) -> None:
    text = "".join(line.format(n=10_000 + n) for n in range(2 * PLACES_MAX))

    cleaned = scrub(f"before\n{text}", RULES)

    assert cleaned.startswith("before\n")
    assert cleaned.endswith(LEFT_OUT)
    assert "1000" not in cleaned
    assert cleaned.count("<secret>") <= PLACES_MAX


def test_as_many_places_as_are_looked_at_are_kept_whole() -> None:
    text = "key = value\n" * PLACES_MAX

    assert scrub(text, RULES) == text
    assert scrub(text + "key = value\n", RULES) == text + LEFT_OUT


def test_a_text_is_left_out_from_the_beginning_of_a_letter_on() -> None:
    text = "ä$2b$é$é=ü&auth = üüü\n" * (PLACES_MAX + 1)

    assert scrub(text, RULES).encode().decode()


def test_no_entry_of_a_large_secret_of_kubernetes_is_kept() -> None:
    text = "kind: Secret\ndata:\n" + "".join(f"  a{n}: bcdefghij{n}\n" for n in range(5_000))

    assert "bcdefghij" not in scrub(text, RULES)


def test_of_an_event_so_many_texts_are_looked_at_and_the_rest_of_them_left_out() -> None:
    told: list[int] = []
    attributes = {f"x{n}": f"password=abcdef{n}" for n in range(TOTAL_MAX)} | {"y": "as it was"}

    _, payload = Filter(RULES, told.append).pass_on(
        events.read({**HEAD, "attributes": attributes}), None
    )

    kept = msgspec.json.decode(payload or b"")["attributes"]
    assert "abcdef" not in (payload or b"").decode()
    assert kept["x0"] == "password=<secret>"
    assert kept[f"x{TOTAL_MAX - 1}"] == ALL_LEFT_OUT
    assert kept["y"] == "as it was"
    assert told == [list(kept.values()).count(ALL_LEFT_OUT)]


def test_of_torn_json_so_many_names_are_judged_and_the_rest_is_left_out() -> None:
    torn = "{" + '"note":"ab",' * NAMED_MAX + '"password":"opensesame"'

    kept = Filter(RULES).pass_dead_letter(torn.encode()).decode()

    assert kept.endswith(LEFT_OUT)
    assert "opensesame" not in kept
