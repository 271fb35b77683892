"""What the settings come to: a recipe for each topic, the rules of the fold, and retention."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from analytics.alerts.delivery import Policy
from analytics.contracts import topics
from analytics.contracts.topics import Topic
from analytics.measures.fold import Arrival, FoldRules, PartitionFold
from analytics.measures.prices import PriceTable
from analytics.measures.tallies import BY_KIND, Series, TallyFold, spec_of
from analytics.watching.watch import WatchRules
from analytics.windows.keyed import Spec
from analytics.windows.merging import MergeFold, MergeRules
from analytics.windows.tumbling import NARROWEST_MS
from streams import reading, results
from streams.ledger import Claim
from streams.notifying.loop import Rules as NoticeRules
from streams.notifying.sending import Manner
from streams.reading import Reader
from streams.settings import StreamsSettings
from streams.step import Recipe
from streams.store.retention import Retention
from streams.store.watching.stage import Rules

MERGE_RULES: Final = MergeRules()
K = TypeVar("K", bound=tuple[object, ...])


def recipes(
    prices: PriceTable, rules: FoldRules, merge_rules: MergeRules = MERGE_RULES
) -> Mapping[str, Recipe[Any]]:
    """Return the recipe of every topic that a worker reads, by address."""

    def fold(claim: Claim) -> PartitionFold:
        return PartitionFold(
            prices=prices,
            watermark_ms=claim.watermark_ms,
            open_cells=claim.open_cells,
            rules=rules,
        )

    def recipe(topic: Topic, read: Reader[Arrival]) -> Recipe[Arrival]:
        return Recipe(topic=topic.address, read=read, fold=fold, results=results.of_first_stage)

    def merging(claim: Claim) -> MergeFold:
        return MergeFold(state=claim.state, kept=claim.kept, rules=merge_rules)

    facts = {
        topics.AGENTS.address: recipe(topics.AGENTS, reading.events_of(topics.AGENTS)),
        topics.CONNECTIONS.address: tallied(topics.CONNECTIONS, BY_KIND, rules, spec_of(rules)),
        topics.REVIEWS.address: tallied(topics.REVIEWS, BY_KIND, rules, spec_of(rules)),
    }
    return facts | {
        topics.PARTIALS.address: Recipe(
            topic=topics.PARTIALS.address,
            read=reading.parcels,
            fold=merging,
            results=results.of_second_stage,
        ),
        topics.GRAVEYARD.address: recipe(topics.GRAVEYARD, reading.graveyard),
    }


def tallied(topic: Topic, series: Series[K], rules: FoldRules, spec: Spec) -> Recipe[Arrival]:
    """Return the recipe of a topic whose events are counted by series, and are of no session."""

    def fold(claim: Claim) -> TallyFold[K]:
        return TallyFold(
            topic,
            series,
            spec,
            watermark_ms=claim.watermark_ms,
            open_cells=claim.open_cells,
            rules=rules,
        )

    read = reading.events_of(topic)
    return Recipe(topic=topic.address, read=read, fold=fold, results=results.of_first_stage)


def rules(settings: StreamsSettings) -> FoldRules:
    """Return the rules of the fold that the settings ask for."""
    return FoldRules(
        lateness_ms=settings.lateness_ms,
        future_skew_ms=settings.future_skew_ms,
        idle_ms=settings.idle_ms,
        stuck_repeats=settings.stuck_repeats,
        sessions_max=settings.sessions_max,
        remembered_max=settings.remembered_max,
    )


def merge_rules(settings: StreamsSettings) -> MergeRules:
    """Return the rules of the second stage that the settings ask for.

    A partition that is not quiet tells of each narrowest window that ends, so nobody is taken for
    idle who was silent for no longer than one.
    """
    return MergeRules(
        idle_ms=settings.idle_ms + NARROWEST_MS,
        kept_ms=settings.partials_kept_ms,
        partials_max=settings.partials_max,
    )


def retention(settings: StreamsSettings) -> Retention:
    """Return how long the settings ask the store to keep each kind of row."""
    return Retention(
        events_days=settings.events_days,
        window_10s_days=settings.window_10s_days,
        window_1m_days=settings.window_1m_days,
        window_5m_days=settings.window_5m_days,
        window_1h_days=settings.window_1h_days,
        window_1d_days=settings.window_1d_days,
        sessions_days=settings.sessions_days,
        graveyard_days=settings.graveyard_days,
    )


def watching(settings: StreamsSettings) -> Rules:
    """Return how the settings ask closed windows to be watched."""
    return Rules(
        watch=WatchRules(
            series_max=settings.watch_series_max,
            snapshot_minutes=settings.watch_snapshot_minutes,
        ),
        stalled_ms=settings.watch_stalled_ms,
        external_url=settings.dashboard_url,
    )


def notifying(settings: StreamsSettings) -> NoticeRules:
    """Return how the settings ask receivers to be told of alerts."""
    return NoticeRules(
        manner=Manner(
            timeout_s=settings.notify_timeout_s,
            is_private_allowed=settings.notify_private,
            files=settings.notify_files,
            external_url=settings.dashboard_url,
        ),
        policy=Policy(lasts_ms=settings.notify_lasts_s * 1_000),
        at_once=settings.notify_at_once,
    )
