"""The user's own history: what agents keep on this machine, imported in the background if wanted.

Nothing is read unless the user said so, by option or by answering on the terminal; where there is
no terminal and no option, the command to type is named.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from apps.local import invocation
from apps.local.parts import Wiring, own
from apps.local.supervisor import last_line, run_once
from apps.transcripts.agents import AGENTS, TranscriptAgent

YES: Final = {"", "y", "yes"}


class HistoryImport:
    """Imports transcripts while the stack runs."""

    def __init__(self, wiring: Wiring, *, wanted: bool | None) -> None:
        self._wiring = wiring
        self._wanted = wanted
        self._work: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Start the import if it is wanted, or ask; return at once."""
        agents = [agent for agent in AGENTS if agent.present()]
        if self._wanted is False or not agents:
            return
        titles = _titles(agents)
        if self._wanted is None and not sys.stdin.isatty():
            _say(f"the history of {titles} can be imported: `mainstem import`")
            return
        self._work = asyncio.create_task(self._go(titles))

    async def end(self) -> None:
        """Stop asking and importing; what was imported stays."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _go(self, titles: str) -> None:
        if self._wanted is None and not await _agreed(titles):
            return
        _say(f"importing the history of {titles} in the background")
        command = own(self._wiring, "import", "--gateway", self._wiring.gateway_url)
        path = self._wiring.home.logs / "import.log"
        code = await run_once(command, path)
        said = last_line(path)
        _say(f"import done: {said}" if code == 0 else f"import failed: {said} (log {str(path)!r})")


def _titles(agents: Sequence[TranscriptAgent]) -> str:
    """Return the names of agents as a sentence has them."""
    *first, last = [agent.title for agent in agents]
    return f"{', '.join(first)} and {last}" if first else last


async def _agreed(titles: str) -> bool:
    sys.stderr.write(f"Import your history of {titles}? [Y/n] ")
    sys.stderr.flush()
    answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not answered.done():
            answered.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin, read)
    try:
        answer = await answered
    finally:
        loop.remove_reader(sys.stdin)
    return bool(answer) and answer.strip().lower() in YES


def _say(words: str) -> None:
    sys.stderr.write(f"mainstem: {invocation.told(words)}\n")
    sys.stderr.flush()
