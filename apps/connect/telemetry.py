"""What every agent has to be told: where the gateway is, and with which token."""

from pathlib import Path

from msgspec import Struct

Replaced = dict[str, str]
"""What the user had where our values went, by its place in the file, as it was written there."""


class Telemetry(Struct, frozen=True, kw_only=True):
    """Where to send, as whom, and what beyond the default."""

    url: str
    token: str
    token_file: Path
    forwarder: tuple[str, ...] = ()
    """The command that hands a hook on, without its arguments."""
    sends_traces: bool = False


class Change(Struct, frozen=True):
    """A settings text with our part in it, and what stood there before."""

    text: str
    replaced: Replaced
