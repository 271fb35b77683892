"""Claude Code's settings.json: environment for its telemetry, and hooks that post to the gateway.

Prompts and tool contents stay with the agent: none of its content switches is touched. The hooks
present the token by variable; the exporter's header has to hold it as it is.
"""

import json
import shlex
from typing import Final

from apps.connect import jsonc
from apps.connect.jsonc import Json, JsonNode, Path
from apps.connect.telemetry import Change, Replaced, Telemetry

HOOK_PATH: Final = "/hooks/claude"
FORWARDER: Final = "forward.py"
HTTP_TIMEOUT_S: Final = 5
COMMAND_HOOKS: Final = ("SessionStart",)
"""These do not support HTTP."""
HTTP_HOOKS: Final = (
    "SessionEnd", "UserPromptSubmit", "PreToolUse", "PermissionRequest", "PostToolUse",
    "PostToolUseFailure", "Notification", "SubagentStart", "SubagentStop", "Stop", "StopFailure",
    "TaskCreated", "TaskCompleted", "PreCompact", "PostCompact", "ConfigChange",
)  # fmt: skip
_VARIABLES: Final = (
    "MAINSTEM_TOKEN", "CLAUDE_CODE_ENABLE_TELEMETRY", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER",
    "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_METRIC_EXPORT_INTERVAL", "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA", "OTEL_TRACES_EXPORTER",
)  # fmt: skip


def put(text: str, telemetry: Telemetry) -> Change:
    """Return the settings with our variables and hooks in them."""
    text = text if text.strip("\ufeff \t\r\n") else text + "{}"
    replaced: Replaced = _empty_ones(text)
    for name, value in variables(telemetry).items():
        before = jsonc.find(jsonc.parse(text), ("env", name))
        if before is not None and before.value == value:
            continue
        if before is not None:
            replaced[name] = text[before.start : before.end]
        text = jsonc.put(text, ("env", name), value)
    for event in (*COMMAND_HOOKS, *HTTP_HOOKS):
        text = _put_hook(text, event, hook(event, telemetry))
    return Change(text, replaced)


def cut(text: str, replaced: Replaced) -> str:
    """Return the settings without our variables and hooks; what stood in their place comes back."""
    for name in _VARIABLES:
        path = ("env", name)
        if name in replaced:
            there = jsonc.find(jsonc.parse(text), path)
            if there is not None:
                text = text[: there.start] + replaced[name] + text[there.end :]
        else:
            text = jsonc.cut(text, path)
    text = _cut_if_empty(text, ("env",), replaced)
    for event in (*COMMAND_HOOKS, *HTTP_HOOKS):
        path = ("hooks", event)
        for index in reversed(range(len(_elements(text, path)))):
            if _is_ours(_elements(text, path)[index].value):
                text = jsonc.cut(text, (*path, index))
        text = _cut_if_empty(text, path, replaced)
    return _cut_if_empty(text, ("hooks",), replaced)


def variables(telemetry: Telemetry) -> dict[str, str]:
    """Return the environment that makes Claude Code send."""
    told = {
        "MAINSTEM_TOKEN": telemetry.token,
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": telemetry.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer {telemetry.token}",
        "OTEL_METRIC_EXPORT_INTERVAL": "10000",
    }
    if telemetry.sends_traces:
        told |= {"CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1", "OTEL_TRACES_EXPORTER": "otlp"}
    return told


def hook(event: str, telemetry: Telemetry) -> Json:
    """Return our handler of one hook event."""
    url = telemetry.url + HOOK_PATH
    if event in COMMAND_HOOKS:
        words = (*telemetry.forwarder, url, str(telemetry.token_file))
        handler: Json = {"type": "command", "command": shlex.join(words), "timeout": HTTP_TIMEOUT_S}
    else:
        handler = {
            "type": "http",
            "url": url,
            "headers": {"Authorization": "Bearer $MAINSTEM_TOKEN"},
            "allowedEnvVars": ["MAINSTEM_TOKEN"],
            "timeout": HTTP_TIMEOUT_S,
        }
    return {"hooks": [handler]}


def _put_hook(text: str, event: str, handler: Json) -> str:
    path: Path = ("hooks", event)
    elements = _elements(text, path)
    if any(element.value == handler for element in elements):
        return text
    ours = [index for index, element in enumerate(elements) if _is_ours(element.value)]
    return jsonc.put(text, (*path, ours[0] if ours else len(elements)), handler)


def _elements(text: str, path: Path) -> list[JsonNode]:
    found = jsonc.find(jsonc.parse(text), path)
    return [] if found is None else found.elements or []


def _is_ours(value: Json) -> bool:
    said = json.dumps(value)
    return HOOK_PATH in said and ("$MAINSTEM_TOKEN" in said or FORWARDER in said)


def _empty_ones(text: str) -> Replaced:
    """Return marks for what the user has left empty, so that it stays when ours is gone."""
    root = jsonc.parse(text)
    places: tuple[Path, ...] = (
        ("env",), ("hooks",), *(("hooks", event) for event in (*COMMAND_HOOKS, *HTTP_HOOKS)),
    )  # fmt: skip
    found = {place: jsonc.find(root, place) for place in places}
    return {
        _mark(place): "empty"
        for place, node in found.items()
        if node is not None and node.value in ({}, [])
    }


def _mark(place: Path) -> str:
    return "/" + "/".join(map(str, place))


def _cut_if_empty(text: str, path: Path, replaced: Replaced) -> str:
    found = jsonc.find(jsonc.parse(text), path)
    if found is None or found.value not in ({}, []) or _mark(path) in replaced:
        return text
    return jsonc.cut(text, path)
