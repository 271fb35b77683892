"""Series under the names that public dashboards of coding agents use.

Claude Code's own metrics, as an OpenTelemetry collector with a Prometheus exporter would show them:
the same counters as in `exposing`, of its sessions alone, called and labelled as there. So a
dashboard made for such a collector shows Mainstem's data unchanged. Commits and pull requests are
not counted; their series are empty.
Source: Claude Code's monitoring documentation, and OpenTelemetry's Prometheus compatibility rules
for names (unit and `_total` behind).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from analytics.promql.series import NAME, MatchOperator, Series, SeriesMatcher, Storage, labelled

AGENT: Final = "claude-code"
JOB: Final = "otel-collector"
"""What public dashboards take the job to be called."""


class Part(Struct, frozen=True):
    """One of our families, and the labels that set it apart under the public name."""

    family: str
    labels: Mapping[str, str] = {}


NAMES: Final[Mapping[str, tuple[Part, ...]]] = {
    "claude_code_session_count_total": (Part("sessions_total"),),
    "claude_code_cost_usage_USD_total": (Part("cost_usd_total"),),
    "claude_code_token_usage_tokens_total": (
        Part("input_tokens_total", {"type": "input"}),
        Part("output_tokens_total", {"type": "output"}),
        Part("cache_read_tokens_total", {"type": "cacheRead"}),
        Part("cache_write_tokens_total", {"type": "cacheCreation"}),
    ),
    "claude_code_lines_of_code_count_total": (
        Part("lines_added_total", {"type": "added"}),
        Part("lines_removed_total", {"type": "removed"}),
    ),
    "claude_code_active_time_seconds_total": (Part("active_seconds_total"),),
    "claude_code_commit_count_total": (),
    "claude_code_pull_request_count_total": (),
}


def select(
    storage: Storage, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
) -> Iterator[Series]:
    """Yield the series for which all of `matchers` hold, under their public names."""
    own = [one for one in matchers if one.name in _OWN]
    others = [one for one in matchers if one.name not in _OWN and one.name != "agent"]
    for name, parts in NAMES.items():
        for part in parts:
            labels = {NAME: name, "job": JOB, **part.labels}
            if not all(one.holds(labels.get(one.name, "")) for one in own):
                continue
            asked = [
                SeriesMatcher(NAME, MatchOperator.EQUAL, part.family),
                SeriesMatcher("agent", MatchOperator.EQUAL, AGENT),
                *others,
            ]
            for series in storage.select(asked, from_ms, to_ms):
                if not series.values.any():
                    continue  # of another kind: tools cost nothing, models add no lines
                said = {**dict(series.labels), **labels}
                del said["agent"]
                yield Series(labelled(said), series.times, series.values)


_OWN: Final = frozenset({NAME, "job", "type"})
"""The labels that a public series has of its own."""
