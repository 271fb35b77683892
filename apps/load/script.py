"""What one agent did, as a script that can be played again: prompts, thoughts, tool calls.

A script holds what its source holds: which tools were called in which order, on what, with which
success, and how much text went in and out. Sources keep no durations and mostly no token counts;
whoever plays a script makes those up and the bundle says so.
"""

from importlib.resources import files
from typing import Final

import msgspec
from msgspec import Struct

BUNDLE: Final = "fleet.json"


class ModelTurn(Struct, frozen=True, omit_defaults=True):
    """One answer of the model, and the tool it called, if it did."""

    said: int
    """Characters of the answer."""
    tool: str = ""
    summary: str = ""
    succeeded: bool = True
    error: str = ""
    input_bytes: int = 0
    result_bytes: int = 0
    lines_added: int = 0
    lines_removed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class ScriptedTurn(Struct, frozen=True):
    """What a person asked, and what the agent did about it."""

    prompt: str
    steps: tuple[ModelTurn, ...]


class Script(Struct, frozen=True):
    """One session of a source."""

    name: str
    source: str
    licence: str
    context: int
    """Characters that the model was given before the first prompt."""
    turns: tuple[ScriptedTurn, ...]


class Bundle(Struct, frozen=True):
    """All scripts, and what is to be known about them."""

    about: str
    scripts: tuple[Script, ...]


def bundled() -> Bundle:
    """Return the scripts that come with Mainstem."""
    return msgspec.json.decode(files("apps.load").joinpath(BUNDLE).read_bytes(), type=Bundle)
