"""The Grafana dashboard of the gateways, from a list of what it shows.

Only metrics that gateways export are named: a test holds every expression against the registry.
"""

import json
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

COLUMNS: Final = 3
WIDTH: Final = 24 // COLUMNS
HEIGHT: Final = 8
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


class GrafanaPanel(Struct, frozen=True):
    """A graph: its title, unit, and what it draws by legend."""

    title: str
    unit: str
    drawn: dict[str, str]


def _rate(metric: str, by: str = "") -> str:
    """Return how fast a counter of the chosen gateways grows."""
    rate = f'rate({metric}{{instance=~"$instance"}}[$__rate_interval])'
    return f"sum by ({by}) ({rate})" if by else f"sum({rate})"


def _now(metric: str, by: str = "instance") -> str:
    return f'sum by ({by}) ({metric}{{instance=~"$instance"}})'


def _quantiles(metric: str) -> dict[str, str]:
    return {
        f"p{share}": f"histogram_quantile({share / 100:g}, {_rate(f'{metric}_bucket', 'le')})"
        for share in (50, 95, 99)
    }


PANELS: Final = (
    GrafanaPanel("Sockets", "short", {"{{instance}}": _now("gateway_connections")}),
    GrafanaPanel(
        "Sockets closed, by code", "ops", {"{{code}}": _rate("gateway_closes_total", "code")}
    ),
    GrafanaPanel(
        "Frames and calls",
        "ops",
        {
            "frames": _rate("gateway_frames_total"),
            "{{outcome}}": _rate("gateway_calls_total", "outcome"),
        },
    ),
    GrafanaPanel(
        "Events, by verdict", "ops", {"{{status}}": _rate("gateway_events_total", "status")}
    ),
    GrafanaPanel(
        "Events, by ingest path",
        "ops",
        {"{{ingest_path}}": _rate("gateway_events_total", "ingest_path")},
    ),
    GrafanaPanel("Acknowledgement", "s", _quantiles("gateway_publish_seconds")),
    GrafanaPanel(
        "Waiting for the broker",
        "short",
        {
            "{{instance}}": _now("gateway_inflight_records"),
        },
    ),
    GrafanaPanel("Waiting for sockets", "bytes", {"{{instance}}": _now("gateway_outbound_bytes")}),
    GrafanaPanel("Event loop", "s", {"{{instance}}": _now("gateway_loop_lag_seconds")}),
    GrafanaPanel("Subscriptions", "short", {"{{instance}}": _now("gateway_channel_subscriptions")}),
    GrafanaPanel(
        "Publications delivered",
        "ops",
        {
            "{{instance}}": _rate("gateway_channel_deliveries_total", "instance"),
        },
    ),
    GrafanaPanel(
        "Recoveries, by outcome",
        "ops",
        {
            "{{outcome}}": _rate("gateway_channel_joins_total", "outcome"),
            "gaps": _rate("gateway_channel_gaps_total"),
        },
    ),
    GrafanaPanel(
        "Limits hit",
        "ops",
        {
            "{{limit}}": _rate("gateway_limits_hit_total", "limit"),
            "rate of {{limit}}": _rate("gateway_rate_limited_total", "limit"),
        },
    ),
    GrafanaPanel(
        "Requests, by status",
        "reqps",
        {
            "{{status}}": _rate("gateway_requests_total", "status"),
        },
    ),
    GrafanaPanel("Answers", "s", _quantiles("gateway_request_seconds")),
    GrafanaPanel(
        "Agents in pools, by state",
        "short",
        {
            "{{state}}": _now("gateway_pool_members", "state"),
        },
    ),
    GrafanaPanel(
        "Leases",
        "short",
        {
            "held": _now("gateway_pool_leases"),
            "waiting": _now("gateway_pool_waiting"),
            "{{outcome}} a second": _rate("gateway_pool_ended_total", "outcome"),
        },
    ),
    GrafanaPanel("Time to a lease", "s", _quantiles("gateway_pool_acquire_seconds")),
    GrafanaPanel(
        "Breakers, by state",
        "short",
        {
            "{{state}}": _now("gateway_pool_breakers", "state"),
            "ejected": _now("gateway_pool_ejected"),
        },
    ),
)


def page() -> str:
    """Return the dashboard as JSON that Grafana imports."""
    board = {
        "uid": "mainstem-gateway",
        "title": "Mainstem gateways",
        "tags": ["mainstem"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source(), _instance()]},
        "panels": list(_panels()),
    }
    return json.dumps(board, indent=1) + "\n"


def expressions() -> Iterator[str]:
    """Yield everything that is drawn."""
    for panel in PANELS:
        yield from panel.drawn.values()


def _panels() -> Iterator[dict[str, object]]:
    for number, panel in enumerate(PANELS):
        yield {
            "id": number + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": SOURCE,
            "gridPos": {
                "x": number % COLUMNS * WIDTH,
                "y": number // COLUMNS * HEIGHT,
                "w": WIDTH,
                "h": HEIGHT,
            },
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": chr(65 + place), "expr": expr, "legendFormat": legend}
                for place, (legend, expr) in enumerate(panel.drawn.items())
            ],
        }


def _source() -> dict[str, object]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _instance() -> dict[str, object]:
    return {
        "name": "instance",
        "label": "Gateway",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(gateway_connections, instance)",
        "includeAll": True,
        "multi": True,
        "refresh": 2,
    }
