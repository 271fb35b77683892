"""What `up` prints once everything answers: addresses, how to connect an agent, what is kept."""

import json

from apps.connect.agents import NAMES
from apps.local import invocation
from apps.local.broker import BrokerKind
from apps.local.parts import Wiring

_KEPT = {
    BrokerKind.TANSU: (
        "The embedded broker keeps its log in memory only; the store is on disk and is kept."
    ),
    BrokerKind.KAFKA: "Apache Kafka and the store keep their data on disk.",
    BrokerKind.EXTERNAL: "The broker is yours and is left running; the store is kept.",
}


def text(wiring: Wiring, *, is_demo: bool) -> str:
    """Return the banner."""
    here = invocation.program()
    demo = "\n  Demo      a bundled fleet is replayed; its sessions say demo" if is_demo else ""
    return f"""
Mainstem is up.

  Dashboard {wiring.dashboard_url}
  Gateway   {wiring.gateway_url}  (OTLP/HTTP, hooks, WebSocket /connection/websocket)
  Query API {wiring.api_url}  (JSON, CSV, Parquet; a Prometheus for Grafana)
  Broker    {wiring.broker_address}  ({wiring.broker.kind})
  Data      {wiring.home.root}{demo}

Connect an agent on this machine (undone by `{here} disconnect`):

{commands()}

Or paste, for one shell:

{shell_blocks(wiring)}

{_KEPT[wiring.broker.kind]}
`{here} doctor` shows events arriving. Ctrl-C or `{here} down` stops everything.
"""


def commands() -> str:
    """Return the commands that connect an agent, as the person can paste them."""
    return "\n".join(f"  {invocation.command(f'connect {name}')}" for name in NAMES)


def as_json(wiring: Wiring) -> str:
    """Return the addresses as one JSON object."""
    told = {
        "dashboard": wiring.dashboard_url,
        "gateway": wiring.gateway_url,
        "api": wiring.api_url,
        "broker": wiring.broker_address,
        "broker_kind": wiring.broker.kind,
        "data": str(wiring.home.root),
        "token_file": str(wiring.home.token),
    }
    return json.dumps(told)


def shell_blocks(wiring: Wiring) -> str:
    """Return what to paste into a shell for each agent; the token is read from its file."""
    url = wiring.gateway_url
    return f"""\
  export MAINSTEM_TOKEN="$(cat '{wiring.home.token}')"

  # Claude Code
  export CLAUDE_CODE_ENABLE_TELEMETRY=1 OTEL_METRICS_EXPORTER=otlp OTEL_LOGS_EXPORTER=otlp
  export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_ENDPOINT={url}
  export OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer $MAINSTEM_TOKEN"
  export OTEL_METRIC_EXPORT_INTERVAL=10000

  # Gemini CLI
  export GEMINI_TELEMETRY_ENABLED=true GEMINI_TELEMETRY_TARGET=local
  export GEMINI_TELEMETRY_OTLP_ENDPOINT={url} GEMINI_TELEMETRY_OTLP_PROTOCOL=http
  export GEMINI_TELEMETRY_LOG_PROMPTS=false
  export OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer $MAINSTEM_TOKEN"

  # Codex, for good: its settings take no variables
  cat >>~/.codex/config.toml <<END && chmod 600 ~/.codex/config.toml
  [otel]
  exporter = {{ otlp-http = {{ endpoint = "{url}/v1/logs", protocol = "binary",\
 headers = {{ Authorization = "Bearer $MAINSTEM_TOKEN" }} }} }}
END"""
