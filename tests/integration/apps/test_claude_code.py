"""A genuine Claude Code, connected as a person connects it: every figure is the agent's own.

It is told of live, by logs, spans, metrics and hooks, and then imported from its transcripts, once
and again, in another order and from another folder; its session is resumed, forked, and goes on.
"""

import json
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from analytics.contracts import topics
from streams.clients.reader import Reader
from tests.support.claude_code import ClaudeCode, Told
from tests.support.messages_api import MessagesApi, Turn, messages_api
from tests.support.up import Up, started, wait_until

pytestmark = [pytest.mark.embedded, pytest.mark.requirement("one-identity")]

ARRIVES_S: Final = 60.0
BASH: Final = {"description": "a step"}
TURNS: Final = (
    Turn(tool="Bash", given={"command": "echo hi > a.txt", **BASH}, cache_write_tokens=700),
    Turn(tool="Bash", given={"command": "false", **BASH}, cache_read_tokens=700, output_tokens=9),
    Turn(cache_read_tokens=700),
    Turn(tool="Bash", given={"command": "cat a.txt", **BASH}),  # these two are alike
    Turn(),
    Turn(output_tokens=7),
    Turn(output_tokens=8),
    Turn(status=400),  # which it gets over by asking another way
)
_TOTALS: Final = """
select sum(calls), sum(call_errors), sum(prompts), sum(tool_calls), sum(tool_errors),
       sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens),
       sum(cost_nanousd), count(*) filter (where sessions > 0)
  from sessions where tenant = 'local'
"""
Figures = tuple[int, ...]


@pytest.mark.parametrize("gives_request_ids", [True, False], ids=["request-ids", "none"])
@pytest.mark.parametrize("fork_first", [False, True], ids=["all-at-once", "fork-first"])
def test_live_imported_resumed_and_forked_every_figure_is_the_agents_own(
    tmp_path: Path, *, gives_request_ids: bool, fork_first: bool
) -> None:
    with (
        started(tmp_path, "--no-import") as up,
        messages_api(TURNS, gives_request_ids=gives_request_ids) as api,
    ):
        done = up.run("connect", "claude-code")
        assert done.returncode == 0, done.stderr
        agent = ClaudeCode(tmp_path / "user", tmp_path / "work", api.url)
        own, parent = _worked(agent, api)

        wait_until(lambda: _figures(up) == own, seconds=ARRIVES_S)

        if fork_first:
            _import(up, _without(parent, agent.transcripts, tmp_path / "fork"))
        _import(up, agent.transcripts)
        imported = _figures(up)
        _turn_around(agent.transcripts)
        _import(up, agent.transcripts)
        _import(up, Path(shutil.copytree(agent.transcripts, tmp_path / "elsewhere")))

        assert (imported, _figures(up)) == (own, own)


def test_a_fork_is_imported_though_its_parent_was_told_of_live_alone(tmp_path: Path) -> None:
    with (
        started(tmp_path, "--no-import") as up,
        messages_api(TURNS, gives_request_ids=True) as api,
    ):
        assert up.run("connect", "claude-code").returncode == 0
        agent = ClaudeCode(tmp_path / "user", tmp_path / "work", api.url)
        own, parent = _worked(agent, api)
        wait_until(lambda: _figures(up) == own, seconds=ARRIVES_S)

        _import(up, _without(parent, agent.transcripts, tmp_path / "fork"))

        assert _figures(up) == own


def _worked(agent: ClaudeCode, api: MessagesApi) -> tuple[Figures, str]:
    """Have it work; return what it then says of itself, and the session that it forked."""
    first = agent.ask("make a file")
    second = agent.ask("look at it", "--resume", first.session_id)
    forked = agent.ask("the other way", "--resume", first.session_id, "--fork-session")
    third = agent.ask("go on", "--resume", first.session_id)
    last = agent.ask("too much", "--resume", first.session_id)
    told = (first, second, forked, third, last)
    assert {one.session_id for one in told} == {first.session_id, forked.session_id}
    usage = [_sum(told, name) for name in Told.__struct_fields__[1:5]]
    answered = [turn.usage() for turn in api.answered]
    assert usage == [
        sum(turn[name] for turn in answered)
        for name in (
            "input_tokens", "output_tokens", "cache_read_input_tokens",
            "cache_creation_input_tokens",
        )
    ]  # fmt: skip
    cost = last.total_nanousd + forked.total_nanousd - second.total_nanousd
    assert api.failed == 1
    return (len(api.answered), 0, len(told), 3, 1, *usage, cost, 2), first.session_id


def _sum(told: tuple[Told, ...], name: str) -> int:
    return sum(getattr(one, name) for one in told)


def _figures(up: Up) -> Figures:
    with closing(Reader(up.state.store_url)) as reader, reader.connection("a test") as db:
        (row,) = db.execute(_TOTALS.encode()).fetchall()
    return tuple(int(value or 0) for value in row)


def _without(session_id: str, transcripts: Path, to: Path) -> Path:
    """Copy transcripts, but for those of a session."""
    copied = Path(shutil.copytree(transcripts, to))
    gone = list(copied.rglob(f"{session_id}*.jsonl"))
    assert gone
    for path in gone:
        path.unlink()
    return copied


def _import(up: Up, folder: Path) -> None:
    """Import a folder, and wait until all that the gateway took of it is counted."""
    before = _folded(up)
    done = up.run("import", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    taken = json.loads(done.stdout)["events"]["accepted"]
    wait_until(lambda: _folded(up) >= before + taken, seconds=ARRIVES_S)


def _folded(up: Up) -> int:
    """Return how many records of agents the store has taken in, duplicates too."""
    query = """
    select coalesce(sum(event_count + duplicate_count), 0)::bigint
      from checkpoints join logs using (log_id) where topic = %s
    """
    with closing(Reader(up.state.store_url)) as reader, reader.connection("a test") as db:
        (row,) = db.execute(query.encode(), [topics.AGENTS.address]).fetchall()
    return int(row[0])


def _turn_around(transcripts: Path) -> None:
    """Turn the order of the files' times around: it is the one in which they are read."""
    files = sorted(transcripts.rglob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    for number, path in enumerate(files):
        os.utime(path, (1_700_000_000 - number, 1_700_000_000 - number))
