"""What a tool's name, input and answer tell: its server, the lines it added and removed.

Claude Code's file tools answer with a `structuredPatch`: hunks of lines that begin with `+`, `-` or
a blank. A file written anew has no hunks: all its lines were added.
"""

from typing import Final

from gateway.otlp.coercion import Value

FILE_TOOLS: Final = frozenset({"Edit", "MultiEdit", "Write", "NotebookEdit"})


def lines_changed(tool: str, given: Value, answer: Value) -> tuple[int, int]:
    """Return the lines added and removed by a call of `tool`; 0 and 0 where nothing tells."""
    if tool not in FILE_TOOLS or not isinstance(answer, dict):
        return 0, 0
    hunks = answer.get("structuredPatch")
    if isinstance(hunks, list) and hunks:
        return _counted(hunks)
    if answer.get("type") == "create" and isinstance(given, dict):
        content = given.get("content")
        return (len(content.splitlines()), 0) if isinstance(content, str) else (0, 0)
    return 0, 0


def mcp_server_of(tool: str) -> str:
    """Return the server in the name of a server's tool, `mcp__<server>__<tool>`."""
    parts = tool.split("__", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "mcp" else ""


def _counted(hunks: list[Value]) -> tuple[int, int]:
    added = removed = 0
    for hunk in hunks:
        lines = hunk.get("lines") if isinstance(hunk, dict) else None
        for line in lines if isinstance(lines, list) else []:
            if isinstance(line, str):
                added += line.startswith("+")
                removed += line.startswith("-")
    return added, removed
