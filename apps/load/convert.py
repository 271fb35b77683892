"""Makes the demo's bundle from real material: SWE-agent trajectories and agent transcripts.

`python -m apps.load.convert TRAJECTORY_FOLDER TRANSCRIPT_FOLDER > apps/load/fleet.json`

Texts of answers and tool results are not kept, only how long they were; prompts and commands are
cut to a line. What is not there (durations, most token counts) is not invented here.
"""

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from apps.load.script import Bundle, ModelTurn, Script, ScriptedTurn

LINE_MAX: Final = 140
STEPS_MIN: Final = 1
TRAJECTORIES: Final = ("SWE-agent, example trajectories", "MIT")
TRANSCRIPTS: Final = {
    "ccl": ("claude-code-log, test data", "MIT"),
    "cct": ("claude-code-transcripts, test data", "Apache-2.0"),
}
ABOUT: Final = (
    "Real coding-agent sessions, shortened: which tools were called, on what, with which success"
    " and sizes. Sources and licences stand with each script. Durations, and token counts where a"
    " source has none, are made up when a script is played."
)

Line = dict[str, Any]


def main() -> None:
    """Print the bundle."""
    trajectories, transcripts = (Path(argument) for argument in sys.argv[1:3])
    scripts = [_trajectory(path) for path in sorted(trajectories.glob("*.traj"))]
    for path in sorted(transcripts.glob("*.jsonl")):
        scripts += _transcript(path)
    whole = [script for script in scripts if sum(len(t.steps) for t in script.turns) >= STEPS_MIN]
    bundle = Bundle(ABOUT, tuple(whole))
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(bundle), indent=1) + b"\n")


def _trajectory(path: Path) -> Script:
    history = json.loads(path.read_text())["history"]
    source, licence = TRAJECTORIES
    prompt = next(one["content"] for one in history if one["role"] == "user")
    issue = prompt.partition("ISSUE:")[2].strip() or prompt
    context = sum(len(one["content"]) for one in history if one["role"] in {"system", "user"})
    steps = []
    for asked, answered in pairwise(history):
        if asked["role"] == "assistant" and answered["role"] == "tool":
            steps.append(_trajectory_step(asked, answered["content"]))
    return Script(path.stem, source, licence, context, (ScriptedTurn(_line(issue), tuple(steps)),))


def _trajectory_step(asked: Line, result: str) -> ModelTurn:
    call = asked["tool_calls"][0]["function"]
    given = json.loads(call["arguments"])
    failed = result.startswith("Your proposed edit has introduced")
    return ModelTurn(
        said=len(asked["content"]),
        tool=call["name"],
        summary=_line(asked["action"]),
        succeeded=not failed,
        error=_line(result) if failed else "",
        input_bytes=len(call["arguments"].encode()),
        result_bytes=len(result.encode()),
        lines_added=0 if failed else _lines(given.get("replace") or given.get("text")),
        lines_removed=0 if failed else _lines(given.get("search")),
    )


def _transcript(path: Path) -> Iterator[Script]:
    source, licence = TRANSCRIPTS[path.stem.partition("_")[0]]
    lines = [line for line in map(_object, path.read_text().splitlines()) if line is not None]
    results = {
        block["tool_use_id"]: block
        for line in lines
        for block in _blocks(line)
        if block.get("type") == "tool_result" and "tool_use_id" in block
    }
    turns: list[tuple[str, list[ModelTurn]]] = []
    for line in lines:
        if line.get("type") == "user" and (asked := _asked(line)):
            turns.append((_line(asked), []))
        if line.get("type") == "assistant" and turns:
            turns[-1][1].extend(_transcript_steps(line, results))
    done = tuple(ScriptedTurn(prompt, tuple(steps)) for prompt, steps in turns if steps)
    yield Script(path.stem, source, licence, 20_000, done)


def _transcript_steps(line: Line, results: dict[str, Line]) -> Iterator[ModelTurn]:
    blocks = list(_blocks(line))
    said = sum(len(block.get("text") or "") for block in blocks)
    usage = line["message"].get("usage") or {}
    tokens = (usage.get("input_tokens") or 0, usage.get("output_tokens") or 0)
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    if not calls and said:
        yield ModelTurn(said, input_tokens=tokens[0], output_tokens=tokens[1])
    for call in calls:
        given = call.get("input") or {}
        result = results.get(str(call.get("id")), {})
        content = json.dumps(result.get("content", ""))
        failed = bool(result.get("is_error"))
        yield ModelTurn(
            said=said,
            tool=str(call.get("name")),
            summary=_line(str(given.get("command") or given.get("file_path") or "")),
            succeeded=not failed,
            error=_line(content) if failed else "",
            input_bytes=len(json.dumps(given).encode()),
            result_bytes=len(content.encode()),
            lines_added=_lines(given.get("new_string") or given.get("content")),
            lines_removed=_lines(given.get("old_string")),
            input_tokens=tokens[0],
            output_tokens=tokens[1],
        )


def _object(text: str) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _blocks(line: Line) -> Iterator[Line]:
    message = line.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict):
            yield block


def _asked(line: Line) -> str:
    return " ".join(block.get("text") or "" for block in _blocks(line)).strip()


def _lines(text: object) -> int:
    return len(text.splitlines()) if isinstance(text, str) else 0


def _line(text: str) -> str:
    return " ".join(text.split())[:LINE_MAX]


if __name__ == "__main__":
    main()
