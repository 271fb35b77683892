"""Gemini CLI's settings.json and .env: telemetry over HTTP, prompts left out, the token as header.

Its settings have no place for a header, so the token goes where its exporter looks for one: into
the environment, which Gemini reads from the .env file beside the settings.
"""

import re
from typing import Final

from apps.connect import jsonc
from apps.connect.jsonc import Json
from apps.connect.telemetry import Change, Replaced, Telemetry

HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"
_LINE: Final = re.compile(rf"(?m)^(?:export[ \t]+)?{HEADERS}[ \t]*=[^\r\n]*")
_OURS: Final = ("enabled", "target", "otlpEndpoint", "otlpProtocol", "logPrompts")


def put(text: str, telemetry: Telemetry) -> Change:
    """Return settings.json with our telemetry in it."""
    text = text if text.strip("\ufeff \t\r\n") else text + "{}"
    wanted: dict[str, Json] = {
        "enabled": True,
        "target": "local",
        "otlpEndpoint": telemetry.url,
        "otlpProtocol": "http",
        "logPrompts": False,
    }
    replaced: Replaced = {}
    for name, value in wanted.items():
        before = jsonc.find(jsonc.parse(text), ("telemetry", name))
        if before is not None and before.value == value:
            replaced[name] = text[before.start : before.end]
            continue
        if before is not None:
            replaced[name] = text[before.start : before.end]
        text = jsonc.put(text, ("telemetry", name), value)
    return Change(text, replaced)


def cut(text: str, replaced: Replaced) -> str:
    """Return settings.json without our telemetry; what stood in its place comes back."""
    for name in _OURS:
        path = ("telemetry", name)
        there = jsonc.find(jsonc.parse(text), path)
        if there is None:
            continue
        if name in replaced:
            text = text[: there.start] + replaced[name] + text[there.end :]
        else:
            text = jsonc.cut(text, path)
    left = jsonc.find(jsonc.parse(text), ("telemetry",))
    return jsonc.cut(text, ("telemetry",)) if left is not None and left.value == {} else text


def put_token(text: str, telemetry: Telemetry) -> Change:
    """Return .env with the header that presents our token."""
    line = f'{HEADERS}="Authorization=Bearer {telemetry.token}"'
    before = _LINE.search(text)
    if before is not None:
        made = text[: before.start()] + line + text[before.end() :]
        return Change(made, {HEADERS: before[0]})
    newline = "\r\n" if "\r\n" in text else "\n"
    glue = newline if text and not text.endswith("\n") else ""
    return Change(text + glue + line + newline, {})


def cut_token(text: str, replaced: Replaced) -> str:
    """Return .env without our header."""
    there = _LINE.search(text)
    if there is None:
        return text
    if HEADERS in replaced:
        return text[: there.start()] + replaced[HEADERS] + text[there.end() :]
    return text[: there.start()] + re.sub(r"^\r?\n", "", text[there.end() :])
