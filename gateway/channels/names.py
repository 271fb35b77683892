"""Names of channels: which log a channel is read from, and who may do what with it.

A name is a namespace, or a namespace, a colon and what it is about; a table says which namespaces
there are. A channel's records share a key, so they are in one partition, in order. The tenant is
the token's: the same name means another channel for another tenant. A namespace whose topic is not
declared has no channels.

`metrics:<grain>` may be narrowed to series: `metrics:fleet;model=m;width_ms=60000`, with values
percent-encoded. What is narrowed is read from the same records.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from analytics.contracts import topics
from analytics.contracts.errors import Refused
from analytics.contracts.ids import ID_LENGTH_MAX, TenantId
from analytics.contracts.topics import Topic
from gateway.channels.filters import Accepts, equal_to
from gateway.http.auth import Grant, TokenScope

NAME_LENGTH_MAX: Final = 255

Keying = Callable[[TenantId, str], str]


class NoChannel(Refused):
    """A name that stands for no channel."""

    code = "unknown-channel"


class Stream(Struct, frozen=True):
    """What channels are cut from: records of one tenant about one thing."""

    tenant: TenantId
    base: str


class Namespace(Struct, frozen=True, kw_only=True):
    """What the channels of one namespace have in common."""

    name: str
    topic: Topic | None
    key: Keying
    """The key that a channel's records have, by tenant and by what it is about."""
    about: bool
    """Whether its channels are about something, named behind a colon."""
    writable: bool = False
    """Whether clients may publish in it, with the scope to."""
    narrows: bool = False


class Channel(Struct, frozen=True, kw_only=True):
    """One channel of one tenant."""

    name: str
    stream: Stream
    topic: Topic
    key: bytes
    writable: bool
    accepts: Accepts | None = None


def _by_tenant(tenant: TenantId, _about: str) -> str:
    return tenant


def _by_itself(_tenant: TenantId, about: str) -> str:
    return about


def note_key(tenant: TenantId, about: str) -> str:
    """Return the key of what is published in `notes:<about>`."""
    return f"{tenant}/{about}"


_DECLARED: Final = {topic.name: topic for topic in topics.ALL}

NAMESPACES: Final[dict[str, Namespace]] = {
    namespace.name: namespace
    for namespace in (
        Namespace(name="metrics", topic=topics.METRICS, key=_by_tenant, about=True, narrows=True),
        Namespace(name="sessions", topic=topics.AGENTS, key=_by_itself, about=True),
        Namespace(name="notes", topic=topics.NOTES, key=note_key, about=True, writable=True),
        *(
            Namespace(name=name, topic=_DECLARED.get(f"{name}.v1"), key=_by_tenant, about=False)
            for name in ("anomalies", "alerts", "decisions")
        ),
        Namespace(name="tasks", topic=_DECLARED.get("tasks.v1"), key=_by_itself, about=True),
    )
}
BY_ADDRESS: Final = {
    namespace.topic.address: namespace for namespace in NAMESPACES.values() if namespace.topic
}
"""The namespace that a topic's records are about."""


def channel_of(name: str, *, tenant: TenantId) -> Channel:
    """Return the channel that `name` stands for with this tenant; raise `NoChannel`."""
    head, colon, rest = name.partition(":")
    namespace = NAMESPACES.get(head)
    if namespace is None or namespace.topic is None or len(name) > NAME_LENGTH_MAX:
        raise NoChannel(f"there is no channel {name[:NAME_LENGTH_MAX]!r}")
    about, accepts = _narrowed(rest) if namespace.narrows else (rest, None)
    if namespace.about != bool(about) or bool(colon) != namespace.about:
        wanted = f"{head}:<name>" if namespace.about else head
        raise NoChannel(f"channels of this kind are written {wanted!r}, not {name!r}")
    key = namespace.key(tenant, about)
    if not about.isprintable() or len(about) > ID_LENGTH_MAX:
        raise NoChannel(f"a channel's name is printable and short, not {name!r}")
    return Channel(
        name=name,
        stream=Stream(tenant, base_of(namespace, about)),
        topic=namespace.topic,
        key=key.encode("utf-8", "replace"),
        writable=namespace.writable,
        accepts=accepts,
    )


def base_of(namespace: Namespace, about: str) -> str:
    """Return the name of all that is about `about`, not narrowed."""
    return f"{namespace.name}:{about}" if namespace.about else namespace.name


def may_watch(grant: Grant) -> bool:
    """Say whether a token opens channels."""
    return TokenScope.SUBSCRIBE in grant.scopes


def may_write(grant: Grant, channel: Channel) -> bool:
    """Say whether a token may publish in a channel."""
    return channel.writable and TokenScope.PUBLISH in grant.scopes


def _narrowed(rest: str) -> tuple[str, Accepts | None]:
    about, *conditions = rest.split(";")
    wanted: dict[str, str] = {}
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not (key and equals) or key in wanted:
            raise NoChannel(f"a series is narrowed by 'dimension=value', not by {condition!r}")
        wanted[key] = unquote(value)
    return about, equal_to(wanted) if wanted else None
