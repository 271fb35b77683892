"""How the person at this machine calls `mainstem`: what we print has to work as it is printed.

It depends on how this process was started: from an installed tool it is `mainstem`; in a checkout,
through `uv run`, it is `uv run mainstem`; from the cache of `uvx` it is `uvx` once more; from an
environment that is not on the PATH it is the program's own path.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

PROGRAM: Final = "mainstem"
UVX: Final = "uvx --from 'mainstem[all]' mainstem"
UV_RUN: Final = "uv run mainstem"
_RUN_BY_UV: Final = "UV_RUN_RECURSION_DEPTH"
"""What `uv run` sets for the program that it runs."""
_CACHED: Final = ("archive-v", "environments-v", "builds-v")
"""How the folders of uv's cache begin in which `uvx` keeps environments."""


def anywhere(*words: str, prefix: str = sys.prefix) -> tuple[str, ...]:
    """Return a command of ours that works from any folder and without this shell's PATH."""
    if _is_cached(prefix):
        return (*shlex.split(UVX), *words)
    own = Path(prefix) / "bin" / PROGRAM
    return (str(own) if own.exists() else PROGRAM, *words)


def program(
    *,
    prefix: str = sys.prefix,
    environment: Mapping[str, str] = os.environ,
    which: Callable[[str], str | None] = shutil.which,
) -> str:
    """Return the words that call `mainstem` from the person's own shell."""
    if _is_cached(prefix):
        return UVX
    if _RUN_BY_UV in environment:
        return UV_RUN
    found = which(PROGRAM)
    own = Path(prefix) / "bin" / PROGRAM
    if found and (not own.exists() or os.path.realpath(found) == os.path.realpath(own)):
        return PROGRAM
    return shlex.quote(str(own)) if own.exists() else PROGRAM


def command(words: str) -> str:
    """Return a command of ours as the person can paste it: `command("doctor")`."""
    return f"{program()} {words}"


def told(sentence: str) -> str:
    """Return a sentence with its commands, quoted in back quotes, as the person can paste them."""
    return sentence.replace(f"`{PROGRAM} ", f"`{program()} ")


def _is_cached(prefix: str) -> bool:
    return any(part.startswith(_CACHED) for part in Path(prefix).parts)
