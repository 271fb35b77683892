"""Settings come from the environment, and a wrong one is said in a sentence."""

import pytest

from analytics.contracts.errors import BadSetting
from apps.cli import worker_rules
from streams.consumer import topology
from streams.settings import load


def test_a_worker_is_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_STREAMS_BROKER", "kafka:9092,other:9093")
    monkeypatch.setenv("MAINSTEM_STREAMS_STORE_URL", "postgresql://u:secret@db/m")
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere")

    settings = load(metrics_port=0)

    assert settings.broker == "kafka:9092,other:9093"
    assert settings.store_url.get_secret_value() == "postgresql://u:secret@db/m"
    assert "secret" not in repr(settings)
    assert settings.metrics_port == 0


def test_the_stores_url_falls_back_to_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINSTEM_STREAMS_STORE_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere")

    assert load().store_url.get_secret_value() == "postgresql://elsewhere"


@pytest.mark.parametrize(
    ("name", "value"), [("BROKER", "nowhere"), ("METRICS_PORT", "99999"), ("TICK_MS", "soon")]
)
def test_a_wrong_setting_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"MAINSTEM_STREAMS_{name}", value)

    with pytest.raises(BadSetting, match=rf"MAINSTEM_STREAMS_{name}: .*{value}"):
        load()


def test_windows_that_would_close_before_their_events_come_are_refused() -> None:
    with pytest.raises(BadSetting, match="shorter than the lateness"):
        topology.rules(load(lateness_ms=20_000, idle_ms=10_000))


def test_the_rules_and_terms_are_what_the_settings_say() -> None:
    settings = load(lateness_ms=1_000, idle_ms=3_000, stuck_repeats=9, events_days=2)

    rules, kept = topology.rules(settings), worker_rules.retention(settings)

    assert (rules.lateness_ms, rules.idle_ms, rules.stuck_repeats) == (1_000, 3_000, 9)
    assert (kept.events_days, kept.window_1m_days) == (2, 30)
