"""Codex's config.toml: an [otel] table with our addresses; comments and order stay.

Codex takes full addresses and reads header values literally, so the file holds the token and is
kept readable by the user only. Spans are not asked for: they are the agent's own plumbing.
"""

import re
from typing import Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Item, Table
from tomlkit.toml_document import TOMLDocument

from analytics.contracts.errors import Refused
from apps.connect.telemetry import Change, Replaced, Telemetry

OTEL: Final = "otel"


class NotToml(Refused):
    """A settings file that cannot be read as TOML; nothing was changed."""

    code = "not-toml"


def put(text: str, telemetry: Telemetry) -> Change:
    """Return config.toml with our exporters in [otel]."""
    document = _parse(text)
    if OTEL not in document:
        newline = "\r\n" if "\r\n" in text else "\n"
        glue = newline if text and not text.endswith("\n") else ""
        gap = newline if text.strip() else ""
        return Change(text + glue + gap + _block(telemetry).replace("\n", newline), {})
    table = document[OTEL]
    if not isinstance(table, Table):
        raise NotToml("`otel` is not a table of its own in config.toml; write it as [otel] first")
    replaced: Replaced = {}
    for name, value in _wanted(telemetry).items():
        if name in table:
            replaced[name] = _alone(name, table[name])
        table[name] = value
    return Change(_lines_as_in(text, document), replaced)


def cut(text: str, replaced: Replaced) -> str:
    """Return config.toml without our exporters; what stood in their place comes back."""
    whole = _BLOCK.search(text)
    if whole is not None and not replaced:
        before, after = text[: whole.start()], text[whole.end() :]
        gap = re.sub(r"(\r?\n)\r?\n\Z", r"\1", before) if not after.strip() else before
        return gap + after
    document = _parse(text)
    table = document.get(OTEL)
    if not isinstance(table, Table):
        return text
    for name in _NAMES:
        if name in replaced:
            table[name] = tomlkit.parse(replaced[name])[name]
        elif name in table:
            table.remove(name)
    if not table:
        document.remove(OTEL)
    return _lines_as_in(text, document)


_NAMES: Final = ("log_user_prompt", "exporter", "metrics_exporter")
_BLOCK: Final = re.compile(
    r"\[otel\]\r?\nlog_user_prompt = false\r?\n"
    r"exporter = \{ otlp-http = \{[^\r\n]*\}\r?\nmetrics_exporter = \{ otlp-http = \{[^\r\n]*\}"
    r"(?:\r?\n|\Z)"
)


def _block(telemetry: Telemetry) -> str:
    return f"""[otel]
log_user_prompt = false
exporter = {_exporter(telemetry, "logs")}
metrics_exporter = {_exporter(telemetry, "metrics")}
"""


def _wanted(telemetry: Telemetry) -> dict[str, Item]:
    block = tomlkit.parse(_block(telemetry))[OTEL]
    assert isinstance(block, Table)
    found: dict[str, Item] = {}
    for name in _NAMES:
        item = block.item(name)
        assert isinstance(item, Item)
        found[name] = item
    return found


def _exporter(telemetry: Telemetry, signal: str) -> str:
    return (
        f'{{ otlp-http = {{ endpoint = "{telemetry.url}/v1/{signal}", protocol = "binary",'
        f' headers = {{ Authorization = "Bearer {telemetry.token}" }} }} }}'
    )


def _alone(name: str, item: object) -> str:
    """Return one entry as a TOML text of its own."""
    document = tomlkit.document()
    document[name] = item
    return document.as_string()


def _parse(text: str) -> TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise NotToml(f"it is not TOML ({error})") from error


def _lines_as_in(text: str, document: TOMLDocument) -> str:
    made = document.as_string()
    return re.sub(r"(?<!\r)\n", "\r\n", made) if "\r\n" in text else made
