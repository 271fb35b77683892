"""What a request costs by list prices."""

from collections.abc import Mapping
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import analytics.measures
from analytics.contracts.errors import BadSetting
from analytics.measures import prices
from analytics.measures.prices import PricedExtras, PriceTable, bare_name

SHIPPED: Final = Path(analytics.measures.__file__).with_name("prices.yaml")


def shipped() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return loaded


def table(**families: Mapping[str, object]) -> PriceTable:
    document = {
        "version": "t",
        "models": {name.replace("_", "-"): p for name, p in families.items()},
    }
    return PriceTable.from_mapping(document)


def cost(priced: PriceTable, model: str, *counts: int) -> int | None:
    """Return the cost of input, output, read and written tokens."""
    given, made, *cached = (*counts, 0, 0)[: max(2, len(counts))]
    return priced.cost_nanousd(model, given, made, *cached)


@pytest.mark.parametrize(
    ("model", "bare"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("global.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5"),
        ("bedrock/us.anthropic.claude-3-5-haiku-20241022-v1:0", "claude-3-5-haiku"),
        ("claude-opus-4-1@20250805", "claude-opus-4-1"),
        ("vertex_ai/claude-3-5-sonnet-v2@20241022", "claude-3-5-sonnet"),
        ("anthropic/claude-opus-4.6", "claude-opus-4-6"),
        ("claude-sonnet-4-5[1m]", "claude-sonnet-4-5"),
        ("Claude-3-5-Haiku-latest", "claude-3-5-haiku"),
        ("openai/gpt-5-2025-08-07", "gpt-5"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        (" gpt-5-codex ", "gpt-5-codex"),
        ("deepseek/deepseek-r1:free", "deepseek-r1"),
        ("claude-sonnet-4-5-20250929-thinking", "claude-sonnet-4-5-thinking"),
        ("claude-4-sonnet-20250514", "claude-sonnet-4"),
        ("openrouter/anthropic/claude-4.5-sonnet", "claude-sonnet-4-5"),
        ("anthropic:claude-opus-4-8", "claude-opus-4-8"),
        ("anthropic--claude-4-opus", "claude-opus-4"),
        ("apac.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4"),
        ("us-gov.anthropic.claude-3-7-sonnet-20250219-v1:0", "claude-3-7-sonnet"),
        (
            "arn:aws:bedrock:us-east-1:12:inference-profile/eu.anthropic.claude-opus-4-8-v1:0",
            "claude-opus-4-8",
        ),
        ("projects/p/publishers/anthropic/models/claude-opus-4-1@20250805", "claude-opus-4-1"),
        ("azure/gpt-5-2025-08-07", "gpt-5"),
        ("claude-opus-5-latest[1m]", "claude-opus-5"),
        ("", ""),
    ],
)
def test_a_name_is_brought_to_its_bare_form(model: str, bare: str) -> None:
    assert bare_name(model) == bare


def test_the_longest_family_counts() -> None:
    priced = table(gpt_5={"input": 1, "output": 2}, gpt_5_mini={"input": 3, "output": 4})

    assert cost(priced, "gpt-5-mini-2025-08-07", 1_000, 0, 0, 0) == 3_000_000
    assert cost(priced, "gpt-5-turbo", 1_000, 0, 0, 0) == 1_000_000


@pytest.mark.parametrize("model", ["gpt-50", "gpt-5.9", "gpt-5-6", "gpt", "my-gpt-5", ""])
def test_a_model_of_no_family_has_no_price(model: str) -> None:
    assert cost(table(gpt_5={"input": 1, "output": 2}), model, 1_000) is None


def test_the_four_kinds_of_token_are_priced_apart_and_exactly() -> None:
    priced = table(m={"input": 3, "output": 15, "cache_read": 0.3, "cache_write": "3.75"})

    assert cost(priced, "m", 1, 0, 0, 0) == 3_000
    assert cost(priced, "m", 0, 1, 0, 0) == 15_000
    assert cost(priced, "m", 0, 0, 1, 0) == 300
    assert cost(priced, "m", 0, 0, 0, 1) == 3_750
    assert cost(priced, "m", 10**9, 10**9, 10**9, 10**9) == 22_050 * 10**9


def test_a_cost_is_rounded_half_up_once() -> None:
    priced = table(m={"input": "0.0125", "output": 0})

    assert [cost(priced, "m", n, 0, 0, 0) for n in (1, 2, 3)] == [13, 25, 38]


def test_cached_tokens_cost_what_input_does_where_no_price_is_stated() -> None:
    assert cost(table(m={"input": 2, "output": 9}), "m", 0, 0, 1, 1) == 4_000


FULL: Final = {
    "input": 4, "output": 20, "cache_read": 0.4, "cache_write": 5, "cache_write_1h": 8,
    "fast": 6, "batch": 0.5, "web_search": 10, "long": {"above": 200, "input": 2, "output": 1.5},
}  # fmt: skip
TOKENS: Final = st.integers(0, 10**9)
APARTS: Final = st.builds(
    PricedExtras.of,
    TOKENS,
    st.integers(0, 1_000),
    speed=st.sampled_from(["", "standard", "fast"]),
    service_tier=st.sampled_from(["", "standard", "priority", "batch"]),
)


@given(TOKENS, TOKENS, TOKENS, TOKENS, APARTS)
def test_what_costs_apart_is_priced_apart_and_exactly(
    given: int, made: int, cache_read: int, cache_write: int, apart: PricedExtras
) -> None:
    one_hour = min(apart.cache_write_1h_tokens, cache_write)
    is_long = given + cache_read + cache_write > 200
    taken = 4 * given + Fraction("0.4") * cache_read + 5 * (cache_write - one_hour) + 8 * one_hour
    exact = taken * (2 if is_long else 1) + 20 * made * (Fraction("1.5") if is_long else 1)
    exact *= (6 if apart.speed else 1) * (Fraction("0.5") if apart.service_tier else 1)
    exact = exact * 1_000 + apart.web_searches * 10_000_000

    told = table(m=FULL).cost_nanousd("m", given, made, cache_read, cache_write, apart=apart)

    assert told == min(floor(exact + Fraction("0.5")), prices.COST_MAX_NANOUSD)


@pytest.mark.parametrize(
    "apart",
    [
        PricedExtras(speed="fast"),
        PricedExtras(service_tier="batch"),
        PricedExtras(web_searches=1),
        PricedExtras(speed="fast", service_tier="batch"),
    ],
)
def test_a_mode_without_a_price_leaves_the_request_without_one(apart: PricedExtras) -> None:
    plain = table(m={"input": 1, "output": 2})

    assert plain.cost_nanousd("m", 1, 1, apart=apart) is None
    assert (
        plain.cost_nanousd("m", 1, 1, apart=PricedExtras.of(0, 0, speed="x", service_tier="y"))
        == 3_000
    )


def test_what_is_kept_for_an_hour_costs_what_any_write_does_where_no_price_is_stated() -> None:
    plain = table(m={"input": 1, "output": 2, "cache_write": 3})

    assert plain.cost_nanousd("m", 0, 0, 0, 7, apart=PricedExtras(7)) == 21_000


@given(APARTS, APARTS)
def test_reports_of_what_costs_apart_are_merged_in_any_order(
    one: PricedExtras, other: PricedExtras
) -> None:
    merged = one.merged(other)

    assert merged == other.merged(one) == merged.merged(one) == merged.merged(other)


def test_defaults_hold_for_families_that_begin_alike_and_do_not_say_otherwise() -> None:
    document = {
        "models": {
            "a-1": {"input": 1, "output": 1},
            "a-2": {"input": 1, "output": 1, "batch": 1},
            "b": {"input": 1, "output": 1},
        },
        "defaults": {"a-": {"batch": 0.5}},
    }
    theirs = {"models": {"a-1": {"input": 2, "output": 2}}}
    batch = PricedExtras(service_tier="batch")

    priced = PriceTable.from_mapping(document, override=theirs)

    costs = [priced.cost_nanousd(model, 10, 0, apart=batch) for model in ("a-1", "a-2", "b")]
    assert costs == [10_000, 10_000, None]


def test_the_table_that_ships_prices_what_costs_apart() -> None:
    priced = PriceTable.from_mapping(shipped())

    def of(model: str, *counts: int, **apart: Any) -> int | None:
        return priced.cost_nanousd(model, *counts, apart=PricedExtras(**apart))

    assert of("claude-opus-4-8", 2, 100, 0, 37_175, cache_write_1h_tokens=37_175) == 374_260_000
    assert of("claude-opus-5", 10**6, 0, speed="fast") == 10 * 10**9
    assert of("claude-opus-4-6", 0, 10**6, speed="fast") == 150 * 10**9
    assert of("claude-sonnet-5", 10**6, 0, service_tier="batch") == 10**9
    assert of("claude-sonnet-5", 0, 0, web_searches=3) == 30_000_000
    assert of("gpt-6-sol", 272_001, 10**6) == 272_001 * 4_000 + 15 * 10**9
    assert of("claude-sonnet-4-6", 10**6, 0) == 3 * 10**9
    assert of("claude-haiku-4-5", 1, 1, speed="fast") is None


def test_a_cost_never_outgrows_its_column() -> None:
    priced = table(m={"input": 100_000, "output": 0})

    assert cost(priced, "m", 2**62, 0, 0, 0) == prices.COST_MAX_NANOUSD


def test_the_users_families_replace_ours() -> None:
    ours = {
        "version": "1",
        "models": {"a": {"input": 1, "output": 1}, "b": {"input": 1, "output": 1}},
    }
    theirs = {"version": "mine", "models": {"B": {"input": 7, "output": 7}}}

    merged = PriceTable.from_mapping(ours, override=theirs)

    assert merged.version == "1+mine"
    assert cost(merged, "a", 1, 0, 0, 0) == 1_000
    assert cost(merged, "b", 1, 0, 0, 0) == 7_000


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "models"),
        ({"models": ["m"]}, "models"),
        ({"models": {"m": 3}}, "'m'"),
        ({"models": {"m": {"input": 1}}}, "'output'"),
        ({"models": {"m": {"input": 1, "output": 1, "per_song": 2}}}, "'per_song'"),
        ({"models": {"m": {"input": -1, "output": 1}}}, "-1"),
        ({"models": {"m": {"input": "much", "output": 1}}}, "'much'"),
        ({"models": {"m": {"input": True, "output": 1}}}, "True"),
        ({"models": {"m": {"input": None, "output": 1}}}, "None"),
        ({"models": {"m": {"input": float("nan"), "output": 1}}}, "nan"),
        ({"models": {"m": {"input": 10**6, "output": 1}}}, "1000000"),
        ({"models": {"m": {"input": 1, "output": 1, "long": 9}}}, "'long'"),
        ({"models": {"m": {"input": 1, "output": 1, "long": {"above": 9}}}}, "'long'"),
        (
            {
                "models": {
                    "m": {
                        "input": 1,
                        "output": 1,
                        "long": {"above": "far", "input": 2, "output": 2},
                    }
                }
            },
            "'far'",
        ),
        ({"models": {"m": {"input": 1, "output": 1}}, "defaults": {"m": 2}}, "defaults"),
    ],
)
def test_what_is_no_price_table_is_refused_in_one_sentence(
    document: Mapping[str, object], words: str
) -> None:
    with pytest.raises(BadSetting) as refused:
        PriceTable.from_mapping(document)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(BadSetting, match="override"):
        PriceTable.from_mapping({"models": {}}, override={"models": 1})


def test_names_looked_up_are_remembered_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "FOUND_MAX", 3)
    priced = table(m={"input": 1, "output": 1})

    costs = [cost(priced, f"m-x{number}", 1, 0, 0, 0) for number in range(10)]

    assert costs == [1_000] * 10
    assert len(priced._found) <= 3


def test_the_table_that_ships_prices_the_families_of_the_three_agents() -> None:
    priced = PriceTable.from_mapping(shipped())

    assert priced.version == "2026-11-30"
    assert cost(priced, "claude-opus-4-5-20251101", 10**6, 0, 0, 0) == 5 * 10**9
    assert cost(priced, "claude-sonnet-4-20250514", 0, 10**6, 0, 0) == 15 * 10**9
    assert cost(priced, "claude-haiku-4-5", 0, 0, 10**6, 0) == 10**8
    assert cost(priced, "gpt-5-codex", 10**6, 0, 0, 0) == 1_250 * 10**6
    assert cost(priced, "gemini-2.5-pro", 0, 10**6, 0, 0) == 10 * 10**9
    assert priced.rates("claude-opus-4-9") is None


def test_no_family_that_ships_hides_another() -> None:
    priced = PriceTable.from_mapping(shipped())
    models = shipped()["models"]

    for family in priced.families:
        rates = priced.rates(family)
        assert rates is not None
        assert rates.input == round(float(models[family]["input"]) * 10**9)
        assert rates.output >= rates.input >= rates.cache_read
