"""Records of topics as publications: whose they are, what they are about, and what they are.

Whose a record is stands in the record itself, never only in its key, for keys may be shared by
tenants. A record that is not what its topic carries is nobody's: it is passed over and counted by
who follows the log. Data goes on byte for byte, notes without their envelope.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts.ids import TenantId
from gateway.channels.names import BY_ADDRESS, Stream, base_of, note_key
from gateway.protocol.messages import ClientInfo, Publication

OVERHEAD_BYTES: Final = 400
"""What a publication costs beside its data, about."""


class StreamPublication(Struct, frozen=True):
    """One publication of a stream; its offset is one more than that of its record."""

    stream: Stream
    publication: Publication

    @property
    def position(self) -> int:
        """Where a client is that has read this."""
        return self.publication.offset

    @property
    def size(self) -> int:
        """How many bytes it takes to keep."""
        return len(self.publication.data) + OVERHEAD_BYTES


class _Told(Struct, frozen=True):
    """What a record says of itself, whatever its type."""

    tenant: str
    at_ms: int = 0
    type: str = ""
    session_id: str = ""
    agent: str = ""
    agent_id: str = ""
    project: str = ""
    model: str = ""
    tool: str = ""
    grain: str = ""
    width_ms: int = 0
    dimensions: dict[str, str] = {}
    channel: str = ""
    user: str = ""
    client: str = ""
    data: str = ""


_decode: Final = msgspec.json.Decoder(_Told).decode
_SHOWN: Final = ("type", "agent", "agent_id", "project", "model", "tool")


def read(address: str, value: bytes, *, offset: int) -> StreamPublication | None:
    """Return the record at `offset` of this topic as a publication, if it is one."""
    namespace = BY_ADDRESS.get(address)
    if namespace is None:
        return None
    try:
        told = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    about = _ABOUT[namespace.name](told)
    if about is None or not told.tenant or namespace.about != bool(about):
        return None
    is_note = namespace.name == "notes"
    publication = Publication(
        data=told.data.encode("utf-8", "replace") if is_note else value,
        offset=offset + 1,
        tags=_tags_of_window(told) if namespace.narrows else _tags(told),
        time_ms=told.at_ms,
        info=ClientInfo(user=told.user, client=told.client) if is_note else None,
    )
    return StreamPublication(Stream(TenantId(told.tenant), base_of(namespace, about)), publication)


def _tags(told: _Told) -> Mapping[str, str]:
    return {name: value for name in _SHOWN if (value := getattr(told, name))}


def _tags_of_window(told: _Told) -> Mapping[str, str]:
    return {**told.dimensions, "width_ms": str(told.width_ms)}


def _of_note(told: _Told) -> str | None:
    own = note_key(TenantId(told.tenant), "")
    return told.channel[len(own) :] if told.channel.startswith(own) else None


_ABOUT: Final[dict[str, Callable[[_Told], str | None]]] = {
    "metrics": lambda told: told.grain or None,
    "sessions": lambda told: told.session_id or None,
    "notes": _of_note,
    "anomalies": lambda _told: "",
    "alerts": lambda _told: "",
    "decisions": lambda _told: "",
    "tasks": lambda told: told.agent or None,
}
