"""The user's own history: transcripts on this machine, imported in the background if wanted.

Nothing is read unless the user said so, by option or by answering on the terminal; where there is
no terminal and no option, the command to type is named.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from apps.local.keeper import last_line, run_once
from apps.local.parts import Wiring, own

YES: Final = {"", "y", "yes"}


class History:
    """Imports transcripts while the stack runs."""

    def __init__(self, wiring: Wiring, *, wanted: bool | None) -> None:
        self._wiring = wiring
        self._wanted = wanted
        self._work: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Start the import if it is wanted, or ask; return at once."""
        folder = transcripts_folder()
        if self._wanted is False or not folder.is_dir():
            return
        if self._wanted is None and not sys.stdin.isatty():
            _say(f"transcripts in {str(folder)!r} can be imported: mainstem import {folder}")
            return
        self._work = asyncio.create_task(self._go(folder))

    async def end(self) -> None:
        """Stop asking and importing; what was imported stays."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _go(self, folder: Path) -> None:
        if self._wanted is None and not await _agreed(folder):
            return
        _say(f"importing {str(folder)!r} in the background")
        command = own(self._wiring, "import", str(folder), "--gateway", self._wiring.gateway_url)
        path = self._wiring.home.logs / "import.log"
        code = await run_once(command, path)
        said = last_line(path)
        _say(f"import done: {said}" if code == 0 else f"import failed: {said} (log {str(path)!r})")


def transcripts_folder() -> Path:
    """Return the folder where Claude Code keeps its transcripts."""
    named = os.environ.get("CLAUDE_CONFIG_DIR")
    return (Path(named).expanduser() if named else Path.home() / ".claude") / "projects"


async def _agreed(folder: Path) -> bool:
    sys.stderr.write(f"Import your Claude Code history from {str(folder)!r}? [Y/n] ")
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
    sys.stderr.write(f"mainstem: {words}\n")
    sys.stderr.flush()
