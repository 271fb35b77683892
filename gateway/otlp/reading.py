"""One record on its way to an event: who sent it, which session it is about, what its values are.

The id of an event comes from what its record naturally is, so that a request that is sent again
gives the same ids. A record that names no session belongs to the session of its resource: one that
stands for the program that exported it.
"""

from collections.abc import Mapping
from typing import Final, TypedDict

from msgspec import Struct, field

from analytics.contracts.facts import Source
from analytics.contracts.ids import EventId, SessionId, TenantId, derived
from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.otlp.content import Budget
from gateway.otlp.lineage import Lineage
from gateway.otlp.records import Attributes, Origin


class Common(TypedDict):
    """The fields that every agent event has."""

    id: EventId
    tenant: TenantId
    at_ms: int
    source: Source
    session_id: SessionId
    project: str
    agent: str
    version: str
    agent_id: str
    parent_agent_id: str
    agent_type: str
    prompt_id: str
    user: str
    team: str


class Keys(Struct, frozen=True, kw_only=True):
    """Under which names a sender says the common things; the first that is there is taken."""

    session: tuple[str, ...] = ("session.id",)
    version: tuple[str, ...] = ("app.version", "service.version")
    user: tuple[str, ...] = ("user.email", "user.account_uuid", "user.account_id")
    team: tuple[str, ...] = ("team.id", "team.name", "team", "department")
    project: tuple[str, ...] = ("project.name", "project")
    folder: tuple[str, ...] = ("cwd", "workspace.host_paths", "process.working_directory")
    prompt: tuple[str, ...] = ("prompt.id", "prompt_id")
    agent_id: tuple[str, ...] = ("agent_id",)
    parent_agent_id: tuple[str, ...] = ("parent_agent_id",)
    agent_type: tuple[str, ...] = ("agent.name", "agent_type")


class Program(Struct, frozen=True, kw_only=True):
    """A kind of sender: ingest path, name (else the service's own) and the names it uses."""

    source: Source
    agent: str = ""
    keys: Keys = Keys()


class Sender(Struct, frozen=True, kw_only=True):
    """One exporting program: what its resource says, found once for all its records."""

    program: Program
    agent: str
    version: str
    user: str
    team: str
    project: str
    session_id: SessionId
    resource: Attributes
    digest: str


class RequestContext(Struct, kw_only=True):
    """What all records of one request share, and what they use up together."""

    tenant: TenantId
    received_ms: int
    keep_content: bool
    budget: Budget = field(default_factory=Budget)
    lineage: Lineage = field(default_factory=Lineage)
    repeats: dict[str, int] = field(default_factory=dict)

    def once_more(self, natural: str) -> int:
        """Return how often the same record was already in this request."""
        number = self.repeats.get(natural, 0)
        self.repeats[natural] = number + 1
        return number


_RESOURCE_IDENTITY: Final = (
    "service.namespace",
    "service.name",
    "service.instance.id",
    "host.id",
    "host.name",
    "process.pid",
)


def sender_of(program: Program, origin: Origin, tenant: TenantId) -> Sender:
    """Return what a resource says about the program that exported it."""
    resource: Attributes = {
        key: value
        for key, value in origin.resource.items()
        if not key.startswith("telemetry.") and value is not None
    }
    keys = program.keys
    service = coercion.name(resource.get("service.name"))
    named = coercion.session_id(first(resource, keys.session))
    return Sender(
        program=program,
        agent=program.agent or service or "unknown",
        version=coercion.name(first(resource, keys.version)),
        user=coercion.name(first(resource, keys.user)),
        team=coercion.name(first(resource, keys.team)),
        project=_project(resource, keys) or coercion.name(resource.get("service.namespace")),
        session_id=named or _session_of_resource(resource, tenant),
        resource=resource,
        digest=coercion.digest_of([origin.resource, origin.scope, origin.scope_version]),
    )


class ExportedRecord(Struct, kw_only=True):
    """One record, with the ways to read its values."""

    request: RequestContext
    sender: Sender
    name: str
    attributes: Attributes
    at_ms: int
    event_id: EventId
    session_id: SessionId

    def common(self, part: str = "") -> Common:
        """Return the fields that every event has; `part` tells events of one record apart."""
        given = self.attributes
        sender = self.sender
        keys = sender.program.keys
        return Common(
            id=derived(self.event_id, part) if part else self.event_id,
            tenant=self.request.tenant,
            at_ms=self.at_ms,
            source=sender.program.source,
            session_id=self.session_id,
            project=_project(given, keys) or sender.project,
            agent=sender.agent,
            version=coercion.name(first(given, keys.version)) or sender.version,
            agent_id=coercion.name(first(given, keys.agent_id)),
            parent_agent_id=coercion.name(first(given, keys.parent_agent_id)),
            agent_type=coercion.name(first(given, keys.agent_type)),
            prompt_id=coercion.name(first(given, keys.prompt)),
            user=coercion.name(first(given, keys.user)) or sender.user,
            team=coercion.name(first(given, keys.team)) or sender.team,
        )

    def word(self, *keys: str) -> str:
        """Return the first of these values as a name; empty where none is there."""
        return coercion.name(first(self.attributes, keys))

    def count(self, *keys: str) -> int | None:
        """Return the first of these values as a count."""
        return coercion.count(first(self.attributes, keys))

    def amount(self, *keys: str) -> int:
        """Return the first of these values as a count, 0 where there is none."""
        return coercion.count(first(self.attributes, keys)) or 0

    def flag(self, *keys: str) -> bool | None:
        """Return the first of these values as a truth value."""
        return coercion.flag(first(self.attributes, keys))

    def content(self, *keys: str) -> str:
        """Return the first of these values where contents are kept, else empty text."""
        if not self.request.keep_content:
            return ""
        return self.request.budget.text(first(self.attributes, keys))

    def error(self, *keys: str) -> str:
        """Return the first of these values as the text of an error."""
        given = first(self.attributes, keys)
        return coercion.error_text(given, whole=self.request.keep_content)


def first(attributes: Mapping[str, Value], keys: tuple[str, ...]) -> Value:
    """Return the first of these attributes that is there and not empty."""
    for key in keys:
        value = attributes.get(key)
        if value is not None and value != "":
            return value
    return None


def _project(given: Mapping[str, Value], keys: Keys) -> str:
    named = first(given, keys.project)
    if named is not None:
        return coercion.name(named)
    folder = first(given, keys.folder)
    return coercion.project_of(folder[0] if isinstance(folder, list) and folder else folder)


def _session_of_resource(resource: Attributes, tenant: TenantId) -> SessionId:
    identity = [coercion.written(resource.get(key)) for key in _RESOURCE_IDENTITY]
    service = coercion.cut(coercion.written(resource.get("service.name")) or "unknown", 64)
    return SessionId(f"{service}@{derived(tenant, *identity)[:12]}")
