"""The topics, declared once; code, compose file, chart and documents are all fed from here.

A topic's full name on the broker is `mainstem.` and its name. The key of a record decides its
partition, so that what shares a key stays in order.
"""

from typing import Final

from msgspec import Struct

from analytics.contracts import agent_events, events, result_events
from analytics.contracts.events import Event
from analytics.contracts.facts import Fact

PREFIX: Final = "mainstem."


class Topic(Struct, frozen=True, kw_only=True):
    """One Kafka topic: what it carries, what its key is, how wide it is and how long it keeps."""

    name: str
    carries: tuple[type[Fact], ...]
    key: str
    partitions: int
    retention_days: int
    about: str

    @property
    def address(self) -> str:
        """The topic's full name on the broker."""
        return PREFIX + self.name


CONNECTIONS: Final = Topic(
    name="connections.v1",
    carries=events.ConnectionEvent.__args__,
    key="connection_id",
    partitions=6,
    retention_days=7,
    about="Sockets opened and closed.",
)
AGENTS: Final = Topic(
    name="agents.v1",
    carries=agent_events.AgentEvent.__args__,
    key="session_id",
    partitions=12,
    retention_days=7,
    about="What coding agents did: sessions, prompts, model requests, tools.",
)
REVIEWS: Final = Topic(
    name="reviews.v1",
    carries=events.ReviewEvent.__args__,
    key="pull_request",
    partitions=6,
    retention_days=30,
    about="Code review: findings and what people made of them.",
)
METRICS: Final = Topic(
    name="metrics.v1",
    carries=(result_events.WindowClosed,),
    key="tenant",
    partitions=12,
    retention_days=3,
    about="Closed windows: the measures of every series.",
)
ANOMALIES: Final = Topic(
    name="anomalies.v1",
    carries=(result_events.AnomalyFound,),
    key="tenant",
    partitions=4,
    retention_days=7,
    about="What was unlike anything before, and why.",
)
FORECASTS: Final = Topic(
    name="forecasts.v1",
    carries=(result_events.ForecastMade,),
    key="tenant",
    partitions=4,
    retention_days=3,
    about="What series are expected to do, with intervals.",
)
ALERTS: Final = Topic(
    name="alerts.v1",
    carries=(result_events.AlertChanged,),
    key="tenant",
    partitions=4,
    retention_days=7,
    about="Alerts that came into another state.",
)
NOTES: Final = Topic(
    name="notes.v1",
    carries=(events.NotePublished,),
    key="channel",
    partitions=6,
    retention_days=1,
    about="What clients tell each other over channels of their own.",
)
PARTIALS: Final = Topic(
    name="partials.v1",
    carries=(),
    key="share of the series",
    partitions=4,
    retention_days=1,
    about="Between two stages of the stream: what one partition closed of shared windows.",
)
DEAD_LETTERS: Final = Topic(
    name="deadletters.v1",
    carries=(),
    key="as it came",
    partitions=1,
    retention_days=30,
    about="What could not be read, as it came, with the reason in its headers.",
)

ALL: Final = (
    CONNECTIONS,
    AGENTS,
    REVIEWS,
    METRICS,
    ANOMALIES,
    FORECASTS,
    ALERTS,
    NOTES,
    PARTIALS,
    DEAD_LETTERS,
)
FACTS: Final = (CONNECTIONS, AGENTS, REVIEWS)
"""The topics that the gateway writes and the worker reads."""

_BY_TYPE: Final = {kind: topic for topic in ALL for kind in topic.carries}


def of(event: Event) -> Topic:
    """Return the topic that carries events of this type."""
    return _BY_TYPE[type(event)]


def key_of(event: Event) -> str:
    """Return the partition key of `event` on its topic."""
    return str(getattr(event, of(event).key))
