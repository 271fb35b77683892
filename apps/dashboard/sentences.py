"""What a chart shows, in one sentence, for everyone who cannot or will not read the picture."""

from datetime import tzinfo

import numpy as np

from apps.dashboard import text
from streams.queries.trends import Latency, Trend

_DAY_MS = 86_400_000


def _when(at_ms: float, trend_from: float, zone: tzinfo, now_ms: float) -> str:
    far = now_ms - trend_from > _DAY_MS
    return text.clock(at_ms, zone, now_ms=None if far else now_ms)


def _highest(trend: Trend, names: tuple[str, ...]) -> tuple[int, int, int]:
    series = np.sum([trend.columns[name] for name in names], axis=0)
    place = int(series.argmax())
    return int(series.sum()), int(trend.at_ms[place]), int(series[place])


def cost(trend: Trend, step_ms: int, zone: tzinfo, now_ms: float) -> str:
    """Say what it cost, and when most."""
    total, at_ms, most = _highest(trend, ("cost_nanousd",))
    if not total:
        return "Nothing was spent in this range."
    return (
        f"{text.money(total)} in all; most at {_when(at_ms, trend.at_ms[0], zone, now_ms)}, "
        f"with {text.money(most)} in {text.duration(step_ms)}."
    )


def tokens(trend: Trend, names: tuple[str, ...], zone: tzinfo, now_ms: float) -> str:
    """Say how many tokens there were, and how much of them came from the cache."""
    total, at_ms, _ = _highest(trend, names)
    if not total:
        return "No tokens were used in this range."
    cached = text.share(trend.total("cache_read_tokens"), total)
    return (
        f"{text.short(total)} tokens, {cached} of them read from the cache; "
        f"most at {_when(at_ms, trend.at_ms[0], zone, now_ms)}."
    )


def errors(trend: Trend, names: tuple[str, ...], zone: tzinfo, now_ms: float) -> str:
    """Say what failed, and when most."""
    total, at_ms, most = _highest(trend, names)
    if not total:
        return "Nothing failed in this range."
    return (
        f"{text.plural(total, 'failure')} in all; "
        f"most at {_when(at_ms, trend.at_ms[0], zone, now_ms)}, with {text.whole(most)}."
    )


def latency(found: Latency) -> str:
    """Say how long requests took."""
    if np.isnan(found.overall[0.5]):
        return "No model request finished in this range."
    half, most, slow = (text.duration(found.overall[q]) for q in (0.5, 0.95, 0.99))
    partly = "" if found.complete else " (of the newest part of the range)"
    return f"Half took at most {half}, 95 of 100 {most}, 99 of 100 {slow}{partly}."
