"""The real transcripts of the test data, and a naive count of what they hold."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.ingest import DATA

FOLDER: Final = DATA / "transcripts"
FILES: Final = sorted(FOLDER.glob("*.jsonl"))


class Naive:
    """What a counter of ten lines makes of transcripts, to hold ours against."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.usage: dict[object, dict[str, int]] = {}
        self.sessions: set[str] = set()
        self.tools: set[str] = set()
        self.bad = 0
        for line in (line for file in files for line in file.read_text().splitlines()):
            given = json.loads(line)
            if not isinstance(given, dict) or "type" not in given:
                self.bad += 1
            elif given["type"] in {"user", "assistant"}:
                self._message(given)

    def _message(self, given: dict[str, Any]) -> None:
        content = given["message"].get("content") if isinstance(given["message"], dict) else None
        blocks = content if isinstance(content, list) else [content]
        if "timestamp" not in given or content is None or blocks == ["wow error"]:
            self.bad += 1
            return
        self.sessions.add(given["sessionId"])
        self.tools |= {b["id"] for b in blocks if isinstance(b, dict) and b["type"] == "tool_use"}
        if given["type"] == "assistant":
            message = given["message"]
            key = (message.get("id"), given.get("requestId"))
            self.usage[key if any(key) else given["uuid"]] = message.get("usage", {})

    def tokens(self, name: str) -> int:
        return sum(usage.get(name, 0) for usage in self.usage.values())
